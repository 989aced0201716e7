// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What differs between operating systems: modes of folders, and making a folder's entries durable.

use std::fs;
use std::io;
use std::path::Path;

/// Makes a folder that nobody else can look into; one that is there is closed to others.
#[cfg(unix)]
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Makes a folder. Elsewhere the folder of the user's profile is private already.
#[cfg(not(unix))]
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Makes the entries of a folder durable.
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Where folders cannot be synced their entries are written through.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
