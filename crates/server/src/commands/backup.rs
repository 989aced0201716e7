// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `export`, `import` and `rebuild`: the store as one file, and from what is left of it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::json;

use super::Scene;
use crate::admin::{self, Order, Reply};
use crate::failure::Failure;
use crate::logging;
use crate::text::{self, answers};

/// Bytes that are read together.
const BUFFER: usize = 1024 * 1024;

pub(super) fn export(scene: &Scene, file: &Path) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    // The server that writes it stands in another folder.
    let file = std::path::absolute(file).map_err(|error| text::export_file_failed(file, &error))?;
    let name = file.to_str().ok_or_else(|| {
        text::export_file_failed(&file, &std::io::ErrorKind::InvalidFilename.into())
    })?;
    let order = Order::Export {
        file: name.to_owned(),
    };
    let reply = super::serve::runtime()?.block_on(admin::perform(&scene.folder, &order))?;
    let Reply::Exported(counts) = reply else {
        return Err(text::bug("the reply does not fit the order"));
    };
    let value = json!({
        "v": 1,
        "type": "exported",
        "file": name,
        "rows": counts.rows,
        "mailboxes": counts.mailboxes,
        "envelopes": counts.envelopes,
        "damaged": counts.damaged,
    });
    scene.output.result(
        &answers::exported(&file, &counts, &scene.data_option),
        &value,
    )
}

pub(super) fn import(scene: &Scene, file: &Path) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    let folder = &scene.folder;
    let configuration = folder.configuration()?;
    let Some(_lock) = folder.lock()? else {
        return Err(text::folder_in_use(folder.path()));
    };
    let opened = File::open(file).map_err(|error| text::import_file_failed(file, &error))?;
    let mut from = BufReader::with_capacity(BUFFER, opened);
    let imported = super::serve::runtime()?
        .block_on(folder.import_store(&configuration, &mut from))?
        .map_err(|error| text::import_failed(folder.path(), file, &error))?;
    let value = json!({
        "v": 1,
        "type": "imported",
        "engine": configuration.engine()?.name(),
        "rows": imported.rows,
        "mailboxes": imported.mailboxes,
        "envelopes": imported.envelopes,
    });
    scene
        .output
        .result(&answers::imported(&imported, &scene.data_option), &value)
}

pub(super) fn rebuild(scene: &Scene) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    let folder = &scene.folder;
    let configuration = folder.configuration()?;
    let Some(_lock) = folder.lock()? else {
        return Err(text::folder_in_use(folder.path()));
    };
    folder.rebuild_store(&configuration)?;
    // What the log has beyond the journal is taken in by opening it.
    drop(super::serve::runtime()?.block_on(folder.open_store(&configuration))?);
    let aside = folder.set_aside();
    let value = json!({ "v": 1, "type": "rebuilt", "aside": aside });
    scene
        .output
        .result(&answers::rebuilt(&aside, &scene.data_option), &value)
}
