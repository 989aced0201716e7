// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The folder of a log on the operating system's files.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{LogFile, LogFolder};
use crate::platform::{private_folder, sync_folder};
use crate::syncer::{SyncData, Syncer};

/// A folder on the disk.
#[derive(Clone)]
pub struct DiskFolder {
    path: PathBuf,
    syncer: Arc<dyn Syncer>,
}

impl DiskFolder {
    /// Makes the folder (mode 0700) where it is not there.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(path: &Path) -> io::Result<Self> {
        Self::with_syncer(path, Arc::new(SyncData))
    }

    /// The same with something else between the files and the disk.
    ///
    /// # Errors
    /// The operating system's.
    pub fn with_syncer(path: &Path, syncer: Arc<dyn Syncer>) -> io::Result<Self> {
        private_folder(path)?;
        Ok(Self {
            path: path.to_owned(),
            syncer,
        })
    }

    fn file(&self, file: File) -> Arc<dyn LogFile> {
        let syncer = Arc::clone(&self.syncer);
        Arc::new(DiskFile { file, syncer })
    }

    fn options() -> fs::OpenOptions {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        options
    }
}

impl LogFolder for DiskFolder {
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = Self::options()
            .create_new(true)
            .open(self.path.join(name))?;
        Ok(self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = Self::options().open(self.path.join(name))?;
        Ok(self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string()
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }
}

struct DiskFile {
    file: File,
    syncer: Arc<dyn Syncer>,
}

impl LogFile for DiskFile {
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        platform::write_vectored_at(&self.file, parts, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0_usize;
        while let Some(rest) = buffer.get_mut(done..)
            && !rest.is_empty()
        {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            match platform::read_at(&self.file, rest, at) {
                Ok(0) => break,
                Ok(count) => done = done.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncer.sync(&self.file)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// What differs between operating systems.
mod platform {
    use std::fs::File;
    use std::io::{self, IoSlice};

    #[cfg(unix)]
    pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(file, buffer, offset)
    }

    #[cfg(windows)]
    pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
    }

    /// Slices that one system call takes; POSIX promises 16, Linux and macOS take 1024.
    #[cfg(unix)]
    const SLICES_MAX: usize = 1024;

    #[cfg(unix)]
    pub(super) fn write_vectored_at(
        file: &File,
        parts: &[IoSlice<'_>],
        mut offset: u64,
    ) -> io::Result<()> {
        let mut parts = parts.to_vec();
        let mut rest = parts.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let some = rest.get(..SLICES_MAX.min(rest.len())).unwrap_or_default();
            match rustix::io::pwritev(file, some, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    IoSlice::advance_slices(&mut rest, count);
                    offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    #[cfg(windows)]
    pub(super) fn write_vectored_at(
        file: &File,
        parts: &[IoSlice<'_>],
        mut offset: u64,
    ) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        for part in parts {
            let mut rest: &[u8] = part;
            while !rest.is_empty() {
                let count = file.seek_write(rest, offset)?;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                rest = rest.get(count..).unwrap_or_default();
                offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_parts_is_read_back() {
        let place = tempfile::tempdir().unwrap();
        let folder = DiskFolder::new(&place.path().join("log")).unwrap();
        let file = folder.create("a").unwrap();
        assert_eq!(
            folder.create("a").err().unwrap().kind(),
            io::ErrorKind::AlreadyExists
        );
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let parts: Vec<IoSlice<'_>> = bytes.chunks(2).map(IoSlice::new).collect();
        assert!(parts.len() > 1024, "more than one system call takes");
        file.write_vectored_at(&[IoSlice::new(&[]), IoSlice::new(b"x")], 0)
            .unwrap();
        file.write_vectored_at(&parts, 7).unwrap();
        file.sync_data().unwrap();
        folder.sync().unwrap();
        let mut read = vec![9; 6000];
        assert_eq!(file.read_at(&mut read, 0).unwrap(), 5007);
        assert_eq!(&read[..8], b"x\0\0\0\0\0\0\0");
        assert_eq!(&read[7..5007], bytes);
        folder.rename("a", "b").unwrap();
        assert_eq!(folder.list().unwrap(), ["b"]);
        let file = folder.open("b").unwrap();
        file.truncate(3).unwrap();
        assert_eq!(file.length().unwrap(), 3);
        folder.remove("b").unwrap();
        assert_eq!(
            folder.open("b").err().unwrap().kind(),
            io::ErrorKind::NotFound
        );
    }
}
