// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads every record of a log that nobody has open, and says what is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::checkpoint;
use super::committer::first_offset;
use super::file::LogFolder;
use super::format::{Place, Sealer, record_length};
use super::index::{COLD_FIRST, Index};
use super::pieces::read_file;
use super::recovery::headers::Headers;
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
    /// Whether there is no checkpoint although there was a log: an opening refuses it.
    pub is_lost: bool,
    /// Places that were durable and hold no whole record, or no header of a segment. What was never known to be
    /// durable is not among them: a crash leaves such at the end.
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
            && !self.is_lost
    }
}

/// Reads everything in a log's folder. Changes nothing.
///
/// # Errors
/// [`StoreError::NewerFormat`], or the files'.
pub fn verify(folder: &dyn LogFolder) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    let names = folder.list()?;
    let numbers = |ending| {
        let found = names.iter().filter_map(move |name| number_in(name, ending));
        found.collect::<Vec<u32>>()
    };
    let mut newest = None;
    for number in numbers("checkpoint") {
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
    let segments = numbers("segment");
    let Some(newest) = newest else {
        // The first checkpoint is durable before the first segment is made.
        verified.is_lost = verified.damaged_checkpoints == 0 && !segments.is_empty();
        return Ok(verified);
    };
    verified.damaged_remembered = newest.damaged_remembered;
    let wanted = Wanted::new(&newest.index);
    let head = &newest.head;
    let sealer = Sealer::new(&head.log);
    let headers = Headers::read(folder, &segments, head, |_, _| {})?;
    let mut found = 0_usize;
    for number in segments {
        let (bytes, unread) = read_file(folder, &segment_name(number))?;
        let not_read: usize = unread.iter().map(Range::len).sum();
        let not_read = u64::try_from(not_read).unwrap_or(u64::MAX);
        verified.not_read = verified.not_read.saturating_add(not_read);
        let header = headers.begun.get(&number);
        // A cold one is known by what the checkpoint has in it.
        if header.is_none() && wanted.end(number).is_none() {
            continue;
        }
        let missing = header.and_then(|header| headers.missing_before(header, head.start.segment));
        verified.damage.extend(missing);
        if header.is_none() || headers.damaged.contains(&number) {
            verified.damage.push(Damage {
                segment: number,
                offset: 0,
                length: first_offset(),
            });
        }
        verified.segments = verified.segments.saturating_add(1);
        let is_newest = head.durable.segment == number;
        let durable = if is_newest { head.durable.offset } else { 0 };
        let segment = Segment {
            scan: Scan {
                sealer: &sealer,
                segment: number,
                bytes: &bytes.into(),
            },
            end: headers.end(number),
            durable: durable.max(wanted.end(number).unwrap_or(0)),
        };
        found = found.saturating_add(segment.verify(&wanted, &mut verified));
    }
    let missing = wanted.places.len().saturating_sub(found);
    verified.unreadable = u64::try_from(missing).unwrap_or(u64::MAX);
    Ok(verified)
}

/// Where the envelopes of a checkpoint are.
struct Wanted {
    places: BTreeSet<Place>,
    /// Where the last one in each segment ends.
    ends: BTreeMap<u32, u32>,
}

impl Wanted {
    fn new(index: &Index) -> Self {
        let mut wanted = Self {
            places: BTreeSet::new(),
            ends: BTreeMap::new(),
        };
        for entry in index.mailboxes.values().flat_map(|held| &held.entries) {
            let payload = usize::try_from(entry.length).unwrap_or(usize::MAX);
            let length = u32::try_from(record_length(payload)).unwrap_or(u32::MAX);
            let end = wanted.ends.entry(entry.place.segment).or_default();
            *end = (*end).max(entry.place.offset.saturating_add(length));
            wanted.places.insert(entry.place);
        }
        wanted
    }

    fn end(&self, segment: u32) -> Option<u32> {
        self.ends.get(&segment).copied()
    }
}

/// A segment that has begun.
struct Segment<'a> {
    scan: Scan<'a>,
    /// Where it ends, if the one after it says so.
    end: Option<u32>,
    /// Up to where it was durable in any case.
    durable: u32,
}

impl Segment<'_> {
    /// Counts its records and says where there are none, by the rules of an opening. Answers how many of
    /// the wanted ones are there.
    fn verify(&self, wanted: &Wanted, verified: &mut Verified) -> usize {
        let (scan, segment) = (&self.scan, self.scan.segment);
        let length = u32::try_from(scan.bytes.len()).unwrap_or(u32::MAX);
        let is_cold = segment >= COLD_FIRST;
        let mut offset = first_offset();
        let mut found = 0_usize;
        while self.end.is_none_or(|end| offset < end) {
            let place = Place { segment, offset };
            if let Some((_, _, next)) = scan.record(offset) {
                found = found.saturating_add(usize::from(wanted.places.contains(&place)));
                verified.records = verified.records.saturating_add(1);
                let length = u64::from(next.saturating_sub(offset));
                verified.bytes = verified.bytes.saturating_add(length);
                offset = next;
                continue;
            }
            // Copies that no checkpoint has are nothing: a crash leaves some, and so does what a file held before.
            let was_durable = self.durable > offset
                || (!is_cold && (self.end.is_some() || scan.is_claimed(offset)));
            if !was_durable {
                break;
            }
            let next = scan.next_record(offset, self.end.unwrap_or(length));
            let end = next.or(self.end).unwrap_or(self.durable.max(offset));
            verified.damage.push(Damage {
                segment,
                offset,
                length: end.saturating_sub(offset),
            });
            match next {
                Some(next) => offset = next,
                None => break,
            }
        }
        found
    }
}
