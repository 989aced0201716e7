// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a recovery from the words builds on, found in a chain that a server handed out.

use std::collections::BTreeMap;

use waxwing_proto::AccountKey;

use super::{DeviceManifest, ManifestError, verify_successor};

/// Where an override of a chain begins; see [`super::ManifestDraft::overriding`].
#[derive(Debug, Clone, Copy)]
pub struct OverrideBase<'a> {
    /// The newest version that the account key signed.
    pub base: &'a DeviceManifest,
    /// The highest number that a valid chain from `base` reaches.
    pub newest_version: u32,
}

/// Finds what an override builds on: the newest account-signed version, so that nothing which devices
/// did since takes room in it, and above the highest number that is *proved*.
///
/// A server can make up versions that look right by themselves, up to the highest number; a step that
/// does not follow from `base` is passed over, so that it cannot use up the numbers. `versions` may be in
/// any order. An attacker controls all of them but what the account's keys signed.
///
/// # Errors
/// [`ManifestError::NoAccountSigned`] where no version of the account is signed by its key.
pub fn override_base<'a>(
    account: &AccountKey,
    versions: &'a [DeviceManifest],
) -> Result<OverrideBase<'a>, ManifestError> {
    // IDN-62.
    let mut own: Vec<&DeviceManifest> = versions
        .iter()
        .filter(|manifest| manifest.account() == account)
        .collect();
    own.sort_by_key(|manifest| manifest.version());
    let base = own
        .iter()
        .rev()
        .find(|manifest| manifest.is_account_signed())
        .copied()
        .ok_or(ManifestError::NoAccountSigned)?;
    let mut proved = BTreeMap::from([(base.hash(), base)]);
    let mut newest_version = base.version();
    for next in own {
        let follows = proved
            .get(next.previous())
            .is_some_and(|previous| verify_successor(previous, next).is_ok());
        if follows {
            newest_version = newest_version.max(next.version());
            proved.insert(next.hash(), next);
        }
    }
    Ok(OverrideBase {
        base,
        newest_version,
    })
}
