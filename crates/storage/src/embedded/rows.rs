// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rows over a key-value store: a checksum bound to the key, large values in parts, and the
//! staged writes of one step.
//!
//! A row's bytes: version (1), number of further parts (1), checksum (4), the first part.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::key_value::{Batch, KeyRange, KeyValue, Order, Scan};
use crate::StoreError;

/// Where the further parts of large values are: this byte, the row's key, the part's number.
pub(crate) const PARTS: u8 = 0x01;

/// The largest part, in bytes. sled moves a whole leaf of up to 19 rows that is over 128 KiB into a
/// file that it never syncs; parts of this size with keys of at most 600 bytes stay below that.
pub(crate) const PART_SIZE_MAX: usize = 5 * 1024;

const ROW_VERSION: u8 = 1;
const CHECKSUM_LENGTH: usize = 4;

/// One step: reads what is decided, stages what it writes.
pub(crate) struct Step<'a, K> {
    key_value: &'a K,
    staged: Batch,
    pending: bool,
}

/// A whole row.
pub(crate) struct WholeRow {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    /// Whether it is not durable yet.
    pub(crate) pending: bool,
}

struct Header<'a> {
    parts: u8,
    checksum: [u8; CHECKSUM_LENGTH],
    first: &'a [u8],
}

impl<'a, K: KeyValue> Step<'a, K> {
    pub(crate) fn new(key_value: &'a K) -> Self {
        Self {
            key_value,
            staged: Batch::new(),
            pending: false,
        }
    }

    /// Whether the step has read something that is not durable yet.
    pub(crate) fn has_seen_pending(&self) -> bool {
        self.pending
    }

    /// The staged writes.
    pub(crate) fn into_batch(self) -> Batch {
        self.staged
    }

    /// The value at a key, this step's own writes included.
    pub(crate) fn get_bytes(
        &mut self,
        key: &[u8],
        table: &'static str,
    ) -> Result<Option<Bytes>, StoreError> {
        match self.raw(key)? {
            Some(raw) => self.whole(key, &raw, table).map(Some),
            None => Ok(None),
        }
    }

    /// Stages a value.
    pub(crate) fn put_bytes(&mut self, key: Bytes, value: &[u8]) -> Result<(), StoreError> {
        let stale_parts = self.part_count(&key)?;
        let (first, rest) = value
            .split_at_checked(PART_SIZE_MAX)
            .unwrap_or((value, &[]));
        let mut parts = 0_u8;
        for chunk in rest.chunks(PART_SIZE_MAX) {
            self.staged
                .insert(part_key(&key, parts), Some(Bytes::copy_from_slice(chunk)));
            parts = parts
                .checked_add(1)
                .ok_or(StoreError::Limit { what: "value" })?;
        }
        for part in parts..stale_parts {
            self.staged.insert(part_key(&key, part), None);
        }
        let raw = encode(parts, &checksum(&key, value), first);
        self.staged.insert(key, Some(raw));
        Ok(())
    }

    /// Stages a removal.
    pub(crate) fn delete(&mut self, key: Bytes) -> Result<(), StoreError> {
        for part in 0..self.part_count(&key)? {
            self.staged.insert(part_key(&key, part), None);
        }
        self.staged.insert(key, None);
        Ok(())
    }

    /// The first rows of a range, without this step's own writes, until `limit` or until `more`
    /// says no for a row. That row is left out.
    pub(crate) fn scan_bytes(
        &mut self,
        range: &KeyRange,
        limit: usize,
        table: &'static str,
        more: impl FnMut(&WholeRow) -> bool,
    ) -> Result<Vec<WholeRow>, StoreError> {
        let scan = self.key_value.scan(range, Order::Ascending, limit)?;
        self.whole_rows(scan, table, more)
    }

    /// The last rows of a range, the last one first, without this step's own writes.
    pub(crate) fn scan_bytes_back(
        &mut self,
        range: &KeyRange,
        limit: usize,
        table: &'static str,
    ) -> Result<Vec<WholeRow>, StoreError> {
        let scan = self.key_value.scan(range, Order::Descending, limit)?;
        self.whole_rows(scan, table, |_| true)
    }

    fn whole_rows(
        &mut self,
        scan: Scan,
        table: &'static str,
        mut more: impl FnMut(&WholeRow) -> bool,
    ) -> Result<Vec<WholeRow>, StoreError> {
        self.pending |= scan.hides_pending;
        let mut rows = Vec::with_capacity(scan.rows.len());
        for row in scan.rows {
            let whole = WholeRow {
                value: self.whole(&row.key, &row.value, table)?,
                key: row.key,
                pending: row.pending,
            };
            if !more(&whole) {
                break;
            }
            self.pending |= whole.pending;
            rows.push(whole);
        }
        Ok(rows)
    }

    fn raw(&mut self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if let Some(staged) = self.staged.get(key) {
            return Ok(staged.clone());
        }
        let found = self.key_value.get(key)?;
        self.pending |= found.pending;
        Ok(found.value)
    }

    fn part_count(&mut self, key: &[u8]) -> Result<u8, StoreError> {
        let raw = self.raw(key)?;
        Ok(raw.as_deref().and_then(header).map_or(0, |row| row.parts))
    }

    /// Joins the parts and checks them.
    fn whole(&mut self, key: &[u8], raw: &Bytes, table: &'static str) -> Result<Bytes, StoreError> {
        let damaged = StoreError::Corrupt { what: table };
        let row = header(raw).ok_or(damaged)?;
        let value = if row.parts == 0 {
            raw.slice_ref(row.first)
        } else {
            let mut joined = row.first.to_vec();
            for part in 0..row.parts {
                let bytes = self.raw(&part_key(key, part))?.ok_or(damaged)?;
                joined.extend_from_slice(&bytes);
            }
            Bytes::from(joined)
        };
        if checksum(key, &value) == row.checksum {
            Ok(value)
        } else {
            Err(damaged)
        }
    }
}

fn encode(parts: u8, checksum: &[u8; 4], first: &[u8]) -> Bytes {
    let mut raw = Vec::with_capacity(first.len().saturating_add(6));
    raw.push(ROW_VERSION);
    raw.push(parts);
    raw.extend_from_slice(checksum);
    raw.extend_from_slice(first);
    Bytes::from(raw)
}

#[cfg(feature = "sled")]
/// A raw row of one part with another value in place of its own; `None` where it is damaged or larger.
pub(crate) fn replaced(
    key: &[u8],
    raw: &[u8],
    replace: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<Bytes> {
    let row = header(raw)?;
    if row.parts != 0 || checksum(key, row.first) != row.checksum {
        return None;
    }
    let value = replace(row.first)?;
    (value.len() <= PART_SIZE_MAX).then(|| encode(0, &checksum(key, &value), &value))
}

fn header(raw: &[u8]) -> Option<Header<'_>> {
    let (&version, rest) = raw.split_first()?;
    let (&parts, rest) = rest.split_first()?;
    let (&checksum, first) = rest.split_first_chunk()?;
    (version == ROW_VERSION).then_some(Header {
        parts,
        checksum,
        first,
    })
}

/// Binds the value to its key, so that a row that turns up elsewhere is noticed.
fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let digest = Sha256::new()
        .chain_update(length.to_be_bytes())
        .chain_update(key)
        .chain_update(value)
        .finalize();
    let mut checksum = [0; CHECKSUM_LENGTH];
    for (to, from) in checksum.iter_mut().zip(digest) {
        *to = from;
    }
    checksum
}

fn part_key(key: &[u8], part: u8) -> Bytes {
    [&[PARTS], key, &[part]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::memory::{Immediate, MemoryDisk};
    use std::sync::Arc;

    #[tokio::test]
    async fn values_of_every_size_come_back_and_leave_nothing() {
        let disk = MemoryDisk::new();
        let store = disk.open(Arc::new(Immediate)).unwrap();
        let key = Bytes::from_static(b"\x10key");
        for size in [0, 1, PART_SIZE_MAX, PART_SIZE_MAX + 1, 98_304, 12_000, 10] {
            let value = vec![0xa7; size];
            let mut step = Step::new(&store);
            step.put_bytes(key.clone(), &value).unwrap();
            assert_eq!(step.get_bytes(&key, "t").unwrap().unwrap(), value);
            store.apply(step.into_batch()).await.unwrap();
            let mut step = Step::new(&store);
            assert_eq!(step.get_bytes(&key, "t").unwrap().unwrap(), value);
            assert_eq!(disk.rows().len(), size.div_ceil(PART_SIZE_MAX).max(1));
            assert!(
                disk.rows()
                    .iter()
                    .all(|(_, row)| row.len() <= PART_SIZE_MAX + 6)
            );
        }
        let mut step = Step::new(&store);
        step.put_bytes(key.clone(), &[1; 20_000]).unwrap();
        step.delete(key).unwrap();
        store.apply(step.into_batch()).await.unwrap();
        assert!(disk.rows().is_empty());
    }

    #[test]
    fn a_changed_or_moved_row_is_noticed() {
        let disk = MemoryDisk::new();
        let store = disk.open(Arc::new(Immediate)).unwrap();
        let mut step = Step::new(&store);
        step.put_bytes(Bytes::from_static(b"a"), b"value").unwrap();
        let raw = step.into_batch().remove(b"a".as_slice()).flatten().unwrap();
        disk.write_raw(Bytes::from_static(b"b"), raw.clone());
        let mut changed = raw.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        disk.write_raw(Bytes::from_static(b"a"), changed.into());
        let mut step = Step::new(&store);
        for key in [b"a", b"b"] {
            assert_eq!(
                step.get_bytes(key, "t"),
                Err(StoreError::Corrupt { what: "t" })
            );
        }
    }
}
