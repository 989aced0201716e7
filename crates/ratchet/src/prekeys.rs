// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prekey pairs with their secrets: what a device keeps so that others can write to it first.
//!
//! A secret is destroyed by deleting its sealed row. A one-time pair goes with the handshake that
//! used it; a signed pair at the first complete drain of the mailbox that began 8 days after its
//! replacement.

use rand_core::CryptoRng;
use waxwing_crypto::{DhSecret, KemSecret1024, Secret, SecretBytes};
use waxwing_identity::encoding::Reader;
use waxwing_identity::prekey::KEM_KEY_LENGTH;
use waxwing_identity::{Day, Digest, ManifestHead, PrekeyKind, PrekeyPair, UnsignedPrekeyPair};

use crate::handshake::LocalDevice;
use crate::{RatchetError, day};

const FORMAT: u8 = 1;
const SIGNED: u8 = 1;
const ONE_TIME: u8 = 2;
const ROW_LENGTH: usize = 1 + 1 + 4 + 4 + 32 + 32 + 64 + KEM_KEY_LENGTH + ManifestHead::LENGTH;

/// The secrets of one prekey pair. Wiped on drop.
pub struct PrekeySecret {
    kind: PrekeyKind,
    id: u32,
    created: Day,
    pub(crate) dh: DhSecret,
    pub(crate) kem: KemSecret1024,
    kem_key: Box<[u8; KEM_KEY_LENGTH]>,
}

impl PrekeySecret {
    /// A fresh signed pair, which names the own manifest's head. `id` is not 0 and new among the
    /// device's signed pairs; `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`RatchetError::Malformed`] for id 0 or a manifest that does not fit the device's keys.
    pub fn generate_signed<R: CryptoRng + ?Sized>(
        own: &LocalDevice<'_>,
        id: u32,
        now: u64,
        rng: &mut R,
    ) -> Result<(Self, PrekeyPair), RatchetError> {
        let head = own.manifest.head();
        Self::generate(own, PrekeyKind::Signed { head }, id, now, rng)
    }

    /// A fresh one-time pair. `id` is not 0 and new among the device's one-time pairs.
    ///
    /// # Errors
    /// [`RatchetError::Malformed`] for id 0.
    pub fn generate_one_time<R: CryptoRng + ?Sized>(
        own: &LocalDevice<'_>,
        id: u32,
        now: u64,
        rng: &mut R,
    ) -> Result<(Self, PrekeyPair), RatchetError> {
        Self::generate(own, PrekeyKind::OneTime, id, now, rng)
    }

    fn generate<R: CryptoRng + ?Sized>(
        own: &LocalDevice<'_>,
        kind: PrekeyKind,
        id: u32,
        now: u64,
        rng: &mut R,
    ) -> Result<(Self, PrekeyPair), RatchetError> {
        let kem = KemSecret1024::generate(rng);
        let kem_key: Box<[u8; KEM_KEY_LENGTH]> = kem
            .encapsulation_key()
            .try_into()
            .map_err(|_| RatchetError::BadKemKey)?;
        let secret = Self {
            kind,
            id,
            created: day(now),
            dh: DhSecret::generate(rng),
            kem,
            kem_key,
        };
        let unsigned = UnsignedPrekeyPair {
            account: own.account,
            device: own.device,
            kind,
            id,
            created: secret.created,
            dh_key: *secret.dh.public(),
            kem_key: secret.kem_key.clone(),
        };
        let signature = own.secrets.signing.sign(&unsigned.signable())?;
        let pair = unsigned
            .finish(&own.secrets.signing.device_key(), signature)
            .map_err(|_| RatchetError::Malformed("prekey pair"))?;
        Ok((secret, pair))
    }

    /// The id among the device's pairs of this kind.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The day on which the pair was made.
    #[must_use]
    pub const fn created(&self) -> Day {
        self.created
    }

    /// The manifest head of a signed pair; nothing for a one-time pair.
    #[must_use]
    pub const fn head(&self) -> Option<&ManifestHead> {
        match &self.kind {
            PrekeyKind::Signed { head } => Some(head),
            PrekeyKind::OneTime => None,
        }
    }

    pub(crate) const fn kem_key(&self) -> &[u8; KEM_KEY_LENGTH] {
        &self.kem_key
    }

    /// The bytes for the sealed store. They are secret; seal them at once.
    #[must_use]
    pub fn encode(&self) -> SecretBytes {
        let mut row = SecretBytes::with_capacity(ROW_LENGTH);
        let kind = if self.head().is_some() {
            SIGNED
        } else {
            ONE_TIME
        };
        row.extend_from_slice(&[FORMAT, kind]);
        row.extend_from_slice(&self.id.to_be_bytes());
        row.extend_from_slice(&self.created.to_be_bytes());
        row.extend_from_slice(self.dh.expose().expose());
        row.extend_from_slice(self.dh.public());
        row.extend_from_slice(self.kem.expose_seed().expose());
        row.extend_from_slice(self.kem_key.as_slice());
        if let Some(head) = self.head() {
            row.extend_from_slice(&head.version.to_be_bytes());
            row.extend_from_slice(head.hash.as_bytes());
        }
        row
    }

    /// Reads what [`PrekeySecret::encode`] wrote.
    ///
    /// # Errors
    /// [`RatchetError::Corrupt`] or [`RatchetError::UnsupportedFormat`].
    pub fn decode(row: &[u8]) -> Result<Self, RatchetError> {
        match row.first() {
            Some(&FORMAT) => Self::read(Reader::new(row)).ok_or(RatchetError::Corrupt),
            Some(format) => Err(RatchetError::UnsupportedFormat(*format)),
            None => Err(RatchetError::Corrupt),
        }
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        reader.u8().ok()?;
        let kind = reader.u8().ok()?;
        let id = reader.u32().ok()?;
        let created = reader.u32().ok()?;
        let dh = Secret::from_slice(reader.take(32).ok()?)?;
        let public = reader.array().ok()?;
        let seed = Secret::from_slice(reader.take(64).ok()?)?;
        let kem_key = Box::new(reader.array().ok()?);
        let kind = match kind {
            SIGNED => PrekeyKind::Signed {
                head: ManifestHead {
                    version: reader.u32().ok()?,
                    hash: Digest::new(reader.array().ok()?),
                },
            },
            ONE_TIME => PrekeyKind::OneTime,
            _ => return None,
        };
        reader.finish().ok()?;
        Some(Self {
            kind,
            id,
            created,
            dh: DhSecret::restore(dh, public),
            kem: KemSecret1024::from_seed(seed),
            kem_key,
        })
    }
}
