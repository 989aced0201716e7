// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Comparing keys, and what happens when they change.

use serde_json::Value;

use crate::support::{Person, Server, bodies};

fn verification(person: &Person, name: &str) -> Value {
    serde_json::from_str(&person.run(&["verify", name, "--json"]).ok()).unwrap()
}

#[test]
fn keys_are_compared_by_code_and_by_fingerprint() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let (one, other) = (verification(&alice, "bob"), verification(&bob, "alice"));
    assert_eq!(one["safety_number"], other["safety_number"]);
    assert_eq!(one["fingerprint"], other["own_fingerprint"]);

    let payload = other["qr_payload"].as_str().unwrap();
    let contact: Value = serde_json::from_str(
        &alice
            .run(&["verify", "bob", "--qr", payload, "--json"])
            .ok(),
    )
    .unwrap();
    assert_eq!(contact["verified"], true);
    let hex = one["own_fingerprint"].as_str().unwrap();
    bob.run(&["verify", "alice", "--fingerprint", hex]).ok();

    let wrong = one["fingerprint"].as_str().unwrap();
    let error = bob
        .run(&["verify", "alice", "--fingerprint", wrong, "--json"])
        .fails("evidence_mismatch", 4);
    assert_eq!(
        error["hint"],
        serde_json::json!(["waxwing", "verify", "alice"])
    );
    bob.run(&["verify", "alice", "--qr", "nonsense", "--json"])
        .fails("evidence_malformed", 1);
    bob.run(&["verify", "alice", "--words", "--no-input", "--json"])
        .fails("input_needed", 1);
}

/// Bob recovers his account: all his devices are new. Nothing goes to them before Alice has looked.
#[test]
fn changed_keys_block_sending_until_verified() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "to the old device"]).ok();
    let words = bob.home.path().join("words");
    let again = Person::new();
    again
        .run(&[
            "recover",
            &server.link,
            "--words-file",
            words.to_str().unwrap(),
            "--unprotected",
            "--yes",
        ])
        .ok();
    // The first attempt learns of the change from the server.
    let error = alice
        .run(&["send", "bob", "to the new one?", "--json", "--wait"])
        .fails("account_recovered", 4);
    let hint: Vec<&str> = error["hint"].as_array().unwrap()[1..]
        .iter()
        .map(|w| w.as_str().unwrap())
        .collect();
    assert_eq!(hint, ["verify", "bob"]);
    let shown: Value = serde_json::from_str(&alice.run(&["verify", "bob", "--json"]).ok()).unwrap();
    assert_eq!(bodies(&again.run(&["receive", "--json"]).ok()), [""; 0]);

    let fingerprint = shown["fingerprint"].as_str().unwrap();
    alice
        .run(&["verify", "bob", "--fingerprint", fingerprint])
        .ok();
    alice.run(&["send", "bob", "after looking", "--wait"]).ok();
    let arrived = bodies(&again.run(&["receive", "--json"]).ok());
    assert_eq!(arrived.last().unwrap(), "after looking");
}
