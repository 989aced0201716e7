// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prekey pairs: an X25519 key and an ML-KEM-1024 encapsulation key under one signature by `IKs`.
//! The signed pair, which is also the last resort, names the manifest head that its device knew.

use waxwing_proto::limits::PREKEY_SIZE_MAX;
use waxwing_proto::{AccountKey, DeviceId};

use crate::encoding::{LayoutError, Reader, Writer};
use crate::keys::{DeviceSigningKey, Digest, Signature, VerifyingKey as _};
use crate::labels;
use crate::manifest::{Day, ManifestHead};

// PRE-3.
/// Suite 0x0001: X25519, Ed25519, ML-KEM-1024 in the handshake and ML-KEM-768 in the ratchet,
/// HKDF-SHA-256, AES-256-GCM.
pub const SUITE: u16 = 0x0001;
/// The length of an ML-KEM-1024 encapsulation key, in bytes (FIPS 203, table 3).
pub const KEM_KEY_LENGTH: usize = 1568;

const SIGNED: u8 = 1;
const ONE_TIME: u8 = 2;

/// What kind of pair it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrekeyKind {
    /// Used by many senders until it is replaced.
    Signed {
        /// The newest manifest version that the device knew when it made the pair.
        head: ManifestHead,
    },
    /// Handed out once.
    OneTime,
}

/// A prekey pair that cannot be used: the fault of its device or of whoever hands it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrekeyError {
    /// The bytes do not follow the layout.
    #[error("the prekey pair cannot be read: {0}")]
    Layout(#[from] LayoutError),
    /// A suite that this version does not speak.
    #[error("the prekey pair is for a suite that is not supported")]
    Suite,
    /// The pair belongs to another account or device than expected.
    #[error("the prekey pair belongs to another device")]
    OtherDevice,
    /// The device did not sign the pair.
    #[error("the signature of the prekey pair does not verify")]
    Signature,
}

impl PrekeyError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Layout(error) => error.code(),
            Self::Suite => "prekey_suite",
            Self::OtherDevice => "prekey_other_device",
            Self::Signature => "prekey_signature",
        }
    }
}

/// A pair in its layout. Whoever holds a value from [`PrekeyPair::decode`] still has to
/// [`verify`](PrekeyPair::verify) it, and to check the KEM key as FIPS 203, section 7.2 demands.
///
/// Layout: label, suite (u16), `AIK` (32), device id (16), kind (u8), id (u32), day (u32), X25519
/// key (32), ML-KEM key (1568), in a signed pair the manifest head (36), signature (64).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrekeyPair {
    unsigned: UnsignedPrekeyPair,
    bytes: bytes::Bytes,
}

/// A pair before its device has signed it.
#[derive(Clone, PartialEq, Eq)]
pub struct UnsignedPrekeyPair {
    /// The account.
    pub account: AccountKey,
    /// The device.
    pub device: DeviceId,
    /// The kind.
    pub kind: PrekeyKind,
    /// Unique among the device's pairs of this kind, from 1.
    pub id: u32,
    /// The day on which the pair was made.
    pub created: Day,
    /// `SPK` or `OPK`: an X25519 key. A contributory check belongs to its use.
    pub dh_key: [u8; 32],
    /// `ek`: an ML-KEM-1024 encapsulation key.
    pub kem_key: Box<[u8; KEM_KEY_LENGTH]>,
}

impl core::fmt::Debug for UnsignedPrekeyPair {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("UnsignedPrekeyPair")
            .field("account", &self.account)
            .field("device", &self.device)
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

impl UnsignedPrekeyPair {
    /// The exact bytes that `IKs` signs.
    #[must_use]
    pub fn signable(&self) -> Vec<u8> {
        // PRE-1, PRE-2.
        let kind = match self.kind {
            PrekeyKind::Signed { .. } => SIGNED,
            PrekeyKind::OneTime => ONE_TIME,
        };
        let writer = Writer::labelled(labels::PREKEY_PAIR)
            .u16(SUITE)
            .raw(self.account.as_bytes())
            .raw(self.device.as_bytes())
            .u8(kind)
            .u32(self.id)
            .u32(self.created)
            .raw(&self.dh_key)
            .raw(self.kem_key.as_slice());
        let writer = match &self.kind {
            PrekeyKind::Signed { head } => head.write(writer),
            PrekeyKind::OneTime => writer,
        };
        writer.into_bytes()
    }

    /// Adds the signature, after verifying it.
    ///
    /// # Errors
    /// [`PrekeyError::Signature`]; [`LayoutError::Value`] for id 0.
    pub fn finish(
        self,
        signing_key: &DeviceSigningKey,
        signature: Signature,
    ) -> Result<PrekeyPair, PrekeyError> {
        let mut bytes = self.signable();
        bytes.extend_from_slice(signature.as_bytes());
        let pair = PrekeyPair::decode(&bytes)?;
        pair.verify(signing_key, &self.account, &self.device)?;
        Ok(pair)
    }

    fn read(signed: &[u8]) -> Result<Self, PrekeyError> {
        let mut reader = Reader::new(signed);
        reader.label(labels::PREKEY_PAIR)?;
        if reader.u16()? != SUITE {
            return Err(PrekeyError::Suite);
        }
        let account = AccountKey::new(reader.array()?);
        let device = DeviceId::new(reader.array()?);
        let kind = reader.u8()?;
        let id = reader.u32()?;
        let created = reader.u32()?;
        let dh_key = reader.array()?;
        let kem_key = Box::new(reader.array()?);
        let kind = match kind {
            SIGNED => PrekeyKind::Signed {
                head: ManifestHead::read(&mut reader)?,
            },
            ONE_TIME => PrekeyKind::OneTime,
            _ => return Err(LayoutError::Value.into()),
        };
        reader.finish()?;
        if id == 0 {
            return Err(LayoutError::Value.into());
        }
        Ok(Self {
            account,
            device,
            kind,
            id,
            created,
            dh_key,
            kem_key,
        })
    }
}

impl PrekeyPair {
    /// Takes the layout apart. The signature is not verified: for that, see [`PrekeyPair::verify`].
    ///
    /// # Errors
    /// [`PrekeyError::Layout`], [`PrekeyError::Suite`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PrekeyError> {
        if bytes.len() > PREKEY_SIZE_MAX {
            return Err(LayoutError::Limit.into());
        }
        let (signed, _) = bytes
            .split_last_chunk::<{ Signature::LENGTH }>()
            .ok_or(LayoutError::Truncated)?;
        Ok(Self {
            unsigned: UnsignedPrekeyPair::read(signed)?,
            bytes: bytes::Bytes::copy_from_slice(bytes),
        })
    }

    /// Checks that `device` of `account` made the pair and signed it with `signing_key`, which the
    /// caller takes from the manifest.
    ///
    /// # Errors
    /// [`PrekeyError::OtherDevice`], [`PrekeyError::Signature`].
    pub fn verify(
        &self,
        signing_key: &DeviceSigningKey,
        account: &AccountKey,
        device: &DeviceId,
    ) -> Result<(), PrekeyError> {
        // PRE-5.
        if self.unsigned.account != *account || self.unsigned.device != *device {
            return Err(PrekeyError::OtherDevice);
        }
        let (signed, signature) = self
            .bytes
            .split_last_chunk::<{ Signature::LENGTH }>()
            .ok_or(LayoutError::Truncated)?;
        signing_key
            .verify(signed, &Signature::new(*signature))
            .map_err(|_| PrekeyError::Signature)
    }

    /// The exact bytes, signature included.
    #[must_use]
    pub const fn as_bytes(&self) -> &bytes::Bytes {
        &self.bytes
    }

    /// SHA-256 of the exact bytes.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::of(&[&self.bytes])
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> &AccountKey {
        &self.unsigned.account
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.unsigned.device
    }

    /// The kind, in a signed pair with the manifest head.
    #[must_use]
    pub const fn kind(&self) -> &PrekeyKind {
        &self.unsigned.kind
    }

    /// The manifest head of a signed pair.
    #[must_use]
    pub const fn head(&self) -> Option<&ManifestHead> {
        match &self.unsigned.kind {
            PrekeyKind::Signed { head } => Some(head),
            PrekeyKind::OneTime => None,
        }
    }

    /// Whether it is handed out once.
    #[must_use]
    pub const fn is_one_time(&self) -> bool {
        matches!(self.unsigned.kind, PrekeyKind::OneTime)
    }

    /// The id, from 1.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.unsigned.id
    }

    /// The day on which the pair was made, as its device said.
    #[must_use]
    pub const fn created(&self) -> Day {
        self.unsigned.created
    }

    /// `SPK` or `OPK`.
    #[must_use]
    pub const fn dh_key(&self) -> &[u8; 32] {
        &self.unsigned.dh_key
    }

    /// `ek`.
    #[must_use]
    pub const fn kem_key(&self) -> &[u8; KEM_KEY_LENGTH] {
        &self.unsigned.kem_key
    }
}

#[cfg(test)]
mod tests;
