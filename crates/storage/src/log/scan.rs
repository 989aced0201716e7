// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finding the whole records of a segment that was read into memory.

use bytes::Bytes;

use super::format::{KIND_AT, Place, RECORD_HEADER, RecordHeader, Sealer, fits, record_length};

/// Bytes that were durable and cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u32,
    /// Where in it.
    pub offset: u32,
    /// How many bytes, at most.
    pub length: u32,
}

/// The whole records of a segment that was read into memory.
pub(crate) struct Scan<'a> {
    pub(crate) sealer: &'a Sealer,
    pub(crate) segment: u32,
    pub(crate) bytes: &'a Bytes,
}

impl Scan<'_> {
    /// The record at an offset, its payload and the offset after it.
    pub(crate) fn record(&self, offset: u32) -> Option<(RecordHeader, Bytes, u32)> {
        let header = self.header(offset)?;
        let from = usize::try_from(offset).ok()?;
        let length = usize::try_from(header.payload_length).ok()?;
        let begin = from.checked_add(RECORD_HEADER)?;
        let end = begin.checked_add(length)?;
        if end > self.bytes.len() {
            return None;
        }
        let payload = self.bytes.slice(begin..end);
        let next = from.checked_add(record_length(length))?;
        fits(&header, &payload).then_some((header, payload, u32::try_from(next).ok()?))
    }

    fn header(&self, offset: u32) -> Option<RecordHeader> {
        let from = usize::try_from(offset).ok()?;
        let bytes = self.bytes.get(from..from.checked_add(RECORD_HEADER)?)?;
        let place = Place {
            segment: self.segment,
            offset,
        };
        self.sealer.header(bytes, place)
    }

    /// The first offset after this one, below `end`, at which a whole record lies.
    pub(crate) fn next_record(&self, after: u32, end: u32) -> Option<u32> {
        let mut offset = after.next_multiple_of(8).max(after.saturating_add(8));
        while offset < end {
            if self.record(offset).is_some() {
                return Some(offset);
            }
            offset = offset.saturating_add(8);
        }
        None
    }

    /// Whether a header after this offset says that the offset was durable.
    pub(crate) fn is_claimed(&self, offset: u32) -> bool {
        self.any_header(offset, |header| header.synced_to > offset)
    }

    /// Whether a record begins anywhere, whole or not.
    pub(crate) fn has_header(&self) -> bool {
        self.any_header(0, |_| true)
    }

    /// Whether there is such a header after this offset.
    fn any_header(&self, offset: u32, is_such: impl Fn(&RecordHeader) -> bool) -> bool {
        // A header has kind and flags in two bytes and zeros up to the next multiple of 8: most of what is not
        // used has not.
        let first = usize::try_from(offset.saturating_add(8)).unwrap_or(usize::MAX);
        let kinds = self.bytes.get(first.saturating_add(KIND_AT)..);
        let (words, _) = kinds.unwrap_or_default().as_chunks::<8>();
        words.iter().enumerate().any(|(number, word)| {
            let word = u64::from_le_bytes(*word);
            if word == 0 || word >> 16 != 0 {
                return false;
            }
            let at = first.saturating_add(number.saturating_mul(8));
            let header = u32::try_from(at).ok().and_then(|at| self.header(at));
            header.is_some_and(|header| is_such(&header))
        })
    }
}
