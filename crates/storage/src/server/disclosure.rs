// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything that is stored, as named fields: what an operator could hand over.

use core::fmt;
use core::future::Future;

use bytes::Bytes;
use waxwing_proto::AccountKey;

use crate::{Day, Minute, StoreError};

/// The reviewed list of every stored field, one `table.field: meaning; precision` a line. A test
/// fails when a store writes a field that is not named here.
pub const DISCLOSURE_FIELDS: &str = include_str!("../../disclosure-fields.txt");

/// The value of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisclosedValue {
    /// Bytes as they are stored; shown in hexadecimal digits.
    Bytes(Bytes),
    /// Text.
    Text(String),
    /// A number or a count.
    Number(u64),
    /// A day.
    Day(Day),
    /// A minute.
    Minute(Minute),
    /// Nothing is stored in this row's field.
    Absent,
}

impl fmt::Display for DisclosedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Day(day) => write!(f, "day {}", day.0),
            Self::Minute(minute) => write!(f, "minute {}", minute.0),
            Self::Absent => f.write_str("-"),
        }
    }
}

/// One stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisclosedRow {
    /// The table.
    pub table: &'static str,
    /// The account that the row is tied to.
    pub owner: Option<AccountKey>,
    /// Every field, those of the key first. A field of a list appears once for each element.
    pub fields: Vec<(&'static str, DisclosedValue)>,
}

/// Walks everything that is stored.
pub trait DisclosureStore: Send + Sync + 'static {
    /// Shows every row of every table to `visit`, table by table in the order of their keys. Steps
    /// that run meanwhile may be shown or not, row by row.
    fn walk(
        &self,
        visit: &mut (dyn FnMut(DisclosedRow) + Send),
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
