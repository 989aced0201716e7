// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Comparing keys, and what happens when they change.

use serde_json::Value;

use crate::devices::linked;
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

fn hint(error: &Value) -> Vec<&str> {
    let words = error["hint"].as_array().unwrap();
    words[1..]
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect()
}

/// A device that was added later removes an older one: a thief's device would do that. Nothing goes
/// to the account before Alice has looked.
#[test]
fn a_suspicious_change_blocks_sending_until_verified() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "to the first device"]).ok();
    let second = linked(&server, &bob);
    let devices = second.run(&["devices", "list", "--json"]).ok();
    let older = devices
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|device| device["this_device"] == false)
        .unwrap();
    second
        .run(&["devices", "remove", older["id"].as_str().unwrap(), "--yes"])
        .ok();

    // The attempt learns of the change from the server.
    let send = |text: &str| alice.run(&["send", "bob", text, "--json", "--wait"]);
    send("before looking").fails("suspicious_removal", 4);
    let error = send("still before looking").fails("suspicious_removal", 4);
    assert_eq!(hint(&error), ["verify", "bob"]);
    assert!(
        !bodies(&second.run(&["receive", "--json"]).ok()).contains(&"before looking".to_owned())
    );

    // The account key is the same for a thief: comparing it does not settle this.
    let shown = verification(&alice, "bob");
    let fingerprint = shown["fingerprint"].as_str().unwrap();
    let verify = [&hint(&error)[..], &["--fingerprint", fingerprint, "--json"]].concat();
    let incomplete = alice.run(&verify).fails("evidence_incomplete", 4);
    alice.run(&hint(&incomplete)).ok();
    send("looked at the key only").fails("suspicious_removal", 4);
    // The code that bob's device shows holds its list of devices.
    let code = verification(&second, "alice");
    let payload = code["qr_payload"].as_str().unwrap();
    let verify = [&hint(&incomplete)[..], &["--qr", payload]].concat();
    alice.run(&verify).ok();
    send("after looking").ok();
    let arrived = bodies(&second.run(&["receive", "--json"]).ok());
    assert_eq!(arrived.last().unwrap(), "after looking");
    assert!(
        arrived.contains(&"before looking".to_owned()),
        "the outbox kept it: {arrived:?}"
    );
}

/// Bob recovers his account: the account key is the same, all devices are new, and Alice sees it.
#[test]
fn a_recovered_account_is_seen() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "to the old device"]).ok();
    let words = bob.home.path().join("words");
    let again = Person::new();
    let words = ["--words-file", words.to_str().unwrap()];
    let arguments = ["recover", &server.link, "--unprotected", "--yes"];
    again.run(&[&arguments[..], &words].concat()).ok();
    let sent = alice.run(&["send", "bob", "to the new device", "--wait"]);
    assert!(
        sent.stderr()
            .contains("alarm[account_recovered]: bob was recovered"),
        "{}",
        sent.stderr()
    );
    sent.ok();
    assert!(
        alice
            .run(&["contacts", "list"])
            .ok()
            .contains("account_recovered")
    );
    assert_eq!(
        bodies(&again.run(&["receive", "--json"]).ok()),
        ["to the new device"]
    );
}

/// The server goes back to a backup, so that it shows others a list without the newest device. The owner is
/// told, looks, and confirms with what is printed.
#[test]
fn an_alarm_about_the_own_devices_is_ended_by_what_it_prints() {
    let mut server = Server::start();
    let bob = Person::registered(&server, "bob");
    let backup = server.backup();
    let _second = linked(&server, &bob);
    server.restore(&backup);
    let received = bob.run(&["receive", "--json"]);
    let alarm = alarm(&received.stderr(), "rollback");
    received.ok();
    assert_eq!(hint(&alarm), ["devices", "list"]);
    let listed = bob.run(&[&hint(&alarm)[..], &["--json"]].concat());
    let said = self::alarm(&listed.stderr(), "rollback");
    assert_eq!(listed.ok().lines().count(), 2);
    assert_eq!(hint(&said), ["devices", "confirm", "2"]);
    let other = bob.run(&["devices", "confirm", "1", "--json"]);
    let error = other.fails("devices_changed", 1);
    assert_eq!(hint(&error), ["devices", "list"]);
    bob.run(&hint(&said)).ok();
    assert_eq!(bob.run(&["devices", "list"]).stderr(), "");
}

/// The alarm of this code on standard error.
fn alarm(stderr: &str, code: &str) -> Value {
    stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["type"] == "alarm" && line["code"] == code)
        .unwrap_or_else(|| panic!("no alarm {code}: {stderr}"))
}
