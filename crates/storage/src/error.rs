// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong with a store itself. Refusals of a step are separate enums beside each step.

use std::io;

/// A failure of the store, never of the caller's request. Holds no stored bytes and no paths.
///
/// Families by fault: [`StoreError::Bug`] is ours, everything else is the local machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The machine's fault: a read, write or sync failed.
    #[error("the store could not be read or written ({kind})")]
    Io {
        /// What the operating system said.
        kind: io::ErrorKind,
    },
    /// The machine's fault: no room is left on the disk, or the file-size limit was reached.
    #[error("no space is left for the store")]
    DiskFull,
    /// The machine's fault: stored bytes are not what was written.
    #[error("the store is damaged ({what})")]
    Corrupt {
        /// Which part of the store: a table's or a file's name.
        what: &'static str,
    },
    /// The machine's fault: the store was written by a newer program.
    #[error("the store has format {found}, and this program knows formats up to {known}")]
    NewerFormat {
        /// The format number in the store.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// The machine's fault: the store was written by a program so old that no migration is left.
    #[error("the store has format {found}, which this program cannot migrate any more")]
    OlderFormat {
        /// The format number in the store.
        found: u32,
    },
    /// The machine's fault: another engine than the one that was asked for keeps this store's rows.
    #[error("the rows of the store are kept by {found}")]
    OtherEngine {
        /// The name of that engine.
        found: &'static str,
    },
    /// The caller's fault: a store is there already, and one was to be made.
    #[error("a store is there already")]
    Exists,
    /// The machine's fault: another process has this store open.
    #[error("another process has the store open")]
    StoreInUse,
    /// The machine's fault: a write failed earlier, and what is durable is unknown since then. The
    /// store acknowledges nothing any more until it is opened again.
    #[error("the store stopped after an earlier failure")]
    Stopped,
    /// The machine's fault: more waits to be written than memory or disk have room for. Nothing was done;
    /// the store goes on.
    #[error("the store has more to write than there is room for at the moment")]
    Busy {
        /// After how long another try is worth it, in milliseconds.
        retry_after_ms: u32,
    },
    /// The caller's fault: a batch or a value is over its limit. Nothing was written.
    #[error("{what} is over its limit")]
    Limit {
        /// What is too large: `batch`, `key`.
        what: &'static str,
    },
    /// Our fault.
    #[error("internal error of the store ({0})")]
    Bug(&'static str),
}

impl StoreError {
    /// A stable code for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "store_io",
            Self::DiskFull => "store_disk_full",
            Self::Corrupt { .. } => "store_corrupt",
            Self::NewerFormat { .. } => "store_newer_format",
            Self::OlderFormat { .. } => "store_older_format",
            Self::OtherEngine { .. } => "store_other_engine",
            Self::Exists => "store_exists",
            Self::StoreInUse => "store_in_use",
            Self::Stopped => "store_stopped",
            Self::Busy { .. } => "store_busy",
            Self::Limit { .. } => "store_limit",
            Self::Bug(_) => "store_bug",
        }
    }

    /// Whether the process has to stop acknowledging: what is durable is unknown or damaged.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        !matches!(self, Self::Limit { .. } | Self::Busy { .. })
    }
}

impl From<&io::Error> for StoreError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull,
            kind => Self::Io { kind },
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}
