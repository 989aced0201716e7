// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The folder of a store: its lock, the mark that a store was made, and migrations on a copy.
//!
//! `lock` is locked while the store is open; `made` says that there is a store; `sled` is the store, and
//! `log` the delivery log of a server's; `sled.copy` and `log.copy` are such that are being made by a
//! migration; `sled.format-N` is what was migrated; `sled.unfinished` is what a first start left that was
//! cut.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::platform;
use crate::StoreError;

const LOCK: &str = "lock";
const MARK: &str = "made";
const CURRENT: &str = "sled";
const COPY: &str = "sled.copy";
const LOG: &str = "log";
const LOG_COPY: &str = "log.copy";
/// What was there when a store was to be made and was never finished.
const UNFINISHED: &str = "sled.unfinished";
/// Beside a copy that is complete and migrated: all that is missing are the renames.
const COPY_READY: &str = "sled.copy-ready";

/// A folder that this process has for itself.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Whether a store was made in a folder.
pub(super) fn is_marked(path: &Path) -> bool {
    path.join(MARK).exists()
}

/// Says durably that there is a store.
pub(super) fn mark(path: &Path) -> io::Result<()> {
    if !is_marked(path) {
        File::create(path.join(MARK))?.sync_all()?;
        platform::sync_folder(path)?;
        platform::sync_folder(path.parent().unwrap_or(path))?;
    }
    Ok(())
}

impl Folder {
    /// Makes the folder where it is not there, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreError> {
        platform::private_folder(path)?;
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::StoreInUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Where the store is.
    pub(super) fn current(&self) -> PathBuf {
        self.path.join(CURRENT)
    }

    /// Where a store is migrated.
    pub(super) fn copy(&self) -> PathBuf {
        self.path.join(COPY)
    }

    /// Where the delivery log is.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where a delivery log is made by a migration.
    pub(super) fn log_copy(&self) -> PathBuf {
        self.path.join(LOG_COPY)
    }

    pub(super) fn has_mark(&self) -> bool {
        is_marked(&self.path)
    }

    /// Moves files out of the way that were never a store. They are not deleted, in case the mark was.
    pub(super) fn set_unfinished_aside(&self) -> io::Result<()> {
        let aside = self.path.join(UNFINISHED);
        if aside.exists() {
            fs::remove_dir_all(&aside)?;
        }
        fs::rename(self.current(), aside)?;
        platform::sync_folder(&self.path)
    }

    /// Copies the store. The copy of an earlier attempt is thrown away.
    pub(super) fn begin_migration(&self) -> io::Result<()> {
        let copy = self.copy();
        for left in [&copy, &self.log_copy()] {
            if left.exists() {
                fs::remove_dir_all(left)?;
            }
        }
        copy_folder(&self.current(), &copy)
    }

    /// Puts the migrated copy in the store's place.
    pub(super) fn end_migration(&self, from: u32) -> io::Result<()> {
        fs::write(self.path.join(COPY_READY), from.to_string())?;
        File::open(self.path.join(COPY_READY))?.sync_all()?;
        platform::sync_folder(&self.path)?;
        self.finish_migration()
    }

    /// Does the renames that are left, of this process or of one that was killed between them.
    pub(super) fn finish_migration(&self) -> io::Result<()> {
        let ready = self.path.join(COPY_READY);
        let from = match fs::read_to_string(&ready) {
            Ok(from) => from,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        // The format that is migrated from has no log, so nothing is in its way.
        if self.log_copy().exists() {
            fs::rename(self.log_copy(), self.log())?;
        }
        if self.copy().exists() {
            if self.current().exists() {
                let kept = self.path.join(format!("{CURRENT}.format-{from}"));
                if kept.exists() {
                    fs::remove_dir_all(&kept)?;
                }
                fs::rename(self.current(), kept)?;
            }
            fs::rename(self.copy(), self.current())?;
        }
        platform::sync_folder(&self.path)?;
        fs::remove_file(ready)?;
        platform::sync_folder(&self.path)
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    platform::private_folder(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    platform::sync_folder(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_private_and_locked() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        let folder = Folder::lock(&path).unwrap();
        assert!(matches!(Folder::lock(&path), Err(StoreError::StoreInUse)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        drop(folder);
        assert!(Folder::lock(&path).is_ok());
    }

    #[test]
    fn a_migration_that_was_cut_between_its_renames_is_finished() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::lock(place.path()).unwrap();
        fs::create_dir(folder.current()).unwrap();
        fs::write(folder.current().join("db"), "old").unwrap();
        folder.begin_migration().unwrap();
        fs::write(folder.copy().join("db"), "new").unwrap();
        // The first rename was done, and the process killed.
        fs::write(place.path().join(COPY_READY), "1").unwrap();
        fs::rename(folder.current(), place.path().join("sled.format-1")).unwrap();
        folder.finish_migration().unwrap();
        assert_eq!(fs::read(folder.current().join("db")).unwrap(), b"new");
        let kept = place.path().join("sled.format-1/db");
        assert_eq!(fs::read(kept).unwrap(), b"old");
        assert!(!folder.copy().exists());
        folder.finish_migration().unwrap();
    }

    #[test]
    fn a_copy_that_was_never_ready_is_thrown_away() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::lock(place.path()).unwrap();
        fs::create_dir_all(folder.current().join("blobs")).unwrap();
        fs::create_dir_all(folder.copy()).unwrap();
        fs::write(folder.copy().join("rest"), "").unwrap();
        folder.finish_migration().unwrap();
        folder.begin_migration().unwrap();
        assert!(folder.copy().join("blobs").exists());
        assert!(!folder.copy().join("rest").exists());
    }
}
