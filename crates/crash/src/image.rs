// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a power cut left: folders, and files with their bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// What happens to everything that no sync had covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All of it is gone.
    Nothing,
    /// Of each file and each folder a prefix is there, the last write cut at any byte.
    Prefix,
    /// Of each write each page of 4 KiB is there or not; of each folder a prefix.
    Pages,
    /// All of it is there, as after a crash of the process alone.
    Everything,
}

impl Kept {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Prefix, Self::Pages, Self::Everything];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Prefix => "prefix",
            Self::Pages => "pages",
            Self::Everything => "everything",
        }
    }
}

/// A folder's content. Paths are below it, with `/` between the parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// The folders, each after the one that holds it.
    pub folders: BTreeSet<String>,
    /// The files.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Puts the image into a folder, in place of what is there.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn place(&self, folder: &Path) -> io::Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        for path in &self.folders {
            fs::create_dir_all(folder.join(path))?;
        }
        for (path, bytes) in &self.files {
            fs::write(folder.join(path), bytes)?;
        }
        Ok(())
    }
}
