// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stores on files: an engine keeps the rows, and one committer makes batches durable.
//!
//! One committer thread takes whatever is queued and gives it to the engine, which makes it durable as
//! one. The first error of any kind stops the store for good.

mod committer;
mod engine;
mod folder;
mod key_value;
mod panics;
#[cfg(feature = "redb")]
mod redb;
mod sled;

use std::path::Path;
use std::sync::Arc;

use self::folder::Folder;
use super::client::{self, EmbeddedClientStore};
use super::format::{Format, Found as FormatFound};
use super::logged::{self, Ahead, Exported, LoggedKeyValue, Places, Verification};
use super::server::{self, EmbeddedStore, ServerOptions};
use crate::StoreError;
use crate::log::Verified;
use crate::log::disk::DiskFolder;
use crate::syncer::{SyncData, Syncer};

pub use self::engine::EngineKind;
pub use self::key_value::FileKeyValue;
pub use self::panics::{EngineUnderWay, engine_under_way};
pub(in crate::embedded) use self::sled::open_when_unlocked;

/// How files are used.
#[derive(Clone)]
pub struct FileOptions {
    /// What keeps the rows.
    pub engine: EngineKind,
    /// What the engine may keep in memory, in bytes. sled takes about twice as much.
    pub cache_bytes: u64,
    /// What makes the row journal and sled's file durable. redb syncs by itself.
    pub syncer: Arc<dyn Syncer>,
    /// What makes the files of the delivery log durable.
    pub log_syncer: Arc<dyn Syncer>,
    /// The size of a segment of the delivery log, in bytes; `None` for the usual one.
    pub segment_size: Option<u32>,
}

impl Default for FileOptions {
    /// sled, 32 MiB, and `fdatasync`.
    fn default() -> Self {
        Self {
            engine: EngineKind::default(),
            cache_bytes: 32 * 1024 * 1024,
            syncer: Arc::new(SyncData),
            log_syncer: Arc::new(SyncData),
            segment_size: None,
        }
    }
}

/// Opens the server's store in `folder`, which is made (mode 0700) where it is not there.
///
/// A store of an older format is migrated on a copy; the old files stay beside it. Rows that cannot be
/// opened, that the engine panicked on or that are older than the row journal are made anew from journal and
/// log; what was there stays beside them and is said in the server's log.
///
/// # Errors
/// [`StoreError::StoreInUse`], [`StoreError::OtherEngine`], [`StoreError::NewerFormat`],
/// [`StoreError::OlderFormat`], [`StoreError::Corrupt`], [`StoreError::Io`], [`StoreError::DiskFull`].
pub async fn open_server(
    folder: &Path,
    options: ServerOptions,
    files: FileOptions,
) -> Result<EmbeddedStore<LoggedKeyValue>, StoreError> {
    let path = folder;
    let folder = Folder::lock(path, files.engine)?;
    folder.finish_replacement()?;
    folder.check_engine()?;
    let is_made = folder.has_mark() && folder.log().exists();
    let mut ahead = if is_made {
        Some(Ahead::start(&folder.log(), &options, &files)?)
    } else {
        None
    };
    let mut rows = match open_rows(&folder, &options, &files, &mut ahead).await {
        Err(why @ StoreError::Corrupt { .. }) if is_made => {
            match replace_rows(&folder, &files, Some(why)) {
                // With nothing to make them from, rows that the engine panicked on are given another try.
                Err(StoreError::Corrupt { .. }) if panics::unmark(&folder.current())? => {}
                replaced => replaced?,
            }
            open_rows(&folder, &options, &files, &mut ahead).await?
        }
        opened => opened?,
    };
    let (log, journal) = (folder.log(), folder.journal());
    rows.hold(folder);
    let places = Places {
        log: &log,
        journal: &journal,
        ahead,
    };
    let rows = LoggedKeyValue::open(rows, places, &options, &files).await?;
    folder::mark(path)?;
    EmbeddedStore::open(rows, options).await
}

/// Opens the rows of a server's store, in the current format. The log that is read meanwhile is dropped
/// where another one takes its place.
async fn open_rows(
    folder: &Folder,
    options: &ServerOptions,
    files: &FileOptions,
    ahead: &mut Option<Ahead>,
) -> Result<FileKeyValue, StoreError> {
    let format = server::format();
    let rows = open_tables(folder, files, None)?;
    match format.find(&rows)? {
        // sled takes a file that it cannot read for an empty one; the mark says that it is not.
        FormatFound::Empty if folder.has_mark() => {
            return Err(StoreError::Corrupt {
                what: files.engine.name(),
            });
        }
        FormatFound::Empty => format.write(&rows).await?,
        FormatFound::Current if folder.has_mark() && !folder.log().exists() => {
            return Err(StoreError::Corrupt { what: "log" });
        }
        FormatFound::Current => {}
        FormatFound::Older(from) => {
            drop(rows);
            drop(ahead.take());
            folder.begin_migration()?;
            let copy = FileKeyValue::open(&folder.copy(), files)?;
            let log = logged::open_log(&folder.log_copy(), options, files)?;
            logged::move_mailboxes(&copy, &log).await?;
            drop(log);
            format.migrate(&copy, from).await?;
            drop(copy);
            folder.end_replacement(&format!("format-{from}"))?;
            return FileKeyValue::open(&folder.current(), files);
        }
    }
    if logged::is_behind_journal(&rows, &folder.journal(), files)? {
        return Err(StoreError::Corrupt {
            what: files.engine.name(),
        });
    }
    Ok(rows)
}

/// Makes the rows of a server's store anew from its row journal, and sets those that are there aside.
fn replace_rows(
    folder: &Folder,
    files: &FileOptions,
    why: Option<StoreError>,
) -> Result<(), StoreError> {
    folder.drop_copies()?;
    let no_journal = why.unwrap_or(StoreError::Corrupt {
        what: "row journal",
    });
    if !logged::rebuild(&folder.copy(), &folder.journal(), files)? {
        folder.drop_copies()?;
        return Err(no_journal);
    }
    let kept = folder.free_name("refused");
    folder.end_replacement(&kept)?;
    tracing::error!(
        code = "store_rebuilt",
        engine = files.engine.name(),
        aside = kept,
        "the rows of the store were made anew from the row journal and the delivery log; \
         the damaged ones are kept beside them"
    );
    Ok(())
}

/// Makes the rows of a server's store that nobody has open anew, whatever is there.
///
/// # Errors
/// [`StoreError::Corrupt`] where the row journal is damaged or missing; as [`open_server`].
pub fn rebuild_server(folder: &Path, files: &FileOptions) -> Result<(), StoreError> {
    let folder = Folder::lock(folder, files.engine)?;
    folder.finish_replacement()?;
    folder.check_engine()?;
    replace_rows(&folder, files, None)
}

/// Reads every record of a server's store that nobody has open, and changes none. A log that is cut
/// short or rows that are behind it are no damage; tables that do not open are, and the rest is read.
///
/// # Errors
/// As [`open_server`].
pub fn verify_server(folder: &Path, files: FileOptions) -> Result<Verification, StoreError> {
    let folder = Folder::lock(folder, files.engine)?;
    folder.check_engine()?;
    let mut log = if folder.log().exists() {
        crate::log::verify(&DiskFolder::new(&folder.log())?)?
    } else {
        Verified::default()
    };
    let read = read_tables(&folder, &files);
    let tables_refused = matches!(read, Err(StoreError::Corrupt { .. }));
    let tables = if tables_refused {
        Tables::default()
    } else {
        read?
    };
    // A store of a format before the log has none yet.
    let had_log = folder.has_mark() && (tables.is_current || folder.journal().exists());
    log.is_lost |= had_log && log.checkpoints == 0 && log.damaged_checkpoints == 0;
    let journal = if folder.journal().exists() {
        logged::journal::check(logged::journal_folder(&folder.journal(), &files)?.as_ref())?
    } else {
        None
    };
    Ok(Verification {
        log,
        rows: tables.rows,
        damaged_rows: tables.damaged_rows,
        tables_refused,
        journal,
    })
}

/// What was read of the tables.
#[derive(Default)]
struct Tables {
    rows: u64,
    damaged_rows: u64,
    is_current: bool,
}

/// Counts the rows that are whole, and those that are not.
fn read_tables(folder: &Folder, files: &FileOptions) -> Result<Tables, StoreError> {
    let refused = StoreError::Corrupt {
        what: files.engine.name(),
    };
    if !folder.current().exists() {
        return match folder.has_mark() {
            true => Err(refused),
            false => Ok(Tables::default()),
        };
    }
    if panics::is_marked(&folder.current()) {
        return Err(refused);
    }
    let tables = FileKeyValue::open(&folder.current(), files)?;
    let (rows, damaged_rows) = logged::verify_rows(&tables)?;
    Ok(Tables {
        rows,
        damaged_rows,
        is_current: matches!(server::format().find(&tables), Ok(FormatFound::Current)),
    })
}

/// Makes a server's store in `folder`, where none may be, from what
/// [`EmbeddedStore::export`](crate::embedded::EmbeddedStore) has written. It is there as a whole or not at all.
///
/// # Errors
/// [`StoreError::Exists`]; [`StoreError::Corrupt`] where the export is not whole,
/// [`StoreError::NewerFormat`] or [`StoreError::OlderFormat`] where it is of another format; the
/// reader's; as [`open_server`].
pub async fn import_server(
    folder: &Path,
    options: ServerOptions,
    files: FileOptions,
    from: &mut (dyn std::io::Read + Send),
) -> Result<Exported, StoreError> {
    let path = folder;
    let folder = Folder::lock(path, files.engine)?;
    folder.finish_replacement()?;
    folder.check_engine()?;
    if folder.has_mark() || folder.current().exists() || folder.log().exists() {
        return Err(StoreError::Exists);
    }
    folder.drop_copies()?;
    let imported = fill_copies(&folder, &options, &files, from).await;
    if imported.is_err() {
        folder.drop_copies()?;
    }
    let imported = imported?;
    folder.end_replacement("before-import")?;
    folder::mark(path)?;
    Ok(imported)
}

async fn fill_copies(
    folder: &Folder,
    options: &ServerOptions,
    files: &FileOptions,
    from: &mut (dyn std::io::Read + Send),
) -> Result<Exported, StoreError> {
    let rows = FileKeyValue::open(&folder.copy(), files)?;
    let log = logged::open_log(&folder.log_copy(), options, files)?;
    let imported = logged::import(from, &rows, &log).await?;
    match server::format().find(&rows)? {
        FormatFound::Current => Ok(imported),
        FormatFound::Older(found) => Err(StoreError::OlderFormat { found }),
        FormatFound::Empty => Err(StoreError::Corrupt { what: "export" }),
    }
}

/// Opens the client's store in `folder`, as [`open_server`] does the server's. Where sled has lost
/// commits, [`ClientStore::is_behind`](crate::client::ClientStore::is_behind) says so.
///
/// # Errors
/// As [`open_server`].
pub async fn open_client(
    folder: &Path,
    files: FileOptions,
) -> Result<EmbeddedClientStore<FileKeyValue>, StoreError> {
    EmbeddedClientStore::open(open(folder, client::format(), files).await?).await
}

/// Whether a store was made in `folder`.
#[must_use]
pub fn exists(folder: &Path) -> bool {
    folder::is_marked(folder)
}

/// Opens the tables of a store whose folder is locked, with a witness in `witnessed` if there is to be one:
/// a client's has one, and no journal that could take the place of what an engine panicked on.
fn open_tables(
    folder: &Folder,
    files: &FileOptions,
    witnessed: Option<&Path>,
) -> Result<FileKeyValue, StoreError> {
    let opened = if witnessed.is_none() && panics::is_marked(&folder.current()) {
        Err(StoreError::Corrupt {
            what: files.engine.name(),
        })
    } else {
        FileKeyValue::open_with(&folder.current(), files, witnessed)
    };
    match opened {
        // sled tears its own first files when the power is cut while it makes them (G2). Without
        // the mark nothing was ever acknowledged, so a new store takes their place.
        Err(StoreError::Corrupt { .. }) if !folder.has_mark() => {
            folder.set_unfinished_aside()?;
            FileKeyValue::open_with(&folder.current(), files, witnessed)
        }
        opened => opened,
    }
}

async fn open(
    folder: &Path,
    format: Format<FileKeyValue>,
    files: FileOptions,
) -> Result<FileKeyValue, StoreError> {
    let path = folder.to_owned();
    let folder = Folder::lock(folder, files.engine)?;
    folder.finish_replacement()?;
    folder.check_engine()?;
    let mut store = open_tables(&folder, &files, Some(&path))?;
    match format.find(&store)? {
        // sled takes a file that it cannot read for an empty one; the mark says that it is not.
        FormatFound::Empty if folder.has_mark() => {
            return Err(StoreError::Corrupt {
                what: files.engine.name(),
            });
        }
        FormatFound::Empty => format.write(&store).await?,
        FormatFound::Current => {}
        FormatFound::Older(from) => {
            drop(store);
            folder.begin_migration()?;
            let copy = FileKeyValue::open(&folder.copy(), &files)?;
            format.migrate(&copy, from).await?;
            drop(copy);
            folder.end_replacement(&format!("format-{from}"))?;
            store = FileKeyValue::open_with(&folder.current(), &files, Some(&path))?;
        }
    }
    folder::mark(&path)?;
    store.hold(folder);
    Ok(store)
}

#[cfg(test)]
mod tests;
