// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The files of a log: which segment is which file, those that are prepared, and those to use again.

mod leftovers;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::file::{LogFile, LogFolder};
use super::format::{Place, RECORD_HEADER, RecordHeader, Sealer, fits};
use crate::StoreError;

/// How much of a segment that is prepared is zeroed and synced at once: a sync of the log waits behind
/// what the device has to do for this one.
const ZEROS: usize = 1024 * 1024;

pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:08x}.segment")
}

pub(crate) fn checkpoint_name(number: u32) -> String {
    format!("{number:08x}.checkpoint")
}

pub(crate) fn remembered_name(number: u32) -> String {
    format!("{number:08x}.remembered")
}

pub(crate) fn spare_name(number: u32) -> String {
    format!("{number:08x}.spare")
}

/// The number in a name with this ending.
pub(crate) fn number_in(name: &str, ending: &str) -> Option<u32> {
    let digits = name.strip_suffix(ending)?.strip_suffix('.')?;
    (digits.len() == 8)
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

/// One open segment.
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn LogFile>,
    /// Whether a sync has failed. Held during each.
    has_failed: Mutex<bool>,
}

impl Segment {
    pub(crate) fn new(number: u32, file: Arc<dyn LogFile>) -> Self {
        Self {
            number,
            file,
            has_failed: Mutex::new(false),
        }
    }

    /// Makes durable what was written before. The operating system tells one caller alone that bytes were
    /// lost; here, after one sync that failed, all fail.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let has_failed = self.has_failed.lock();
        let mut has_failed = has_failed.unwrap_or_else(PoisonError::into_inner);
        if *has_failed {
            return Err(io::Error::other("an earlier sync of the segment failed"));
        }
        let synced = self.file.sync_data();
        *has_failed = synced.is_err();
        synced
    }

    /// Reads and checks the record at a place: its header and payload; `None` where it is damaged, or the device
    /// does not read it.
    pub(crate) fn record(
        &self,
        sealer: &Sealer,
        offset: u32,
        payload: u32,
    ) -> Option<(RecordHeader, Bytes)> {
        let header = u32::try_from(RECORD_HEADER).unwrap_or(u32::MAX);
        let bytes = self.read_or_say(offset, header.saturating_add(payload))?;
        self.record_in(sealer, offset, payload, &bytes)
    }

    /// As [`Segment::read`]; where the device does not read that, says so, once for each call.
    pub(crate) fn read_or_say(&self, offset: u32, length: u32) -> Option<Bytes> {
        let read = self.read(offset, length);
        let say = |error: &io::Error| {
            tracing::error!(
                code = StoreError::from(error).code(),
                segment = self.number,
                offset,
                "a record of the log cannot be read"
            );
        };
        read.inspect_err(say).ok()
    }

    /// So many bytes from an offset on; fewer where the file ends.
    pub(crate) fn read(&self, offset: u32, length: u32) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let read = self.file.read_at(&mut bytes, offset.into())?;
        bytes.truncate(read);
        Ok(bytes.into())
    }

    /// Checks the record that begins what was read from its offset on: its header and payload; `None`
    /// where it is damaged or cut off.
    pub(crate) fn record_in(
        &self,
        sealer: &Sealer,
        offset: u32,
        payload: u32,
        bytes: &Bytes,
    ) -> Option<(RecordHeader, Bytes)> {
        let place = Place {
            segment: self.number,
            offset,
        };
        let end = RECORD_HEADER.checked_add(usize::try_from(payload).ok()?)?;
        if bytes.len() < end {
            return None;
        }
        let header = sealer.header(bytes, place)?;
        let payload = bytes.slice(RECORD_HEADER..end);
        fits(&header, &payload).then_some((header, payload))
    }
}

#[derive(Default)]
struct Table {
    open: BTreeMap<u32, Arc<Segment>>,
    /// The next hot segments, zeroed and durable under their names: one that has not begun, and those
    /// that have but whose first batch is not written.
    prepared: Vec<Arc<Segment>>,
    /// Files that no segment uses any more, by their names.
    spares: Vec<(String, Arc<dyn LogFile>)>,
    next_spare: u32,
}

/// The files of one log.
pub(crate) struct Segments {
    pub(crate) folder: Arc<dyn LogFolder>,
    pub(crate) size: u32,
    table: Mutex<Table>,
    /// Held while a hot segment gets its file.
    naming: Mutex<()>,
    /// Whether there was no room for the last segment that was to be prepared.
    lacks_room: AtomicBool,
    /// Whether the first segment after the opening was prepared, or found no room; held while it is being
    /// prepared.
    begun: Mutex<bool>,
    has_begun: AtomicBool,
}

impl Segments {
    pub(crate) fn new(folder: Arc<dyn LogFolder>, size: u32) -> Self {
        Self {
            folder,
            size,
            table: Mutex::default(),
            naming: Mutex::default(),
            lacks_room: AtomicBool::new(false),
            begun: Mutex::new(false),
            has_begun: AtomicBool::new(false),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists an open segment.
    pub(crate) fn insert(&self, segment: Arc<Segment>) {
        self.table().open.insert(segment.number, segment);
    }

    /// An open segment. It is not used again while the answer lives.
    pub(crate) fn get(&self, number: u32) -> Option<Arc<Segment>> {
        self.table().open.get(&number).cloned()
    }

    /// The numbers of all open segments.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.table().open.keys().copied().collect()
    }

    /// How many files have the name of a segment, those that are prepared included.
    pub(crate) fn named_count(&self) -> usize {
        let table = self.table();
        table.open.len().saturating_add(table.prepared.len())
    }

    pub(crate) fn is_prepared(&self, number: u32) -> bool {
        let table = self.table();
        table
            .prepared
            .iter()
            .any(|segment| segment.number >= number)
    }

    /// Whether a hot segment has no file, and the disk had no room for one.
    pub(crate) fn lacks_room_for(&self, number: u32) -> bool {
        self.lacks_room.load(Ordering::Acquire) && !self.is_prepared(number)
    }

    /// Whether [`Segments::begin`] has nothing to do.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Prepares the first segment after the opening, unless that was done; waits for whoever does it. Where
    /// there is no room the keeper tries again.
    pub(crate) fn begin(&self, number: u32) -> Result<(), StoreError> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !*begun {
            match self.prepare(number) {
                Ok(()) | Err(StoreError::DiskFull) => *begun = true,
                Err(error) => return Err(error),
            }
        }
        self.has_begun.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes the file for the next hot segment, zeroed or written over, under its name.
    pub(crate) fn prepare(&self, number: u32) -> Result<(), StoreError> {
        let prepared = self.prepare_file(number).map_err(StoreError::from);
        let is_full = matches!(prepared, Err(StoreError::DiskFull));
        self.lacks_room.store(is_full, Ordering::Release);
        prepared
    }

    fn prepare_file(&self, number: u32) -> io::Result<()> {
        if self.is_prepared(number) {
            return Ok(());
        }
        if self.table().spares.is_empty() {
            let spare = self.spare(true)?;
            self.table().spares.push(spare);
        }
        let _naming = self.naming();
        if self.get(number).is_some() || self.is_prepared(number) {
            // It was needed sooner, or somebody else made it: a second file would take the name away from
            // the first one.
            return Ok(());
        }
        let file = self.name(number)?;
        let segment = Arc::new(Segment::new(number, file));
        self.table().prepared.push(segment);
        Ok(())
    }

    /// The file for a hot segment: the prepared one, or one that is made now.
    pub(crate) fn take(&self, number: u32) -> io::Result<Arc<Segment>> {
        // Nobody prepares a file for a segment that has one: it would take the name away from it.
        let _naming = self.naming();
        let prepared = {
            let prepared = &mut self.table().prepared;
            let found = prepared.iter().position(|segment| segment.number == number);
            found.map(|at| prepared.swap_remove(at))
        };
        let segment = match prepared {
            Some(segment) => segment,
            None => Arc::new(Segment::new(number, self.name(number)?)),
        };
        self.insert(Arc::clone(&segment));
        Ok(segment)
    }

    /// The file for a cold segment.
    pub(crate) fn take_cold(&self, number: u32) -> io::Result<Arc<Segment>> {
        let file = self.name(number)?;
        let segment = Arc::new(Segment::new(number, file));
        self.insert(Arc::clone(&segment));
        Ok(segment)
    }

    fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a file that no segment uses yet.
    fn spare(&self, zeroed: bool) -> io::Result<(String, Arc<dyn LogFile>)> {
        let number = {
            let mut table = self.table();
            let number = table.next_spare;
            table.next_spare = number.saturating_add(1);
            number
        };
        let name = spare_name(number);
        let file = self.folder.create(&name)?;
        if zeroed && let Err(error) = zero(file.as_ref(), 0, self.size) {
            // The room that it took is better used for records.
            self.folder.remove(&name)?;
            return Err(error);
        }
        Ok((name, file))
    }

    /// Gives a file that no segment uses the name of one, durably.
    fn name(&self, number: u32) -> io::Result<Arc<dyn LogFile>> {
        let used = self.table().spares.pop();
        let (spare, file) = match used {
            Some(used) => used,
            None => self.spare(false)?,
        };
        self.folder.rename(&spare, &segment_name(number))?;
        self.folder.sync()?;
        Ok(file)
    }

    /// Takes a segment that nothing refers to out of use. Answers whether that was possible: not
    /// while somebody reads it. Up to `spares_max` files are kept for the next segments, which need no
    /// zeros then; the others are removed.
    pub(crate) fn free(&self, number: u32, spares_max: usize) -> io::Result<bool> {
        let (segment, spare) = {
            let mut table = self.table();
            match table.open.get(&number) {
                Some(segment) if Arc::strong_count(segment) > 1 => return Ok(false),
                Some(_) => {}
                None => return Ok(true),
            }
            let segment = table.open.remove(&number);
            let number = table.next_spare;
            table.next_spare = number.saturating_add(1);
            (segment, (table.spares.len() < spares_max).then_some(number))
        };
        let Some(segment) = segment else {
            return Ok(true);
        };
        let name = segment_name(number);
        // What does not end with the segment was not prepared, or copied to: what is missing is added.
        let filled = match spare {
            Some(_) => zero(segment.file.as_ref(), segment.file.length()?, self.size),
            None => Ok(()),
        };
        let has_room = match filled.as_ref().map_err(StoreError::from) {
            Ok(()) => true,
            Err(StoreError::DiskFull) => false,
            Err(_) => return filled.map(|()| true),
        };
        match spare.filter(|_| has_room) {
            Some(spare) => {
                let spare = spare_name(spare);
                self.folder.rename(&name, &spare)?;
                self.table().spares.push((spare, Arc::clone(&segment.file)));
            }
            None => self.folder.remove(&name)?,
        }
        Ok(true)
    }
}

impl Segments {
    /// Removes the files that are kept for the next segments, but for so many.
    pub(crate) fn trim_spares(&self, spares_max: usize) -> io::Result<()> {
        loop {
            let last = {
                let mut table = self.table();
                if table.spares.len() <= spares_max {
                    return Ok(());
                }
                table.spares.pop()
            };
            if let Some((name, _)) = last {
                self.folder.remove(&name)?;
            }
        }
    }
}

/// Fills a file with zeros from an offset up to a size, durably.
fn zero(file: &dyn LogFile, from: u64, size: u32) -> io::Result<()> {
    let size = u64::from(size);
    let zeros = vec![0; ZEROS.min(usize::try_from(size.saturating_sub(from)).unwrap_or(ZEROS))];
    let step = u64::try_from(zeros.len()).unwrap_or(u64::MAX).max(1);
    let mut at = from;
    while at < size {
        let left = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX);
        let part = zeros.get(..left.min(zeros.len())).unwrap_or_default();
        file.write_vectored_at(&[IoSlice::new(part)], at)?;
        file.sync_data()?;
        at = at.saturating_add(step);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::memory::{MemoryFolder, Trouble};
    use super::*;

    /// A segment begins before its first batch is written. The one after it is prepared meanwhile.
    #[test]
    fn what_was_prepared_is_taken_although_more_was_prepared() {
        let folder = MemoryFolder::new();
        let segments = Segments::new(Arc::new(folder.clone()), 4096);
        segments.prepare(1).unwrap();
        segments.prepare(2).unwrap();
        assert!(segments.is_prepared(2) && !segments.is_prepared(3));
        let calls = folder.call_count();
        // Whoever was slower takes no name away.
        segments.prepare(2).unwrap();
        assert_eq!(folder.call_count(), calls, "nothing was made anew");
        for number in [1, 2] {
            let segment = segments.take(number).unwrap();
            assert_eq!(segment.file.length().unwrap(), 4096);
        }
        assert_eq!(folder.call_count(), calls, "nothing was made anew");
        assert!(!segments.is_prepared(2));
    }
    /// A segment that was not prepared ends with its last record.
    #[test]
    fn a_segment_that_ends_early_is_filled_and_used_again() {
        let folder = MemoryFolder::new();
        let segments = Segments::new(Arc::new(folder.clone()), 4096);
        let file = segments.take(1).unwrap().file.clone();
        file.write_vectored_at(&[IoSlice::new(&[7; 100])], 0)
            .unwrap();
        assert!(segments.free(1, 1).unwrap());
        segments.prepare(2).unwrap();
        let second = segments.take(2).unwrap();
        assert_eq!(second.file.length().unwrap(), 4096);
        let mut bytes = [1; 4096];
        second.file.read_at(&mut bytes, 0).unwrap();
        assert!(bytes[..100] == [7; 100] && bytes[100..] == [0; 3996]);
        assert!(!folder.list().unwrap().contains(&segment_name(1)));
    }

    /// Where there is no room to fill it, it gives back what it takes.
    #[test]
    fn on_a_full_disk_a_segment_that_ends_early_is_removed() {
        let folder = MemoryFolder::new();
        let segments = Segments::new(Arc::new(folder.clone()), 4096);
        segments.take(1).unwrap();
        folder.set_trouble(Some((0, Trouble::DiskFull)));
        assert!(segments.free(1, 1).unwrap());
        assert!(folder.list().unwrap().is_empty());
    }
    /// Linux reports a write that was lost once for each open file.
    #[test]
    fn after_a_sync_that_failed_no_sync_of_the_segment_succeeds() {
        let folder = MemoryFolder::new();
        let segment = Segment::new(1, folder.create("a").unwrap());
        segment.sync().unwrap();
        folder.set_trouble(Some((0, Trouble::SyncLoses)));
        assert!(segment.sync().is_err());
        folder.set_trouble(None);
        assert!(segment.sync().is_err());
    }
}
