// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receipts, as the one who wrote sees them.

use serde_json::Value;

use crate::support::{Person, Server, pause};

/// How far the last message to a contact is.
fn state(who: &Person, contact: &str) -> String {
    let last = who
        .run(&["history", contact, "--json", "--limit", "1"])
        .ok();
    let last: Value = serde_json::from_str(last.trim()).unwrap();
    last["state"].as_str().unwrap().to_owned()
}

fn until(who: &Person, contact: &str, wanted: &str) {
    // Receipts leave within 30 s.
    for _ in 0..2000 {
        if state(who, contact) == wanted {
            return;
        }
        pause();
    }
    panic!("still {}", state(who, contact));
}

#[test]
fn what_was_shown_is_told_with_the_answer() {
    // ENV-42, ENV-43.
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "lunch at 1?", "--wait"]).ok();
    assert_eq!(state(&alice, "bob"), "on_server");
    bob.run(&["receive"]).ok();
    // The answer carries the receipt, however short the lives of these processes are.
    bob.run(&["send", "alice", "yes", "--wait"]).ok();
    alice.run(&["receive"]).ok();
    let shown = alice.run(&["history", "bob"]).ok();
    assert!(shown.contains("you > bob [read]: lunch at 1?"), "{shown}");
}

#[test]
fn receipts_leave_on_their_own_while_somebody_follows() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let bob_follows = bob.follow();
    let alice_follows = alice.follow();
    alice.run(&["send", "bob", "seen at once"]).ok();
    until(&alice, "bob", "read");
    // Only while it is wanted.
    let settings = bob.run(&["receipts", "--read", "off", "--json"]).ok();
    let settings: Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(
        (&settings["delivered"], &settings["read"]),
        (&true.into(), &false.into())
    );
    alice.run(&["send", "bob", "seen in secret"]).ok();
    until(&alice, "bob", "delivered");
    bob.run(&["receipts", "--delivered", "off"]).ok();
    let shown = bob.run(&["receipts"]).ok();
    assert_eq!(shown, "delivered  off\nread       off\nalone      on\n");
    assert_eq!(bob.run(&["receipts", "--read", "maybe"]).code(), 2);
    drop((bob_follows, alice_follows));
}
