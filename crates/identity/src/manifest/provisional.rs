// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A later version whose predecessors are still missing, as a handshake brings it: what can be
//! checked without asking the server about the sender. The pin does not move on this alone.

use waxwing_proto::DeviceId;

use super::succession::{Succession, added_entries, keeps_revocations};
use super::{DeviceManifest, ManifestError, reserve};

/// What a version changes that fits the pinned one as far as can be told.
///
/// Who revoked a pinned device is not known before the missing versions are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionalExtension {
    /// Devices that the pinned version does not list, in order of admission.
    pub added: Vec<DeviceId>,
    /// Devices of the pinned version that are no longer listed.
    pub revoked: Vec<DeviceId>,
}

/// Checks `newer` against `pinned` without the versions between them: the same account-signed
/// version under both, no pinned revocation missing, entries unaltered, signer and admissions
/// leading to devices that `pinned` or `newer` lists.
///
/// # Errors
/// [`ManifestError::VersionsMissing`] where the account key has signed in between,
/// [`ManifestError::NotOnPrevious`] for a version that is not later, and the rule that is broken.
pub fn check_provisional(
    pinned: &DeviceManifest,
    newer: &DeviceManifest,
) -> Result<ProvisionalExtension, ManifestError> {
    // IDN-28.
    if newer.account() != pinned.account() {
        return Err(ManifestError::OtherAccount);
    }
    if newer.version() <= pinned.version() {
        return Err(ManifestError::NotOnPrevious);
    }
    let directly_after = pinned.version().checked_add(1) == Some(newer.version());
    if directly_after && *newer.previous() != pinned.hash() {
        return Err(ManifestError::NotOnPrevious);
    }
    if newer.is_account_signed() || newer.anchor() != pinned.anchor() {
        return Err(ManifestError::VersionsMissing);
    }
    if !keeps_revocations(pinned, newer) {
        return Err(ManifestError::RevocationMissing);
    }
    reserve::check_revocations(pinned, newer)?;
    let listed = |signatory| pinned.lists(signatory) || newer.lists(signatory);
    if !listed(newer.signer()) {
        return Err(ManifestError::SignerNotListed);
    }
    if added_entries(pinned, newer)?
        .iter()
        .any(|device| !listed(device.admitted_by()))
    {
        return Err(ManifestError::AdmissionAuthority);
    }
    let Succession { added, revoked, .. } = Succession::between(pinned, newer, false, false);
    Ok(ProvisionalExtension { added, revoked })
}
