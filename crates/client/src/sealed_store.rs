// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sealed store: the engine's rows on one side, opaque bytes on the other.
//!
//! A row `{table, scope, order}` lies in the same table under `hash(scope) (16) || order (8)`, with
//! a keyed hash, so that the store learns no contact; the order stays readable for ranges. The
//! value is `length of scope (1) || scope || value`, sealed with table and key as associated data:
//! it opens in its own place only. What a thief of the disk still sees is in the threat model: how
//! many rows each table has, their sizes and their order.

use core::future::Future;
use std::collections::VecDeque;

use bytes::Bytes;
use rand_core::CryptoRng;
use waxwing_crypto::CryptoError;
use waxwing_crypto::sealing::StoreKeys;
use waxwing_engine::{Batch, Row, RowKey, RowRange, Table};
use waxwing_storage::{StoreError, client};
use zeroize::Zeroizing;

use client::ClientStore;

/// Rows that one scan of the store asks for.
const SCAN_ROWS: usize = 256;
/// The longest scope of a row, in bytes; the engine's bound.
const SCOPE_LENGTH_MAX: usize = 64;
const SCOPE_NAME_LENGTH: usize = 16;

/// Why the sealed store cannot go on. All are the local machine's fault, except
/// [`SealedStoreError::Bug`], which is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedStoreError {
    /// The store below failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value does not open in its place, or is not laid out as a row: the store is damaged, or
    /// belongs to another key.
    #[error("a stored row is damaged")]
    Corrupt,
    /// A value was sealed by a newer program.
    #[error("a stored row has format {0}, which this program does not know")]
    NewerFormat(u8),
    /// A row breaks the bounds that the engine promises.
    #[error("internal error of the sealed store: {0}")]
    Bug(&'static str),
}

/// A [`ClientStore`] with the keys that open it. The keys are wiped on drop.
pub struct SealedStore<S> {
    store: S,
    keys: StoreKeys,
}

impl<S> core::fmt::Debug for SealedStore<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SealedStore(..)")
    }
}

impl<S: ClientStore> SealedStore<S> {
    /// Puts `keys` before `store`.
    #[must_use]
    pub const fn new(store: S, keys: StoreKeys) -> Self {
        Self { store, keys }
    }

    /// Whether the store has lost batches that were durable; see [`ClientStore::is_behind`].
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.store.is_behind()
    }

    /// All rows of some tables: what the engine is opened from.
    ///
    /// # Errors
    /// [`SealedStoreError`].
    pub fn snapshot(&self, tables: &[Table]) -> Result<Vec<Row>, SealedStoreError> {
        let mut rows = Vec::new();
        for table in tables {
            let mut after: Option<Bytes> = None;
            loop {
                let found = self
                    .store
                    .scan(number(*table), &[], after.as_deref(), SCAN_ROWS)?;
                let last = found.last().map(|row| row.key.clone());
                for row in found {
                    rows.push(self.open(*table, &row.key, &row.value)?);
                }
                match last {
                    Some(key) => after = Some(key),
                    None => break,
                }
            }
        }
        Ok(rows)
    }

    /// Reads rows in the order of the range.
    ///
    /// # Errors
    /// [`SealedStoreError`].
    pub fn load(&self, range: &RowRange) -> Result<Vec<Row>, SealedStoreError> {
        match range {
            RowRange::Keys(keys) => {
                let places: Vec<client::RowKey> = keys.iter().map(|key| self.place(key)).collect();
                let values = self.store.get(&places)?;
                let found = places.iter().zip(keys).zip(values);
                found
                    .filter_map(|((place, key), value)| Some((place, key, value?)))
                    .map(|(place, key, value)| self.open(key.table, &place.key, &value))
                    .collect()
            }
            RowRange::After {
                table,
                scope,
                after,
                limit,
            } => {
                let name = self.keys.scope_name(&[number(*table)], scope);
                self.scan(*table, &name, Some(*after), *limit)
            }
            RowRange::Before {
                table,
                scope,
                before,
                limit,
            } => {
                let name = self.keys.scope_name(&[number(*table)], scope);
                self.newest(*table, &name, *before, *limit)
            }
        }
    }

    /// Seals a batch and gives it to the store. It is on its way when this returns; the future
    /// completes when it, and all batches before it, are durable.
    ///
    /// # Errors
    /// At once [`SealedStoreError::Bug`] for a batch over the bounds; later, as the future's
    /// output, a failure of the store, after which the store must not be used any more.
    pub fn apply(
        &self,
        batch: &Batch,
        rng: &mut dyn CryptoRng,
    ) -> Result<impl Future<Output = Result<(), StoreError>> + Send + use<S>, SealedStoreError>
    {
        let mut writes = Vec::with_capacity(batch.writes.len());
        for write in &batch.writes {
            let at = self.place(&write.key);
            writes.push(match &write.value {
                Some(value) => {
                    let value = self.seal(&write.key, &at.key, value, rng)?;
                    client::RowWrite::Put { at, value }
                }
                None => client::RowWrite::Delete { at },
            });
        }
        Ok(self.store.apply(writes))
    }

    /// The rows of one scope after `after`, oldest first.
    fn scan(
        &self,
        table: Table,
        name: &[u8; SCOPE_NAME_LENGTH],
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, SealedStoreError> {
        let after = after.map(|order| place_key(name, order));
        let found = self
            .store
            .scan(number(table), name, after.as_deref(), limit)?;
        found
            .iter()
            .map(|row| self.open(table, &row.key, &row.value))
            .collect()
    }

    /// The newest rows of one scope before `before`, newest first.
    ///
    /// The store scans upwards only. So the greatest order below `before` is found by bisection,
    /// one row read for each of at most 64 questions, and then the window before it grows until
    /// it holds enough rows.
    fn newest(
        &self,
        table: Table,
        name: &[u8; SCOPE_NAME_LENGTH],
        before: u64,
        limit: usize,
    ) -> Result<Vec<Row>, SealedStoreError> {
        let Some(newest) = self.greatest_before(table, name, before)? else {
            return Ok(Vec::new());
        };
        let mut width = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        loop {
            // Exclusive; below 0 there is nothing, and order 0 itself needs no lower bound.
            let floor = newest.checked_sub(width);
            let mut window: VecDeque<Row> = VecDeque::with_capacity(limit.saturating_add(1));
            let mut after = floor;
            'window: loop {
                let rows = self.scan(table, name, after, SCAN_ROWS)?;
                let Some(last) = rows.last().map(|row| row.key.order) else {
                    break;
                };
                for row in rows {
                    if row.key.order > newest {
                        break 'window;
                    }
                    window.push_back(row);
                    if window.len() > limit {
                        window.pop_front();
                    }
                }
                after = Some(last);
            }
            if window.len() >= limit || floor.is_none() {
                return Ok(window.into_iter().rev().collect());
            }
            width = width.saturating_mul(4);
        }
    }

    /// The greatest order below `before` that a row of the scope has.
    fn greatest_before(
        &self,
        table: Table,
        name: &[u8; SCOPE_NAME_LENGTH],
        before: u64,
    ) -> Result<Option<u64>, SealedStoreError> {
        let first_after = |after: Option<u64>| -> Result<Option<u64>, SealedStoreError> {
            let key = after.map(|order| place_key(name, order));
            let found = self.store.scan(number(table), name, key.as_deref(), 1)?;
            let order = found.first().map(|row| split_place(&row.key)).transpose()?;
            Ok(order.filter(|order| *order < before))
        };
        let Some(mut known) = first_after(None)? else {
            return Ok(None);
        };
        // A row with order `known` exists, and none in `ceiling..before`.
        let mut ceiling = before;
        while let Some(gap) = ceiling.checked_sub(known).filter(|gap| *gap > 1) {
            let middle = known.saturating_add((gap >> 1).saturating_sub(1));
            match first_after(Some(middle))? {
                Some(order) if order < ceiling => known = order,
                _ => ceiling = middle.saturating_add(1),
            }
        }
        Ok(Some(known))
    }

    fn place(&self, key: &RowKey) -> client::RowKey {
        let table = number(key.table);
        let name = self.keys.scope_name(&[table], &key.scope);
        client::RowKey {
            table,
            key: place_key(&name, key.order),
        }
    }

    fn seal(
        &self,
        key: &RowKey,
        place: &[u8],
        value: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Bytes, SealedStoreError> {
        let length = u8::try_from(key.scope.len())
            .ok()
            .filter(|_| key.scope.len() <= SCOPE_LENGTH_MAX)
            .ok_or(SealedStoreError::Bug("a scope is too long"))?;
        let size = value
            .len()
            .saturating_add(key.scope.len())
            .saturating_add(1);
        let mut plain = Zeroizing::new(Vec::with_capacity(size));
        plain.push(length);
        plain.extend_from_slice(&key.scope);
        plain.extend_from_slice(value);
        self.keys
            .seal(&[number(key.table)], place, &plain, rng)
            .map(Bytes::from)
            .map_err(|_| SealedStoreError::Bug("a value is too long"))
    }

    fn open(&self, table: Table, place: &[u8], sealed: &[u8]) -> Result<Row, SealedStoreError> {
        let order = split_place(place)?;
        let plain =
            self.keys
                .open(&[number(table)], place, sealed)
                .map_err(|error| match error {
                    CryptoError::UnsupportedFormat(format) => SealedStoreError::NewerFormat(format),
                    _ => SealedStoreError::Corrupt,
                })?;
        let (length, rest) = plain.split_first().ok_or(SealedStoreError::Corrupt)?;
        let (scope, value) = rest
            .split_at_checked(usize::from(*length))
            .ok_or(SealedStoreError::Corrupt)?;
        Ok(Row {
            key: RowKey {
                table,
                scope: scope.to_vec(),
                order,
            },
            value: Zeroizing::new(value.to_vec()),
        })
    }
}

/// The number of a table in the stored format.
const fn number(table: Table) -> u8 {
    table as u8
}

fn place_key(name: &[u8; SCOPE_NAME_LENGTH], order: u64) -> Bytes {
    let mut key = Vec::with_capacity(SCOPE_NAME_LENGTH.saturating_add(8));
    key.extend_from_slice(name);
    key.extend_from_slice(&order.to_be_bytes());
    Bytes::from(key)
}

fn split_place(place: &[u8]) -> Result<u64, SealedStoreError> {
    let (name, order) = place
        .split_last_chunk::<8>()
        .ok_or(SealedStoreError::Corrupt)?;
    if name.len() == SCOPE_NAME_LENGTH {
        Ok(u64::from_be_bytes(*order))
    } else {
        Err(SealedStoreError::Corrupt)
    }
}

#[cfg(test)]
mod tests;
