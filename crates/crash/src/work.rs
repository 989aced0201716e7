// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Work on a real store, saying before each step what is tried and after it what was acknowledged.

pub mod client;
pub mod server;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use waxwing_storage::embedded::files::{EngineKind, FileOptions};
use waxwing_storage::syncer::{SyncData, Syncer};

use crate::bare::SkipOne;

/// What is planted into a store so that the suite has to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// sled without the guards.
    Unguarded,
    /// One sync is skipped.
    SkipSync,
}

impl Plant {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unguarded => "unguarded",
            Self::SkipSync => "skip-sync",
        }
    }
}

/// The sync that [`Plant::SkipSync`] skips.
const SKIPPED: u64 = 12;

/// How the files of a store are used. A sync is skipped where answers wait for it: in the log, where
/// there is one, and in sled otherwise.
#[must_use]
pub fn files(engine: EngineKind, plant: Option<Plant>) -> FileOptions {
    let syncer = || -> Arc<dyn Syncer> {
        match plant {
            Some(Plant::SkipSync) => Arc::new(SkipOne::new(SKIPPED)),
            _ => Arc::new(SyncData),
        }
    };
    FileOptions {
        engine,
        cache_bytes: 4 * 1024 * 1024,
        syncer: syncer(),
        log_syncer: syncer(),
        // Small, so that recordings are, and segments are begun and recycled often.
        segment_size: Some(1024 * 1024),
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Decides every choice.
    pub seed: u64,
    /// The number of this process in its recording; work is numbered from it.
    pub process: u32,
    /// How many steps each of the workers does.
    pub steps: u32,
    /// How many workers there are.
    pub workers: u32,
    /// What is planted.
    pub plant: Option<Plant>,
}

/// Where the work says what it does: one line, one write.
#[derive(Clone)]
pub struct Marks(Arc<Mutex<File>>);

impl Marks {
    /// Appends to a file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// Says a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn say(&self, line: &str) -> std::io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{line}\n").as_bytes())
    }
}
