// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads every record of a log that nobody has open, and says what is damaged.

use std::ops::Range;

use bytes::Bytes;

use super::checkpoint;
use super::committer::first_offset;
use super::file::LogFolder;
use super::format::{SEGMENT_HEADER, Sealer, SegmentHeader};
use super::pieces::read_file;
use super::scan::{Damage, Scan};
use super::segments::{number_in, segment_name};
use crate::StoreError;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Checkpoints that are whole.
    pub checkpoints: u64,
    /// Checkpoints that are not.
    pub damaged_checkpoints: u64,
    /// Files of remembered envelopes that are not whole: a retry of one may be stored again.
    pub damaged_remembered: u64,
    /// Segments.
    pub segments: u64,
    /// Records that are whole, wanted or not.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of segments that the device does not read.
    pub not_read: u64,
    /// Envelopes that the newest checkpoint holds and that cannot be read.
    pub unreadable: u64,
    /// Places between whole records that hold none. The last bytes of the newest segment are not
    /// among them: a crash leaves such.
    pub damage: Vec<Damage>,
}

impl Verified {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty()
            && self.damaged_checkpoints == 0
            && self.damaged_remembered == 0
            && self.unreadable == 0
            && self.not_read == 0
    }
}

/// Reads everything in a log's folder. Changes nothing.
///
/// # Errors
/// [`StoreError::NewerFormat`], or the files'.
pub fn verify(folder: &dyn LogFolder) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    let names = folder.list()?;
    let mut newest = None;
    for name in &names {
        if let Some(number) = number_in(name, "checkpoint") {
            let mut loaded = checkpoint::load(folder, number, usize::MAX)?;
            if let Some(whole) = &mut loaded
                && whole.index.unpack_all().is_err()
            {
                loaded = None;
            }
            match loaded {
                Some(loaded) => {
                    verified.checkpoints = verified.checkpoints.saturating_add(1);
                    newest = Some(loaded);
                }
                None => {
                    verified.damaged_checkpoints = verified.damaged_checkpoints.saturating_add(1);
                }
            }
        }
    }
    let Some(newest) = newest else {
        return Ok(verified);
    };
    verified.damaged_remembered = newest.damaged_remembered;
    let sealer = Sealer::new(&newest.head.log);
    let mut wanted: Vec<_> = newest
        .index
        .mailboxes
        .values()
        .flat_map(|held| held.entries.iter().map(|entry| entry.place))
        .collect();
    wanted.sort_unstable();
    let mut found = 0_usize;
    for number in names.iter().filter_map(|name| number_in(name, "segment")) {
        let (bytes, unread) = read_file(folder, &segment_name(number))?;
        let not_read: usize = unread.iter().map(Range::len).sum();
        let not_read = u64::try_from(not_read).unwrap_or(u64::MAX);
        verified.not_read = verified.not_read.saturating_add(not_read);
        let bytes = Bytes::from(bytes);
        let header = bytes.get(..SEGMENT_HEADER).unwrap_or_default();
        let is_ours =
            SegmentHeader::decode(header, number)?.is_some_and(|(log, _)| log == newest.head.log);
        if !is_ours {
            continue;
        }
        verified.segments = verified.segments.saturating_add(1);
        let scan = Scan {
            sealer: &sealer,
            segment: number,
            bytes: &bytes,
        };
        found = found.saturating_add(verify_segment(&scan, &wanted, &mut verified));
    }
    let missing = wanted.len().saturating_sub(found);
    verified.unreadable = u64::try_from(missing).unwrap_or(u64::MAX);
    Ok(verified)
}

/// Answers how many of the wanted records are there.
fn verify_segment(
    scan: &Scan<'_>,
    wanted: &[super::format::Place],
    verified: &mut Verified,
) -> usize {
    let end = u32::try_from(scan.bytes.len()).unwrap_or(u32::MAX);
    let mut offset = first_offset();
    let mut found = 0_usize;
    loop {
        if let Some((_, _, next)) = scan.record(offset) {
            let place = super::format::Place {
                segment: scan.segment,
                offset,
            };
            found = found.saturating_add(usize::from(wanted.binary_search(&place).is_ok()));
            verified.records = verified.records.saturating_add(1);
            let length = u64::from(next.saturating_sub(offset));
            verified.bytes = verified.bytes.saturating_add(length);
            offset = next;
        } else if let Some(next) = scan.next_record(offset, end) {
            verified.damage.push(Damage {
                segment: scan.segment,
                offset,
                length: next.saturating_sub(offset),
            });
            offset = next;
        } else {
            return found;
        }
    }
}
