// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several devices of one account, and an account that is recovered.

use serde_json::Value;

use crate::support::{Person, Server, bodies};

/// A second device of somebody, linked without a person to ask.
pub(crate) fn linked(server: &Server, first: &Person) -> Person {
    let second = Person::new();
    let mut link = second.start(&[
        "devices",
        "link",
        &server.link,
        "--unprotected",
        "--yes",
        "--json",
    ]);
    let code: Value = serde_json::from_str(&link.expect("link_code")).unwrap();
    let approved = first
        .run(&[
            "devices",
            "approve",
            code["code"].as_str().unwrap(),
            "--yes",
            "--json",
        ])
        .ok();
    let compare: Value = serde_json::from_str(&link.expect("linking_compare")).unwrap();
    let offer: Value = serde_json::from_str(approved.lines().last().unwrap()).unwrap();
    assert_eq!(
        offer["safety_words"], compare["safety_words"],
        "both show the same words"
    );
    link.expect("registered");
    second
}

#[test]
fn a_linked_device_knows_the_contacts_and_gets_the_messages() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let second = linked(&server, &alice);
    assert!(second.run(&["contacts", "list"]).ok().contains("bob@"));
    assert_eq!(alice.run(&["devices", "list"]).ok().lines().count(), 2);

    bob.run(&["send", "alice", "to both", "--wait"]).ok();
    assert_eq!(bodies(&alice.run(&["receive", "--json"]).ok()), ["to both"]);
    assert_eq!(
        bodies(&second.run(&["receive", "--json"]).ok()),
        ["to both"]
    );
    second
        .run(&["send", "bob", "from the second", "--wait"])
        .ok();
    assert_eq!(
        bodies(&bob.run(&["receive", "--json"]).ok()),
        ["from the second"]
    );

    let devices = alice.run(&["devices", "list", "--json"]).ok();
    let other = devices
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|device| device["this_device"] == false)
        .unwrap();
    let id = &other["id"].as_str().unwrap()[..12];
    alice
        .run(&["devices", "remove", id, "--no-input", "--json"])
        .fails("input_needed", 1);
    alice.run(&["devices", "remove", id, "--yes"]).ok();
    assert_eq!(alice.run(&["devices", "list"]).ok().lines().count(), 1);
    bob.run(&["send", "alice", "to one", "--wait"]).ok();
    let history = bob.run(&["history", "alice"]).ok();
    assert!(
        history.contains("  * alice has 1 device fewer: 1 device reads along now"),
        "{history}"
    );
    assert_eq!(
        bodies(&alice.run(&["receive", "--json"]).ok())
            .last()
            .unwrap(),
        "to one"
    );
    second
        .run(&["receive", "--json", "--timeout", "3s"])
        .fails("device_removed", 4);
}

#[test]
fn recovery_makes_one_device_of_the_words() {
    let server = Server::start();
    let alice = Person::registered(&server, "alice");
    let words = alice.home.path().join("words");
    let again = Person::new();
    let recover = |words: &str, more: &[&str]| {
        let arguments = [
            "recover",
            &server.link,
            "--words-file",
            words,
            "--unprotected",
            "--json",
        ];
        again.run(&[&arguments[..], more].concat())
    };
    let bad = again.home.path().join("bad");
    std::fs::write(&bad, "one two three").unwrap();
    recover(bad.to_str().unwrap(), &["--yes"]).fails("words_invalid", 1);
    recover(words.to_str().unwrap(), &["--no-input"]).fails("input_needed", 1);
    let registered = recover(words.to_str().unwrap(), &["--yes"]).ok();
    assert!(registered.contains("alice@127.0.0.1"), "{registered}");
    assert_eq!(again.run(&["devices", "list"]).ok().lines().count(), 1);
    alice
        .run(&["receive", "--json", "--timeout", "3s"])
        .fails("device_removed", 4);
}
