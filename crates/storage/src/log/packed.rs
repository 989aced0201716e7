// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The entries of a mailbox as a checkpoint has them. An opening leaves them so: it takes from a checkpoint what it
//! says of each mailbox as a whole, and a mailbox is unpacked when somebody needs what is in it.
//!
//! The bytes are covered by the checkpoint's checksum, so bytes that do not unpack were written that way: by an
//! error of this program or by whoever can write to its disk. What they say is then used by nobody: whoever needs
//! that mailbox gets [`StoreError::Corrupt`].
//!
//! Packed entries take 13 to 39 bytes each, and are parts of the file that was read: it stays in memory
//! until the last of its mailboxes is unpacked, which the keeper does when the log is open.

use std::collections::VecDeque;
use std::ops::Bound;

use bytes::Bytes;

use super::checkpoint::{read_number, read_u32, write_number};
use super::format::{Place, Reader};
use super::index::{Entry, Held, Index, Mailbox};
use super::record::MailboxKey;
use crate::StoreError;

/// What one packed entry takes at least: a fingerprint, and a byte for each of five numbers.
const ENTRY_MIN: usize = 13;

/// Entries that are packed.
pub(crate) struct Packed {
    bytes: Bytes,
    count: usize,
    /// The bytes that their records take.
    records: u64,
}

pub(crate) fn write_place(to: &mut Vec<u8>, place: Place) {
    write_number(to, place.segment.into());
    write_number(to, place.offset.into());
}

pub(crate) fn read_place(reader: &mut Reader<'_>) -> Option<Place> {
    Some(Place {
        segment: read_u32(reader)?,
        offset: read_u32(reader)?,
    })
}

/// Packs entries, which are in the order of their positions.
pub(crate) fn pack<'a>(to: &mut Vec<u8>, entries: impl Iterator<Item = &'a Entry>) {
    let mut position = 0_u64;
    for entry in entries {
        write_number(to, entry.position.saturating_sub(position));
        position = entry.position;
        to.extend_from_slice(&entry.fingerprint.to_le_bytes());
        write_place(to, entry.place);
        write_number(to, entry.length.into());
        write_number(to, entry.share.into());
    }
}

/// Reads the entry after one at `position`; positions only grow.
pub(crate) fn read_entry(reader: &mut Reader<'_>, position: u64) -> Option<Entry> {
    let step = read_number(reader)?;
    Some(Entry {
        position: position.checked_add(step).filter(|next| *next > position)?,
        fingerprint: reader.u64()?,
        place: read_place(reader)?,
        length: read_u32(reader)?,
        share: read_u32(reader)?,
    })
}

impl Packed {
    /// So many entries, whose records take so many bytes; `None` where the bytes cannot be as many.
    pub(crate) fn new(bytes: Bytes, count: usize, records: u64) -> Option<Self> {
        let packed = Self {
            bytes,
            count,
            records,
        };
        (count.checked_mul(ENTRY_MIN)? <= packed.bytes.len()).then_some(packed)
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    pub(crate) const fn records(&self) -> u64 {
        self.records
    }

    /// Unpacks into a list that has room for so many more; `None` where that is not what was packed.
    fn unpack(&self, more: usize) -> Option<VecDeque<Entry>> {
        let mut entries = VecDeque::with_capacity(self.count.saturating_add(more));
        let mut reader = Reader(&self.bytes);
        let (mut position, mut records) = (0, 0_u64);
        for _ in 0..self.count {
            let entry = read_entry(&mut reader, position)?;
            position = entry.position;
            records = records.checked_add(entry.record())?;
            entries.push_back(entry);
        }
        (reader.0.is_empty() && records == self.records).then_some(entries)
    }
}

impl Mailbox {
    /// Unpacks what is packed, in front of what has come since; answers how many entries that were. Where it
    /// cannot be unpacked everything stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub(super) fn unpack(&mut self) -> Result<usize, StoreError> {
        let Some(packed) = &self.packed else {
            return Ok(0);
        };
        let entries = packed.unpack(self.entries.len());
        let Some(mut entries) = entries.filter(|entries| self.is_continued(entries)) else {
            return Err(StoreError::Corrupt {
                what: "log checkpoint",
            });
        };
        let count = entries.len();
        entries.append(&mut self.entries);
        self.entries = entries;
        self.packed = None;
        self.fill_known();
        Ok(count)
    }

    /// Whether these entries and those that have come since are together what this mailbox counts.
    fn is_continued(&self, entries: &VecDeque<Entry>) -> bool {
        let mut held = vec![Held::default(); self.shares.len()];
        for entry in entries.iter().chain(&self.entries) {
            let share = usize::try_from(entry.share).unwrap_or(usize::MAX);
            let Some(share) = held.get_mut(share) else {
                return false;
            };
            share.add(entry.body());
        }
        let last = entries.back().map_or(0, |entry| entry.position);
        let next = self.entries.front().map(|entry| entry.position);
        next.is_none_or(|next| last < next)
            && last <= self.last_position
            && self.shares.iter().map(|share| share.held).eq(held)
    }
}

impl Index {
    /// Counts what a mailbox of a checkpoint has.
    pub(crate) fn count_packed(&mut self, held: &Mailbox) {
        if let Some(packed) = &held.packed {
            let count = u64::try_from(packed.count()).unwrap_or(u64::MAX);
            self.packed = self.packed.saturating_add(1);
            self.entries = self.entries.saturating_add(count);
            self.live_bytes = self.live_bytes.saturating_add(packed.records());
        }
    }

    /// Unpacks a mailbox, if there is one and it is packed.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]: the mailbox stays packed.
    pub(crate) fn unpack(&mut self, mailbox: &MailboxKey) -> Result<(), StoreError> {
        if self.packed == 0 {
            return Ok(());
        }
        let Some(held) = self.mailboxes.get_mut(mailbox) else {
            return Ok(());
        };
        if held.packed.is_none() {
            return Ok(());
        }
        let count = held.unpack()?;
        self.packed = self.packed.saturating_sub(1);
        for entry in held.entries.iter().take(count) {
            let live = self.live.entry(entry.place.segment).or_insert(0);
            *live = live.saturating_add(entry.record());
        }
        Ok(())
    }

    /// Unpacks the mailboxes after one until so many entries were unpacked or all were looked at; answers the
    /// last one that was looked at, or `None` after the last one of all.
    ///
    /// # Errors
    /// As [`Index::unpack`].
    pub(crate) fn unpack_some(
        &mut self,
        after: Option<MailboxKey>,
        entries_max: usize,
    ) -> Result<Option<MailboxKey>, StoreError> {
        let mut unpacked = 0_usize;
        let mut last = after;
        while self.packed > 0 {
            let from = last.map_or(Bound::Unbounded, Bound::Excluded);
            let mut range = self.mailboxes.range((from, Bound::Unbounded));
            let Some((key, held)) = range.next() else {
                break;
            };
            if unpacked >= entries_max {
                return Ok(last);
            }
            let count = held.packed.as_ref().map_or(0, Packed::count);
            unpacked = unpacked.saturating_add(count).saturating_add(16);
            let key = *key;
            last = Some(key);
            self.unpack(&key)?;
        }
        Ok(None)
    }

    /// Unpacks everything.
    ///
    /// # Errors
    /// As [`Index::unpack`].
    pub(crate) fn unpack_all(&mut self) -> Result<(), StoreError> {
        self.unpack_some(None, usize::MAX).map(|_| ())
    }
}
