// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What devices may use up: version numbers and room for revocations both end, and the account key
//! needs some of each to take an account back from whoever holds one of its devices.

use waxwing_proto::limits::{
    ACCOUNT_REVOCATIONS_RESERVE, ACCOUNT_VERSIONS_RESERVE, DEVICE_SIGNED_VERSIONS_MAX,
    MANIFEST_VERSIONS_MAX, REVOKED_DEVICES_MAX,
};

use super::{DeviceManifest, ManifestError};

/// The highest number of a device-signed version.
pub(super) const DEVICE_NUMBER_MAX: u32 =
    MANIFEST_VERSIONS_MAX.saturating_sub(ACCOUNT_VERSIONS_RESERVE);
/// Revoked ids up to which a device may add one.
pub(super) const DEVICE_REVOCATIONS_MAX: usize =
    REVOKED_DEVICES_MAX.saturating_sub(ACCOUNT_REVOCATIONS_RESERVE);

/// Whether a device may sign the version of this number, after the account-signed `anchor`.
///
/// # Errors
/// [`ManifestError::ReservedForAccount`].
pub(super) const fn check_number(version: u32, anchor: u32) -> Result<(), ManifestError> {
    // IDN-60.
    if version > DEVICE_NUMBER_MAX || version.saturating_sub(anchor) > DEVICE_SIGNED_VERSIONS_MAX {
        return Err(ManifestError::ReservedForAccount);
    }
    Ok(())
}

/// Whether a device may add the revocations that `next` has and `previous` has not.
///
/// # Errors
/// [`ManifestError::ReservedForAccount`].
pub(super) fn check_revocations(
    previous: &DeviceManifest,
    next: &DeviceManifest,
) -> Result<(), ManifestError> {
    // IDN-61.
    let count = next.revoked().len();
    if count > previous.revoked().len() && count > DEVICE_REVOCATIONS_MAX {
        return Err(ManifestError::ReservedForAccount);
    }
    Ok(())
}
