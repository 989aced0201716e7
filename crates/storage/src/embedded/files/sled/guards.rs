// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening sled 0.34.7 with its guards.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::StoreError;
use crate::platform;
use crate::syncer::Syncer;

/// How often an open waits for the threads of the store that was closed just before.
const LOCK_TRIES: u32 = 200;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// Opens sled in `path` and a second handle of its file (G1).
pub(super) fn open(
    path: &Path,
    cache_bytes: u64,
    syncer: &dyn Syncer,
) -> Result<(sled::Db, File), StoreError> {
    fs::create_dir_all(path)?;
    drop_half_snapshots(path)?;
    // G6: the kernel reports a write that the device lost to each handle that was open then, once.
    // sled's own may hear of it in a place where sled forgets it; this one is open before sled.
    let db = path.join("db");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&db)?;
    let config = || {
        sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            .use_compression(false)
    };
    let tree = match open_when_unlocked(&config()) {
        // G4: sled gives up on a bad snapshot, although its log alone is enough.
        Err(sled::Error::Corruption { .. }) if set_snapshots_aside(path)? => {
            tracing::warn!("a snapshot of the store was damaged; it is rebuilt from the log");
            open_when_unlocked(&config())
        }
        result => result,
    }
    .map_err(|error| failure(&error))?;
    // G2: sled syncs none of the files that it makes, and a torn `conf` cannot be opened again.
    syncer.sync_new(&File::open(path.join("conf"))?)?;
    syncer.sync_new(&file)?;
    platform::sync_folder(path)?;
    platform::sync_folder(path.parent().unwrap_or(path))?;
    Ok((tree, file))
}

/// sled's threads let go of its file a moment after it was closed. The lock of our own folder is
/// held here, so no other process is in the way.
///
/// # Errors
/// sled's.
pub(in crate::embedded) fn open_when_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    let is_locked = |error: &sled::Error| match error {
        sled::Error::Io(error) => error.to_string().contains("could not acquire lock"),
        _ => false,
    };
    for _ in 1..LOCK_TRIES {
        match config.open() {
            Err(error) if is_locked(&error) => std::thread::park_timeout(LOCK_WAIT),
            result => return result,
        }
    }
    config.open()
}

/// G3: sled takes a snapshot that is still being written for the newest one, and fails on it.
fn drop_half_snapshots(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Renames the snapshots so that sled no longer finds them. Answers whether there were any.
fn set_snapshots_aside(path: &Path) -> io::Result<bool> {
    let mut found = false;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(rest) = name.to_string_lossy().strip_prefix("snap.") {
            fs::rename(entry.path(), path.join(format!("damaged-snap.{rest}")))?;
            found = true;
        }
    }
    Ok(found)
}

/// Syncs what sled has put beside its log, if it has.
pub(super) fn sync_blobs(
    path: &Path,
    sync_folder: &dyn Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let blobs = path.join("blobs");
    let mut found = false;
    for entry in fs::read_dir(&blobs)? {
        match File::open(entry?.path()) {
            Ok(file) => file.sync_all()?,
            // sled deletes blobs that it has replaced.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        found = true;
    }
    if found {
        sync_folder(&blobs)?;
    }
    Ok(())
}

/// sled's error as ours.
pub(super) fn failure(error: &sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => StoreError::from(error),
        sled::Error::Corruption { .. } => StoreError::Corrupt { what: "sled" },
        sled::Error::Unsupported(_) => StoreError::Corrupt {
            what: "sled's configuration",
        },
        _ => StoreError::Bug("sled"),
    }
}
