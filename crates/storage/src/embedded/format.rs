// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The format number of a store: newer is refused, older is migrated on a copy.

use bytes::Bytes;

use super::key_value::{Batch, KeyRange, KeyValue, Order};
use crate::StoreError;

/// Where the format row is, in every store and for ever.
pub(crate) const FORMAT_KEY: &[u8] = &[0x00];

/// Where the position of the delivery log is, in the same tree as the rows.
pub(crate) const POSITION_KEY: &[u8] = &[0x03];

/// Where the number of commits is, in a client's store.
#[cfg(feature = "sled")]
pub(crate) const COUNT_KEY: &[u8] = &[0x04];

const FORMAT_ROW_LENGTH: usize = 8;

/// Whose rows a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Server,
    Client,
}

impl Content {
    const fn magic(self) -> [u8; 4] {
        match self {
            Self::Server => *b"WXS\0",
            Self::Client => *b"WXC\0",
        }
    }
}

/// Turns the rows of one format into those of the next. Rows are raw: a migration brings its own
/// reading of the old format.
pub(crate) type Migration<K> = fn(&K) -> Result<Batch, StoreError>;

/// A format and the way to it.
pub(crate) struct Format<K: 'static> {
    pub(crate) content: Content,
    /// The format that this program writes.
    pub(crate) current: u32,
    /// Migrations to the formats up to `current`, the last one leading to it.
    pub(crate) migrations: &'static [Migration<K>],
}

impl<K> Clone for Format<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Format<K> {}

/// What a store says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing is in it.
    Empty,
    /// It has the current format.
    Current,
    /// It has an older format that can be migrated.
    Older(u32),
}

impl<K: KeyValue> Format<K> {
    /// Reads a store's format.
    pub(crate) fn find(&self, key_value: &K) -> Result<Found, StoreError> {
        let damaged = StoreError::Corrupt { what: "format" };
        let Some(row) = key_value.get(FORMAT_KEY)?.value else {
            let is_empty = key_value
                .scan(&KeyRange::all(), Order::Ascending, 1)?
                .rows
                .is_empty();
            return if is_empty {
                Ok(Found::Empty)
            } else {
                Err(damaged)
            };
        };
        if row.len() != FORMAT_ROW_LENGTH {
            return Err(damaged);
        }
        let (magic, number) = row.split_first_chunk::<4>().ok_or(damaged)?;
        let number = number.first_chunk::<4>().ok_or(damaged)?;
        if *magic != self.content.magic() {
            return Err(damaged);
        }
        let found = u32::from_be_bytes(*number);
        if found > self.current {
            return Err(StoreError::NewerFormat {
                found,
                known: self.current,
            });
        }
        let steps = self.current.saturating_sub(found);
        if usize::try_from(steps).map_or(true, |steps| steps > self.migrations.len()) {
            return Err(StoreError::OlderFormat { found });
        }
        Ok(if steps == 0 {
            Found::Current
        } else {
            Found::Older(found)
        })
    }

    /// Writes the number of the current format into an empty store.
    pub(crate) async fn write(&self, key_value: &K) -> Result<(), StoreError> {
        key_value.apply(Batch::from([self.row(self.current)])).await
    }

    /// Brings a store from an older format to the current one. A store that is half migrated is of
    /// no use, so this runs on a copy.
    #[cfg_attr(
        not(feature = "sled"),
        allow(dead_code, reason = "memory outlives no program, so it is never older")
    )]
    pub(crate) async fn migrate(&self, key_value: &K, from: u32) -> Result<(), StoreError> {
        let steps = self.current.saturating_sub(from);
        let steps = usize::try_from(steps).map_err(|_| StoreError::OlderFormat { found: from })?;
        let skipped = self
            .migrations
            .len()
            .checked_sub(steps)
            .ok_or(StoreError::OlderFormat { found: from })?;
        let mut number = from;
        for migration in self.migrations.iter().skip(skipped) {
            number = number.saturating_add(1);
            let mut batch = migration(key_value)?;
            batch.extend([self.row(number)]);
            key_value.apply(batch).await?;
        }
        Ok(())
    }

    fn row(&self, number: u32) -> (Bytes, Option<Bytes>) {
        let row = [self.content.magic(), number.to_be_bytes()].concat();
        (Bytes::from_static(FORMAT_KEY), Some(Bytes::from(row)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::embedded::memory::{Immediate, MemoryDisk, MemoryKeyValue};

    const SECOND: Format<MemoryKeyValue> = Format {
        content: Content::Server,
        current: 2,
        migrations: &[|_| {
            Ok(Batch::from([(
                Bytes::from_static(b"new"),
                Some(Bytes::new()),
            )]))
        }],
    };
    const FIRST: Format<MemoryKeyValue> = Format {
        content: Content::Server,
        current: 1,
        migrations: &[],
    };

    #[tokio::test]
    async fn an_older_format_is_migrated_and_a_newer_one_refused() {
        let disk = MemoryDisk::new();
        let store = disk.open(Arc::new(Immediate)).unwrap();
        assert_eq!(FIRST.find(&store), Ok(Found::Empty));
        FIRST.write(&store).await.unwrap();
        assert_eq!(FIRST.find(&store), Ok(Found::Current));
        assert_eq!(SECOND.find(&store), Ok(Found::Older(1)));
        SECOND.migrate(&store, 1).await.unwrap();
        assert_eq!(SECOND.find(&store), Ok(Found::Current));
        assert!(store.get(b"new").unwrap().value.is_some());
        assert_eq!(
            FIRST.find(&store),
            Err(StoreError::NewerFormat { found: 2, known: 1 })
        );
    }

    #[tokio::test]
    async fn what_is_no_store_of_this_kind_is_refused() {
        let disk = MemoryDisk::new();
        let store = disk.open(Arc::new(Immediate)).unwrap();
        disk.write_raw(Bytes::from_static(b"x"), Bytes::new());
        let damaged = Err(StoreError::Corrupt { what: "format" });
        assert_eq!(FIRST.find(&store), damaged);
        FIRST.write(&store).await.unwrap();
        let client = Format {
            content: Content::Client,
            ..FIRST
        };
        assert_eq!(client.find(&store), damaged);
        let third = Format {
            current: 3,
            ..SECOND
        };
        assert_eq!(
            third.find(&store),
            Err(StoreError::OlderFormat { found: 1 })
        );
    }
}
