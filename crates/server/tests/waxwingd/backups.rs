// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `export`, `import` and `rebuild`: a backup of a server that runs, another engine, broken tables.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use waxwing_identity::InviteLink;

use crate::client::{Network, Person, block_on};
use crate::process::{Place, Server, command, say};

const FIRST: &[u8] = b"what waits when the export is made";
const SECOND: &[u8] = b"what comes after it";

/// A server with an account for which something waits.
fn begun() -> (Place, Server, InviteLink, Person) {
    let place = Place::new();
    let server = place.up();
    let invite: InviteLink = server.text("invite").parse().unwrap();
    let alice = Person::new("alice", 10);
    block_on(async {
        let network = Network::new(invite.server().clone());
        alice.register(&network, &invite).await.unwrap();
        alice.send_to(&network, FIRST, 1).await;
    });
    (place, server, invite, alice)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_running_server_is_exported_and_goes_on_with_another_engine() {
    let (place, server, invite, alice) = begun();
    let file = place.folder.path().join("backup");
    // What lies in the way is not written into: its owner could read along.
    let other = place.folder.path().join("others");
    fs::write(&other, "not the server's").unwrap();
    std::os::unix::fs::symlink(&other, file.with_extension("new")).unwrap();
    let exported = place.run(&["export", text(&file), "--json"]).json();
    assert_eq!(fs::read(&other).unwrap(), b"not the server's");
    assert!(!file.with_extension("new").exists());
    assert_eq!(exported["envelopes"], 1, "{exported}");
    assert_eq!(exported["mailboxes"], 1, "{exported}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    place
        .run(&["export", text(&file), "--json"])
        .failed_with(1, "file_failed");
    let nowhere = place.folder.path().join("no/such/folder");
    place
        .run(&["export", text(&nowhere), "--json"])
        .failed_with(1, "file_failed");
    // The server has not noticed.
    block_on(async {
        let network = Network::new(invite.server().clone());
        alice.send_to(&network, SECOND, 2).await;
    });
    place
        .run(&["import", text(&file), "--json"])
        .failed_with(6, "data_folder_in_use");
    server.end_by(Signal::TERM);
    place
        .run(&["import", text(&file), "--json"])
        .failed_with(1, "store_exists");

    fs::rename(
        place.data().join("store"),
        place.data().join("store.before"),
    )
    .unwrap();
    let cut = place.folder.path().join("cut");
    let bytes = fs::read(&file).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    place
        .run(&["import", text(&cut), "--json"])
        .failed_with(1, "export_damaged");
    let configuration = place.data().join("waxwingd.toml");
    let sled = fs::read_to_string(&configuration).unwrap();
    let redb = sled.replace("engine = \"sled\"", "engine = \"redb\"");
    assert_ne!(sled, redb);
    fs::write(&configuration, redb).unwrap();
    let imported = place.run(&["import", text(&file), "--json"]).json();
    assert_eq!(imported["engine"], "redb", "{imported}");
    assert_eq!(imported["rows"], exported["rows"]);

    let server = place.up();
    let received = block_on(async {
        let network = Network::new(invite.server().clone());
        alice.send_to(&network, SECOND, 3).await;
        alice.receive(&network).await
    });
    assert_eq!(received, [FIRST, SECOND]);
    server.end_by(Signal::TERM);
    assert!(place.data().join("store/redb").exists());
    assert!(!place.data().join("store/sled").exists());
    assert_eq!(place.run(&["verify", "--json"]).json()["whole"], true);
    // The other engine is not taken for an empty store.
    fs::write(&configuration, sled).unwrap();
    let mut other = command(&["serve", "--json", "--data"]);
    other.arg(place.data());
    say(other).failed_with(6, "store_other_engine");
}

#[test]
fn tables_that_do_not_open_are_made_anew_and_said() {
    let (place, server, invite, alice) = begun();
    server.end_by(Signal::TERM);
    let db = place.data().join("store/sled/db");
    let length = fs::metadata(&db).unwrap().len();
    fs::write(&db, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
    let server = place.up();
    let received = block_on(async {
        let network = Network::new(invite.server().clone());
        alice.send_to(&network, SECOND, 2).await;
        alice.receive(&network).await
    });
    assert_eq!(received, [FIRST, SECOND]);
    assert!(
        server.errors().contains("store_rebuilt"),
        "{}",
        server.errors()
    );
    let doctor = place.run(&["doctor", "--json"]).json();
    let checks = doctor["checks"].as_array().unwrap();
    let told = checks.iter().any(|check| check["code"] == "store_rebuilt");
    assert!(told, "{doctor}");
    server.end_by(Signal::TERM);
    assert_eq!(place.run(&["verify", "--json"]).json()["whole"], true);
    assert!(place.data().join("store/sled.refused-1").exists());
}

#[test]
fn tables_are_made_anew_when_that_is_asked_for() {
    let (place, server, invite, alice) = begun();
    place
        .run(&["rebuild", "--json"])
        .failed_with(6, "data_folder_in_use");
    server.end_by(Signal::TERM);
    let rebuilt = place.run(&["rebuild", "--json"]).json();
    assert_eq!(rebuilt["aside"][0], "sled.refused-1", "{rebuilt}");
    let server = place.up();
    let received = block_on(async {
        let network = Network::new(invite.server().clone());
        alice.receive(&network).await
    });
    assert_eq!(received, [FIRST]);
    server.end_by(Signal::TERM);
    fs::remove_dir_all(place.data().join("store/rows")).unwrap();
    place
        .run(&["rebuild", "--json"])
        .failed_with(6, "store_corrupt");
}
