// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading a file of which the device does not read everything: what it does read is worth having.

use std::ops::Range;

use super::file::{LogFile, LogFolder};
use crate::StoreError;

/// The least that is read by itself: what a device loses at once is hardly less.
const PIECE: usize = 4096;

/// Bytes of a file, with zeros in the place of what could not be read.
pub(crate) struct Around {
    /// How many bytes there were.
    pub(crate) read: usize,
    /// What could not be read, in the buffer; the first ones first.
    pub(crate) unread: Vec<Range<usize>>,
}

/// Reads into the buffer from an offset on. Where the device does not read all of it, it is read in pieces, and those
/// that cannot be read are left as zeros.
pub(crate) fn read_around(file: &dyn LogFile, buffer: &mut [u8], offset: u64) -> Around {
    let mut around = Around {
        read: 0,
        unread: Vec::new(),
    };
    if let Ok(read) = file.read_at(buffer, offset) {
        around.read = read;
        return around;
    }
    // Each piece but the first one begins where a page of the device may.
    let past = usize::try_from(offset).unwrap_or(0) % PIECE;
    let first = buffer.len().min(PIECE.saturating_sub(past));
    let (head, rest) = buffer.split_at_mut(first);
    for piece in std::iter::once(head).chain(rest.chunks_mut(PIECE)) {
        let begin = around.read;
        let at = offset.saturating_add(u64::try_from(begin).unwrap_or(u64::MAX));
        let end = begin.saturating_add(piece.len());
        if let Ok(read) = file.read_at(piece, at) {
            around.read = begin.saturating_add(read);
            if around.read < end {
                // The end of the file.
                break;
            }
            continue;
        }
        piece.fill(0);
        around.read = end;
        match around.unread.last_mut() {
            Some(last) if last.end == begin => last.end = end,
            _ => around.unread.push(begin..end),
        }
    }
    around
}

/// A whole file, as [`read_around`] reads it, and what of it could not be read.
///
/// # Errors
/// The folder's.
pub(crate) fn read_file(
    folder: &dyn LogFolder,
    name: &str,
) -> Result<(Vec<u8>, Vec<Range<usize>>), StoreError> {
    let file = folder.open(name)?;
    let length =
        usize::try_from(file.length()?).map_err(|_| StoreError::Corrupt { what: "log" })?;
    let mut bytes = vec![0; length];
    let around = read_around(file.as_ref(), &mut bytes, 0);
    bytes.truncate(around.read);
    say(name, &around.unread);
    Ok((bytes, around.unread))
}

/// Says what of a file could not be read.
pub(crate) fn say(name: &str, unread: &[Range<usize>]) {
    for bytes in unread {
        tracing::error!(
            code = "store_io",
            file = name,
            offset = bytes.start,
            length = bytes.len(),
            "a part of the log cannot be read"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;
    use crate::log::memory::MemoryFolder;

    /// Also where the file is shorter than what is asked for.
    #[test]
    fn what_cannot_be_read_is_zeros_and_the_rest_is_read() {
        let folder = MemoryFolder::new();
        let file = folder.create("a").unwrap();
        file.write_vectored_at(&[IoSlice::new(&[7; 5 * PIECE + 100])], 0)
            .unwrap();
        let (bytes, unread) = read_file(&folder, "a").unwrap();
        assert!(bytes == [7; 5 * PIECE + 100] && unread.is_empty());
        folder.set_unreadable("a", PIECE + 5..2 * PIECE + 1);
        let (bytes, unread) = read_file(&folder, "a").unwrap();
        assert_eq!((unread.len(), unread[0].clone()), (1, PIECE..3 * PIECE));
        assert_eq!(bytes.len(), 5 * PIECE + 100);
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(*byte == 0, unread[0].contains(&at), "byte {at}");
        }
        let mut longer = vec![9; 7 * PIECE];
        let around = read_around(file.as_ref(), &mut longer, 100);
        assert_eq!(around.read, 5 * PIECE);
        assert_eq!(around.unread.len(), 1);
        assert_eq!(around.unread[0], PIECE - 100..3 * PIECE - 100);
        folder.set_unreadable("a", 0..6 * PIECE);
        let (bytes, unread) = read_file(&folder, "a").unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        assert_eq!((unread.len(), unread[0].clone()), (1, 0..5 * PIECE + 100));
    }
}
