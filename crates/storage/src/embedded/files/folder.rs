// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The folder of a store: its lock, the mark that a store was made, and migrations on a copy.
//!
//! `lock` is locked while the store is open; `made` says that there is a store; `sled` (or the name of
//! another engine) are its rows, `log` the delivery log of a server's, and `rows` its row journal; `sled.copy` and `log.copy` are
//! such that are being made, to take their place; `sled.format-N` is what was migrated; `sled.refused-N`
//! is what could not be opened; `sled.unfinished` is what a first start left that was cut.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::EngineKind;
use crate::{StoreError, platform};

const LOCK: &str = "lock";
const MARK: &str = "made";
const LOG: &str = "log";
const LOG_COPY: &str = "log.copy";
const JOURNAL: &str = "rows";
/// Every engine that there is, in this program or another.
const ENGINES: &[&str] = &["sled", "redb"];

/// A folder that this process has for itself.
pub(super) struct Folder {
    path: PathBuf,
    engine: &'static str,
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
    pub(super) fn lock(path: &Path, engine: EngineKind) -> Result<Self, StoreError> {
        platform::private_folder(path)?;
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                engine: engine.name(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::StoreInUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// A file or folder of the engine's.
    fn of_engine(&self, what: &str) -> PathBuf {
        self.path.join(format!("{}{what}", self.engine))
    }

    /// Where the rows are.
    pub(super) fn current(&self) -> PathBuf {
        self.of_engine("")
    }

    /// Where rows are made that are to take their place.
    pub(super) fn copy(&self) -> PathBuf {
        self.of_engine(".copy")
    }

    /// Beside a copy that is complete: all that is missing are the renames.
    fn copy_ready(&self) -> PathBuf {
        self.of_engine(".copy-ready")
    }

    /// Makes sure that no other engine has the rows.
    pub(super) fn check_engine(&self) -> Result<(), StoreError> {
        let other = ENGINES
            .iter()
            .find(|name| **name != self.engine && self.path.join(name).exists());
        match other {
            Some(found) if !self.current().exists() => Err(StoreError::OtherEngine { found }),
            _ => Ok(()),
        }
    }

    /// Where the delivery log is.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where the row journal is.
    pub(super) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// What rows that are set aside may be called: this, and a number.
    pub(super) fn free_name(&self, what: &str) -> String {
        (1_u32..)
            .map(|number| format!("{what}-{number}"))
            .find(|name| !self.of_engine(&format!(".{name}")).exists())
            .unwrap_or_else(|| what.to_owned())
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
        let aside = self.of_engine(".unfinished");
        if aside.exists() {
            fs::remove_dir_all(&aside)?;
        }
        fs::rename(self.current(), aside)?;
        platform::sync_folder(&self.path)
    }

    /// Copies the rows. The copy of an earlier attempt is thrown away.
    pub(super) fn begin_migration(&self) -> io::Result<()> {
        self.drop_copies()?;
        copy_folder(&self.current(), &self.copy())
    }

    /// Throws away the copies of an earlier attempt.
    pub(super) fn drop_copies(&self) -> io::Result<()> {
        for left in [self.copy(), self.log_copy()] {
            if left.exists() {
                fs::remove_dir_all(&left)?;
            }
        }
        Ok(())
    }

    /// Puts the copy in the place of the rows, which are kept as `sled.KEPT`.
    pub(super) fn end_replacement(&self, kept: &str) -> io::Result<()> {
        let ready = self.copy_ready();
        fs::write(&ready, kept)?;
        File::open(&ready)?.sync_all()?;
        platform::sync_folder(&self.path)?;
        self.finish_replacement()
    }

    /// Does the renames that are left, of this process or of one that was killed between them.
    pub(super) fn finish_replacement(&self) -> io::Result<()> {
        let ready = self.copy_ready();
        let kept = match fs::read_to_string(&ready) {
            // As it was written before there was anything but migrations.
            Ok(from) if from.bytes().all(|byte| byte.is_ascii_digit()) => format!("format-{from}"),
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        // A log is made only where there is none.
        if self.log_copy().exists() {
            fs::rename(self.log_copy(), self.log())?;
        }
        if self.copy().exists() {
            if self.current().exists() {
                let kept = self.of_engine(&format!(".{kept}"));
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
        let folder = Folder::lock(&path, EngineKind::Sled).unwrap();
        assert!(matches!(
            Folder::lock(&path, EngineKind::Sled),
            Err(StoreError::StoreInUse)
        ));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        drop(folder);
        assert!(Folder::lock(&path, EngineKind::Sled).is_ok());
    }

    #[test]
    fn a_migration_that_was_cut_between_its_renames_is_finished() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::lock(place.path(), EngineKind::Sled).unwrap();
        fs::create_dir(folder.current()).unwrap();
        fs::write(folder.current().join("db"), "old").unwrap();
        folder.begin_migration().unwrap();
        fs::write(folder.copy().join("db"), "new").unwrap();
        // The first rename was done, and the process killed.
        fs::write(place.path().join("sled.copy-ready"), "1").unwrap();
        fs::rename(folder.current(), place.path().join("sled.format-1")).unwrap();
        folder.finish_replacement().unwrap();
        assert_eq!(fs::read(folder.current().join("db")).unwrap(), b"new");
        let kept = place.path().join("sled.format-1/db");
        assert_eq!(fs::read(kept).unwrap(), b"old");
        assert!(!folder.copy().exists());
        folder.finish_replacement().unwrap();
    }

    #[test]
    fn a_copy_that_was_never_ready_is_thrown_away() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::lock(place.path(), EngineKind::Sled).unwrap();
        fs::create_dir_all(folder.current().join("blobs")).unwrap();
        fs::create_dir_all(folder.copy()).unwrap();
        fs::write(folder.copy().join("rest"), "").unwrap();
        folder.finish_replacement().unwrap();
        folder.begin_migration().unwrap();
        assert!(folder.copy().join("blobs").exists());
        assert!(!folder.copy().join("rest").exists());
    }
}
