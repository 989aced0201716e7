// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam below the committer: ordered rows in files, of which several engines are capable.

use bytes::Bytes;

use crate::StoreError;
use crate::embedded::key_value::{Batch, KeyRange};

/// Rows in the order of their keys; `Err` where one cannot be read.
pub(super) type Rows<'a> =
    Box<dyn DoubleEndedIterator<Item = Result<(Bytes, Bytes), StoreError>> + 'a>;

/// Rows in files. Reads show what was committed, and may show what is being committed.
pub(super) trait Engine: Send + Sync + 'static {
    /// The value at a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The rows of a range that is not empty.
    fn range<'a>(&'a self, range: &KeyRange) -> Result<Rows<'a>, StoreError>;

    /// Writes batches in their order and returns when all of them are durable. After a crash a
    /// prefix of them is there, each whole or not at all. Called by one thread alone, and never
    /// again after an error.
    fn commit(&self, batches: &[&Batch]) -> Result<(), StoreError>;
}

/// Which engine keeps the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// sled 0.34.7 under guards.
    #[default]
    Sled,
    /// redb 4, a tree that is copied as it is written.
    #[cfg(feature = "redb")]
    Redb,
}

impl EngineKind {
    /// Every engine that this program has.
    pub const ALL: &'static [Self] = &[
        Self::Sled,
        #[cfg(feature = "redb")]
        Self::Redb,
    ];

    /// Its name, which its folder has too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            #[cfg(feature = "redb")]
            Self::Redb => "redb",
        }
    }

    /// The engine of a name; `None` for one that this program has not.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}
