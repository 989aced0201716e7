// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files that an earlier process had made for segments to come: an opening uses them, and so finds its first
//! segment prepared, also on a full disk.
//!
//! Such a file gets a number that no segment has had. What it may hold, be it of a batch that power
//! was cut from, is then never taken for a record: records are bound to the number of their segment.

use std::io;
use std::sync::{Arc, PoisonError};

use super::{Segment, Segments, number_in, segment_name, spare_name};
use crate::StoreError;
use crate::log::format::{Place, SEGMENT_HEADER, SegmentHeader};
use crate::log::index::{COLD_FIRST, Index};

/// Files without a segment that an opening keeps; those beyond are removed.
const SPARES_MAX: usize = 4;

impl Segments {
    /// Keeps what was made for segments to come, and prepares the next one with it. Whoever calls makes the
    /// names durable after that, before anything is written. `tail` is where the log ends.
    pub(crate) fn keep_leftovers(
        &self,
        index: &Index,
        tail: Place,
        next_hot: u32,
    ) -> io::Result<()> {
        let names = self.folder.list()?;
        let is_spare = |name: &String| number_in(name, "spare").is_some();
        let mut spares: Vec<String> = names.into_iter().filter(is_spare).collect();
        let last = spares.last().and_then(|name| number_in(name, "spare"));
        let mut next_spare = last.map_or(0, |last| last.saturating_add(1));
        for number in self.numbers() {
            // What is before the end of the log was written. The index knows of what is wanted in mailboxes that
            // are unpacked; those that are packed hold nothing behind that end.
            let may_be_unused =
                number > tail.segment && number < COLD_FIRST && !index.live.contains_key(&number);
            if may_be_unused && self.has_not_begun(number)? {
                let spare = spare_name(next_spare);
                next_spare = next_spare.saturating_add(1);
                self.table().open.remove(&number);
                self.folder.rename(&segment_name(number), &spare)?;
                spares.push(spare);
            }
        }
        self.table().next_spare = next_spare;
        let mut kept = 0_usize;
        // The newest first: they had been prepared.
        for name in spares.iter().rev() {
            let file = self.folder.open(name)?;
            let is_wanted = kept < SPARES_MAX && file.length()? >= u64::from(self.size);
            // Whoever made it may have been killed before its room was certain.
            if !is_wanted || !has_room(file.sync_data())? {
                self.folder.remove(name)?;
                continue;
            }
            kept = kept.saturating_add(1);
            if kept > 1 {
                self.table().spares.push((name.clone(), file));
                continue;
            }
            self.folder.rename(name, &segment_name(next_hot))?;
            let segment = Arc::new(Segment::new(next_hot, file));
            self.table().prepared.push(segment);
        }
        // BOX-74.
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = kept > 0;
        Ok(())
    }

    /// Whether a file with the name of a segment is whole and its header was never written.
    fn has_not_begun(&self, number: u32) -> io::Result<bool> {
        let Some(segment) = self.get(number) else {
            return Ok(false);
        };
        let mut header = [0; SEGMENT_HEADER];
        if segment.file.read_at(&mut header, 0).is_err() {
            // What it holds is unknown.
            return Ok(false);
        }
        let is_whole = segment.file.length()? >= u64::from(self.size);
        Ok(is_whole && SegmentHeader::is_missing(&header, number))
    }
}

/// Whether a sync succeeded; not where the disk had no room for what it had taken.
fn has_room(synced: io::Result<()>) -> io::Result<bool> {
    match synced {
        Ok(()) => Ok(true),
        Err(error) if StoreError::from(&error) == StoreError::DiskFull => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;
    use crate::log::file::LogFolder;
    use crate::log::format::Stream;
    use crate::log::memory::MemoryFolder;

    const SIZE: usize = 4096;

    fn file(folder: &MemoryFolder, name: &str, bytes: &[u8]) {
        let file = folder.open(name).or_else(|_| folder.create(name)).unwrap();
        file.write_vectored_at(&[IoSlice::new(bytes)], 0).unwrap();
    }

    fn header(number: u32) -> Vec<u8> {
        let header = SegmentHeader {
            stream: Stream::Hot,
            number,
            previous: 0,
            previous_end: 0,
        };
        let mut bytes = header.encode(&[3; 16]).to_vec();
        bytes.resize(SIZE, 0x77);
        bytes
    }

    #[test]
    fn whole_files_are_kept_up_to_a_bound_and_get_new_numbers() {
        let folder = MemoryFolder::new();
        for number in 2..8 {
            file(&folder, &spare_name(number), &[0; SIZE]);
        }
        file(&folder, &spare_name(9), &[0; SIZE - 1]);
        // Written, used before for another one, begun and damaged, prepared.
        file(&folder, &segment_name(4), &header(4));
        file(&folder, &segment_name(5), &header(2));
        let mut damaged = header(6);
        damaged[40] ^= 1;
        file(&folder, &segment_name(6), &damaged);
        file(&folder, &segment_name(7), &[0; SIZE]);
        file(&folder, &segment_name(8), &[0; SIZE - 1]);
        let size = u32::try_from(SIZE).unwrap();
        let segments = Segments::new(Arc::new(folder.clone()), size);
        for number in 4..9 {
            let file = folder.open(&segment_name(number)).unwrap();
            segments.insert(Arc::new(Segment::new(number, file)));
        }
        let tail = Place {
            segment: 4,
            offset: 100,
        };
        segments.keep_leftovers(&Index::default(), tail, 9).unwrap();
        let names = folder.list().unwrap();
        let expected = [4, 6, 8, 9].map(segment_name);
        let is_segment = |name: &&String| name.ends_with("segment");
        assert!(names.iter().filter(is_segment).eq(&expected), "{names:?}");
        assert_eq!(names.len(), expected.len() + SPARES_MAX - 1, "{names:?}");
        assert!(segments.is_prepared(9));
        assert_eq!(segments.numbers(), [4, 6, 8]);
        // The first step waits for nothing, and no name is used twice.
        let calls = folder.call_count();
        segments.begin(9).unwrap();
        assert_eq!(folder.call_count(), calls);
        for number in 10..16 {
            segments.prepare(number).unwrap();
        }
        for number in 9..16 {
            assert_eq!(segments.take(number).unwrap().file.length().unwrap(), 4096);
        }
    }
}
