// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `key prepare` and `key switch`: another key for a server, without a gap for those who know both.

use serde_json::json;

use super::Scene;
use crate::cli::KeyCommand;
use crate::failure::Failure;
use crate::operator::server_link;
use crate::server_key::ServerKey;
use crate::text::{self, answers};
use crate::{logging, platform};

pub(super) fn run(scene: &Scene, command: &KeyCommand) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    let folder = &scene.folder;
    let configuration = folder.configuration()?;
    folder.check_private()?;
    // A server that runs has its links and its key in memory.
    let Some(_lock) = folder.lock()? else {
        return Err(text::folder_in_use(folder.path()));
    };
    let before = folder.server_key()?;
    // What cannot be said afterwards is not done.
    before.address(&configuration)?;
    match command {
        KeyCommand::Prepare => {
            if before.next_pin_hex().is_some() {
                return Err(text::key_prepared(folder.path()));
            }
            // A client heeds what it is told where the key was proved, which a resumed session is not.
            platform::remove_folder(&folder.tickets_path())
                .map_err(|error| text::folder_failed(folder.path(), &error))?;
            ServerKey::create(&folder.next_key_path())?;
        }
        KeyCommand::Switch => {
            let Some(_) = before.next_pin_hex() else {
                return Err(text::no_next_key(folder.path()));
            };
            // Sessions of the old key would go on being resumed by clients that know no other.
            platform::remove_folder(&folder.tickets_path())
                .map_err(|error| text::folder_failed(folder.path(), &error))?;
            platform::replace_file(&folder.next_key_path(), &folder.key_path())
                .map_err(|error| text::folder_failed(folder.path(), &error))?;
        }
    }
    let key = folder.server_key()?;
    let link = server_link(&key.address(&configuration)?)?;
    let is_switched = matches!(command, KeyCommand::Switch);
    let value = json!({
        "v": 1,
        "type": if is_switched { "key_switched" } else { "key_prepared" },
        "key_pin": key.pin_hex(),
        "next_key_pin": key.next_pin_hex(),
        "previous_key_pin": is_switched.then(|| before.pin_hex()),
        "server": link,
    });
    let words = if is_switched {
        answers::key_switched(&link, &scene.data_option)
    } else {
        answers::key_prepared(&link, &scene.data_option)
    };
    scene.output.result(&words, &value)
}
