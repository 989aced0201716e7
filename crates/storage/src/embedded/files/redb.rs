// SPDX-License-Identifier: Apache-2.0 OR MIT
//! redb 4: a tree that is copied as it is written, in one file, every commit synced.
//!
//! An opening verifies every page of the file: redb trusts what it reads later, panics on some pages that
//! the disk has changed and shows others as they are. A commit has two phases, so that a newest one that is
//! damaged is an error and never the one before. After an error of the device redb answers nothing more,
//! as the committer does.

use std::io;
use std::path::Path;

use bytes::Bytes;
use redb::{Builder, Database, Durability, ReadableDatabase, TableDefinition};

use super::FileOptions;
use super::engine::{Engine, Rows};
use crate::StoreError;
use crate::embedded::key_value::{Batch, KeyRange};
use crate::platform;

/// Its one file.
const FILE: &str = "rows.redb";
/// Its one table.
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// redb.
pub(super) struct RedbEngine {
    database: Database,
}

impl RedbEngine {
    /// Opens the file in `path`, which is made where it is not there.
    pub(super) fn open(path: &Path, files: &FileOptions) -> Result<Self, StoreError> {
        platform::private_folder(path)?;
        let cache = usize::try_from(files.cache_bytes).unwrap_or(usize::MAX);
        let database = Builder::new()
            .set_cache_size(cache)
            .set_check_integrity_on_open(true)
            .create(path.join(FILE))
            .map_err(|error| failure(&error.into()))?;
        let engine = Self { database };
        // The table is there from the first commit on.
        engine.commit(&[])?;
        platform::sync_folder(path)?;
        platform::sync_folder(path.parent().unwrap_or(path))?;
        Ok(engine)
    }

    fn write(&self, batches: &[&Batch]) -> Result<(), redb::Error> {
        let mut writing = self.database.begin_write()?;
        writing.set_durability(Durability::Immediate)?;
        writing.set_two_phase_commit(true);
        {
            let mut table = writing.open_table(ROWS)?;
            for (key, value) in batches.iter().flat_map(|batch| batch.iter()) {
                match value {
                    Some(value) => table.insert(key.as_ref(), value.as_ref())?,
                    None => table.remove(key.as_ref())?,
                };
            }
        }
        writing.commit()?;
        Ok(())
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, redb::Error> {
        let table = self.database.begin_read()?.open_table(ROWS)?;
        let value = table.get(key)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn rows(
        &self,
        range: &KeyRange,
    ) -> Result<redb::Range<'static, &'static [u8], &'static [u8]>, redb::Error> {
        let table = self.database.begin_read()?.open_table(ROWS)?;
        let start = range.start.as_ref();
        Ok(match &range.end {
            Some(end) => table.range(start..end.as_ref())?,
            None => table.range(start..)?,
        })
    }
}

impl Engine for RedbEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read(key).map_err(|error| failure(&error))
    }

    fn range<'a>(&'a self, range: &KeyRange) -> Result<Rows<'a>, StoreError> {
        let rows = self.rows(range).map_err(|error| failure(&error))?;
        Ok(Box::new(rows.map(|row| {
            let (key, value) = row.map_err(|error| failure(&error.into()))?;
            Ok((
                Bytes::copy_from_slice(key.value()),
                Bytes::copy_from_slice(value.value()),
            ))
        })))
    }

    fn commit(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        self.write(batches).map_err(|error| failure(&error))
    }
}

/// redb's error as ours.
fn failure(error: &redb::Error) -> StoreError {
    match error {
        redb::Error::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::Corrupt { what: "redb" }
        }
        redb::Error::Io(error) => StoreError::from(error),
        redb::Error::PreviousIo => StoreError::Stopped,
        redb::Error::DatabaseAlreadyOpen => StoreError::StoreInUse,
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted
        | redb::Error::TableTypeMismatch { .. } => StoreError::Corrupt { what: "redb" },
        _ => StoreError::Bug("redb"),
    }
}
