// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The index on disk. A checkpoint says what every mailbox held at a place of the log; an opening reads
//! one and replays what comes after it.
//!
//! The bytes: magic 8, version 4, log id 16, fingerprint key 16, then fields as [`write_number`] writes
//! them, then a checksum of everything before. Remembered envelopes are not in it: each checkpoint
//! appends those that are new to a file of its own, and lists those files with their lengths.

use std::io::IoSlice;

use waxwing_proto::DeliveryId;

use super::file::LogFolder;
use super::format::{LogId, Place, Reader};
use super::index::{Entry, FingerprintKey, Held, Index, Mailbox, Share};
use super::record::{MailboxKey, kind_byte, kind_from_byte, read_mailbox};
use super::segments::{checkpoint_name, remembered_name};
use crate::{Day, StoreError};

const MAGIC: [u8; 8] = *b"WXLOGCHK";
const VERSION: u32 = 1;

/// A file of remembered envelopes, and how much of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RememberedFile {
    pub(crate) number: u32,
    pub(crate) length: u32,
    /// The generation in which it was written.
    pub(crate) generation: u32,
}

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

fn read_u32(reader: &mut Reader<'_>) -> Option<u32> {
    u32::try_from(read_number(reader)?).ok()
}

fn write_place(to: &mut Vec<u8>, place: Place) {
    write_number(to, place.segment.into());
    write_number(to, place.offset.into());
}

fn read_place(reader: &mut Reader<'_>) -> Option<Place> {
    Some(Place {
        segment: read_u32(reader)?,
        offset: read_u32(reader)?,
    })
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

/// Adds a mailbox. `since` is the place from which on its records are replayed.
pub(crate) fn write_mailbox(to: &mut Vec<u8>, key: &MailboxKey, held: &Mailbox, since: Place) {
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    to.push(1);
    to.extend_from_slice(key.account.as_bytes());
    to.extend_from_slice(key.device.as_bytes());
    write_place(to, since);
    write_number(to, held.last_position);
    write_number(to, count(held.remembered.len()));
    write_number(to, count(held.older));
    write_number(to, count(held.shares.len()));
    for share in &held.shares {
        to.extend_from_slice(share.delivery_id.as_bytes());
        to.push(kind_byte(share.kind));
    }
    write_number(to, count(held.entries.len()));
    let mut position = 0_u64;
    for entry in &held.entries {
        write_number(to, entry.position.saturating_sub(position));
        position = entry.position;
        to.extend_from_slice(&entry.fingerprint.to_le_bytes());
        write_place(to, entry.place);
        write_number(to, entry.length.into());
        write_number(to, entry.share.into());
    }
}

/// A mailbox as it is read; what it remembers is somewhere else.
pub(crate) struct StoredMailbox {
    pub(crate) key: MailboxKey,
    pub(crate) since: Place,
    pub(crate) held: Mailbox,
    pub(crate) remembered: usize,
    pub(crate) older: usize,
}

fn read_stored(reader: &mut Reader<'_>, index: &mut Index) -> Option<StoredMailbox> {
    let key = read_mailbox(reader)?;
    let since = read_place(reader)?;
    let last_position = read_number(reader)?;
    let remembered = usize::try_from(read_number(reader)?).ok()?;
    let older = usize::try_from(read_number(reader)?).ok()?;
    let mut held = Mailbox::default();
    for _ in 0..read_number(reader)? {
        held.shares.push(Share {
            delivery_id: DeliveryId::new(reader.array()?),
            kind: kind_from_byte(reader.u8()?)?,
            held: Held::default(),
        });
    }
    let mut position = 0_u64;
    for _ in 0..read_number(reader)? {
        position = position.checked_add(read_number(reader)?)?;
        let entry = Entry {
            position,
            fingerprint: reader.u64()?,
            place: read_place(reader)?,
            length: read_u32(reader)?,
            share: read_u32(reader)?,
        };
        index.restore(&mut held, entry);
    }
    held.last_position = last_position;
    Some(StoredMailbox {
        key,
        since,
        held,
        remembered,
        older,
    })
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
    /// Where the replay of each mailbox begins, in the order of their keys.
    pub(crate) since: Vec<(MailboxKey, Place)>,
    /// Files of remembered envelopes that are not whole.
    pub(crate) damaged_remembered: u64,
}

/// Reads a checkpoint; `None` where it is damaged.
///
/// # Errors
/// [`StoreError::NewerFormat`], or the files'.
pub(crate) fn load(
    folder: &dyn LogFolder,
    number: u32,
    remembered_max: usize,
) -> Result<Option<Loaded>, StoreError> {
    let bytes = read_file(folder, &checkpoint_name(number))?;
    let Some((covered, checksum)) = bytes.split_last_chunk::<4>() else {
        return Ok(None);
    };
    let mut reader = Reader(covered);
    if reader.array() != Some(MAGIC) || crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
        return Ok(None);
    }
    match reader.u32() {
        Some(VERSION) => {}
        Some(found) if found > VERSION => {
            return Err(StoreError::NewerFormat {
                found,
                known: VERSION,
            });
        }
        _ => return Ok(None),
    }
    let Some((head, stored, mut index)) = decode(&mut reader, remembered_max) else {
        return Ok(None);
    };
    let (mut remembered, damaged_remembered) = read_remembered(folder, &head);
    let mut since = Vec::with_capacity(stored.len());
    for mut mailbox in stored {
        let known = remembered.remove(&mailbox.key).unwrap_or_default();
        // Only the newest are remembered still.
        let skipped = known.len().saturating_sub(mailbox.remembered);
        let known = known.get(skipped..).unwrap_or_default();
        mailbox.held.restore_remembered(known, mailbox.older);
        since.push((mailbox.key, mailbox.since));
        index.mailboxes.insert(mailbox.key, mailbox.held);
    }
    Ok(Some(Loaded {
        head,
        index,
        since,
        damaged_remembered,
    }))
}

fn decode(
    reader: &mut Reader<'_>,
    remembered_max: usize,
) -> Option<(Head, Vec<StoredMailbox>, Index)> {
    let head = Head::decode(reader)?;
    let mut index = Index {
        forgotten: head.forgotten,
        generation: head.generation,
        remembered_max,
        ..Index::default()
    };
    let mut stored = Vec::new();
    while reader.u8()? == 1 {
        stored.push(read_stored(reader, &mut index)?);
    }
    reader.0.is_empty().then_some((head, stored, index))
}

pub(crate) fn read_file(folder: &dyn LogFolder, name: &str) -> Result<Vec<u8>, StoreError> {
    let file = folder.open(name)?;
    let length =
        usize::try_from(file.length()?).map_err(|_| StoreError::Corrupt { what: "log" })?;
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

type Remembered = std::collections::BTreeMap<MailboxKey, Vec<u64>>;

/// Adds a mailbox's newly remembered envelopes to a block.
pub(crate) fn write_remembered(to: &mut Vec<u8>, key: &MailboxKey, held: &Mailbox) {
    let count = held.unsaved.min(held.remembered.len());
    if count == 0 {
        return;
    }
    to.extend_from_slice(key.account.as_bytes());
    to.extend_from_slice(key.device.as_bytes());
    write_number(to, u64::try_from(count).unwrap_or(u64::MAX));
    let first = held.remembered.len().saturating_sub(count);
    for fingerprint in held.remembered.range(first..) {
        to.extend_from_slice(&fingerprint.to_le_bytes());
    }
}

/// Frames a block: its length and checksum before it.
pub(crate) fn block(bytes: &[u8]) -> [u8; 8] {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = [0; 8];
    let (first, second) = frame.split_at_mut(4);
    first.copy_from_slice(&length.to_le_bytes());
    second.copy_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    frame
}

/// Reads the listed files, and counts those that are not whole. What is damaged is left out: a retry
/// may then be stored a second time, which its receiver notices.
fn read_remembered(folder: &dyn LogFolder, head: &Head) -> (Remembered, u64) {
    let mut remembered = Remembered::new();
    let mut damaged = 0_u64;
    for file in &head.remembered {
        if read_remembered_file(folder, file, &mut remembered).is_none() {
            tracing::error!(
                code = "store_corrupt",
                file = remembered_name(file.number),
                "remembered envelopes are missing or damaged"
            );
            damaged = damaged.saturating_add(1);
        }
    }
    (remembered, damaged)
}

fn read_remembered_file(
    folder: &dyn LogFolder,
    file: &RememberedFile,
    remembered: &mut Remembered,
) -> Option<()> {
    let bytes = read_file(folder, &remembered_name(file.number)).ok()?;
    let length = usize::try_from(file.length).ok()?;
    let mut reader = Reader(bytes.get(..length).unwrap_or(&bytes));
    while !reader.0.is_empty() {
        read_block(&mut reader, remembered)?;
    }
    (bytes.len() >= length).then_some(())
}

fn read_block(reader: &mut Reader<'_>, remembered: &mut Remembered) -> Option<()> {
    let length = usize::try_from(reader.u32()?).ok()?;
    let checksum = reader.u32()?;
    let bytes = reader.take(length)?;
    if crc32fast::hash(bytes) != checksum {
        return None;
    }
    let mut block = Reader(bytes);
    while !block.0.is_empty() {
        let key = read_mailbox(&mut block)?;
        let list = remembered.entry(key).or_default();
        for _ in 0..read_number(&mut block)? {
            list.push(block.u64()?);
        }
    }
    Some(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            write_number(&mut bytes, number);
            let mut reader = Reader(&bytes);
            assert_eq!(read_number(&mut reader), Some(number));
            assert!(reader.0.is_empty());
            assert_eq!(read_number(&mut Reader(&bytes[..bytes.len() - 1])), None);
        }
        assert_eq!(read_number(&mut Reader(&[0xff; 11])), None);
    }
}
