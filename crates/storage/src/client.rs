// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a client keeps: opaque rows. The engine host seals the values before they come here.

pub mod header;

use core::future::Future;

use bytes::Bytes;

use crate::StoreError;

/// Where a row is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The engine's number for the table.
    pub table: u8,
    /// The key within the table, at most [`ROW_KEY_SIZE_MAX`] bytes.
    pub key: Bytes,
}

/// The longest key of a row within its table, in bytes.
pub const ROW_KEY_SIZE_MAX: usize = 512;

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key within the table.
    pub key: Bytes,
    /// The sealed value.
    pub value: Bytes,
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowWrite {
    /// Stores a row, in place of the one that may be there.
    Put {
        /// Where.
        at: RowKey,
        /// The sealed value.
        value: Bytes,
    },
    /// Removes a row, if there is one.
    Delete {
        /// Where.
        at: RowKey,
    },
}

/// The rows that an engine decides on and writes.
pub trait ClientStore: Send + Sync + 'static {
    /// Whether the store knows that it has lost batches that were durable: its disk is damaged. What
    /// is left can be read; whoever goes on from it could use keys twice.
    fn is_behind(&self) -> bool {
        false
    }

    /// The values at `keys`, in the same order, the effects of every batch given to
    /// [`ClientStore::apply`] included, durable or not.
    ///
    /// # Errors
    /// The store could not be read or is damaged.
    fn get(&self, keys: &[RowKey]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// At most `limit` rows of a table whose keys start with `prefix`, in the order of their keys,
    /// after the key `after` where one is given. Shows what [`ClientStore::get`] shows.
    ///
    /// # Errors
    /// The store could not be read or is damaged.
    fn scan(
        &self,
        table: u8,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// At most `limit` rows of a table whose keys start with `prefix`, the highest key first, before
    /// the key `before` where one is given. Shows what [`ClientStore::get`] shows.
    ///
    /// # Errors
    /// The store could not be read or is damaged.
    fn scan_back(
        &self,
        table: u8,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// Writes a batch, all of it or nothing, in the order of the calls; the later write to a row
    /// wins. The batch is on its way when this returns, whether or not the future is polled. The
    /// future resolves when it and all batches before it are durable.
    ///
    /// After any error of the future (except [`StoreError::Limit`], where nothing was written) the
    /// store accepts nothing any more.
    fn apply(
        &self,
        batch: Vec<RowWrite>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<Self>;
}
