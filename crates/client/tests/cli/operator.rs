// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the operator of a server sees of real clients.

use serde_json::Value;

use crate::support::{Person, Server, pause};

#[test]
fn a_disclosure_can_be_read_by_people_and_is_whole_for_programs() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let follows = bob.follow();
    alice.run(&["send", "bob", "hello", "--wait"]).ok();
    let rows = |table: &str| {
        let disclosed: Value =
            serde_json::from_str(&server.tool(&["disclose", "bob", "--json"])).unwrap();
        let tables = disclosed["tables"].as_array().unwrap();
        let found = tables.iter().find(|it| it["table"] == table);
        found.map_or(0, |it| it["rows"].as_array().unwrap().len())
    };
    // All one-time pairs come in several publications.
    let mut tries = 0;
    while rows("one_time_prekeys") < 90 {
        pause();
        tries += 1;
        assert!(tries < 1000, "{} one-time pairs", rows("one_time_prekeys"));
    }
    let text = server.tool(&["disclose", "bob"]);
    assert!(text.lines().count() < 120, "{text}");
    assert!(text.contains("rows together:"), "{text}");
    assert!(text.contains("different values, "), "{text}");
    assert!(text.contains("Not stored: message text"), "{text}");
    drop(follows);
}

#[test]
fn both_sides_say_which_key_exchange_they_agreed_on() {
    // TRN-2.
    let server = Server::start();
    let alice = Person::registered(&server, "alice");
    let follows = alice.follow();
    let mut tries = 0;
    let status = loop {
        let status: Value = serde_json::from_str(&alice.run(&["status", "--json"]).ok()).unwrap();
        if status["online"] == true {
            break status;
        }
        pause();
        tries += 1;
        assert!(tries < 200, "{status}");
    };
    assert_eq!(status["key_exchange"], "X25519MLKEM768");
    assert!(alice.run(&["status"]).ok().contains("X25519MLKEM768"));
    let report = server.tool(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let finding = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["verdict"], "ok", "{check}");
        check["finding"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        finding("key exchange"),
        "X25519MLKEM768 and no other is offered"
    );
    // The connection of the registration may not have been forgotten yet.
    let connections = finding("connections");
    assert!(
        connections.ends_with(" over X25519MLKEM768"),
        "{connections}"
    );
    assert!(!connections.contains(','), "{connections}");
    drop(follows);
}
