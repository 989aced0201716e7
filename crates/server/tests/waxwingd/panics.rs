// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An engine that panics while the server runs: a clear end, and a start that makes the tables anew.

use std::fs;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinSet;
use waxwing_identity::{InviteLink, ServerLink};
use waxwing_proto::InviteToken;
use waxwing_storage::embedded::files::{EngineKind, FileOptions, open_server};
use waxwing_storage::embedded::{ServerLimits, ServerOptions};
use waxwing_storage::server::InviteStore as _;

use crate::client::{Network, Person, block_on};
use crate::process::{Place, Server};

const BODY: &[u8] = b"what waits when the disk changes its bytes";

/// A server whose tables redb keeps, with an account for which something waits.
fn begun() -> (Place, Person) {
    let place = Place::new();
    place.init();
    let configuration = place.data().join("waxwingd.toml");
    let text = fs::read_to_string(&configuration).unwrap();
    fs::write(&configuration, text.replace("\"sled\"", "\"redb\"")).unwrap();
    let server = place.up();
    let invite: InviteLink = server.text("invite").parse().unwrap();
    let alice = Person::new("alice", 10);
    block_on(async {
        let network = Network::new(invite.server().clone());
        alice.register(&network, &invite).await.unwrap();
        alice.send_to(&network, BODY, 1).await;
    });
    server.end_by(Signal::TERM);
    block_on(invite_many(&place));
    (place, alice)
}

/// So many invites that a server reads no more than a part of its tables when it starts.
const INVITES: u16 = 500;

async fn invite_many(place: &Place) {
    let files = FileOptions {
        engine: EngineKind::Redb,
        ..FileOptions::default()
    };
    let options = ServerOptions {
        limits: ServerLimits::default(),
        new_name_key: [1; 32],
    };
    let store = open_server(&place.data().join("store"), options, files)
        .await
        .unwrap();
    let store = Arc::new(store);
    let mut made = JoinSet::new();
    for number in 0..INVITES {
        let store = Arc::clone(&store);
        let mut token = [0; InviteToken::LENGTH];
        token[..2].copy_from_slice(&number.to_be_bytes());
        made.spawn(async move { store.create_invite(InviteToken::new(token), 1, None).await });
    }
    for made in made.join_all().await {
        made.unwrap();
    }
}

/// Zeros over every page of redb's but the header.
fn zero_pages(place: &Place) {
    let path = place.data().join("store/redb/rows.redb");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_server_whose_engine_panics_ends_with_a_clear_error_and_comes_back_whole() {
    let (place, alice) = begun();
    let server = Server::start(&place.data(), &["serve"]);
    let link: ServerLink = server.text("server").parse().unwrap();
    zero_pages(&place);
    // The command asks the server, whose engine panics, and then does it by itself.
    let listed = place.run(&["invite", "list", "--json"]).json();
    assert!(listed["invites"].as_array().unwrap().len() >= usize::from(INVITES));
    let (status, errors) = server.end();
    assert_eq!(status.code(), Some(6), "{errors}");
    let failure: Value = serde_json::from_str(errors.lines().last().unwrap()).unwrap();
    assert_eq!(failure["code"], "store_engine_panicked", "{errors}");
    let hint = failure["hint"][0].as_str().unwrap();
    assert!(hint.starts_with("waxwingd serve --data "), "{hint}");
    assert!(!errors.contains("panicked at"), "{errors}");
    assert!(place.data().join("store/redb.refused-1/panicked").exists());

    let server = Server::start(&place.data(), &["serve"]);
    let received = block_on(async {
        let network = Network::new(link.server().clone());
        alice.receive(&network).await
    });
    assert_eq!(received, [BODY]);
    server.end_by(Signal::TERM);
    assert_eq!(place.run(&["verify", "--json"]).json()["whole"], true);
}

/// Without a server that runs each command verifies the file itself, and nothing panics.
#[test]
fn commands_on_a_damaged_file_of_redb_say_so_and_go_on() {
    let (place, _alice) = begun();
    zero_pages(&place);
    let said = place.run(&["verify", "--json"]);
    said.failed_with(6, "store_damaged");
    let verified: Value = serde_json::from_str(said.out.trim()).unwrap();
    assert_eq!(verified["tables_refused"], true, "{verified}");
    assert_eq!(verified["unreadable_envelopes"], 0, "{verified}");
    let people = place.run(&["verify"]);
    assert!(
        people.out.contains("the tables cannot be read"),
        "{people:?}"
    );

    let file = place.folder.path().join("backup");
    let said = place.run(&["export", file.to_str().unwrap(), "--json"]);
    assert!(said.err.contains("store_rebuilt"), "{said:?}");
    assert_eq!(said.json()["envelopes"], 1);

    zero_pages(&place);
    let doctor = place.run(&["doctor", "--json"]);
    assert!(doctor.err.contains("store_rebuilt"), "{doctor:?}");
    let told = place.run(&["doctor", "--json"]);
    assert!(told.out.contains("store_rebuilt"), "{told:?}");
    assert_eq!(place.run(&["verify", "--json"]).json()["whole"], true);
}
