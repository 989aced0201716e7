// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a profile cannot be opened. What happens later is told through answers and notices.

use crate::row::Table;

/// A profile that cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A stored row does not follow its layout: the store is damaged.
    #[error("a stored row is damaged")]
    CorruptRow(Table),
    /// A row that must exist beside another one is missing: the store is damaged.
    #[error("a stored row is missing")]
    MissingRow(Table),
}

impl EngineError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::CorruptRow(_) => "row_corrupt",
            Self::MissingRow(_) => "row_missing",
        }
    }
}
