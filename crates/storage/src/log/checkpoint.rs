// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The index on disk. A checkpoint says what every mailbox held at a place of the log; an opening reads
//! one and replays what comes after it.
//!
//! The bytes: magic 8, version 4, log id 16, fingerprint key 16, then fields as [`write_number`] writes
//! them, then for each mailbox, in the order of their keys, what `mailboxes` says, a zero, and a checksum of
//! everything before. Remembered envelopes are not in it: each checkpoint
//! appends those that are new to a file of its own, and lists those files with their lengths.

mod mailboxes;
mod remembered;
#[cfg(test)]
mod tests;

use std::io::IoSlice;

use bytes::Bytes;

use self::mailboxes::Form;
use super::file::LogFolder;
use super::format::{LogId, Place, Reader};
use super::index::{FingerprintKey, Index};
use super::packed::{read_place, write_place};
use super::pieces::read_file;
use super::segments::checkpoint_name;
use crate::{Day, StoreError};

pub(crate) use self::mailboxes::write_mailbox;
pub(crate) use self::remembered::{RememberedFile, block, write_remembered};

const MAGIC: [u8; 8] = *b"WXLOGCHK";
/// In version 1 what a mailbox holds under each delivery id is not said, and nor is how long its entries are.
const VERSION: u32 = 2;

/// What a checkpoint says about the log as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) log: LogId,
    pub(crate) fingerprint_key: FingerprintKey,
    pub(crate) number: u32,
    /// From where on the log is replayed.
    pub(crate) start: Place,
    /// Up to where the log was durable when the checkpoint was.
    pub(crate) durable: Place,
    pub(crate) forgotten: Option<Day>,
    pub(crate) generation: u32,
    pub(crate) remembered: Vec<RememberedFile>,
}

/// Writes a number in seven bits a byte, the lowest first.
pub(crate) fn write_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        let low = number.to_le_bytes().first().copied().unwrap_or(0);
        to.push(low | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes().first().copied().unwrap_or(0));
}

pub(crate) fn read_number(reader: &mut Reader<'_>) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

pub(crate) fn read_u32(reader: &mut Reader<'_>) -> Option<u32> {
    u32::try_from(read_number(reader)?).ok()
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.log);
        bytes.extend_from_slice(&self.fingerprint_key);
        write_number(&mut bytes, self.number.into());
        write_place(&mut bytes, self.start);
        write_place(&mut bytes, self.durable);
        let forgotten = self
            .forgotten
            .map_or(0, |day| u64::from(day.0).saturating_add(1));
        write_number(&mut bytes, forgotten);
        write_number(&mut bytes, self.generation.into());
        let count = u64::try_from(self.remembered.len()).unwrap_or(u64::MAX);
        write_number(&mut bytes, count);
        for file in &self.remembered {
            write_number(&mut bytes, file.number.into());
            write_number(&mut bytes, file.length.into());
            write_number(&mut bytes, file.generation.into());
        }
        bytes
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let log = reader.array()?;
        let fingerprint_key = reader.array()?;
        let number = read_u32(reader)?;
        let start = read_place(reader)?;
        let durable = read_place(reader)?;
        let forgotten = read_number(reader)?
            .checked_sub(1)
            .map(u32::try_from)
            .transpose()
            .ok()?
            .map(Day);
        let generation = read_u32(reader)?;
        let mut remembered = Vec::new();
        for _ in 0..read_number(reader)? {
            remembered.push(RememberedFile {
                number: read_u32(reader)?,
                length: read_u32(reader)?,
                generation: read_u32(reader)?,
            });
        }
        Some(Self {
            log,
            fingerprint_key,
            number,
            start,
            durable,
            forgotten,
            generation,
            remembered,
        })
    }
}

/// Ends a checkpoint.
pub(crate) fn finish(bytes: &mut Vec<u8>) {
    bytes.push(0);
    let checksum = crc32fast::hash(bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
}

/// A checkpoint that was read.
pub(crate) struct Loaded {
    pub(crate) head: Head,
    pub(crate) index: Index,
    /// Files of remembered envelopes that are not whole.
    pub(crate) damaged_remembered: u64,
}

/// Reads a checkpoint; `None` where it is damaged, or the device does not read it. Its mailboxes are packed.
///
/// # Errors
/// [`StoreError::NewerFormat`], or the files'.
pub(crate) fn load(
    folder: &dyn LogFolder,
    number: u32,
    remembered_max: usize,
) -> Result<Option<Loaded>, StoreError> {
    let (bytes, unread) = read_file(folder, &checkpoint_name(number))?;
    if !unread.is_empty() {
        return Ok(None);
    }
    let bytes = Bytes::from(bytes);
    let Some((covered, checksum)) = bytes.split_last_chunk::<4>() else {
        return Ok(None);
    };
    let mut reader = Reader(covered);
    if reader.array() != Some(MAGIC) || crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
        return Ok(None);
    }
    let form = match reader.u32() {
        Some(1) => Form::Entries,
        Some(VERSION) => Form::Packed,
        Some(found) if found > VERSION => {
            return Err(StoreError::NewerFormat {
                found,
                known: VERSION,
            });
        }
        _ => return Ok(None),
    };
    let read = Head::decode(&mut reader)
        .and_then(|head| Some((head, mailboxes::read_all(&mut reader, &bytes, form)?)));
    let Some((head, stored)) = read else {
        return Ok(None);
    };
    let (mut remembered, damaged_remembered) = remembered::read(folder, &head.remembered);
    let mut index = Index {
        forgotten: head.forgotten,
        generation: head.generation,
        remembered_max,
        ..Index::default()
    };
    let mut restored = Vec::with_capacity(stored.len());
    for mailbox in stored {
        let mut known = remembered.remove(&mailbox.key).unwrap_or_default();
        // Only the newest are remembered still.
        known.drain(..known.len().saturating_sub(mailbox.remembered));
        let mut held = mailbox.held;
        held.restore(mailbox.packed, known.into(), mailbox.older);
        index.count_packed(&held);
        restored.push((mailbox.key, held));
    }
    index.mailboxes = restored.into_iter().collect();
    Ok(Some(Loaded {
        head,
        index,
        damaged_remembered,
    }))
}

/// Writes a finished checkpoint in the place of its name, durably.
pub(crate) fn store(folder: &dyn LogFolder, number: u32, bytes: &[u8]) -> std::io::Result<()> {
    let name = checkpoint_name(number);
    let new = format!("{name}.new");
    if folder.list()?.contains(&new) {
        folder.remove(&new)?;
    }
    let file = folder.create(&new)?;
    let written = file
        .write_vectored_at(&[IoSlice::new(bytes)], 0)
        .and_then(|()| file.sync_data());
    if written.is_err() {
        // The room that it took is better used for records.
        folder.remove(&new)?;
    }
    written?;
    folder.rename(&new, &name)?;
    folder.sync()
}
