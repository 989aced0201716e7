// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Device manifests: which devices an account has, as a chain of self-contained, signed versions.
//!
//! [`DeviceManifest`] is one version whose layout and signatures hold; it says nothing yet about its
//! right to follow another one. That is [`verify_successor`] for one step and [`judge`] for a
//! peer's pin. [`ManifestDraft`] builds the next version. What follows from the facts is decided by the engine.

mod device;
mod draft;
mod error;
mod head;
mod path;
mod pin;
mod provisional;
mod recovery;
mod reserve;
mod signatory;
mod succession;

pub use device::{CountersignedDevice, Day, DeviceEntry, DeviceKeys};
pub use draft::{DraftError, ManifestDraft};
pub use error::ManifestError;
pub use head::{HeadRelation, ManifestHead};
pub use pin::{ManifestPin, PinVerdict, check_extension, judge};
pub use provisional::{ProvisionalExtension, check_provisional};
pub use recovery::{OverrideBase, override_base};
pub use signatory::Signatory;
pub use succession::{Succession, verify_chain, verify_successor};

use waxwing_proto::limits::{
    DEVICES_MAX, MANIFEST_SIZE_MAX, MANIFEST_VERSIONS_MAX, REVOKED_DEVICES_MAX,
};
use waxwing_proto::{AccountKey, DeviceId};

use crate::encoding::{LayoutError, Reader, Writer};
use crate::keys::{Digest, Signature, VerifyingKey as _};
use crate::labels;

/// One version of an account's device manifest: layout, bounds and every signature hold.
///
/// Layout: label, `AIK` (32), version (u32), hash of the previous version (32), signer, device count
/// (u8), entries in order of admission, revoked count (u16), revoked ids (16 each, ascending),
/// signature (64). The signer is 0, or 1 with device id (16), `IKs` (32) and the head of the newest
/// account-signed version (36). An entry is id, `IKs`, `IKd`, day (u32), who admitted, admission, membership.
///
/// An attacker controls everything but what the account's keys sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceManifest {
    body: Body,
    bytes: bytes::Bytes,
    head: ManifestHead,
}

/// What the signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    account: AccountKey,
    version: u32,
    previous: Digest,
    signer: Signatory,
    /// The newest account-signed version before a device-signed one; absent on an account-signed one.
    anchor: Option<ManifestHead>,
    devices: Vec<DeviceEntry>,
    revoked: Vec<DeviceId>,
}

impl DeviceManifest {
    /// Reads a version and verifies everything that it proves by itself: layout, bounds, canonical
    /// form, its signature, and of every device the counter-signature and the admission.
    ///
    /// At most 17 signature verifications; no allocation beyond `MANIFEST_SIZE_MAX`.
    ///
    /// # Errors
    /// [`ManifestError`], in its families layout, signatures, duplicates and admission authority.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        // IDN-13, IDN-15.
        if bytes.len() > MANIFEST_SIZE_MAX {
            return Err(LayoutError::Limit.into());
        }
        let (signed, signature) = bytes
            .split_last_chunk::<{ Signature::LENGTH }>()
            .ok_or(LayoutError::Truncated)?;
        let body = Body::read(signed)?;
        body.check()?;
        body.signer
            .verify(&body.account, signed, &Signature::new(*signature))
            .map_err(|_| ManifestError::Signature)?;
        for device in &body.devices {
            device.verify(&body.account)?;
        }
        let head = ManifestHead {
            version: body.version,
            hash: Digest::of(&[bytes]),
        };
        Ok(Self {
            body,
            bytes: bytes::Bytes::copy_from_slice(bytes),
            head,
        })
    }

    /// The exact bytes that were signed and are hashed, signature included.
    #[must_use]
    pub const fn as_bytes(&self) -> &bytes::Bytes {
        // TRN-9.
        &self.bytes
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> &AccountKey {
        &self.body.account
    }

    /// The number, 1 to `MANIFEST_VERSIONS_MAX`.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.body.version
    }

    /// The hash of the version that this one is built on; zero for version 1.
    #[must_use]
    pub const fn previous(&self) -> &Digest {
        &self.body.previous
    }

    /// SHA-256 of the exact bytes.
    #[must_use]
    pub const fn hash(&self) -> Digest {
        self.head.hash
    }

    /// Number and hash.
    #[must_use]
    pub const fn head(&self) -> ManifestHead {
        self.head
    }

    /// The newest account-signed version up to and including this one. A version with a later
    /// anchor voids all versions with an earlier one that it does not descend from.
    #[must_use]
    pub const fn anchor(&self) -> ManifestHead {
        // IDN-19.
        match self.body.anchor {
            Some(anchor) => anchor,
            None => self.head,
        }
    }

    /// Who signed.
    #[must_use]
    pub const fn signer(&self) -> &Signatory {
        &self.body.signer
    }

    /// Whether the account key signed.
    #[must_use]
    pub const fn is_account_signed(&self) -> bool {
        self.body.signer.is_account()
    }

    /// The devices, the oldest admission first: 1 to `DEVICES_MAX`.
    #[must_use]
    pub fn devices(&self) -> &[DeviceEntry] {
        &self.body.devices
    }

    /// The device, where it is listed.
    #[must_use]
    pub fn device(&self, id: &DeviceId) -> Option<&DeviceEntry> {
        self.body.devices.iter().find(|device| device.id() == *id)
    }

    /// The device's place in the order of admission, where it is listed.
    #[must_use]
    pub fn seniority(&self, id: &DeviceId) -> Option<usize> {
        self.body
            .devices
            .iter()
            .position(|device| device.id() == *id)
    }

    /// The revoked ids, ascending, at most `REVOKED_DEVICES_MAX`.
    #[must_use]
    pub fn revoked(&self) -> &[DeviceId] {
        &self.body.revoked
    }

    /// Whether the id is revoked.
    #[must_use]
    pub fn is_revoked(&self, id: &DeviceId) -> bool {
        self.body.revoked.binary_search(id).is_ok()
    }

    /// Whether this version alone shows that all of it goes back to the account key: it is
    /// account-signed, or its signer is listed and no admission passes through a revoked device.
    /// Where it does not, [`verify_chain`] over the versions since the anchor does.
    #[must_use]
    pub fn leads_to_account(&self) -> bool {
        self.is_account_signed()
            || (self.lists(&self.body.signer)
                && self
                    .body
                    .devices
                    .iter()
                    .all(|device| self.lists(device.admitted_by())))
    }

    /// Whether the signatory is the account or a device that this version lists with that key.
    fn lists(&self, signatory: &Signatory) -> bool {
        self.body.lists(signatory, self.body.devices.len())
    }
}

impl Body {
    fn read(signed: &[u8]) -> Result<Self, LayoutError> {
        let mut reader = Reader::new(signed);
        reader.label(labels::MANIFEST)?;
        let account = AccountKey::new(reader.array()?);
        let version = reader.u32()?;
        let previous = Digest::read(&mut reader)?;
        let signer = Signatory::read(&mut reader)?;
        let anchor = match signer {
            Signatory::Account => None,
            Signatory::Device { .. } => Some(ManifestHead::read(&mut reader)?),
        };
        let device_count = usize::from(reader.u8()?);
        if device_count > DEVICES_MAX {
            return Err(LayoutError::Limit);
        }
        let devices = (0..device_count)
            .map(|_| DeviceEntry::read(&mut reader))
            .collect::<Result<_, _>>()?;
        let revoked_count = usize::from(reader.u16()?);
        if revoked_count > REVOKED_DEVICES_MAX {
            return Err(LayoutError::Limit);
        }
        let revoked = (0..revoked_count)
            .map(|_| reader.array().map(DeviceId::new))
            .collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self {
            account,
            version,
            previous,
            signer,
            anchor,
            devices,
            revoked,
        })
    }

    fn write(&self) -> Result<Vec<u8>, LayoutError> {
        // IDN-11.
        let device_count = u8::try_from(self.devices.len()).map_err(|_| LayoutError::Limit)?;
        let revoked_count = u16::try_from(self.revoked.len()).map_err(|_| LayoutError::Limit)?;
        let mut writer = Writer::labelled(labels::MANIFEST)
            .raw(self.account.as_bytes())
            .u32(self.version)
            .raw(self.previous.as_bytes());
        writer = self.signer.write(writer);
        if let Some(anchor) = &self.anchor {
            writer = anchor.write(writer);
        }
        writer = writer.u8(device_count);
        for device in &self.devices {
            writer = device.write(writer);
        }
        writer = writer.u16(revoked_count);
        for id in &self.revoked {
            writer = writer.raw(id.as_bytes());
        }
        Ok(writer.into_bytes())
    }

    /// The rules within one version that need no signature.
    fn check(&self) -> Result<(), ManifestError> {
        // IDN-14, IDN-18.
        let first = self.version == 1;
        if self.version == 0 || self.version > MANIFEST_VERSIONS_MAX {
            return Err(LayoutError::Value.into());
        }
        // Only a first version has nothing before it. A device cannot sign that one, because its
        // anchor, checked below, would have to come before it.
        if first != self.previous.is_zero() {
            return Err(LayoutError::Value.into());
        }
        if let Some(anchor) = &self.anchor {
            if anchor.version >= self.version {
                return Err(LayoutError::Value.into());
            }
            reserve::check_number(self.version, anchor.version)?;
            let directly_after = anchor.version.checked_add(1) == Some(self.version);
            if directly_after != (anchor.hash == self.previous) {
                return Err(ManifestError::WrongAnchor);
            }
        }
        if self.devices.is_empty() || self.devices.len() > DEVICES_MAX {
            return Err(LayoutError::Limit.into());
        }
        if self.revoked.len() > REVOKED_DEVICES_MAX {
            return Err(LayoutError::Limit.into());
        }
        if !self.revoked.is_sorted_by(|left, right| left < right) {
            return Err(LayoutError::NotCanonical.into());
        }
        self.account.check().map_err(|_| ManifestError::Signature)?;
        self.check_devices()
    }

    fn check_devices(&self) -> Result<(), ManifestError> {
        // IDN-16, IDN-17.
        for (place, device) in self.devices.iter().enumerate() {
            let keys = device.keys();
            let twice = self.devices.iter().take(place).any(|other| {
                other.id() == keys.id
                    || other.signing_key() == keys.signing_key
                    || other.dh_key() == keys.dh_key
            });
            if twice
                || self.revoked.binary_search(&keys.id).is_ok()
                || keys.signing_key.as_bytes() == self.account.as_bytes()
            {
                return Err(ManifestError::DuplicateDevice);
            }
            let revoked_since = device
                .admitted_by()
                .device_id()
                .is_some_and(|id| self.revoked.binary_search(&id).is_ok());
            if !revoked_since && !self.lists(device.admitted_by(), place) {
                return Err(ManifestError::AdmissionAuthority);
            }
        }
        // A device may sign the version that revokes itself; then only the previous version lists it.
        let signer_is_gone = self
            .signer
            .device_id()
            .is_some_and(|id| self.revoked.binary_search(&id).is_ok());
        if !signer_is_gone && !self.lists(&self.signer, self.devices.len()) {
            return Err(ManifestError::SignerNotListed);
        }
        Ok(())
    }

    /// Whether the signatory is the account or stands among the first `count` devices.
    fn lists(&self, signatory: &Signatory, count: usize) -> bool {
        signatory.is_account()
            || self
                .devices
                .iter()
                .take(count)
                .any(|device| device.keys().signatory() == *signatory)
    }
}

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
mod layout_tests;
#[cfg(test)]
mod reserve_tests;
#[cfg(test)]
mod tests;
