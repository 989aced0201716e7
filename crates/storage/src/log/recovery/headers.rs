// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The headers of the segments, and the segments that have lost theirs.
//!
//! A file without a header was prepared for what was to come, or the disk has damaged it. Records say
//! by themselves to which segment and offset they belong, so a segment is known by them too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::StoreError;
use crate::log::checkpoint::Head;
use crate::log::committer::first_offset;
use crate::log::file::{LogFile, LogFolder};
use crate::log::format::{SEGMENT_HEADER, Sealer, SegmentHeader, Stream};
use crate::log::index::COLD_FIRST;
use crate::log::pieces::{self, read_around, read_file};
use crate::log::scan::{Damage, Scan};
use crate::log::segments::segment_name;

/// How much is looked at of every segment: what a disk loses at once, and as much again.
const LOOK: usize = 8 * 1024;

/// What is known of the segments that are there.
#[derive(Default)]
pub(crate) struct Headers {
    /// Those of segments that have begun.
    pub(crate) begun: BTreeMap<u32, SegmentHeader>,
    /// The hot ones of them whose header cannot be read. What it said of the one before is lost.
    pub(crate) damaged: BTreeSet<u32>,
}

impl Headers {
    /// Reads the header of every segment, and hands each file over. One without a header has begun where a
    /// checkpoint or another segment says so, or where it holds records.
    pub(crate) fn read(
        folder: &dyn LogFolder,
        numbers: &[u32],
        head: &Head,
        mut opened: impl FnMut(u32, Arc<dyn LogFile>),
    ) -> Result<Self, StoreError> {
        let mut headers = Self::default();
        let sealer = Sealer::new(&head.log);
        let mut unknown = Vec::new();
        for number in numbers {
            let file = folder.open(&segment_name(*number))?;
            let first = First::read(file.as_ref(), *number);
            match SegmentHeader::decode(first.header(), *number)? {
                Some((log, header)) if log == head.log => {
                    headers.begun.insert(*number, header);
                }
                // A cold one is never replayed.
                _ if *number < COLD_FIRST => unknown.push((*number, first.is_unused(&sealer))),
                _ => {}
            }
            opened(*number, file);
        }
        let followed: BTreeSet<u32> = headers.begun.values().map(|next| next.previous).collect();
        for (number, is_unused) in unknown {
            let is_said = followed.contains(&number)
                || [head.start.segment, head.durable.segment].contains(&number);
            if is_said || (!is_unused && holds_records(folder, &sealer, number)?) {
                headers.damaged.insert(number);
                headers.begun.insert(number, nameless(number));
            }
        }
        Ok(headers)
    }

    /// The hot segments from a number on.
    pub(crate) fn hot(&self, from: u32) -> Vec<SegmentHeader> {
        let hot = self.begun.range(from..).map(|(_, header)| *header);
        hot.filter(|header| header.stream == Stream::Hot).collect()
    }

    /// Where a hot segment ends, as the one after it says.
    pub(crate) fn end(&self, number: u32) -> Option<u32> {
        let after = (Bound::Excluded(number), Bound::Unbounded);
        let mut hot = self.begun.range(after).map(|(_, header)| header);
        let next = hot.next().filter(|next| next.stream == Stream::Hot)?;
        (next.previous == number).then_some(next.previous_end)
    }

    /// The segment before one, where it is needed from a number on and not there: all of it.
    pub(crate) fn missing_before(&self, header: &SegmentHeader, from: u32) -> Option<Damage> {
        let is_missing =
            header.previous >= from.max(1) && !self.begun.contains_key(&header.previous);
        is_missing.then_some(Damage {
            segment: header.previous,
            offset: 0,
            length: header.previous_end,
        })
    }

    /// The header of a segment, where it is damaged.
    pub(crate) fn damage(&self, number: u32) -> Option<Damage> {
        self.damaged.contains(&number).then(|| Damage {
            segment: number,
            offset: 0,
            length: first_offset(),
        })
    }
}

/// What stands for a header that is lost.
const fn nameless(number: u32) -> SegmentHeader {
    SegmentHeader {
        stream: Stream::Hot,
        number,
        previous: 0,
        previous_end: 0,
    }
}

/// The first bytes of a segment.
struct First {
    number: u32,
    bytes: Bytes,
    is_read: bool,
}

impl First {
    fn read(file: &dyn LogFile, number: u32) -> Self {
        let mut bytes = vec![0; LOOK];
        let around = read_around(file, &mut bytes, 0);
        pieces::say(&segment_name(number), &around.unread);
        bytes.truncate(around.read.max(SEGMENT_HEADER));
        Self {
            number,
            bytes: bytes.into(),
            is_read: around.unread.is_empty(),
        }
    }

    fn header(&self) -> &[u8; SEGMENT_HEADER] {
        self.bytes.first_chunk().unwrap_or(&[0; SEGMENT_HEADER])
    }

    /// Whether the segment has certainly not begun, as far as it can be seen here: all of it is zeros, or a file that is
    /// used again begins with another one's header. The rest of it is not worth reading then.
    fn is_unused(&self, sealer: &Sealer) -> bool {
        let is_zeros = || self.bytes.iter().all(|byte| *byte == 0);
        let is_others = || {
            let is_zeros = self.header().iter().all(|byte| *byte == 0);
            let scan = Scan {
                sealer,
                segment: self.number,
                bytes: &self.bytes,
            };
            !is_zeros && SegmentHeader::is_missing(self.header(), self.number) && !scan.has_header()
        };
        self.is_read && (is_zeros() || is_others())
    }
}

/// Whether a segment holds what was durable once: a record that says of what is before it that it was, or a
/// first one, which was written together with the header. What else there may be is what a power cut has left
/// of a first batch.
fn holds_records(folder: &dyn LogFolder, sealer: &Sealer, number: u32) -> Result<bool, StoreError> {
    let (bytes, _) = read_file(folder, &segment_name(number))?;
    let scan = Scan {
        sealer,
        segment: number,
        bytes: &bytes.into(),
    };
    let first = first_offset();
    Ok(scan.record(first).is_some() || scan.is_claimed(first.saturating_sub(8)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::format::Place;
    use crate::log::record;

    fn is_unused(bytes: &[u8], is_read: bool) -> bool {
        let first = First {
            number: 7,
            bytes: Bytes::copy_from_slice(bytes),
            is_read,
        };
        first.is_unused(&Sealer::new(&[3; 16]))
    }

    /// What a preparation leaves is not read as a whole, anything else is.
    #[test]
    fn zeros_and_what_is_used_again_are_known_by_their_first_pages() {
        let mut bytes = vec![0; LOOK];
        assert!(is_unused(&bytes, true));
        assert!(!is_unused(&bytes, false), "nobody knows what is there");
        bytes[LOOK - 1] = 1;
        assert!(!is_unused(&bytes, true), "zeros lie before something");

        bytes[SEGMENT_HEADER..].fill(0x77);
        bytes[..SEGMENT_HEADER].copy_from_slice(&nameless(6).encode(&[3; 16]));
        assert!(is_unused(&bytes, true));
        for (segment, is_expected) in [(6, true), (7, false)] {
            let mut own = record::forget(crate::Day(1));
            let place = Place {
                segment,
                offset: 4096,
            };
            Sealer::new(&[3; 16]).seal(&mut own, place, 0);
            bytes[4096..4096 + own.len()].copy_from_slice(&own);
            assert_eq!(is_unused(&bytes, true), is_expected);
        }
        let mut damaged = vec![0; LOOK];
        damaged[..SEGMENT_HEADER].copy_from_slice(&nameless(6).encode(&[3; 16]));
        damaged[9] ^= 1;
        assert!(!is_unused(&damaged, true));
    }
}
