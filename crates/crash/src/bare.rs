// SPDX-License-Identifier: Apache-2.0 OR MIT
//! sled as its documentation says that it is used, and syncs that are skipped: stores that must
//! fail the suite, so that a suite that finds nothing means something.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use waxwing_storage::StoreError;
use waxwing_storage::embedded::key_value::{
    Batch, Found, KeyRange, KeyValue, Order, Scan, ScannedRow,
};
use waxwing_storage::syncer::Syncer;

/// sled without guards: `flush` is what its documentation calls durable.
pub struct BareSled(sled::Db);

impl BareSled {
    /// Opens it as any program would.
    ///
    /// # Errors
    /// sled's.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let config = sled::Config::new().path(folder.join("sled"));
        config.open().map(Self).map_err(failure)
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` wants"
)]
fn failure(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => StoreError::from(&error),
        _ => StoreError::Corrupt { what: "bare sled" },
    }
}

fn row((key, value): (sled::IVec, sled::IVec)) -> ScannedRow {
    ScannedRow {
        key: Bytes::copy_from_slice(&key),
        value: Bytes::copy_from_slice(&value),
        pending: false,
    }
}

impl KeyValue for BareSled {
    fn get(&self, key: &[u8]) -> Result<Found, StoreError> {
        let value = self.0.get(key).map_err(failure)?;
        Ok(Found {
            value: value.map(|value| Bytes::copy_from_slice(&value)),
            pending: false,
        })
    }

    fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Scan, StoreError> {
        if range.is_empty() {
            return Ok(Scan::default());
        }
        let start = range.start.as_ref();
        let found = match &range.end {
            Some(end) => self.0.range(start..end.as_ref()),
            None => self.0.range(start..),
        };
        let rows: Result<Vec<_>, _> = match order {
            Order::Ascending => found.take(limit).collect(),
            Order::Descending => found.rev().take(limit).collect(),
        };
        Ok(Scan {
            rows: rows.map_err(failure)?.into_iter().map(row).collect(),
            hides_pending: false,
        })
    }

    fn apply(&self, batch: Batch) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let mut writes = sled::Batch::default();
        for (key, value) in &batch {
            match value {
                Some(value) => writes.insert(key.as_ref(), value.as_ref()),
                None => writes.remove(key.as_ref()),
            }
        }
        let applied = self.0.apply_batch(writes).and_then(|()| self.0.flush());
        core::future::ready(applied.map(drop).map_err(failure))
    }
}

/// How long the sync after the skipped one waits.
const SAY_SO: Duration = Duration::from_millis(50);

/// Skips one sync, and only that one.
pub struct SkipOne {
    /// The number of the sync, from 1.
    which: u64,
    seen: AtomicU64,
}

impl SkipOne {
    /// Skips the sync of a number.
    #[must_use]
    pub const fn new(which: u64) -> Self {
        Self {
            which,
            seen: AtomicU64::new(0),
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a committer's thread is slowed down on purpose"
)]
impl Syncer for SkipOne {
    fn sync(&self, file: &File) -> io::Result<()> {
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.which {
            return Ok(());
        }
        if number == self.which + 1 {
            // In memory a sync takes no time: whoever was answered too early must have said so
            // before the next one makes it true.
            std::thread::sleep(SAY_SO);
        }
        file.sync_data()
    }
}
