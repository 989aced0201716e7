// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of remembered envelopes. Each checkpoint appends those that are new, as one block with its length
//! and checksum before it.

use std::collections::BTreeMap;

use super::{read_number, write_number};
use crate::log::file::LogFolder;
use crate::log::format::Reader;
use crate::log::index::Mailbox;
use crate::log::pieces::read_file;
use crate::log::record::{MailboxKey, read_mailbox};
use crate::log::segments::remembered_name;

/// A file of remembered envelopes, and how much of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RememberedFile {
    pub(crate) number: u32,
    pub(crate) length: u32,
    /// The generation in which it was written.
    pub(crate) generation: u32,
}

/// What is remembered, by mailbox.
pub(super) type Remembered = BTreeMap<MailboxKey, Vec<u64>>;

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
pub(super) fn read(folder: &dyn LogFolder, files: &[RememberedFile]) -> (Remembered, u64) {
    let mut remembered = Remembered::new();
    let mut damaged = 0_u64;
    for file in files {
        if read_file_of(folder, file, &mut remembered).is_none() {
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

fn read_file_of(
    folder: &dyn LogFolder,
    file: &RememberedFile,
    remembered: &mut Remembered,
) -> Option<()> {
    let (mut bytes, unread) = read_file(folder, &remembered_name(file.number)).ok()?;
    if let Some(first) = unread.first() {
        bytes.truncate(first.start);
    }
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
