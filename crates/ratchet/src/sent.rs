// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The hashes of what was sent, against which acknowledgements are judged. A device that is asked
//! about an envelope that it did not send has a copy somewhere, which did.

use std::collections::BTreeMap;

use crate::{RatchetError, SentHash, SkippedId};

const FORMAT: u8 = 2;
/// Hashes of another kind, which no acknowledgement names any more: the rows are deleted.
const FORMAT_1: u8 = 1;
/// Hashes in one row: a chain of 1000 is 32 rows, of which a message rewrites one.
const ROW_HASHES: u32 = 32;
const HASH_LENGTH: usize = 8;

/// What an acknowledgement says about this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Acknowledgement {
    /// The peer has opened this envelope of ours.
    Ours,
    /// About a chain of which no hashes are kept: too old, or begun before there were any.
    Forgotten,
    /// Alarm: the peer has opened an envelope that this device did not send. It exists twice.
    Foreign,
}

/// The name of a row of hashes within its session: the step of the chain, and the first number that
/// the row may hold.
pub type SentRowId = SkippedId;

/// The hashes of a session's last two own chains: at most 64 rows of at most 261 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentHashes {
    chains: BTreeMap<u32, Chain>,
    /// Rows of an older format, to be deleted.
    outdated: Vec<SentRowId>,
}

/// The hashes of consecutive numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Chain {
    /// The number of the first hash. Not 0 only for a chain that an older version began.
    first: u32,
    hashes: Vec<[u8; HASH_LENGTH]>,
}

/// What one sending changes in the rows. Committed with the hot row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentChanges {
    /// The row to write.
    pub put: (SentRowId, Vec<u8>),
    /// The rows to delete: of the chain before the last two, and those of an older format.
    pub delete: Vec<SentRowId>,
}

impl SentHashes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what [`Session::encrypt`](crate::Session::encrypt) sealed.
    pub fn record(&mut self, sent: &SentHash) -> SentChanges {
        // SES-110.
        let SkippedId { step, n } = sent.position;
        let chain = self.chains.entry(step).or_insert_with(|| Chain {
            first: n,
            hashes: Vec::new(),
        });
        chain.hashes.push(sent.hash);
        let put = chain.row(step, row_of(n));
        let mut delete = core::mem::take(&mut self.outdated);
        delete.retain(|row| *row != put.0);
        while self.chains.len() > 2
            && let Some((step, chain)) = self.chains.pop_first()
        {
            let rows = chain.rows().map(|n| SentRowId { step, n });
            delete.extend(rows);
        }
        SentChanges { put, delete }
    }

    /// Judges what [`Opened::acknowledged`](crate::Opened::acknowledged) says.
    pub fn judge(&self, acknowledged: &SentHash) -> Acknowledgement {
        // SES-111.
        let SkippedId { step, n } = acknowledged.position;
        let Some(chain) = self.chains.get(&step) else {
            return Acknowledgement::Forgotten;
        };
        let Some(at) = n.checked_sub(chain.first) else {
            return Acknowledgement::Forgotten;
        };
        let sent = usize::try_from(at).ok().and_then(|at| chain.hashes.get(at));
        if sent == Some(&acknowledged.hash) {
            Acknowledgement::Ours
        } else {
            Acknowledgement::Foreign
        }
    }

    /// The names of all rows.
    pub fn rows(&self) -> impl Iterator<Item = SentRowId> + '_ {
        let kept = self.chains.iter().flat_map(|(step, chain)| {
            let step = *step;
            chain.rows().map(move |n| SentRowId { step, n })
        });
        kept.chain(self.outdated.iter().copied())
    }

    /// Puts the hashes together from their rows, in the order of their names.
    ///
    /// # Errors
    /// [`RatchetError::Corrupt`] or [`RatchetError::UnsupportedFormat`].
    pub fn restore<'a>(
        rows: impl IntoIterator<Item = (SentRowId, &'a [u8])>,
    ) -> Result<Self, RatchetError> {
        let mut sent = Self::default();
        for (id, row) in rows {
            if row.first() == Some(&FORMAT_1) {
                sent.outdated.push(id);
                continue;
            }
            let (first, hashes) = read(id, row)?;
            let chain = sent.chains.entry(id.step).or_insert_with(|| Chain {
                first,
                hashes: Vec::new(),
            });
            if chain.next() != Some(first) {
                return Err(RatchetError::Corrupt);
            }
            chain.hashes.extend(hashes);
        }
        if sent.chains.len() > 2 {
            return Err(RatchetError::Corrupt);
        }
        Ok(sent)
    }
}

impl Chain {
    /// The number after the last.
    fn next(&self) -> Option<u32> {
        let count = u32::try_from(self.hashes.len()).ok()?;
        self.first.checked_add(count)
    }

    /// Where the rows begin.
    fn rows(&self) -> impl Iterator<Item = u32> + use<> {
        let end = self.next().unwrap_or(self.first);
        (row_of(self.first)..end).step_by(32)
    }

    /// `format || number of the first hash || hashes`.
    fn row(&self, step: u32, begin: u32) -> (SentRowId, Vec<u8>) {
        let first = begin.max(self.first);
        let skip = usize::try_from(first.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let hashes = self.hashes.iter().skip(skip);
        let mut row = vec![FORMAT];
        row.extend_from_slice(&first.to_be_bytes());
        for hash in hashes {
            row.extend_from_slice(hash);
        }
        (SentRowId { step, n: begin }, row)
    }
}

/// Where the row of number `n` begins.
const fn row_of(n: u32) -> u32 {
    n & !(ROW_HASHES - 1)
}

fn read(id: SentRowId, row: &[u8]) -> Result<(u32, Vec<[u8; HASH_LENGTH]>), RatchetError> {
    const CORRUPT: RatchetError = RatchetError::Corrupt;
    let (format, row) = row.split_first().ok_or(CORRUPT)?;
    if *format != FORMAT {
        return Err(RatchetError::UnsupportedFormat(*format));
    }
    let (first, hashes) = row.split_first_chunk().ok_or(CORRUPT)?;
    let first = u32::from_be_bytes(*first);
    let (hashes, rest) = hashes.as_chunks::<HASH_LENGTH>();
    let count = u32::try_from(hashes.len()).map_err(|_| CORRUPT)?;
    let last = first.checked_add(count.saturating_sub(1)).ok_or(CORRUPT)?;
    let in_place = row_of(first) == id.n && row_of(last) == id.n;
    if count == 0 || !rest.is_empty() || !in_place {
        return Err(CORRUPT);
    }
    Ok((first, hashes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(step: u32, n: u32) -> SentHash {
        let mut hash = [0; 8];
        hash[..4].copy_from_slice(&step.to_be_bytes());
        hash[4..].copy_from_slice(&n.to_be_bytes());
        SentHash {
            position: SkippedId { step, n },
            hash,
        }
    }

    /// Rows as a store keeps them.
    #[derive(Default)]
    struct Store(BTreeMap<SentRowId, Vec<u8>>);

    impl Store {
        fn commit(&mut self, changes: SentChanges) {
            for row in changes.delete {
                assert!(self.0.remove(&row).is_some());
            }
            assert!(changes.put.1.len() <= 261);
            self.0.insert(changes.put.0, changes.put.1);
        }

        fn read(&self) -> SentHashes {
            let rows = self.0.iter().map(|(id, row)| (*id, row.as_slice()));
            SentHashes::restore(rows).unwrap()
        }
    }

    #[test]
    fn the_last_two_chains_are_judged() {
        let (mut sent, mut store) = (SentHashes::new(), Store::default());
        for (step, length) in [(1, 3), (3, 1000), (5, 70)] {
            for n in 0..length {
                store.commit(sent.record(&hash(step, n)));
            }
            assert_eq!(store.read(), sent);
            assert!(sent.rows().eq(store.0.keys().copied()));
        }
        assert_eq!(store.0.len(), 32 + 3);
        assert_eq!(sent.judge(&hash(1, 0)), Acknowledgement::Forgotten);
        assert_eq!(sent.judge(&hash(7, 0)), Acknowledgement::Forgotten);
        assert_eq!(sent.judge(&hash(3, 999)), Acknowledgement::Ours);
        assert_eq!(sent.judge(&hash(5, 69)), Acknowledgement::Ours);
        assert_eq!(sent.judge(&hash(5, 70)), Acknowledgement::Foreign);
        let mut other = hash(5, 0);
        other.hash[0] ^= 1;
        assert_eq!(sent.judge(&other), Acknowledgement::Foreign);
    }

    /// A chain that was begun by a version which kept no hashes.
    #[test]
    fn what_was_sent_before_is_not_judged() {
        let (mut sent, mut store) = (SentHashes::new(), Store::default());
        for n in 40..100 {
            store.commit(sent.record(&hash(3, n)));
        }
        assert_eq!(store.read(), sent);
        assert_eq!(sent.judge(&hash(3, 39)), Acknowledgement::Forgotten);
        assert_eq!(sent.judge(&hash(3, 40)), Acknowledgement::Ours);
        assert_eq!(sent.judge(&hash(3, 100)), Acknowledgement::Foreign);
    }

    #[test]
    fn damaged_rows_are_refused() {
        let (mut sent, mut store) = (SentHashes::new(), Store::default());
        for n in 0..40 {
            store.commit(sent.record(&hash(1, n)));
        }
        let (id, row) = store.0.first_key_value().unwrap();
        for length in (0..row.len()).filter(|length| length % 8 != 5 || *length == 5) {
            assert!(SentHashes::restore([(*id, &row[..length])]).is_err());
        }
        let elsewhere = SentRowId { step: 1, n: 32 };
        assert!(SentHashes::restore([(elsewhere, row.as_slice())]).is_err());
        // A row that begins before its place, and one that goes on behind it.
        let begins_at = |first: u32, hashes: usize| {
            let mut row = vec![FORMAT];
            row.extend_from_slice(&first.to_be_bytes());
            row.extend(std::iter::repeat_n(0, hashes.saturating_mul(8)));
            row
        };
        for (id, row) in [(elsewhere, begins_at(31, 2)), (*id, begins_at(31, 2))] {
            let refused = SentHashes::restore([(id, row.as_slice())]);
            assert_eq!(refused, Err(RatchetError::Corrupt));
        }
        assert!(SentHashes::restore([(elsewhere, begins_at(63, 1).as_slice())]).is_ok());
        // A row is missing in the middle.
        let rows = [(*id, &row[..13]), (elsewhere, &store.0[&elsewhere])];
        assert!(SentHashes::restore(rows).is_err());
        assert_eq!(
            SentHashes::restore([(*id, [3].as_slice())]),
            Err(RatchetError::UnsupportedFormat(3))
        );
    }

    /// Rows of hashes that no acknowledgement names any more judge nothing, and go.
    #[test]
    fn rows_of_an_older_format_are_deleted() {
        let name = |step, n| SentRowId { step, n };
        let outdated = [name(1, 0), name(3, 0), name(3, 32)];
        let old = outdated.map(|id| (id, [1, 0, 0, 0, 7].as_slice()));
        let mut sent = SentHashes::restore(old).unwrap();
        assert_eq!(sent.judge(&hash(3, 0)), Acknowledgement::Forgotten);
        assert!(sent.rows().eq(outdated));
        // The chain goes on in the row of one of them.
        let changes = sent.record(&hash(3, 40));
        assert_eq!(changes.put.0, name(3, 32));
        assert_eq!(changes.delete, [name(1, 0), name(3, 0)]);
        assert!(sent.rows().eq([name(3, 32)]));
        assert_eq!(sent.judge(&hash(3, 40)), Acknowledgement::Ours);
        assert_eq!(sent.judge(&hash(3, 39)), Acknowledgement::Forgotten);
    }
}
