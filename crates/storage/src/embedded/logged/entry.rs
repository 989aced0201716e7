// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Entries of the files that hold a server's rows beside its engine: the row journal, and exports.
//!
//! An entry is a header of 32 bytes and a payload. The header, numbers little-endian: checksum of what
//! the file is bound to and of the 28 bytes that follow; length of the payload; checksum of the payload;
//! kind; three zeros; number of the entry; position in the log. Checksums are CRC-32.

use crate::log::LogPosition;

/// The bytes before a payload.
pub(super) const HEADER: usize = 32;

/// The longest payload, in bytes: that of the longest record of the log.
pub(super) const PAYLOAD_MAX: usize = 16 * 1024 * 1024;

/// What an entry holds. Numbers are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows as they are at a position.
    Rows,
    /// A batch of changes that ends at a position.
    Batch,
    /// Nothing: says that what came before it is there.
    End,
    /// A mailbox, which the envelopes after it belong to.
    Mailbox,
    /// An envelope.
    Envelope,
}

impl Kind {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Rows => 1,
            Self::Batch => 2,
            Self::End => 3,
            Self::Mailbox => 4,
            Self::Envelope => 5,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Rows,
            2 => Self::Batch,
            3 => Self::End,
            4 => Self::Mailbox,
            5 => Self::Envelope,
            _ => return None,
        })
    }
}

/// An entry without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// The number of the entry among those of its kind.
    pub(super) number: u64,
    pub(super) position: LogPosition,
    /// The length of the payload, at most [`PAYLOAD_MAX`].
    pub(super) length: usize,
    checksum: u32,
}

impl Header {
    /// Whether a payload is what the header says.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.length && crc32fast::hash(payload) == self.checksum
    }
}

/// Writes and reads the entries of one file.
#[derive(Clone)]
pub(super) struct Codec(crc32fast::Hasher);

impl Codec {
    /// `binding` tells this file from every other one.
    pub(super) fn new(binding: &[u8]) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(binding);
        Self(hasher)
    }

    fn checksum(&self, covered: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(covered);
        hasher.finalize()
    }

    /// Appends an entry. The payload is at most [`PAYLOAD_MAX`].
    pub(super) fn write(
        &self,
        to: &mut Vec<u8>,
        (kind, number, position): (Kind, u64, LogPosition),
        payload: &[u8],
    ) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut covered = Vec::with_capacity(HEADER);
        covered.extend_from_slice(&length.to_le_bytes());
        covered.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        covered.extend_from_slice(&[kind.to_byte(), 0, 0, 0]);
        covered.extend_from_slice(&number.to_le_bytes());
        covered.extend_from_slice(&position.0.to_le_bytes());
        to.extend_from_slice(&self.checksum(&covered).to_le_bytes());
        to.extend_from_slice(&covered);
        to.extend_from_slice(payload);
    }

    /// Reads a header; `None` where there is none.
    pub(super) fn header(&self, bytes: &[u8]) -> Option<Header> {
        let (checksum, rest) = bytes.split_first_chunk::<4>()?;
        let covered = rest.get(..HEADER.saturating_sub(4))?;
        let (length, rest) = covered.split_first_chunk::<4>()?;
        let (of_payload, rest) = rest.split_first_chunk::<4>()?;
        let ([kind, 0, 0, 0], rest) = rest.split_first_chunk::<4>()? else {
            return None;
        };
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let position = rest.first_chunk::<8>()?;
        let kind = Kind::from_byte(*kind)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        // The checksum last: most places that are no header are seen to be none before.
        let is_one =
            length <= PAYLOAD_MAX && u32::from_le_bytes(*checksum) == self.checksum(covered);
        is_one.then_some(Header {
            kind,
            number: u64::from_le_bytes(*number),
            position: LogPosition(u64::from_le_bytes(*position)),
            length,
            checksum: u32::from_le_bytes(*of_payload),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_its_files_alone_and_no_bit_of_it_may_change() {
        let codec = Codec::new(b"this file");
        let mut bytes = Vec::new();
        codec.write(&mut bytes, (Kind::Batch, 7, LogPosition(9)), b"payload");
        let header = codec.header(&bytes).unwrap();
        assert_eq!(header.kind, Kind::Batch);
        assert_eq!((header.number, header.position), (7, LogPosition(9)));
        assert!(header.fits(b"payload"));
        assert!(!header.fits(b"payloaD"));
        assert!(!header.fits(b"payload "));
        assert_eq!(Codec::new(b"that file").header(&bytes), None);
        for bit in 0..HEADER * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(codec.header(&changed), None, "bit {bit}");
        }
        assert_eq!(codec.header(&bytes[..HEADER - 1]), None);
    }
}
