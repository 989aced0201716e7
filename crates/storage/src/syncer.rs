// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The last call before a disk: what makes a file durable, for sled's files and the log's alike.

use std::fs::File;
use std::io;

/// Makes a file's contents durable. A seam, so that tests can count the calls and let them fail.
pub trait Syncer: Send + Sync + 'static {
    /// Returns when everything that was written to the file is on the device.
    ///
    /// # Errors
    /// The device's. What is durable is unknown then.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Returns when a file that was just made is on the device with all that describes it.
    ///
    /// # Errors
    /// The device's.
    fn sync_new(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
}

/// `fdatasync`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SyncData;

impl Syncer for SyncData {
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}
