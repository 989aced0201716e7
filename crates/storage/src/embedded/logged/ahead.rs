// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading a delivery log while the rows beside it are opened: neither needs the other for that. Only which table
//! records the rows lack is known when both are there.

use std::path::Path;
use std::thread::{self, JoinHandle};

use super::opening::read_log;
use crate::StoreError;
use crate::embedded::files::FileOptions;
use crate::embedded::server::ServerOptions;
use crate::log::ReadLog;

/// A log that is being read. When this is gone nobody reads it any more.
pub(in crate::embedded) struct Ahead(Option<JoinHandle<Result<ReadLog, StoreError>>>);

impl Ahead {
    /// Begins to read a log that was made before.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(in crate::embedded) fn start(
        log: &Path,
        options: &ServerOptions,
        files: &FileOptions,
    ) -> Result<Self, StoreError> {
        let (log, options, files) = (log.to_owned(), *options, files.clone());
        let thread = thread::Builder::new()
            .name("log-reader".to_owned())
            .spawn(move || read_log(&log, true, &options, &files))?;
        Ok(Self(Some(thread)))
    }

    /// Waits for the log.
    ///
    /// # Errors
    /// As [`crate::log::DeliveryLog::open`].
    pub(super) fn finish(mut self) -> Result<ReadLog, StoreError> {
        self.join()
            .unwrap_or(Err(StoreError::Bug("the log was read twice")))
    }

    fn join(&mut self) -> Option<Result<ReadLog, StoreError>> {
        let thread = self.0.take()?;
        let panicked = Err(StoreError::Bug("reading the log panicked"));
        Some(thread.join().unwrap_or(panicked))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // What it says is of no use to anybody.
        drop(self.join());
    }
}
