// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening a log, rows and their journal together: whichever is behind is caught up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::ahead::Ahead;
use super::journal::{Gap, Journal, Tail};
use super::{LoggedKeyValue, decode, position_of, position_value};
use crate::StoreError;
use crate::embedded::files::{FileKeyValue, FileOptions};
use crate::embedded::format::POSITION_KEY;
use crate::embedded::key_value::{Batch, KeyValue};
use crate::embedded::server::ServerOptions;
use crate::log::disk::DiskFolder;
use crate::log::file::LogFolder;
use crate::log::{DeliveryLog, LogOptions, LogPosition, Opened, ReadLog};

/// Where log and journal of a store are.
pub(in crate::embedded) struct Places<'a> {
    pub(in crate::embedded) log: &'a Path,
    pub(in crate::embedded) journal: &'a Path,
    /// The log, where it was made before and is being read already.
    pub(in crate::embedded) ahead: Option<Ahead>,
}

impl LoggedKeyValue {
    /// Opens log and journal beside rows, and gives each what only the others have.
    pub(in crate::embedded) async fn open(
        rows: FileKeyValue,
        places: Places<'_>,
        options: &ServerOptions,
        files: &FileOptions,
    ) -> Result<Self, StoreError> {
        let position = position(&rows)?;
        let read = match places.ahead {
            Some(ahead) => ahead.finish()?,
            None => read_log(places.log, false, options, files)?,
        };
        let Opened {
            log,
            damage,
            tables,
        } = read.open(position)?;
        if !damage.is_empty() {
            tracing::error!(
                code = "store_corrupt",
                places = damage.len(),
                "parts of the delivery log are damaged; `waxwingd verify` says which"
            );
        }
        let folder = journal_folder(places.journal, files)?;
        let (journal, tail) = match open_journal(&folder, &log, position)? {
            Some((journal, tail)) => (Some(journal), tail),
            None => (None, Tail::default()),
        };
        let missed = merge(position, tables, tail.batches, &tail.gaps)?;
        let reached = catch_up(&rows, position, &missed).await?;
        let journal = match journal {
            // One that lacks something is not mended: the rows are all there.
            Some(mut journal) if tail.gaps.is_empty() && journal.position() >= position => {
                let from = journal.position();
                let newer = missed.iter().filter(|(end, _)| **end > from);
                journal.append(newer.map(|(end, batch)| (*end, batch)))?;
                journal
            }
            _ => Journal::create(&folder, log.facts().log, reached, &rows)?,
        };
        log.keep_tables_from(reached);
        Self::start(log, rows, journal)
    }
}

/// The position of the log that rows reach.
pub(super) fn position(rows: &FileKeyValue) -> Result<LogPosition, StoreError> {
    match rows.get(POSITION_KEY)?.value {
        Some(value) => position_of(&value),
        None => Ok(LogPosition(0)),
    }
}

/// Opens the journal; `None` where there is none that is of use.
fn open_journal(
    folder: &Arc<dyn LogFolder>,
    log: &DeliveryLog,
    after: LogPosition,
) -> Result<Option<(Journal, Tail)>, StoreError> {
    match Journal::open(folder, log.facts().log, after) {
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::error!(
                code = error.code(),
                "the row journal is damaged; it is written anew from the rows"
            );
            Ok(None)
        }
        opened => opened,
    }
}

/// Puts the batches that rows lack in their order, whether the log has them or the journal or both.
fn merge(
    position: LogPosition,
    tables: Vec<(LogPosition, Bytes)>,
    of_journal: Vec<(LogPosition, Batch)>,
    gaps: &[Gap],
) -> Result<BTreeMap<LogPosition, Batch>, StoreError> {
    let mut missed: BTreeMap<_, _> = of_journal.into_iter().collect();
    for (end, rows) in &tables {
        missed.insert(*end, decode(rows)?);
    }
    for gap in gaps.iter().filter(|gap| gap.up_to > position) {
        let in_log = tables
            .iter()
            .filter(|(end, _)| gap.after < *end && *end <= gap.up_to)
            .count();
        // Where the rows have some of them already, they had them in their order.
        let is_filled = u64::try_from(in_log) == Ok(gap.missing) || gap.after < position;
        if !is_filled {
            return Err(StoreError::Corrupt {
                what: "row journal",
            });
        }
    }
    Ok(missed)
}

async fn catch_up(
    rows: &FileKeyValue,
    position: LogPosition,
    missed: &BTreeMap<LogPosition, Batch>,
) -> Result<LogPosition, StoreError> {
    let mut reached = position;
    for (end, batch) in missed {
        let mut batch = batch.clone();
        batch.insert(POSITION_KEY.into(), Some(position_value(*end)));
        drop(rows.apply_with(batch, Vec::new())?);
        reached = *end;
    }
    rows.apply(Batch::new()).await?;
    Ok(reached)
}

/// Opens a log that nothing is in yet.
pub(in crate::embedded) fn open_log(
    folder: &Path,
    options: &ServerOptions,
    files: &FileOptions,
) -> Result<DeliveryLog, StoreError> {
    let folder = log_folder(folder, files)?;
    let options = log_options(options, files);
    Ok(DeliveryLog::open(folder, &options)?.log)
}

/// Reads a log. One that was made before and is not there is damage.
pub(super) fn read_log(
    path: &Path,
    is_made: bool,
    options: &ServerOptions,
    files: &FileOptions,
) -> Result<ReadLog, StoreError> {
    let folder = log_folder(path, files)?;
    // Also where other files are left: a new log would begin at the first position again.
    let mut names = folder.list()?.into_iter();
    if is_made && !names.any(|name| name.ends_with(".checkpoint")) {
        return Err(StoreError::Corrupt { what: "log" });
    }
    DeliveryLog::read_all(folder, &log_options(options, files))
}

/// The folder of a journal.
pub(in crate::embedded) fn journal_folder(
    path: &Path,
    files: &FileOptions,
) -> Result<Arc<dyn LogFolder>, StoreError> {
    let syncer = Arc::clone(&files.syncer);
    Ok(Arc::new(DiskFolder::with_syncer(path, syncer)?))
}

fn log_folder(path: &Path, files: &FileOptions) -> Result<Arc<dyn LogFolder>, StoreError> {
    let syncer = Arc::clone(&files.log_syncer);
    Ok(Arc::new(DiskFolder::with_syncer(path, syncer)?))
}

fn log_options(server: &ServerOptions, files: &FileOptions) -> LogOptions {
    let mut options = LogOptions::new(log_entropy(&server.new_name_key));
    options.remembered_max = server.limits.remembered_envelope_ids_max;
    if let Some(size) = files.segment_size {
        options.segment_size = size;
    }
    options
}

/// The log's own random bytes: the store's key of names is not to be told from them.
fn log_entropy(entropy: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"waxwing delivery log")
        .chain_update(entropy)
        .finalize()
        .into()
}
