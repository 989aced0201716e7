// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rows of a KEM epoch, outside the hot state: one for what is secret, and one for each run of
//! units that has arrived. At most 38 rows, of 1.2 KiB at most. All of them go when the epoch is mixed.

use std::collections::BTreeMap;
use std::sync::Arc;

use waxwing_crypto::{KemSecret768, Secret, SecretBytes};
use waxwing_identity::encoding::Reader;

use super::kem::{Answer, EpochSecret, Epochs, OfferedKey, Phase};
use super::units::{Part, Run, Units};
use crate::{RatchetError, Role};

const FORMAT: u8 = 1;
const OFFER: u8 = 1;
const READY: u8 = 2;
const ANSWER: u8 = 3;
const RUN: u8 = 4;
/// Bytes of the largest row: format, kind, epoch, secret, hash of the key, answer.
const ROW_LENGTH_MAX: usize = 2 + 4 + 32 + 32 + Part::Answer.length();

/// The name of a row of the epoch under way, within its session: 0 to 37.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KemRowId(u8);

impl KemRowId {
    /// What is secret.
    pub(crate) const SECRET: Self = Self(0);

    /// The name as it is stored.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Reads what [`KemRowId::to_byte`] gave.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    const fn run(first: u8) -> Self {
        Self(first.saturating_add(1))
    }
}

/// What a message changes in a session's KEM rows: a value to write, or none to delete the row.
/// Committed with the hot row. The values are secret.
#[derive(Default)]
pub struct KemChanges(BTreeMap<KemRowId, Option<SecretBytes>>);

impl IntoIterator for KemChanges {
    type Item = (KemRowId, Option<SecretBytes>);
    type IntoIter = std::collections::btree_map::IntoIter<KemRowId, Option<SecretBytes>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl KemChanges {
    /// Whether nothing changes, as with most messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn put_offer(&mut self, epoch: u32, secret: &KemSecret768) {
        self.put(
            KemRowId::SECRET,
            OFFER,
            epoch,
            &[secret.expose_seed().expose()],
        );
    }

    pub(super) fn put_ready(&mut self, epoch: u32, secret: &EpochSecret) {
        let parts: [&[u8]; 3] = [
            secret.shared.expose(),
            &secret.key_hash,
            &secret.ciphertext_hash,
        ];
        self.put(KemRowId::SECRET, READY, epoch, &parts);
    }

    /// The hash of the ciphertext is computed again from the answer.
    pub(super) fn put_answer(&mut self, epoch: u32, secret: &EpochSecret, answer: &[u8]) {
        let parts: [&[u8]; 3] = [secret.shared.expose(), &secret.key_hash, answer];
        self.put(KemRowId::SECRET, ANSWER, epoch, &parts);
    }

    pub(super) fn put_run(&mut self, epoch: u32, run: &Run) {
        self.put(KemRowId::run(run.first), RUN, epoch, &[&run.bytes]);
    }

    pub(super) fn delete(&mut self, row: KemRowId) {
        self.0.insert(row, None);
    }

    pub(super) fn delete_runs(&mut self, units: &Units) {
        for first in units.runs() {
            let row = KemRowId::run(*first);
            // What this very message brought is in no store yet.
            if self.0.remove(&row).is_none() {
                self.delete(row);
            }
        }
    }

    // SES-101.
    fn put(&mut self, row: KemRowId, kind: u8, epoch: u32, parts: &[&[u8]]) {
        // The capacity is never exceeded, so no half-written copy is left behind by growing.
        let mut bytes = SecretBytes::with_capacity(ROW_LENGTH_MAX);
        bytes.extend_from_slice(&[FORMAT, kind]);
        bytes.extend_from_slice(&epoch.to_be_bytes());
        for part in parts {
            bytes.extend_from_slice(part);
        }
        self.0.insert(row, Some(bytes));
    }
}

/// A row as it was read.
enum Stored {
    Offer(KemSecret768),
    Ready(EpochSecret),
    Answer(Answer),
    Run(Vec<u8>),
}

impl Epochs {
    /// The names of the rows that are stored.
    pub(crate) fn rows(&self) -> Vec<KemRowId> {
        let runs = |units: &Units| -> Vec<KemRowId> {
            let firsts = units.runs().iter();
            firsts.map(|first| KemRowId::run(*first)).collect()
        };
        match &self.phase {
            Phase::Idle => Vec::new(),
            Phase::Ready(_) | Phase::Answering(_) => vec![KemRowId::SECRET],
            Phase::Collecting(units) => runs(units),
            Phase::Offering(_, units) => {
                let mut rows = runs(units);
                rows.push(KemRowId::SECRET);
                rows
            }
        }
    }

    /// Puts the phase together from the rows, whose order is of no matter.
    pub(crate) fn restore<'a>(
        &mut self,
        role: Role,
        rows: impl IntoIterator<Item = (KemRowId, &'a [u8])>,
    ) -> Result<(), RatchetError> {
        let own = self.is_own(role);
        let mut units = Units::new(if own { Part::Answer } else { Part::Key });
        let mut secret = None;
        for (id, row) in rows {
            match (read(self.number, row)?, id.0.checked_sub(1)) {
                (Stored::Run(bytes), Some(first)) => {
                    let runs = units
                        .take(first, &bytes)
                        .map_err(|_| RatchetError::Corrupt)?;
                    // Each run was new when it was stored.
                    if !matches!(&*runs, [run] if run.bytes == bytes) {
                        return Err(RatchetError::Corrupt);
                    }
                }
                (Stored::Run(_), None) => return Err(RatchetError::Corrupt),
                (_, Some(_)) => return Err(RatchetError::Corrupt),
                (stored, None) => secret = Some(stored),
            }
        }
        let has_units = !units.held().is_empty();
        self.phase = match secret {
            None if !has_units => Phase::Idle,
            None if !own => Phase::Collecting(Arc::new(units)),
            Some(Stored::Offer(secret)) if own => {
                let offered = Arc::new(OfferedKey::new(secret));
                Phase::Offering(offered, Arc::new(units))
            }
            Some(Stored::Ready(secret)) if own && !has_units => Phase::Ready(Arc::new(secret)),
            Some(Stored::Answer(answer)) if !own && !has_units => {
                Phase::Answering(Arc::new(answer))
            }
            _ => return Err(RatchetError::Corrupt),
        };
        Ok(())
    }
}

fn read(epoch: u32, row: &[u8]) -> Result<Stored, RatchetError> {
    match row.first() {
        Some(&FORMAT) => read_body(epoch, Reader::new(row)).ok_or(RatchetError::Corrupt),
        Some(format) => Err(RatchetError::UnsupportedFormat(*format)),
        None => Err(RatchetError::Corrupt),
    }
}

fn read_body(epoch: u32, mut reader: Reader<'_>) -> Option<Stored> {
    reader.u8().ok()?;
    let kind = reader.u8().ok()?;
    if reader.u32().ok()? != epoch {
        return None;
    }
    let stored = match kind {
        OFFER => {
            let seed = Secret::from_slice(reader.take(64).ok()?)?;
            Stored::Offer(KemSecret768::from_seed(seed))
        }
        READY => Stored::Ready(EpochSecret {
            shared: Secret::from_slice(reader.take(32).ok()?)?,
            key_hash: reader.array().ok()?,
            ciphertext_hash: reader.array().ok()?,
        }),
        ANSWER => {
            let shared = Secret::from_slice(reader.take(32).ok()?)?;
            let key_hash = reader.array().ok()?;
            let bytes = reader.take(Part::Answer.length()).ok()?.to_vec();
            let ciphertext = bytes.get(..KemSecret768::CIPHERTEXT_LENGTH)?;
            let ciphertext_hash = waxwing_crypto::kdf::sha256(&[ciphertext]);
            let secret = EpochSecret {
                shared,
                key_hash,
                ciphertext_hash,
            };
            Stored::Answer(Answer { secret, bytes })
        }
        RUN => return Some(Stored::Run(reader.take_rest().to_vec())),
        _ => return None,
    };
    reader.finish().ok()?;
    Some(stored)
}
