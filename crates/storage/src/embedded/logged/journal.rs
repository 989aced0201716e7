// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The row journal: a second copy of a server's rows, beside the engine and in no format of its own making.
//!
//! One file: the rows as they were at a position of the log, then every batch since. A batch is durable
//! here before the engine gets it, and leaves the log when it is in both. So a server whose engine does
//! not open, or opens without what it had, is made anew from the journal and what the log has after it.
//! When the batches have grown to a quarter of the rows and [`ROW_JOURNAL_BATCHES`] bytes more, and once
//! a day, a new file takes the place of the old one: what was deleted is not kept.
//!
//! The file, numbers little-endian: magic 8, version 4, number 4, log id 16, position 8, where the
//! batches begin 8, zeros 12, checksum 4; then entries. After every write stands an entry that says so: with
//! it, what cannot be read is told from what was never written.

mod reading;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "small numbers; an overflow would fail the test"
)]
mod tests;

use std::io::IoSlice;
use std::sync::Arc;

use waxwing_proto::limits::ROW_JOURNAL_BATCHES;

use super::encode;
use super::entry::{Codec, Kind};
use crate::StoreError;
use crate::embedded::format::POSITION_KEY;
use crate::embedded::key_value::{Batch, KeyRange, KeyValue, Order};
use crate::log::LogPosition;
use crate::log::file::{LogFile, LogFolder};

pub use reading::JournalCheck;
pub(in crate::embedded) use reading::{Gap, Tail, check, restore, start};

const MAGIC: [u8; 8] = *b"WXROWJNL";
const VERSION: u32 = 1;
/// The bytes before the first entry.
const HEAD: usize = 64;
/// Rows that are read together.
const PAGE: usize = 256;
/// Bytes that are written together.
const WRITE: usize = 1024 * 1024;

/// What the file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    number: u32,
    log: [u8; 16],
    position: LogPosition,
    /// Where the batches begin.
    batches: u64,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.log);
        bytes.extend_from_slice(&self.position.0.to_le_bytes());
        bytes.extend_from_slice(&self.batches.to_le_bytes());
        bytes.resize(HEAD.saturating_sub(4), 0);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `Ok(None)` where it is damaged.
    fn decode(bytes: &[u8], number: u32) -> Result<Option<Self>, StoreError> {
        let Some((version, head)) = Self::read(bytes) else {
            return Ok(None);
        };
        if version > VERSION {
            return Err(StoreError::NewerFormat {
                found: version,
                known: VERSION,
            });
        }
        Ok(Some(head).filter(|head| head.number == number))
    }

    fn read(bytes: &[u8]) -> Option<(u32, Self)> {
        let covered = bytes.get(..HEAD.saturating_sub(4))?;
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let (log, rest) = rest.split_first_chunk::<16>()?;
        let (position, rest) = rest.split_first_chunk::<8>()?;
        let (batches, rest) = rest.split_first_chunk::<8>()?;
        let checksum = rest.get(12..)?.first_chunk::<4>()?;
        let is_whole = *magic == MAGIC && u32::from_le_bytes(*checksum) == crc32fast::hash(covered);
        is_whole.then_some((
            u32::from_le_bytes(*version),
            Self {
                number: u32::from_le_bytes(*number),
                log: *log,
                position: LogPosition(u64::from_le_bytes(*position)),
                batches: u64::from_le_bytes(*batches),
            },
        ))
    }

    fn codec(&self) -> Codec {
        Codec::new(&[self.log.as_slice(), &self.number.to_le_bytes()].concat())
    }
}

fn name(number: u32) -> String {
    format!("rows-{number:010}")
}

fn number_in(name: &str) -> Option<u32> {
    name.strip_prefix("rows-")?.parse().ok()
}

/// The file that is written.
pub(in crate::embedded) struct Journal {
    folder: Arc<dyn LogFolder>,
    file: Arc<dyn LogFile>,
    head: Head,
    codec: Codec,
    /// Where the next entry goes.
    end: u64,
    /// The number of the last batch; the first one is 1.
    batch: u64,
    /// The position that the file reaches.
    position: LogPosition,
}

impl Journal {
    /// Writes a new file from rows that are as of `position`, in place of every other one.
    pub(in crate::embedded) fn create<K: KeyValue>(
        folder: &Arc<dyn LogFolder>,
        log: [u8; 16],
        position: LogPosition,
        rows: &K,
    ) -> Result<Self, StoreError> {
        let others = folder.list()?;
        let last = others.iter().filter_map(|name| number_in(name)).max();
        let number = last
            .unwrap_or(0)
            .checked_add(1)
            .ok_or(StoreError::Bug("the row journal has used up its numbers"))?;
        for left in others.iter().filter(|name| name.ends_with(".new")) {
            folder.remove(left)?;
        }
        let new = format!("{}.new", name(number));
        let file = folder.create(&new)?;
        let mut head = Head {
            number,
            log,
            position,
            batches: 0,
        };
        let codec = head.codec();
        head.batches = write_rows(file.as_ref(), &codec, position, rows)?;
        file.write_vectored_at(&[IoSlice::new(&head.encode())], 0)?;
        file.sync_data()?;
        folder.rename(&new, &name(number))?;
        folder.sync()?;
        for old in others.iter().filter(|name| number_in(name).is_some()) {
            folder.remove(old)?;
        }
        Ok(Self {
            folder: Arc::clone(folder),
            file,
            codec,
            end: head.batches,
            batch: 0,
            position,
            head,
        })
    }

    /// The position that the file reaches.
    pub(in crate::embedded) const fn position(&self) -> LogPosition {
        self.position
    }

    /// Adds batches, each with the log's position after it, and returns when they are durable.
    pub(in crate::embedded) fn append<'a>(
        &mut self,
        batches: impl IntoIterator<Item = (LogPosition, &'a Batch)>,
    ) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        for (position, batch) in batches {
            self.batch = self.batch.saturating_add(1);
            self.position = position;
            let about = (Kind::Batch, self.batch, position);
            self.codec.write(&mut bytes, about, &encode(batch));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let about = (Kind::End, self.batch, self.position);
        self.codec.write(&mut bytes, about, &[]);
        self.write(&bytes)
    }

    /// Notes that there are no batches up to a position but those that are here.
    pub(in crate::embedded) fn note(&mut self, position: LogPosition) -> Result<(), StoreError> {
        self.position = position;
        let mut bytes = Vec::new();
        let about = (Kind::End, self.batch, position);
        self.codec.write(&mut bytes, about, &[]);
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_vectored_at(&[IoSlice::new(bytes)], self.end)?;
        self.file.sync_data()?;
        self.end = self.end.saturating_add(length_of(bytes));
        Ok(())
    }

    /// Whether it is time for a new file.
    pub(in crate::embedded) const fn is_due(&self) -> bool {
        let batches = self.end.saturating_sub(self.head.batches);
        batches > ROW_JOURNAL_BATCHES.saturating_add(self.head.batches / 4)
    }

    /// Whether there are batches, and with them perhaps what was deleted.
    pub(in crate::embedded) const fn has_batches(&self) -> bool {
        self.batch > 0
    }

    /// A new file in place of this one. `rows` are as of the position that this one reaches.
    pub(in crate::embedded) fn rewrite<K: KeyValue>(&mut self, rows: &K) -> Result<(), StoreError> {
        *self = Self::create(&self.folder, self.head.log, self.position, rows)?;
        Ok(())
    }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Writes all rows behind the head; answers where they end.
fn write_rows<K: KeyValue>(
    file: &dyn LogFile,
    codec: &Codec,
    position: LogPosition,
    rows: &K,
) -> Result<u64, StoreError> {
    let mut end = u64::try_from(HEAD).unwrap_or(u64::MAX);
    let mut buffer = Vec::new();
    let mut number = 0_u64;
    let mut range = KeyRange::all();
    loop {
        let page = rows.scan(&range, Order::Ascending, PAGE)?.rows;
        let Some(last) = page.last() else { break };
        range = range.after(&last.key);
        number = number.saturating_add(1);
        let batch: Batch = page
            .into_iter()
            .filter(|row| row.key != POSITION_KEY)
            .map(|row| (row.key, Some(row.value)))
            .collect();
        codec.write(&mut buffer, (Kind::Rows, number, position), &encode(&batch));
        if buffer.len() >= WRITE {
            file.write_vectored_at(&[IoSlice::new(&buffer)], end)?;
            end = end.saturating_add(length_of(&buffer));
            buffer.clear();
        }
    }
    codec.write(&mut buffer, (Kind::End, number, position), &[]);
    file.write_vectored_at(&[IoSlice::new(&buffer)], end)?;
    Ok(end.saturating_add(length_of(&buffer)))
}
