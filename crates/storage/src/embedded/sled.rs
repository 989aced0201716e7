// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stores on files: sled 0.34.7 with guards, since its `flush` alone is no durability.
//!
//! One tree; one committer thread that takes whatever is queued, applies it, and makes it durable
//! with one flush and one `fdatasync`. Guards by number, from the audit of sled 0.34.7's source:
//! G1 the `fdatasync` of a second handle of `db`; G2 new files are synced before anything is
//! acknowledged, and torn ones of a store that never was are set aside; G3 half-written snapshots are deleted before opening; G4 a bad snapshot is moved
//! aside once; G5 no row is so large that sled would put a page into a file that it never syncs;
//! G6 the first error of any kind stops the store for good; G7 a flush that sled would let wait for
//! ever after an error is woken.

mod committer;
mod folder;
mod guards;
pub(super) mod platform;
mod waking;
mod witness;

use core::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;

use self::committer::Shared;
use self::folder::Folder;
use self::witness::Witness;
use super::client::{self, EmbeddedClientStore};
use super::format::{COUNT_KEY, Format, Found as FormatFound};
use super::key_value::{Batch, Found, KeyRange, KeyValue, Order, Scan};
use super::logged::{self, LoggedKeyValue, Verification};
use super::server::{self, EmbeddedStore, ServerOptions};
use crate::StoreError;
use crate::log::Verified;
use crate::log::disk::DiskFolder;
use crate::syncer::{SyncData, Syncer};

/// How files are used.
#[derive(Clone)]
pub struct FileOptions {
    /// What sled may keep in memory, in bytes. It takes about twice as much.
    pub cache_bytes: u64,
    /// What makes sled's file durable.
    pub syncer: Arc<dyn Syncer>,
    /// What makes the files of the delivery log durable.
    pub log_syncer: Arc<dyn Syncer>,
    /// The size of a segment of the delivery log, in bytes; `None` for the usual one.
    pub segment_size: Option<u32>,
}

impl Default for FileOptions {
    /// 32 MiB, and `fdatasync`.
    fn default() -> Self {
        Self {
            cache_bytes: 32 * 1024 * 1024,
            syncer: Arc::new(SyncData),
            log_syncer: Arc::new(SyncData),
            segment_size: None,
        }
    }
}

/// Opens the server's store in `folder`, which is made (mode 0700) where it is not there.
///
/// A store of an older format is migrated on a copy; the old files stay beside it.
///
/// # Errors
/// [`StoreError::StoreInUse`], [`StoreError::NewerFormat`], [`StoreError::OlderFormat`],
/// [`StoreError::Corrupt`], [`StoreError::Io`], [`StoreError::DiskFull`].
pub async fn open_server(
    folder: &Path,
    options: ServerOptions,
    files: FileOptions,
) -> Result<EmbeddedStore<LoggedKeyValue>, StoreError> {
    let path = folder;
    let folder = Folder::lock(path)?;
    folder.finish_migration()?;
    let is_made = folder.has_mark() && folder.log().exists();
    let format = server::format();
    let mut store = open_tables(&folder, &files, None)?;
    match format.find(&store)? {
        // sled takes a file that it cannot read for an empty one; the mark says that it is not.
        FormatFound::Empty if folder.has_mark() => {
            return Err(StoreError::Corrupt { what: "sled" });
        }
        FormatFound::Empty => format.write(&store).await?,
        FormatFound::Current if folder.has_mark() && !is_made => {
            return Err(StoreError::Corrupt { what: "log" });
        }
        FormatFound::Current => {}
        FormatFound::Older(from) => {
            drop(store);
            folder.begin_migration()?;
            let copy = SledKeyValue::open(&folder.copy(), &files)?;
            let log = logged::open_log(&folder.log_copy(), &options, &files)?;
            logged::move_mailboxes(&copy, &log).await?;
            drop(log);
            format.migrate(&copy, from).await?;
            drop(copy);
            folder.end_migration(from)?;
            store = SledKeyValue::open(&folder.current(), &files)?;
        }
    }
    let log = folder.log();
    store.folder = Some(folder);
    let rows = LoggedKeyValue::open(store, &log, &options, is_made, &files).await?;
    folder::mark(path)?;
    EmbeddedStore::open(rows, options).await
}

/// Reads every record of a server's store that nobody has open, and changes none. A log that is cut
/// short or rows that are behind it are no damage.
///
/// # Errors
/// As [`open_server`].
pub fn verify_server(folder: &Path, files: FileOptions) -> Result<Verification, StoreError> {
    let folder = Folder::lock(folder)?;
    let log = if folder.log().exists() {
        crate::log::verify(&DiskFolder::new(&folder.log())?)?
    } else {
        Verified::default()
    };
    let (rows, damaged_rows) = if folder.current().exists() {
        logged::verify_rows(&SledKeyValue::open(&folder.current(), &files)?)?
    } else {
        (0, 0)
    };
    Ok(Verification {
        log,
        rows,
        damaged_rows,
    })
}

/// Opens the client's store in `folder`, as [`open_server`] does the server's. Where sled has lost
/// commits, [`ClientStore::is_behind`](crate::client::ClientStore::is_behind) says so.
///
/// # Errors
/// As [`open_server`].
pub async fn open_client(
    folder: &Path,
    files: FileOptions,
) -> Result<EmbeddedClientStore<SledKeyValue>, StoreError> {
    EmbeddedClientStore::open(open(folder, client::format(), files).await?).await
}

/// Whether a store was made in `folder`.
#[must_use]
pub fn exists(folder: &Path) -> bool {
    folder::is_marked(folder)
}

/// Opens the tables of a store whose folder is locked, with a witness in `witnessed` if there is to be one.
fn open_tables(
    folder: &Folder,
    files: &FileOptions,
    witnessed: Option<&Path>,
) -> Result<SledKeyValue, StoreError> {
    match SledKeyValue::open_with(&folder.current(), files, witnessed) {
        // sled tears its own first files when the power is cut while it makes them (G2). Without
        // the mark nothing was ever acknowledged, so a new store takes their place.
        Err(StoreError::Corrupt { .. }) if !folder.has_mark() => {
            folder.set_unfinished_aside()?;
            SledKeyValue::open_with(&folder.current(), files, witnessed)
        }
        opened => opened,
    }
}

async fn open(
    folder: &Path,
    format: Format<SledKeyValue>,
    files: FileOptions,
) -> Result<SledKeyValue, StoreError> {
    let path = folder.to_owned();
    let folder = Folder::lock(folder)?;
    folder.finish_migration()?;
    let mut store = open_tables(&folder, &files, Some(&path))?;
    match format.find(&store)? {
        // sled takes a file that it cannot read for an empty one; the mark says that it is not.
        FormatFound::Empty if folder.has_mark() => {
            return Err(StoreError::Corrupt { what: "sled" });
        }
        FormatFound::Empty => format.write(&store).await?,
        FormatFound::Current => {}
        FormatFound::Older(from) => {
            drop(store);
            folder.begin_migration()?;
            let copy = SledKeyValue::open(&folder.copy(), &files)?;
            format.migrate(&copy, from).await?;
            drop(copy);
            folder.end_migration(from)?;
            store = SledKeyValue::open_with(&folder.current(), &files, Some(&path))?;
        }
    }
    folder::mark(&path)?;
    store.folder = Some(folder);
    Ok(store)
}

/// sled, guarded.
pub struct SledKeyValue {
    is_behind: bool,
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
    /// Holds the lock of the folder; dropped after sled.
    folder: Option<Folder>,
}

impl SledKeyValue {
    pub(super) fn open(path: &Path, files: &FileOptions) -> Result<Self, StoreError> {
        Self::open_with(path, files, None)
    }

    fn open_with(
        path: &Path,
        files: &FileOptions,
        witnessed: Option<&Path>,
    ) -> Result<Self, StoreError> {
        let (tree, file) = guards::open(path, files.cache_bytes, files.syncer.as_ref())?;
        let witness = match witnessed {
            Some(folder) => {
                let count = tree
                    .get(COUNT_KEY)
                    .map_err(|error| guards::failure(&error))?;
                Some(Witness::open(folder, count.as_deref())?)
            }
            None => None,
        };
        let is_behind = witness.as_ref().is_some_and(Witness::is_behind);
        if is_behind {
            tracing::error!(code = "store_corrupt", "sled has lost commits");
        }
        let shared = Arc::new(Shared::new(tree));
        let committer = committer::start(
            Arc::clone(&shared),
            file,
            Arc::clone(&files.syncer),
            path.to_owned(),
            witness,
        )?;
        Ok(Self {
            is_behind,
            shared,
            committer: Some(committer),
            folder: None,
        })
    }
}

impl SledKeyValue {
    /// Takes a batch and returns when it is durable. Blocks the thread.
    pub(super) fn apply_blocking(&self, batch: Batch) -> Result<(), StoreError> {
        match self.shared.queue(batch)? {
            Some(durable) => durable.blocking_recv().unwrap_or(Err(StoreError::Stopped)),
            None => Ok(()),
        }
    }
}

impl Drop for SledKeyValue {
    /// Makes everything durable that was queued, and closes the files.
    fn drop(&mut self) {
        self.shared.close();
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!(code = "store_bug", "the committer panicked");
        }
        self.shared.drop_tree();
        self.folder = None;
    }
}

impl KeyValue for SledKeyValue {
    fn is_behind(&self) -> bool {
        self.is_behind
    }

    fn get(&self, key: &[u8]) -> Result<Found, StoreError> {
        self.shared.get(key)
    }

    fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Scan, StoreError> {
        self.shared.scan(range, order, limit)
    }

    fn apply(&self, batch: Batch) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let queued = self.shared.queue(batch);
        async move {
            match queued? {
                Some(durable) => durable.await.unwrap_or(Err(StoreError::Stopped)),
                None => Ok(()),
            }
        }
    }
}

fn bytes(value: &sled::IVec) -> Bytes {
    Bytes::copy_from_slice(value)
}

#[cfg(test)]
mod tests;
