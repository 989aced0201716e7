// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening a client's store, on a copy: the original is what gets searched.

use core::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use waxwing_crypto::{MasterKey, StoreKeys};
use waxwing_storage::client::ClientStore;
use waxwing_storage::embedded::files::{FileOptions, open_client};

use super::copy_folder;

/// Tables are numbered from 1; the engine has fewer than these.
const TABLES: u8 = 32;
/// Rows that are read at a time.
const ROWS: usize = 256;
/// A row's key is a name of 16 bytes and the row's place in the order of that name.
const NAME_LENGTH: usize = 16;

/// One row in the clear.
pub(super) struct Row {
    pub(super) table: u8,
    pub(super) order: u64,
    pub(super) value: Vec<u8>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the row {} of table {}, {} bytes",
            self.order,
            self.table,
            self.value.len()
        )
    }
}

/// All rows of the store in `folder`.
pub(super) fn open(folder: &Path, master: &MasterKey) -> Result<Vec<Row>> {
    let place = tempfile::tempdir().context("cannot make a temporary folder")?;
    let copy = place.path().join("store");
    copy_folder(folder, &copy)?;
    let keys = StoreKeys::derive(master);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let store = runtime.block_on(open_client(&copy, FileOptions::default()))?;
    let mut rows = Vec::new();
    for table in 1..TABLES {
        let mut after = None;
        loop {
            let found = store.scan(table, &[], after.as_deref(), ROWS)?;
            let Some(last) = found.last() else { break };
            after = Some(last.key.clone());
            for row in &found {
                let plain = keys
                    .open(&[table], &row.key, &row.value)
                    .with_context(|| format!("a row of table {table} does not open"))?;
                rows.push(split(table, &row.key, &plain)?);
            }
        }
    }
    if rows.is_empty() {
        bail!("the store is empty");
    }
    Ok(rows)
}

/// The plain value is `length of scope (1) || scope || value`.
fn split(table: u8, key: &[u8], plain: &[u8]) -> Result<Row> {
    let order = key
        .get(NAME_LENGTH..)
        .and_then(|order| order.try_into().ok());
    let order = u64::from_be_bytes(order.context("a key is not laid out as a row's")?);
    let (length, rest) = plain.split_first().context("an empty row")?;
    let value = rest
        .get(usize::from(*length)..)
        .context("a row is too short")?;
    Ok(Row {
        table,
        order,
        value: value.to_vec(),
    })
}
