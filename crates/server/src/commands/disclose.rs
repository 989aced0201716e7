// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `disclose`: what the operator could hand over.

use serde_json::json;
use waxwing_storage::server::DISCLOSURE_FIELDS;

use super::Scene;
use crate::admin::{self, Order, Reply};
use crate::cli::DiscloseArgs;
use crate::failure::Failure;
use crate::text::{self, answers};
use crate::{grep, logging};

pub(super) fn run(scene: &Scene, args: DiscloseArgs) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    match (args.account, args.grep) {
        (Some(account), _) => disclose(scene, account),
        (None, Some(text)) => search(scene, &text),
        (None, None) => fields(scene),
    }
}

fn disclose(scene: &Scene, account: String) -> Result<(), Failure> {
    let order = Order::Disclose { account };
    let reply = super::serve::runtime()?.block_on(admin::perform(&scene.folder, &order))?;
    let Reply::Disclosure(disclosure) = reply else {
        return Err(text::bug("the reply does not fit the order"));
    };
    let value = json!({
        "v": 1,
        "type": "disclosure",
        "account": disclosure.account,
        "name": disclosure.name,
        "tables": disclosure.tables,
        "not_stored": answers::NOT_STORED,
    });
    let text = answers::disclosure(&disclosure, &scene.data_option);
    scene.output.result(&text, &value)
}

fn search(scene: &Scene, text: &str) -> Result<(), Failure> {
    if text.len() < grep::TEXT_LENGTH_MIN {
        return Err(text::grep_too_short(grep::TEXT_LENGTH_MIN));
    }
    // A folder without a server would be searched in vain.
    scene.folder.configuration()?;
    let path = scene.folder.path();
    let search = grep::search(path, text).map_err(|error| text::folder_failed(path, &error))?;
    let findings: Vec<_> = search
        .findings
        .iter()
        .map(|finding| {
            json!({
                "file": finding.file.display().to_string(),
                "offset": finding.offset,
                "form": finding.form,
            })
        })
        .collect();
    let value = json!({
        "v": 1,
        "type": "search",
        "files": search.files,
        "bytes": search.bytes,
        "matches": search.matches,
        "findings": findings,
    });
    scene.output.result(&answers::search(&search), &value)
}

fn fields(scene: &Scene) -> Result<(), Failure> {
    let lines: Vec<&str> = DISCLOSURE_FIELDS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let listed: Vec<_> = lines
        .iter()
        .map(|line| {
            let (field, rest) = line.split_once(':').unwrap_or((line, ""));
            let (meaning, precision) = rest.rsplit_once(';').unwrap_or((rest, ""));
            json!({ "field": field.trim(), "meaning": meaning.trim(), "precision": precision.trim() })
        })
        .collect();
    let value = json!({
        "v": 1,
        "type": "fields",
        "fields": listed,
        "not_stored": answers::NOT_STORED,
    });
    scene.output.result(&answers::fields(&lines), &value)
}
