// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Syncs that fail, lose what they were to keep, or do not end.

use std::io::{self, IoSlice};
use std::sync::{Condvar, Mutex};

use super::super::file::LogFile;
use super::*;

/// The operating system takes pages that it could not write for clean: they are read, and lost when the
/// power is cut, whatever later syncs say. What an opening shows after that has to be written anew.
#[test]
fn what_is_shown_after_a_sync_that_lost_it_is_durable() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 1..=20 {
        send(&log, 1, number, 900);
    }
    // The keeper has nothing to sync any more.
    log.tidy_up().unwrap();
    folder.set_trouble(Some((0, Trouble::SyncLoses)));
    let lost = deliver(&log, 1, 21, 100).unwrap();
    assert_eq!(wait(lost.durable()), Err(StoreError::Stopped));
    drop(log);
    folder.set_trouble(None);

    let log = open(&folder);
    let shown = contents(&log, 1);
    assert!(shown.len() >= 20);
    let cut = open(&folder.after_power_cut(Loss::All));
    assert_eq!(contents(&cut, 1), shown);
}

/// Opens at any point of the life of a log whose syncs begin to lose what they were to keep.
#[test]
fn no_opening_after_lost_syncs_shows_what_a_power_cut_takes() {
    for calls in 0..40 {
        let folder = MemoryFolder::new();
        let log = open(&folder);
        folder.set_trouble(Some((calls, Trouble::SyncLoses)));
        let mut accepted = Vec::new();
        for number in 0..30 {
            let Ok(committed) = deliver(&log, 1, number, 900) else {
                break;
            };
            if wait(committed.durable()).is_err() {
                break;
            }
            accepted.push((u64::from(number) + 1, number));
        }
        drop(log);
        folder.set_trouble(None);
        let log = open(&folder);
        let shown = contents(&log, 1);
        assert!(shown.starts_with(&accepted), "after {calls} calls");
        let cut = open(&folder.after_power_cut(Loss::All));
        assert_eq!(contents(&cut, 1), shown, "after {calls} calls");
    }
}

/// A folder whose files are synced only while the gate is open.
#[derive(Clone, Default)]
struct Gated {
    folder: MemoryFolder,
    is_shut: Arc<(Mutex<bool>, Condvar)>,
}

impl Gated {
    fn set_shut(&self, is_shut: bool) {
        *self.is_shut.0.lock().unwrap() = is_shut;
        self.is_shut.1.notify_all();
    }

    fn file(&self, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(GatedFile {
            file,
            is_shut: Arc::clone(&self.is_shut),
        })
    }
}

impl LogFolder for Gated {
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(self.folder.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(LogFolder::open(&self.folder, name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn sync(&self) -> io::Result<()> {
        self.folder.sync()
    }
}

struct GatedFile {
    file: Arc<dyn LogFile>,
    is_shut: Arc<(Mutex<bool>, Condvar)>,
}

impl LogFile for GatedFile {
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.file.write_vectored_at(parts, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let shut = self.is_shut.0.lock().unwrap();
        drop(self.is_shut.1.wait_while(shut, |is_shut| *is_shut).unwrap());
        self.file.sync_data()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

/// [BOX-74]. What was written and is not synced waits too: a disk that stands still holds no more memory than
/// is said, and refuses with a time.
#[test]
fn while_a_sync_does_not_end_no_more_is_taken_than_is_said() {
    const SIZE: usize = 1024 * 1024;
    let folder = Gated::default();
    let options = LogOptions {
        segment_size: 40 * 1024 * 1024,
        ..options()
    };
    let log = DeliveryLog::open(Arc::new(folder.clone()), &options).unwrap();
    let log = log.log;
    send(&log, 1, 0, 100);
    folder.set_shut(true);
    let mut waiting = Vec::new();
    let refused = loop {
        match log.admit() {
            Ok(()) => {}
            Err(refused) => break refused,
        }
        let number = u32::try_from(waiting.len()).unwrap() + 1;
        let written = folder.folder.write_count();
        waiting.push(deliver(&log, 1, number, SIZE).unwrap());
        assert!(waiting.len() <= LOG_QUEUE_BYTES_MAX / SIZE + 1);
        // Everything is written while the first of them is synced.
        while folder.folder.write_count() == written {
            std::thread::yield_now();
        }
    };
    assert!(matches!(refused, StoreError::Busy { retry_after_ms } if retry_after_ms > 0));
    assert_eq!(waiting.len(), LOG_QUEUE_BYTES_MAX / SIZE);
    folder.set_shut(false);
    for committed in waiting {
        wait(committed.durable()).unwrap();
    }
    assert_eq!(log.admit(), Ok(()));
}
