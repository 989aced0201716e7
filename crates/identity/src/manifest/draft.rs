// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Building the next version without a secret key: a draft yields the exact bytes to sign and takes
//! the signature. What comes out has passed the checks that every peer makes.

use waxwing_proto::limits::{DEVICES_MAX, REVOKED_DEVICES_MAX};
use waxwing_proto::{AccountKey, DeviceId};

use super::{
    Body, DeviceEntry, DeviceManifest, ManifestError, Signatory, reserve, verify_successor,
};
use crate::keys::{Digest, Signature};

/// A version that is not signed yet.
#[derive(Debug, Clone)]
pub struct ManifestDraft {
    pub(super) body: Body,
    base: Option<DeviceManifest>,
}

/// The caller tried to build a manifest that nobody would accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// No room for another device.
    #[error("an account has at most 8 devices")]
    TooManyDevices,
    /// No room for another revocation.
    #[error("there is no room for another revoked device")]
    TooManyRevocations,
    /// The device to revoke is not listed.
    #[error("no device with this id is listed")]
    UnknownDevice,
    /// The version numbers are used up.
    #[error("there is no later version number")]
    VersionsUsedUp,
    /// The draft or its signature breaks a rule.
    #[error(transparent)]
    Refused(#[from] ManifestError),
}

impl DraftError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooManyDevices => "too_many_devices",
            Self::TooManyRevocations => "too_many_revocations",
            Self::UnknownDevice => "unknown_device",
            Self::VersionsUsedUp => "versions_used_up",
            Self::Refused(error) => error.code(),
        }
    }
}

impl ManifestDraft {
    /// Version 1 of a new account with one device; the account key signs it.
    #[must_use]
    pub fn first(account: AccountKey, device: DeviceEntry) -> Self {
        let body = Body {
            account,
            version: 1,
            previous: Digest::ZERO,
            signer: Signatory::Account,
            anchor: None,
            devices: vec![device],
            revoked: Vec::new(),
        };
        Self { body, base: None }
    }

    /// The version after `previous`, to be signed by one of its devices or by the account key.
    ///
    /// # Errors
    /// [`DraftError::VersionsUsedUp`], [`ManifestError::SignerNotListed`], or
    /// [`ManifestError::ReservedForAccount`] where devices have used up their share of the numbers.
    pub fn after(previous: &DeviceManifest, signer: Signatory) -> Result<Self, DraftError> {
        if !previous.lists(&signer) {
            return Err(ManifestError::SignerNotListed.into());
        }
        Self::on(previous, signer, previous.version())
    }

    /// An account-signed version that builds on `base` and voids everything after it, up to and
    /// including `newest_version`, the highest number that anybody was shown.
    ///
    /// # Errors
    /// [`DraftError::VersionsUsedUp`].
    pub fn overriding(base: &DeviceManifest, newest_version: u32) -> Result<Self, DraftError> {
        let newest = newest_version.max(base.version());
        Self::on(base, Signatory::Account, newest)
    }

    fn on(base: &DeviceManifest, signer: Signatory, newest: u32) -> Result<Self, DraftError> {
        let version = newest
            .checked_add(1)
            .filter(|version| *version <= waxwing_proto::limits::MANIFEST_VERSIONS_MAX)
            .ok_or(DraftError::VersionsUsedUp)?;
        if !signer.is_account() {
            reserve::check_number(version, base.anchor().version)?;
        }
        let body = Body {
            account: *base.account(),
            version,
            previous: base.hash(),
            signer,
            anchor: (!signer.is_account()).then(|| base.anchor()),
            devices: base.devices().to_vec(),
            revoked: base.revoked().to_vec(),
        };
        Ok(Self {
            body,
            base: Some(base.clone()),
        })
    }

    /// The number that the version will have.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.body.version
    }

    /// Adds an admitted device at the end of the list.
    ///
    /// # Errors
    /// [`DraftError::TooManyDevices`].
    pub fn list(mut self, device: DeviceEntry) -> Result<Self, DraftError> {
        if self.body.devices.len() >= DEVICES_MAX {
            return Err(DraftError::TooManyDevices);
        }
        self.body.devices.push(device);
        Ok(self)
    }

    /// Takes a device off the list for ever. An account-signed draft may revoke any id, such as one
    /// that stands only in a version that it voids.
    ///
    /// # Errors
    /// [`DraftError::UnknownDevice`], [`DraftError::TooManyRevocations`]: for a device before the room
    /// that is kept for the account key, for the account key at the end of it.
    pub fn revoke(mut self, id: DeviceId) -> Result<Self, DraftError> {
        let listed = self.body.devices.iter().any(|device| device.id() == id);
        if !listed && !self.body.signer.is_account() {
            return Err(DraftError::UnknownDevice);
        }
        self.body.devices.retain(|device| device.id() != id);
        if let Err(place) = self.body.revoked.binary_search(&id) {
            let most = if self.body.signer.is_account() {
                REVOKED_DEVICES_MAX
            } else {
                reserve::DEVICE_REVOCATIONS_MAX
            };
            if self.body.revoked.len() >= most {
                return Err(DraftError::TooManyRevocations);
            }
            self.body.revoked.insert(place, id);
        }
        Ok(self)
    }

    /// Revokes every device that is listed so far: the first step of a recovery.
    ///
    /// # Errors
    /// [`DraftError::TooManyRevocations`].
    pub fn revoke_all(self) -> Result<Self, DraftError> {
        let ids: Vec<_> = self.body.devices.iter().map(DeviceEntry::id).collect();
        ids.into_iter().try_fold(self, Self::revoke)
    }

    /// The exact bytes to sign. Everything that can be checked without the signature has been.
    ///
    /// # Errors
    /// [`DraftError::Refused`].
    pub fn signable(&self) -> Result<Vec<u8>, DraftError> {
        self.body.check()?;
        Ok(self.body.write().map_err(ManifestError::from)?)
    }

    /// Adds the signature and makes every check that a peer makes.
    ///
    /// # Errors
    /// [`DraftError::Refused`].
    pub fn finish(self, signature: Signature) -> Result<DeviceManifest, DraftError> {
        let mut bytes = self.signable()?;
        bytes.extend_from_slice(signature.as_bytes());
        let manifest = DeviceManifest::decode(&bytes)?;
        if let Some(base) = &self.base {
            verify_successor(base, &manifest)?;
        }
        Ok(manifest)
    }
}
