// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `verify`: reads every record of the store.

use serde_json::json;

use super::Scene;
use crate::failure::Failure;
use crate::logging;
use crate::text::{self, answers};

pub(super) fn run(scene: &Scene) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    let folder = &scene.folder;
    let configuration = folder.configuration()?;
    let Some(_lock) = folder.lock()? else {
        return Err(text::folder_in_use(folder.path()));
    };
    let verified = folder.verify_store(&configuration)?;
    let damage: Vec<_> = verified
        .log
        .damage
        .iter()
        .map(|place| {
            json!({
                "segment": place.segment,
                "offset": place.offset,
                "length": place.length,
            })
        })
        .collect();
    let value = json!({
        "v": 1,
        "type": "verification",
        "whole": verified.is_whole(),
        "segments": verified.log.segments,
        "records": verified.log.records,
        "bytes": verified.log.bytes,
        "checkpoints": verified.log.checkpoints,
        "damaged_checkpoints": verified.log.damaged_checkpoints,
        "damaged_remembered": verified.log.damaged_remembered,
        "unreadable_envelopes": verified.log.unreadable,
        "log_lost": verified.log.is_lost,
        "not_read": verified.log.not_read,
        "damage": damage,
        "rows": verified.rows,
        "damaged_rows": verified.damaged_rows,
        "tables_refused": verified.tables_refused,
        "journal": verified.journal.map(|journal| json!({
            "rows": journal.rows,
            "batches": journal.batches,
            "damaged": journal.damaged,
        })),
    });
    scene
        .output
        .result(&answers::verification(&verified), &value)?;
    if verified.is_whole() {
        Ok(())
    } else {
        Err(text::store_damaged(folder.path()))
    }
}
