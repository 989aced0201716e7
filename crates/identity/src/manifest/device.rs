// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a device comes into a manifest, in three types: [`DeviceKeys`] is what a new device offers,
//! [`CountersignedDevice`] carries its own word that it belongs to the account (else Mallory could
//! list Bob's device keys as hers), and [`DeviceEntry`] carries the admission as well.

use waxwing_proto::{AccountKey, DeviceId};

use super::{ManifestError, Signatory};
use crate::encoding::{LayoutError, Reader, Writer};
use crate::keys::{DeviceDhKey, DeviceSigningKey, Digest, Signature, VerifyingKey as _};
use crate::labels;

/// A day, counted from the Unix epoch. Nothing that is tied to an account is dated more finely.
pub type Day = u32;

// IDN-4.
/// The public half of a device: its id and its two identity keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceKeys {
    /// Random, never used again.
    pub id: DeviceId,
    /// `IKs`.
    pub signing_key: DeviceSigningKey,
    /// `IKd`.
    pub dh_key: DeviceDhKey,
}

impl DeviceKeys {
    /// The length of the encoding, in bytes.
    pub const LENGTH: usize = 80;

    /// What a link code carries, so that no server can put other keys in place.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // IDN-39, IDN-44.
        Digest::of(&[labels::DEVICE_KEYS, &self.encode()])
    }

    /// Id, `IKs`, `IKd`: 80 bytes, as a rendezvous carries them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.write(Writer::new()).into_bytes()
    }

    /// Takes the encoding apart and checks that the signing key is acceptable.
    ///
    /// # Errors
    /// [`ManifestError::Layout`], [`ManifestError::MembershipSignature`] for a bad key.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut reader = Reader::new(bytes);
        let keys = Self::read(&mut reader)?;
        reader.finish()?;
        keys.signing_key
            .check()
            .map_err(|_| ManifestError::MembershipSignature)?;
        Ok(keys)
    }

    /// This device as an author of manifests and admissions.
    #[must_use]
    pub const fn signatory(&self) -> Signatory {
        Signatory::Device {
            id: self.id,
            signing_key: self.signing_key,
        }
    }

    /// What the new device signs with `IKs`: that it belongs to `account`.
    #[must_use]
    pub fn membership_signable(&self, account: &AccountKey) -> Vec<u8> {
        // IDN-8.
        self.write(Writer::labelled(labels::MEMBERSHIP).raw(account.as_bytes()))
            .into_bytes()
    }

    /// Adds the device's own signature, after verifying it.
    ///
    /// # Errors
    /// [`ManifestError::MembershipSignature`].
    pub fn countersigned(
        self,
        account: &AccountKey,
        membership: Signature,
    ) -> Result<CountersignedDevice, ManifestError> {
        self.signing_key
            .verify(&self.membership_signable(account), &membership)
            .map_err(|_| ManifestError::MembershipSignature)?;
        Ok(CountersignedDevice {
            account: *account,
            keys: self,
            membership,
        })
    }

    fn write(&self, writer: Writer) -> Writer {
        writer
            .raw(self.id.as_bytes())
            .raw(self.signing_key.as_bytes())
            .raw(self.dh_key.as_bytes())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        Ok(Self {
            id: DeviceId::new(reader.array()?),
            signing_key: DeviceSigningKey::read(reader)?,
            dh_key: DeviceDhKey::read(reader)?,
        })
    }
}

/// A device that agreed to belong to an account and waits to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountersignedDevice {
    account: AccountKey,
    keys: DeviceKeys,
    membership: Signature,
}

impl CountersignedDevice {
    /// The device's keys.
    #[must_use]
    pub const fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// The device's own signature.
    #[must_use]
    pub const fn membership(&self) -> &Signature {
        &self.membership
    }

    /// What `admitted_by` signs to admit the device.
    #[must_use]
    pub fn admission_signable(&self, created: Day, admitted_by: &Signatory) -> Vec<u8> {
        admission_signable(&self.account, &self.keys, created, admitted_by)
    }

    /// Adds the admission, after verifying it.
    ///
    /// # Errors
    /// [`ManifestError::AdmissionSignature`].
    pub fn admit(
        self,
        created: Day,
        admitted_by: Signatory,
        admission: Signature,
    ) -> Result<DeviceEntry, ManifestError> {
        let entry = DeviceEntry {
            keys: self.keys,
            created,
            admitted_by,
            admission,
            membership: self.membership,
        };
        entry.verify(&self.account)?;
        Ok(entry)
    }
}

/// A device as a manifest lists it.
///
/// `created` is the admitting device's word and decides nothing: seniority is the place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceEntry {
    keys: DeviceKeys,
    created: Day,
    admitted_by: Signatory,
    admission: Signature,
    membership: Signature,
}

impl DeviceEntry {
    /// The device's id.
    #[must_use]
    pub const fn id(&self) -> DeviceId {
        self.keys.id
    }

    /// `IKs`.
    #[must_use]
    pub const fn signing_key(&self) -> DeviceSigningKey {
        self.keys.signing_key
    }

    /// `IKd`.
    #[must_use]
    pub const fn dh_key(&self) -> DeviceDhKey {
        self.keys.dh_key
    }

    /// Id and keys together.
    #[must_use]
    pub const fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// The day of admission, as the admitting device said.
    #[must_use]
    pub const fn created(&self) -> Day {
        self.created
    }

    /// Who admitted the device.
    #[must_use]
    pub const fn admitted_by(&self) -> &Signatory {
        &self.admitted_by
    }

    /// Verifies both signatures. Whether a device that admitted had the right to is the chain's question.
    pub(super) fn verify(&self, account: &AccountKey) -> Result<(), ManifestError> {
        self.keys
            .signing_key
            .verify(&self.keys.membership_signable(account), &self.membership)
            .map_err(|_| ManifestError::MembershipSignature)?;
        let message = admission_signable(account, &self.keys, self.created, &self.admitted_by);
        self.admitted_by
            .verify(account, &message, &self.admission)
            .map_err(|_| ManifestError::AdmissionSignature)
    }

    pub(super) fn write(&self, writer: Writer) -> Writer {
        // IDN-10.
        let writer = self.keys.write(writer).u32(self.created);
        self.admitted_by
            .write(writer)
            .raw(self.admission.as_bytes())
            .raw(self.membership.as_bytes())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        Ok(Self {
            keys: DeviceKeys::read(reader)?,
            created: reader.u32()?,
            admitted_by: Signatory::read(reader)?,
            admission: Signature::read(reader)?,
            membership: Signature::read(reader)?,
        })
    }
}

fn admission_signable(
    account: &AccountKey,
    keys: &DeviceKeys,
    created: Day,
    admitted_by: &Signatory,
) -> Vec<u8> {
    // IDN-9.
    let writer = Writer::labelled(labels::ADMISSION).raw(account.as_bytes());
    let writer = keys.write(writer).u32(created);
    admitted_by.write(writer).into_bytes()
}
