// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bytes of a segment: its header, and records each with a checksum that is bound to its place
//! and to the key inside it. Numbers are little-endian; everything begins at a multiple of 8.
//!
//! ```text
//! segment   0 magic 8 | 8 version 4 | 12 stream 4 | 16 log id 16 | 32 number 4
//!           36 previous number 4 | 40 previous end 4 | 44 zero 16 | 60 checksum 4
//! record    0 checksum 4 | 4 payload length 4 | 8 payload checksum 4 | 12 synced to 4
//!           16 position 8 | 24 kind 1 | 25 flags 1 | 26 zero 6 | 32 payload, zeros up to 8
//! ```
//!
//! A record's checksum covers its header (the payload's checksum with it), the log's id, the segment's
//! number and the record's offset: bytes that an earlier use of the file left behind are never taken
//! for a record. `synced to` says up to which offset of its segment everything was durable when
//! the record was written.

use super::buffers;
use super::record::Kind;
use crate::StoreError;

/// The version of the format that this program writes.
pub(crate) const VERSION: u32 = 1;
pub(crate) const SEGMENT_HEADER: usize = 64;
pub(crate) const RECORD_HEADER: usize = 32;
/// Where in a record's header its kind is, with flags and zeros up to 8 bytes.
pub(crate) const KIND_AT: usize = 24;
const MAGIC: [u8; 8] = *b"WXLOGSEG";

/// The record is not the last one of its group.
pub(crate) const MORE: u8 = 1;

/// What tells one log from every other.
pub(crate) type LogId = [u8; 16];

/// Which of the two streams a segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// What happened, in order. Read from the checkpoint on when the log is opened.
    Hot,
    /// Envelopes that were copied forward because they wait for long. Never replayed.
    Cold,
}

/// A place of a record: a segment's number and an offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) stream: Stream,
    pub(crate) number: u32,
    /// The hot segment before this one, 0 for none.
    pub(crate) previous: u32,
    /// Where the records of that one end.
    pub(crate) previous_end: u32,
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) payload_length: u32,
    pub(crate) payload_checksum: u32,
    pub(crate) synced_to: u32,
    pub(crate) position: u64,
    pub(crate) kind: Kind,
    pub(crate) more: bool,
}

/// Reads fixed-width fields from the front of a slice.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// The length of a record with this payload, padding included.
pub(crate) fn record_length(payload: usize) -> usize {
    RECORD_HEADER.saturating_add(payload).next_multiple_of(8)
}

/// Overwrites a part of a buffer that is long enough.
fn set(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(at..at.saturating_add(bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

impl SegmentHeader {
    pub(crate) fn encode(&self, log: &LogId) -> [u8; SEGMENT_HEADER] {
        let stream: u32 = match self.stream {
            Stream::Hot => 1,
            Stream::Cold => 2,
        };
        let mut bytes = [0; SEGMENT_HEADER];
        set(&mut bytes, 0, &MAGIC);
        set(&mut bytes, 8, &VERSION.to_le_bytes());
        set(&mut bytes, 12, &stream.to_le_bytes());
        set(&mut bytes, 16, log);
        set(&mut bytes, 32, &self.number.to_le_bytes());
        set(&mut bytes, 36, &self.previous.to_le_bytes());
        set(&mut bytes, 40, &self.previous_end.to_le_bytes());
        let checksum = crc32fast::hash(bytes.get(..60).unwrap_or_default());
        set(&mut bytes, 60, &checksum.to_le_bytes());
        bytes
    }

    /// Reads a header; `Ok(None)` where there is none, or one that belongs to another number.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`].
    pub(crate) fn decode(bytes: &[u8], number: u32) -> Result<Option<(LogId, Self)>, StoreError> {
        let Some((found_version, header)) = Self::read(bytes) else {
            return Ok(None);
        };
        if found_version > VERSION {
            return Err(StoreError::NewerFormat {
                found: found_version,
                known: VERSION,
            });
        }
        Ok(header.filter(|(_, header)| header.number == number))
    }

    /// Whether no header of this number was ever written here: there are zeros, or a whole one of another
    /// number. Anything else may be one that is damaged.
    pub(crate) fn is_missing(bytes: &[u8; SEGMENT_HEADER], number: u32) -> bool {
        let is_others = || {
            let header = Self::read(bytes).and_then(|(_, header)| header);
            header.is_some_and(|(_, header)| header.number != number)
        };
        bytes.iter().all(|byte| *byte == 0) || is_others()
    }

    fn read(bytes: &[u8]) -> Option<(u32, Option<(LogId, Self)>)> {
        let covered = bytes.get(..60)?;
        let mut reader = Reader(bytes);
        let magic: [u8; 8] = reader.array()?;
        let version = reader.u32()?;
        let stream = reader.u32()?;
        let log = reader.array()?;
        let header = Self {
            stream: if stream == 1 {
                Stream::Hot
            } else {
                Stream::Cold
            },
            number: reader.u32()?,
            previous: reader.u32()?,
            previous_end: reader.u32()?,
        };
        reader.take(16)?;
        let is_whole = magic == MAGIC && reader.u32()? == crc32fast::hash(covered);
        if !is_whole {
            return None;
        }
        let is_known = matches!(stream, 1 | 2);
        Some((version, is_known.then_some((log, header))))
    }
}

/// Checksums the headers of one log's records.
#[derive(Clone)]
pub(crate) struct Sealer(crc32fast::Hasher);

impl Sealer {
    pub(crate) fn new(log: &LogId) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(log);
        Self(hasher)
    }

    fn checksum(&self, place: Place, covered: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(&place.segment.to_le_bytes());
        hasher.update(&place.offset.to_le_bytes());
        hasher.update(covered);
        hasher.finalize()
    }

    /// Completes a record that [`begin_record`] and [`end_record`] have made: its place is known now.
    pub(crate) fn seal(&self, record: &mut [u8], place: Place, synced_to: u32) {
        set(record, 12, &synced_to.to_le_bytes());
        let checksum = self.checksum(place, record.get(4..RECORD_HEADER).unwrap_or_default());
        set(record, 0, &checksum.to_le_bytes());
    }

    /// Reads the header of the record at `place`; `None` where there is none.
    pub(crate) fn header(&self, bytes: &[u8], place: Place) -> Option<RecordHeader> {
        let covered = bytes.get(4..RECORD_HEADER)?;
        let mut reader = Reader(bytes);
        let checksum = reader.u32()?;
        let payload_length = reader.u32()?;
        let payload_checksum = reader.u32()?;
        let synced_to = reader.u32()?;
        let position = reader.u64()?;
        let kind = Kind::from_byte(reader.u8()?)?;
        let flags = reader.u8()?;
        if reader.array::<6>()? != [0; 6] || checksum != self.checksum(place, covered) {
            return None;
        }
        Some(RecordHeader {
            payload_length,
            payload_checksum,
            synced_to,
            position,
            kind,
            more: flags & MORE != 0,
        })
    }
}

/// A buffer for a record, with room for its header.
pub(crate) fn begin_record(payload: usize) -> Vec<u8> {
    let mut record = buffers::take(record_length(payload));
    record.resize(RECORD_HEADER, 0);
    record
}

/// Fills in what is known of a record before its place and position are: to be called by whoever
/// made the payload, so that the committer only copies.
pub(crate) fn end_record(record: &mut Vec<u8>, kind: Kind) {
    let payload = record.get(RECORD_HEADER..).unwrap_or_default();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let checksum = crc32fast::hash(payload);
    set(record, 4, &length.to_le_bytes());
    set(record, 8, &checksum.to_le_bytes());
    set(record, 24, &[kind.to_byte()]);
    record.resize(record.len().next_multiple_of(8), 0);
}

/// Sets the position of a record.
pub(crate) fn set_position(record: &mut [u8], position: u64) {
    set(record, 16, &position.to_le_bytes());
}

/// Says that the record is not the last one of its group.
pub(crate) fn set_more(record: &mut [u8]) {
    set(record, 25, &[MORE]);
}

/// Whether a payload is what its header says.
pub(crate) fn fits(header: &RecordHeader, payload: &[u8]) -> bool {
    u32::try_from(payload.len()) == Ok(header.payload_length)
        && crc32fast::hash(payload) == header.payload_checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = [3; 16];

    #[test]
    fn a_segment_header_is_its_segments_alone() {
        let header = SegmentHeader {
            stream: Stream::Hot,
            number: 7,
            previous: 6,
            previous_end: 4096,
        };
        let bytes = header.encode(&LOG);
        assert_eq!(SegmentHeader::decode(&bytes, 7), Ok(Some((LOG, header))));
        assert_eq!(SegmentHeader::decode(&bytes, 8), Ok(None));
        assert!(SegmentHeader::is_missing(&bytes, 8) && !SegmentHeader::is_missing(&bytes, 7));
        assert!(SegmentHeader::is_missing(&[0; SEGMENT_HEADER], 7));
        for at in 0..SEGMENT_HEADER {
            let mut changed = bytes;
            changed[at] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&changed, 7), Ok(None), "byte {at}");
            assert!(!SegmentHeader::is_missing(&changed, 7), "byte {at}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        let checksum = crc32fast::hash(&newer[..60]);
        newer[60..].copy_from_slice(&checksum.to_le_bytes());
        let refused = StoreError::NewerFormat { found: 2, known: 1 };
        assert_eq!(SegmentHeader::decode(&newer, 7), Err(refused));
    }

    #[test]
    fn a_record_is_bound_to_its_log_segment_and_offset() {
        let mut record = begin_record(5);
        record.extend_from_slice(b"hello");
        end_record(&mut record, Kind::Envelope);
        set_position(&mut record, 9);
        assert_eq!(record.len(), record_length(5));
        let place = Place {
            segment: 2,
            offset: 64,
        };
        let sealer = Sealer::new(&LOG);
        set_more(&mut record);
        sealer.seal(&mut record, place, 64);
        let header = sealer.header(&record, place).unwrap();
        assert_eq!(
            (header.position, header.synced_to, header.more),
            (9, 64, true)
        );
        assert!(fits(&header, b"hello"));
        assert!(!fits(&header, b"hellO"));
        let elsewhere = Place {
            offset: 72,
            ..place
        };
        assert_eq!(sealer.header(&record, elsewhere), None);
        assert_eq!(Sealer::new(&[4; 16]).header(&record, place), None);
        for at in 0..RECORD_HEADER {
            let mut changed = record.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.header(&changed, place), None, "byte {at}");
        }
    }
}
