// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The failures of the store, and of the files that it is exported to.

use std::io;
use std::path::Path;

use waxwing_storage::StoreError;

use super::quoted;
use crate::failure::{Exit, Failure};

pub(crate) fn store_failed(path: &Path, error: &StoreError) -> Failure {
    // Whoever has the store for itself waits for nobody: what is needed has no room on the disk.
    let error = match error {
        StoreError::Busy { .. } => &StoreError::DiskFull,
        other => other,
    };
    let what = format!("the store cannot be used: {error}");
    let failure = Failure::new(error.code(), Exit::Store, what);
    match error {
        StoreError::DiskFull => failure
            .why("Nothing more is accepted until there is room. What was acknowledged is kept.")
            .next("free space", format!("df -h {}", quoted(path))),
        StoreError::NewerFormat { .. } => failure
            .why("A newer waxwingd wrote it. This one would not understand all of it. Nothing was changed.")
            .next("install the newer one, then", "waxwingd serve"),
        StoreError::StoreInUse => failure
            .why("Two servers on one store would destroy it. Nothing was changed.")
            .next("ask the running one", format!("waxwingd doctor --data {}", quoted(path))),
        StoreError::OtherEngine { found } => failure
            .why("`engine` in waxwingd.toml names another one. Nothing was changed.")
            .next("set it back", format!("engine = \"{found}\""))
            .next("how to change engines", "waxwingd import --help"),
        StoreError::Corrupt { .. } => failure
            .why("Bytes on the disk are not what was written. Nothing was changed; keep a copy of the folder.")
            .next("see what is damaged", format!("waxwingd verify --data {}", quoted(path)))
            .next("where rows of tables are damaged", format!("waxwingd rebuild --data {}", quoted(path))),
        _ => failure
            .why("Nothing is acknowledged that is not durable. What was acknowledged is kept.")
            .next("find out more", format!("waxwingd doctor --data {}", quoted(path))),
    }
}

/// The engine that keeps the tables has met what it does not expect, at a place in its code.
pub(crate) fn engine_panicked(path: &Path, engine: &str, place: &str, is_marked: bool) -> Failure {
    let next_start = if is_marked {
        "The next start sets its files aside and makes the tables anew."
    } else {
        "No mark could be left in its folder: is the disk full or read-only? If the next start ends in \
         the same way, make the tables anew by hand."
    };
    let failure = Failure::new(
        "store_engine_panicked",
        Exit::Store,
        format!("{engine}, which keeps the tables, cannot go on with its files (at {place})"),
    )
    .why(format!(
        "The disk has changed them, or {engine} has a fault. What was acknowledged is in the delivery \
         log and the row journal.\n{next_start}"
    ))
    .next("start again", format!("waxwingd serve --data {}", quoted(path)));
    let failure = if is_marked {
        failure
    } else {
        failure.next(
            "or by hand",
            format!("waxwingd rebuild --data {}", quoted(path)),
        )
    };
    failure.next(
        "then look at disk and tables",
        format!("waxwingd doctor --data {}", quoted(path)),
    )
}

/// Rows cannot be made anew.
pub(crate) fn rebuild_failed(path: &Path, error: &StoreError) -> Failure {
    if !matches!(error, StoreError::Corrupt { .. }) {
        return store_failed(path, error);
    }
    Failure::new(
        error.code(),
        Exit::Store,
        format!("the tables cannot be made anew: {error}"),
    )
    .why("They come from the row journal, which is missing or damaged. Nothing was changed.")
    .next(
        "see what is damaged",
        format!("waxwingd verify --data {}", quoted(path)),
    )
    .next(
        "from a backup, in a folder without `store`",
        "waxwingd import FILE",
    )
}

/// The file of an export cannot be written.
pub(crate) fn export_file_failed(path: &Path, error: &io::Error) -> Failure {
    let again = format!("waxwingd export {}", quoted(path));
    let folder = quoted(folder_of(path));
    let failure = file_failed(path, error);
    match error.kind() {
        io::ErrorKind::AlreadyExists => failure
            .why("An export replaces nothing.")
            .next("name another file", "waxwingd export FILE"),
        io::ErrorKind::NotFound => failure
            .why("The folder that it is to lie in is not there. Nothing was exported.")
            .next("make it", format!("mkdir -p {folder}"))
            .next("then", again),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            failure
                .why("An export takes about as much room as the store. What was half written is gone again.")
                .next("see", format!("df -h {folder}"))
                .next("free space there, then", again)
        }
        _ => failure
            .why("Nothing was exported. A server that runs writes the file as its own user.")
            .next("see who may write there", format!("ls -ld {folder}"))
            .next("or another folder", "waxwingd export FILE"),
    }
}

/// The file of an import cannot be read.
pub(crate) fn import_file_failed(path: &Path, error: &io::Error) -> Failure {
    let failure = file_failed(path, error);
    match error.kind() {
        io::ErrorKind::NotFound => failure
            .why("There is no such file. Nothing was imported.")
            .next(
                "see what is there",
                format!("ls -l {}", quoted(folder_of(path))),
            )
            .next("name the export", "waxwingd import FILE"),
        _ => failure
            .why("Nothing was imported.")
            .next("see who may read it", format!("ls -l {}", quoted(path)))
            .next("or another export", "waxwingd import FILE"),
    }
}

fn file_failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        "file_failed",
        Exit::User,
        format!("{}: {}", path.display(), error),
    )
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// A file is no export, or there is a store already.
pub(crate) fn import_failed(path: &Path, file: &Path, error: &StoreError) -> Failure {
    match error {
        StoreError::Exists => Failure::new(
            error.code(),
            Exit::User,
            format!("{} holds a store already", path.display()),
        )
        .why("An import would mix two stores, or lose one. Nothing was changed.")
        .next(
            "move it away, the server stopped",
            format!("mv {0}/store {0}/store.before", quoted(path)),
        ),
        StoreError::Corrupt { what: "export" } => Failure::new(
            "export_damaged",
            Exit::User,
            format!("{} is not a whole export", file.display()),
        )
        .why("It was cut, changed, or is something else. Nothing was imported.")
        .next("another export", "waxwingd import FILE"),
        _ => store_failed(path, error),
    }
}

pub(crate) fn store_damaged(path: &Path) -> Failure {
    Failure::new(
        "store_damaged",
        Exit::Store,
        "parts of the store cannot be read",
    )
    .why("The disk has changed them. What is whole is served; nothing was changed. Keep a copy of the folder.")
    .next("copy it", format!("cp -a {0} {0}.damaged", quoted(path)))
    .next("check the disk, then", format!("waxwingd serve --data {}", quoted(path)))
}

/// The same after a report of whoever has the store open, which names the code only.
pub(crate) fn store_failed_there(code: &str) -> Failure {
    let busy = StoreError::Busy { retry_after_ms: 0 };
    if code == busy.code() {
        return Failure::new(
            busy.code(),
            Exit::Store,
            "the store has no room for more at the moment; nothing was done",
        )
        .why("Its disk is full, or more waits for the disk than it holds. A running server goes on by itself when there is room.")
        .next("see how much is free, then try again", "df -h");
    }
    Failure::new(
        "store_failed",
        Exit::Store,
        format!("the running server's store failed ({code})"),
    )
    .why("Nothing is acknowledged that is not durable. What was acknowledged is kept.")
    .next("find out more", "waxwingd doctor")
}
