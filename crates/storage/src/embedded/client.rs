// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client's rows over a key-value store.

use core::future::Future;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use waxwing_proto::limits;

use super::format::{Content, Format, Found};
use super::key_value::{Batch, KeyRange, KeyValue};
use super::rows::{Step, WholeRow};
use crate::StoreError;
use crate::client::{ClientStore, ROW_KEY_SIZE_MAX, Row, RowKey, RowWrite};

/// Where the client's rows are: this byte, the table, the key.
const ROWS: u8 = 0x02;
const TABLE: &str = "client rows";

/// The client's store. Implements [`ClientStore`].
pub struct EmbeddedClientStore<K> {
    key_value: K,
    /// Held while a batch is made from the rows that are there.
    turn: Mutex<()>,
}

/// The format of the client's rows.
pub(crate) const fn format<K: KeyValue>() -> Format<K> {
    Format {
        content: Content::Client,
        current: 1,
        migrations: &[],
    }
}

impl<K: KeyValue> EmbeddedClientStore<K> {
    /// Opens a client's store over a key-value store that holds one of the current format, or nothing.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`], [`StoreError::OlderFormat`] (stores on files are migrated before
    /// this), [`StoreError::Corrupt`], or the key-value store's own.
    pub async fn open(key_value: K) -> Result<Self, StoreError> {
        match format::<K>().find(&key_value)? {
            Found::Empty => format().write(&key_value).await?,
            Found::Current => {}
            Found::Older(found) => return Err(StoreError::OlderFormat { found }),
        }
        Ok(Self {
            key_value,
            turn: Mutex::new(()),
        })
    }

    /// A value in parts is read and written with several looks, between which no batch may come.
    fn turn(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        self.turn
            .lock()
            .map_err(|_| StoreError::Bug("a batch panicked"))
    }

    fn queue(
        &self,
        batch: Vec<RowWrite>,
    ) -> Result<impl Future<Output = Result<(), StoreError>> + Send + use<K>, StoreError> {
        let size = batch.iter().map(write_size).fold(0, usize::saturating_add);
        if size > limits::STORE_BATCH_SIZE_MAX {
            return Err(StoreError::Limit { what: "batch" });
        }
        let _turn = self.turn()?;
        let mut step = Step::new(&self.key_value);
        for write in batch {
            match write {
                RowWrite::Put { at, value } => step.put_bytes(row_key(&at)?, &value)?,
                RowWrite::Delete { at } => step.delete(row_key(&at)?)?,
            }
        }
        let batch: Batch = step.into_batch();
        Ok(self.key_value.apply(batch))
    }
}

impl<K: KeyValue> ClientStore for EmbeddedClientStore<K> {
    fn is_behind(&self) -> bool {
        self.key_value.is_behind()
    }

    fn get(&self, keys: &[RowKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let _turn = self.turn()?;
        let mut step = Step::new(&self.key_value);
        keys.iter()
            .map(|at| step.get_bytes(&row_key(at)?, TABLE))
            .collect()
    }

    fn scan(
        &self,
        table: u8,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut range = KeyRange::prefix(&[&[ROWS, table], prefix].concat());
        if let Some(after) = after {
            range = range.after(&[&[ROWS, table], after].concat());
        }
        let _turn = self.turn()?;
        let rows = Step::new(&self.key_value).scan_bytes(&range, limit, TABLE, |_| true)?;
        Ok(rows.into_iter().map(row).collect())
    }

    fn scan_back(
        &self,
        table: u8,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut range = KeyRange::prefix(&[&[ROWS, table], prefix].concat());
        if let Some(before) = before {
            range = range.before(&[&[ROWS, table], before].concat());
        }
        let _turn = self.turn()?;
        let rows = Step::new(&self.key_value).scan_bytes_back(&range, limit, TABLE)?;
        Ok(rows.into_iter().map(row).collect())
    }

    fn apply(
        &self,
        batch: Vec<RowWrite>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<K> {
        let queued = self.queue(batch);
        async move { queued?.await }
    }
}

fn row(stored: WholeRow) -> Row {
    let key = stored.key.get(2..).unwrap_or_default();
    Row {
        key: stored.key.slice_ref(key),
        value: stored.value,
    }
}

fn row_key(at: &RowKey) -> Result<Bytes, StoreError> {
    if at.key.len() > ROW_KEY_SIZE_MAX {
        return Err(StoreError::Limit { what: "key" });
    }
    Ok([&[ROWS, at.table], at.key.as_ref()].concat().into())
}

fn write_size(write: &RowWrite) -> usize {
    match write {
        RowWrite::Put { at, value } => at.key.len().saturating_add(value.len()),
        RowWrite::Delete { at } => at.key.len(),
    }
}
