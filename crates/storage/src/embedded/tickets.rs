// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server's sealed sessions: a cache on disk, which may lose anything at any time.
//!
//! A sled of its own, so that nothing that must be durable waits for it or suffers with it. Writes are
//! flushed a fraction of a second later; a table that cannot be opened is made anew.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::files::open_when_unlocked;
use crate::platform::private_folder;

/// How late the disk may be, in milliseconds: what a killed process loses.
const FLUSH_MS: u64 = 200;
/// What sled keeps in memory, in bytes.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// The most that is read as keys, in bytes.
const KEYS_SIZE_MAX: usize = 1024;
const KEYS: &str = "keys";
const TABLE: &str = "sled";

/// The name of a row: a generation and an id.
type Name = [u8; 24];

/// Sealed sessions by generation and id, and the keys that they are sealed under, in a folder of their
/// own. Only what seals them can read them.
#[derive(Debug)]
pub struct TicketTable {
    table: sled::Db,
    keys: Mutex<File>,
    /// What removes old generations.
    sweeper: Mutex<Option<JoinHandle<()>>>,
}

impl TicketTable {
    /// Opens the table in `folder`, which is made, closed to other users, where it is not there. A table
    /// that sled refuses is deleted: what is lost with it costs each client one full handshake.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        private_folder(folder)?;
        let path = folder.join(TABLE);
        let table = match open(&path) {
            Ok(table) => table,
            Err(error) => {
                tracing::warn!(%error, "the table of session tickets is made anew");
                if path.exists() {
                    fs::remove_dir_all(&path)?;
                }
                open(&path).map_err(io::Error::other)?
            }
        };
        let keys = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join(KEYS))?;
        Ok(Self {
            table,
            keys: Mutex::new(keys),
            sweeper: Mutex::default(),
        })
    }

    /// Keeps a sealed session. It reaches the disk soon, or never.
    pub fn put(&self, generation: u64, id: [u8; 16], sealed: Vec<u8>) {
        if let Err(error) = self.table.insert(name(generation, id), sealed) {
            tracing::debug!(%error, "a session ticket was not kept");
        }
    }

    /// Gives a session out and forgets it. Of two callers at most one gets it.
    #[must_use]
    pub fn take(&self, generation: u64, id: [u8; 16]) -> Option<Vec<u8>> {
        let taken = self.table.remove(name(generation, id)).ok()??;
        Some(taken.to_vec())
    }

    /// Forgets everything, before this returns.
    pub fn clear(&self) {
        if let Err(error) = self.table.clear() {
            tracing::debug!(%error, "the table of session tickets was not cleared");
        }
    }

    /// Forgets all generations below `generation`, in a thread of its own, which waits for the one
    /// before it: the caller waits for neither.
    pub fn forget_below(&self, generation: u64) {
        let table = self.table.clone();
        let end = name(generation, [0; 16]);
        let mut sweeper = lock(&self.sweeper);
        let last = sweeper.take();
        let sweep = move || {
            if let Some(last) = last {
                let _ = last.join();
            }
            for row in table.range(..end).keys().flatten() {
                let _ = table.remove(row);
            }
        };
        *sweeper = std::thread::Builder::new()
            .name("store-tickets".to_owned())
            .spawn(sweep)
            .ok();
    }

    /// How many sessions a generation has.
    #[must_use]
    pub fn count(&self, generation: u64) -> usize {
        self.table.scan_prefix(generation.to_be_bytes()).count()
    }

    /// The keys that were kept last; `None` where there are none.
    #[must_use]
    pub fn keys(&self) -> Option<Vec<u8>> {
        let mut file = lock(&self.keys);
        // With room for all of it, so that no copy of a key is left behind when it grows.
        let mut keys = Vec::with_capacity(KEYS_SIZE_MAX + 1);
        file.seek(SeekFrom::Start(0)).ok()?;
        let limit = u64::try_from(KEYS_SIZE_MAX).ok()?;
        let read = (&mut *file).take(limit).read_to_end(&mut keys);
        read.ok().filter(|size| *size > 0)?;
        Some(keys)
    }

    /// Keeps keys, over the bytes of those before.
    pub fn replace_keys(&self, keys: &[u8]) {
        let mut file = lock(&self.keys);
        let written = (|| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(keys)?;
            file.set_len(u64::try_from(keys.len()).map_err(io::Error::other)?)?;
            file.sync_data()
        })();
        if let Err(error) = written {
            tracing::warn!(%error, "the keys of session tickets were not kept");
        }
    }
}

impl Drop for TicketTable {
    fn drop(&mut self) {
        if let Some(last) = lock(&self.sweeper).take() {
            let _ = last.join();
        }
        let _ = self.table.flush();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(path: &Path) -> sled::Result<sled::Db> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .use_compression(false)
        .flush_every_ms(Some(FLUSH_MS));
    open_when_unlocked(&config)
}

fn name(generation: u64, id: [u8; 16]) -> Name {
    let mut name = [0; 24];
    let (first, second) = name.split_at_mut(8);
    first.copy_from_slice(&generation.to_be_bytes());
    second.copy_from_slice(&id);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_and_keys_survive_and_are_given_out_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tickets");
        let table = TicketTable::open(&path).unwrap();
        assert_eq!(table.keys(), None);
        table.replace_keys(b"longer keys");
        table.replace_keys(b"keys");
        for number in 0..100 {
            table.put(7, [number; 16], vec![number; 200]);
        }
        table.put(8, [1; 16], vec![8]);
        drop(table);
        let table = TicketTable::open(&path).unwrap();
        assert_eq!(table.keys().unwrap(), b"keys");
        assert_eq!((table.count(7), table.count(8)), (100, 1));
        assert_eq!(table.take(7, [3; 16]), Some(vec![3; 200]));
        assert_eq!(table.take(7, [3; 16]), None);
        drop(table);
        let table = TicketTable::open(&path).unwrap();
        assert_eq!(table.take(7, [3; 16]), None);
        for generation in 6..=8 {
            table.forget_below(generation);
        }
        drop(table);
        let table = TicketTable::open(&path).unwrap();
        assert_eq!((table.count(7), table.count(8)), (0, 1));
        table.clear();
        assert_eq!(table.count(8), 0);
    }

    #[test]
    fn a_damaged_table_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let table = TicketTable::open(folder.path()).unwrap();
        table.put(1, [1; 16], vec![1]);
        drop(table);
        for entry in fs::read_dir(folder.path().join(TABLE)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let size = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
                fs::write(&path, vec![0xa5; size]).unwrap();
            }
        }
        let table = TicketTable::open(folder.path()).unwrap();
        assert_eq!(table.count(1), 0);
        table.put(1, [1; 16], vec![1]);
        assert_eq!(table.count(1), 1);
    }
}
