// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file of an export: whole or not there, and readable by its owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use waxwing_storage::StoreError;
use waxwing_storage::embedded::logged::Exported;

use crate::folder::ServerStore;

/// Bytes that are written together.
const BUFFER: usize = 1024 * 1024;

/// Why there is no file.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The store could not be read.
    Store(StoreError),
    /// The file could not be written.
    File(io::Error),
}

/// Remembers what went wrong with the file, which the store tells from its own failures no longer.
struct Watched {
    file: BufWriter<File>,
    error: Option<io::Error>,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).inspect_err(|error| {
            let same = error.raw_os_error().map(io::Error::from_raw_os_error);
            self.error = Some(same.unwrap_or_else(|| error.kind().into()));
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes everything that a store holds to a file that is not there yet.
pub(crate) fn write(store: &ServerStore, path: &Path) -> Result<Exported, Trouble> {
    if path.exists() {
        return Err(Trouble::File(rustix::io::Errno::EXIST.into()));
    }
    let new = new_name(path);
    let written = fill(store, &new).and_then(|exported| {
        publish(&new, path).map_err(Trouble::File)?;
        Ok(exported)
    });
    if written.is_err() {
        // What is half written is of no use; that it may not go is no second failure.
        let _gone = fs::remove_file(&new);
    }
    written
}

fn new_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}

fn fill(store: &ServerStore, new: &Path) -> Result<Exported, Trouble> {
    // One that is there may be somebody else's, and readable by them: it goes, or this fails.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Trouble::File(error)),
        _ => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)
        .map_err(Trouble::File)?;
    let mut to = Watched {
        file: BufWriter::with_capacity(BUFFER, file),
        error: None,
    };
    let exported = store.export(&mut to);
    if let Some(error) = to.error {
        return Err(Trouble::File(error));
    }
    let exported = exported.map_err(Trouble::Store)?;
    let file = to
        .file
        .into_inner()
        .map_err(|error| Trouble::File(error.into_error()))?;
    file.sync_all().map_err(Trouble::File)?;
    Ok(exported)
}

fn publish(new: &Path, path: &Path) -> io::Result<()> {
    fs::rename(new, path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
