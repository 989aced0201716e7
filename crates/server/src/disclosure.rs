// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything that the store ties to one account, table by table.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use waxwing_proto::AccountKey;
use waxwing_storage::StoreError;
use waxwing_storage::server::{DisclosedRow, DisclosedValue, DisclosureStore};

use crate::text;

/// What an operator could hand over about an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disclosure {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) tables: Vec<Table>,
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) table: String,
    pub(crate) rows: Vec<Vec<Field>>,
}

/// One field of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Field {
    pub(crate) field: String,
    /// `bytes` (in hexadecimal digits), `text`, `number`, `day`, `minute`, `absent`.
    pub(crate) kind: String,
    pub(crate) value: Value,
}

impl Disclosure {
    /// Walks the whole store.
    pub(crate) async fn of(
        store: &impl DisclosureStore,
        account: AccountKey,
        name: &str,
    ) -> Result<Self, StoreError> {
        let mut tables: Vec<Table> = Vec::new();
        let mut visit = |row: DisclosedRow| {
            if row.owner != Some(account) {
                return;
            }
            let fields = row
                .fields
                .iter()
                .map(|(name, value)| field(name, value))
                .collect();
            match tables.last_mut() {
                Some(table) if table.table == row.table => table.rows.push(fields),
                _ => tables.push(Table {
                    table: row.table.to_owned(),
                    rows: vec![fields],
                }),
            }
        };
        store.walk(&mut visit).await?;
        Ok(Self {
            account: account.to_hex(),
            name: name.to_owned(),
            tables,
        })
    }
}

fn field(name: &str, value: &DisclosedValue) -> Field {
    let (kind, value) = match value {
        DisclosedValue::Bytes(bytes) => {
            ("bytes", Value::from(data_encoding::HEXLOWER.encode(bytes)))
        }
        DisclosedValue::Text(text) => ("text", Value::from(text.as_str())),
        DisclosedValue::Number(number) => ("number", Value::from(*number)),
        DisclosedValue::Day(day) => ("day", Value::from(text::date(day.0))),
        DisclosedValue::Minute(minute) => ("minute", Value::from(text::date_and_time(minute.0))),
        DisclosedValue::Absent => ("absent", Value::Null),
        other => ("text", Value::from(other.to_string())),
    };
    Field {
        field: name.to_owned(),
        kind: kind.to_owned(),
        value,
    }
}
