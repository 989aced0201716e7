// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rule for one step of the chain, and for a chain from its beginning.
//!
//! A device that the previous version lists may add devices and revoke them, nothing else. The
//! account key may build on any version, later or earlier, and voids what followed that version.

use waxwing_proto::DeviceId;

use super::{DeviceManifest, ManifestError, reserve};

/// What a valid step, or several of them, changed. Facts only; trust is decided by the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succession {
    /// Devices that were not listed before, in order of admission.
    pub added: Vec<DeviceId>,
    /// Devices that were listed before and are no longer.
    pub revoked: Vec<DeviceId>,
    /// Whether the account key signed (of several steps: any of them).
    pub account_signed: bool,
    /// Whether a device revoked one that had been admitted before itself, and no account-signed
    /// version followed. A thief with one unlocked device would do this, so sending is blocked.
    pub younger_revokes_older: bool,
}

/// Checks that `next` may follow `previous`, the newest version known, and says what it changes.
///
/// A device-signed version must have the next number and the hash of `previous`. An account-signed
/// version must have a higher number; where it names another version as its previous, it voids
/// `previous` and everything between, and only its own rules bind it.
///
/// # Errors
/// [`ManifestError`], from [`ManifestError::OtherAccount`] on.
pub fn verify_successor(
    previous: &DeviceManifest,
    next: &DeviceManifest,
) -> Result<Succession, ManifestError> {
    // IDN-20, IDN-22.
    if next.account() != previous.account() {
        return Err(ManifestError::OtherAccount);
    }
    if next.version() <= previous.version() {
        return Err(ManifestError::NotOnPrevious);
    }
    if next.is_account_signed() {
        if *next.previous() == previous.hash() {
            check_rebuilt(previous, next)?;
        }
        return Ok(Succession::between(previous, next, true, false));
    }
    check_device_signed(previous, next)?;
    let younger_revokes_older = revokes_older(previous, next);
    Ok(Succession::between(
        previous,
        next,
        false,
        younger_revokes_older,
    ))
}

/// Checks a chain, oldest first, that begins with an account-signed version. `Succession` tells
/// what changed from the first to the last version; with one version nothing did.
///
/// # Errors
/// [`ManifestError::VersionsMissing`] for no version at all, [`ManifestError::NoAccountSigned`],
/// and those of [`verify_successor`].
pub fn verify_chain<'a>(
    chain: impl IntoIterator<Item = &'a DeviceManifest>,
) -> Result<Succession, ManifestError> {
    let mut chain = chain.into_iter();
    let first = chain.next().ok_or(ManifestError::VersionsMissing)?;
    if !first.is_account_signed() {
        return Err(ManifestError::NoAccountSigned);
    }
    let mut walked = walk(first, chain)?;
    walked.account_signed = true;
    Ok(walked)
}

/// Checks the steps from `first` along `rest`, each on the one before.
pub(super) fn walk<'a>(
    first: &DeviceManifest,
    rest: impl IntoIterator<Item = &'a DeviceManifest>,
) -> Result<Succession, ManifestError> {
    let (mut account_signed, mut younger_revokes_older) = (false, false);
    let mut last = first;
    for next in rest {
        let step = verify_successor(last, next)?;
        account_signed |= step.account_signed;
        // The account key's word settles whatever devices did to each other before it.
        younger_revokes_older =
            !step.account_signed && (younger_revokes_older || step.younger_revokes_older);
        last = next;
    }
    Ok(Succession::between(
        first,
        last,
        account_signed,
        younger_revokes_older,
    ))
}

impl Succession {
    pub(super) fn between(
        earlier: &DeviceManifest,
        later: &DeviceManifest,
        account_signed: bool,
        younger_revokes_older: bool,
    ) -> Self {
        Self {
            added: not_in(later, earlier),
            revoked: not_in(earlier, later),
            account_signed,
            younger_revokes_older,
        }
    }
}

fn not_in(left: &DeviceManifest, right: &DeviceManifest) -> Vec<DeviceId> {
    left.devices()
        .iter()
        .map(super::DeviceEntry::id)
        .filter(|id| right.device(id).is_none())
        .collect()
}

/// Whether every revocation of `earlier` still stands in `later`.
pub(super) fn keeps_revocations(earlier: &DeviceManifest, later: &DeviceManifest) -> bool {
    earlier.revoked().iter().all(|id| later.is_revoked(id))
}

/// The devices of `earlier` that are not revoked must come first in `later`, in the same order and
/// with the same bytes. The rest, which is new, is returned.
pub(super) fn added_entries<'a>(
    earlier: &DeviceManifest,
    later: &'a DeviceManifest,
) -> Result<&'a [super::DeviceEntry], ManifestError> {
    let mut rest = later.devices();
    for device in earlier.devices() {
        if later.is_revoked(&device.id()) {
            continue;
        }
        match rest.split_first() {
            Some((first, others)) if first == device => rest = others,
            _ => return Err(ManifestError::EntryAltered),
        }
    }
    Ok(rest)
}

fn check_device_signed(
    previous: &DeviceManifest,
    next: &DeviceManifest,
) -> Result<(), ManifestError> {
    // IDN-21.
    if previous.version().checked_add(1) != Some(next.version())
        || *next.previous() != previous.hash()
    {
        return Err(ManifestError::NotOnPrevious);
    }
    if !previous.lists(next.signer()) {
        return Err(ManifestError::SignerNotListed);
    }
    if next.anchor() != previous.anchor() {
        return Err(ManifestError::WrongAnchor);
    }
    if !keeps_revocations(previous, next) {
        return Err(ManifestError::RevocationMissing);
    }
    let unknown = |id: &DeviceId| !previous.is_revoked(id) && previous.device(id).is_none();
    if next.revoked().iter().any(unknown) {
        return Err(ManifestError::RevokedUnknown);
    }
    reserve::check_revocations(previous, next)?;
    let added = added_entries(previous, next)?;
    if added
        .iter()
        .any(|device| !previous.lists(device.admitted_by()))
    {
        return Err(ManifestError::AdmissionAuthority);
    }
    if added.is_empty() && next.revoked() == previous.revoked() {
        return Err(ManifestError::NoChange);
    }
    Ok(())
}

/// An account-signed version on `previous` itself may admit devices anew and put them in another
/// order, but it forgets no revocation and gives no id to other keys.
fn check_rebuilt(previous: &DeviceManifest, next: &DeviceManifest) -> Result<(), ManifestError> {
    // IDN-23.
    if !keeps_revocations(previous, next) {
        return Err(ManifestError::RevocationMissing);
    }
    let kept = |device: &super::DeviceEntry| {
        next.is_revoked(&device.id())
            || next
                .device(&device.id())
                .is_some_and(|entry| entry.keys() == device.keys())
    };
    if previous.devices().iter().all(kept) {
        Ok(())
    } else {
        Err(ManifestError::EntryAltered)
    }
}

/// Whether the signing device revoked one that stands before it in the order of admission.
fn revokes_older(previous: &DeviceManifest, next: &DeviceManifest) -> bool {
    // IDN-29.
    let Some(signer) = next.signer().device_id() else {
        return false;
    };
    previous
        .devices()
        .iter()
        .take_while(|device| device.id() != signer)
        .any(|device| next.is_revoked(&device.id()))
}
