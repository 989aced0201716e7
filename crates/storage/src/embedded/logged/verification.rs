// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads every row behind the log.

use super::JournalCheck;
use crate::StoreError;
use crate::embedded::key_value::{KeyRange, KeyValue, Order};
use crate::embedded::records::TABLES;
use crate::embedded::rows::Step;
use crate::log::Verified;

/// Rows that are looked at together.
const PAGE: usize = 256;

/// What was read of a server's store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// The delivery log.
    pub log: Verified,
    /// Rows of tables that are whole.
    pub rows: u64,
    /// Rows of tables that are not.
    pub damaged_rows: u64,
    /// Whether the tables as a whole cannot be read: the next opening makes them anew, if the journal is whole.
    pub tables_refused: bool,
    /// The row journal; `None` where there is none yet.
    pub journal: Option<JournalCheck>,
}

impl Verification {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let is_journal_whole = self.journal.is_none_or(|journal| journal.damaged == 0);
        self.log.is_whole() && self.damaged_rows == 0 && !self.tables_refused && is_journal_whole
    }
}

/// Counts the rows of all tables that are whole, and those that are not.
pub(in crate::embedded) fn verify_rows<K: KeyValue>(rows: &K) -> Result<(u64, u64), StoreError> {
    let (mut whole, mut damaged) = (0_u64, 0_u64);
    for table in TABLES {
        let mut range = KeyRange::prefix(&[table.prefix]);
        loop {
            let page = rows.scan(&range, Order::Ascending, PAGE)?.rows;
            let Some(last) = page.last() else { break };
            range = range.after(&last.key);
            for row in &page {
                let value = Step::new(rows).get_bytes(&row.key, table.name);
                let is_whole = match value {
                    Ok(Some(value)) => (table.disclose)(&value).is_ok(),
                    Ok(None) | Err(StoreError::Corrupt { .. }) => false,
                    Err(error) => return Err(error),
                };
                if is_whole {
                    whole = whole.saturating_add(1);
                } else {
                    damaged = damaged.saturating_add(1);
                }
            }
        }
    }
    Ok((whole, damaged))
}
