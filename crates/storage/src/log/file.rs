// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam below the delivery log: one folder of files, with every call that durability rests on.
//!
//! [`crate::log::disk`] is the operating system; [`crate::log::memory`] loses what was not synced, as
//! a power cut does. Whoever stands between the two can record, count and fail every call.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::pieces::read_around;

/// The folder of one log. Names are plain file names of at most 64 ASCII bytes, made by the log.
///
/// A name that was created, renamed or removed is durable after the next [`LogFolder::sync`], and may
/// be durable before.
pub trait LogFolder: Send + Sync + 'static {
    /// Makes a new, empty file.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or the device's.
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or the device's.
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;

    /// Gives a file another name, in place of a file that has it. Open files stay the same files.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or the device's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Whoever has it open can still read it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or the device's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, in the order of the names.
    ///
    /// # Errors
    /// The device's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Returns when the names are durable.
    ///
    /// # Errors
    /// The device's. What is durable is unknown then, for good.
    fn sync(&self) -> io::Result<()>;
}

/// One file. Several threads may use it at a time; writes to the same bytes are never concurrent.
pub trait LogFile: Send + Sync + 'static {
    /// Writes all parts one after the other, beginning at `offset`; a gap before it reads as zeros.
    ///
    /// # Errors
    /// The device's. What was written is unknown then.
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Reads into the buffer from `offset` on and answers how many bytes there were: fewer than
    /// the buffer holds only at the end of the file.
    ///
    /// # Errors
    /// The device's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Returns when everything that was written to the file before the call is durable, and so
    /// is its length.
    ///
    /// # Errors
    /// The device's. What is durable is unknown then, for good: a later success proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file, or fills it with zeros, to `length` bytes.
    ///
    /// # Errors
    /// The device's.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// The device's.
    fn length(&self) -> io::Result<u64>;
}

/// How much is read and written again at once.
const AGAIN: u64 = 1024 * 1024;

/// Makes durable what a file holds between two offsets, whatever became of syncs before: after a sync that
/// failed an operating system may take pages for clean that are not on the disk, and then no sync alone
/// brings them there. They are read and written again, but for those that the device does not read.
pub(crate) fn make_durable(file: &dyn LogFile, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let length = to.saturating_sub(at).min(AGAIN);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let around = read_around(file, &mut bytes, at);
        if around.read == 0 {
            break;
        }
        // What cannot be read is shown to nobody.
        let mut begin = 0;
        for gap in around
            .unread
            .into_iter()
            .chain(std::iter::once(around.read..around.read))
        {
            let whole = bytes.get(begin..gap.start).unwrap_or_default();
            if !whole.is_empty() {
                let to = at.saturating_add(u64::try_from(begin).unwrap_or(u64::MAX));
                file.write_vectored_at(&[IoSlice::new(whole)], to)?;
            }
            begin = gap.end;
        }
        at = at.saturating_add(length);
    }
    file.sync_data()
}
