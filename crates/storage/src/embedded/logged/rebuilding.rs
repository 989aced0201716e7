// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Making an engine's rows anew from the row journal.

use std::path::Path;

use super::journal;
use super::opening::{journal_folder, position};
use super::position_value;
use crate::StoreError;
use crate::embedded::files::{FileKeyValue, FileOptions};
use crate::embedded::format::POSITION_KEY;
use crate::embedded::key_value::Batch;

/// Whether rows are behind where the journal begins: then they have lost what no batch gives back.
pub(in crate::embedded) fn is_behind_journal(
    rows: &FileKeyValue,
    journal: &Path,
    files: &FileOptions,
) -> Result<bool, StoreError> {
    if !journal.exists() {
        return Ok(false);
    }
    let start = journal::start(journal_folder(journal, files)?.as_ref())?;
    let position = position(rows)?;
    Ok(start.is_some_and(|start| position < start))
}

/// Makes rows in `copy`, where nothing is, from a journal. Answers whether there is one.
///
/// # Errors
/// [`StoreError::Corrupt`] where the journal is damaged too.
pub(in crate::embedded) fn rebuild(
    copy: &Path,
    journal: &Path,
    files: &FileOptions,
) -> Result<bool, StoreError> {
    if !journal.exists() {
        return Ok(false);
    }
    // A thread of its own may wait for each batch, whatever runtime this is called in.
    std::thread::scope(|scope| scope.spawn(|| restore(copy, journal, files)).join())
        .unwrap_or(Err(StoreError::Bug("rows were made anew")))
}

fn restore(copy: &Path, journal: &Path, files: &FileOptions) -> Result<bool, StoreError> {
    let folder = journal_folder(journal, files)?;
    let rows = FileKeyValue::open(copy, files)?;
    let restored = journal::restore(folder.as_ref(), &mut |batch| rows.apply_blocking(batch))?;
    let Some(position) = restored else {
        return Ok(false);
    };
    let end = Batch::from([(POSITION_KEY.into(), Some(position_value(position)))]);
    rows.apply_blocking(end)?;
    Ok(true)
}
