// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that changes its key: who came by a link with both keys, or was there between, goes on; who
//! was not is told.

use crate::support::{Person, Server, bodies};

/// Stops the server, lets a tool work on its folder, and starts it again.
fn key(server: &mut Server, step: &str) {
    server.kill();
    server.tool(&["key", step]);
    server.restart();
}

/// Both write, and both get it.
fn talk(alice: &Person, bob: &Person, body: &str) {
    for (from, to, name) in [(bob, alice, "alice"), (alice, bob, "bob")] {
        from.run(&["send", name, body]).ok();
        let received = to.run(&["receive", "--json"]).ok();
        assert_eq!(bodies(&received), [body]);
    }
}

#[test]
fn accounts_with_both_keys_of_a_server_outlive_its_switch() {
    let mut server = Server::start();
    let early = Person::registered(&server, "carol");
    key(&mut server, "prepare");
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "before"]).ok();
    key(&mut server, "switch");
    // What waited at the server is there, and more goes both ways.
    alice.run(&["send", "bob", "after"]).ok();
    let received = bob.run(&["receive", "--json"]).ok();
    assert_eq!(bodies(&received), ["before", "after"]);
    bob.run(&["send", "alice", "and back"]).ok();
    let received = alice.run(&["receive", "--json"]).ok();
    assert_eq!(bodies(&received), ["and back"]);
    // Who knows the old key only does not take the new one for it.
    early
        .run(&["receive", "--json"])
        .fails("wrong_server_key", 4);
}

/// [TRN-94]: one process of the client lives through all of it.
#[test]
fn a_client_that_keeps_its_connection_takes_the_next_key_without_a_restart() {
    let mut server = Server::start();
    // Over TCP the end of a killed server is noticed at once.
    server.offer("[\"tcp\"]");
    server.replaced();
    let (alice, bob) = Person::pair(&server);
    let mut follows = bob.follow();
    for step in ["prepare", "switch", "prepare", "switch"] {
        key(&mut server, step);
        let body = format!("after {step}");
        alice.run(&["send", "bob", &body, "--wait"]).ok();
        follows.expect(&body);
    }
    bob.run(&["send", "alice", "by the same process"]).ok();
    let received = alice.run(&["receive", "--json"]).ok();
    assert_eq!(bodies(&received), ["by the same process"]);
}

/// [TRN-96]: a contact on another server hears of it from the account, and not from the server.
#[test]
fn contacts_on_another_server_hear_of_the_next_key() {
    let (mut home, away) = (Server::start(), Server::start());
    let alice = Person::registered(&home, "alice");
    let bob = Person::registered(&away, "bob");
    alice.knows(&bob, "bob");
    bob.knows(&alice, "alice");
    talk(&alice, &bob, "before");
    key(&mut home, "prepare");
    alice.run(&["send", "bob", "between"]).ok();
    let received = bob.run(&["receive", "--json"]).ok();
    assert_eq!(bodies(&received), ["between"]);
    key(&mut home, "switch");
    talk(&alice, &bob, "after");
}

/// [TRN-92], [TRN-93], [TRN-95].
#[test]
fn accounts_that_were_there_between_outlive_two_switches() {
    let mut server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let absent = Person::registered(&server, "carol");
    for round in ["one", "two"] {
        alice.run(&["send", "bob", round]).ok();
        key(&mut server, "prepare");
        // Each is there once, and neither writes to the other.
        alice.run(&["receive", "--json"]).ok();
        let received = bob.run(&["receive", "--json"]).ok();
        assert_eq!(bodies(&received), [round]);
        key(&mut server, "switch");
        talk(&alice, &bob, "after the switch");
    }
    absent
        .run(&["receive", "--json"])
        .fails("wrong_server_key", 4);
    // Links that people make now name the key that the server shows now.
    let dora = Person::registered(&server, "dora");
    dora.knows(&alice, "alice");
    alice.knows(&dora, "dora");
    dora.run(&["send", "alice", "hello"]).ok();
    let received = alice.run(&["receive", "--json"]).ok();
    assert_eq!(bodies(&received), ["hello"]);
}
