// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two people talk.

use crate::support::{Person, Server, bodies};

#[test]
fn from_an_invite_to_an_answer() {
    let server = Server::start();
    let alice = Person::registered(&server, "alice");
    let bob = Person::registered(&server, "bob");
    alice.knows(&bob, "Bob");

    assert_eq!(alice.run(&["send", "Bob", "hello"]).ok(), "sent to Bob\n");
    let shown = bob.run(&["receive"]).ok();
    // What a stranger calls itself is told apart from what the user calls people.
    let name = shown.split_once("alice-").unwrap().1;
    assert!(name[6..].starts_with(" (request): hello\n"), "{shown}");
    assert_eq!(bob.run(&["receive"]).ok(), "", "shown once");

    // A stranger's message is a request until somebody decides.
    let error = bob
        .run(&["send", "alice", "hi", "--json"])
        .fails("request_pending", 1);
    let hint: Vec<&str> = error["hint"].as_array().unwrap()[1..]
        .iter()
        .map(|w| w.as_str().unwrap())
        .collect();
    bob.run(&hint).ok();
    bob.run(&["contacts", "accept", "alice"]).ok();
    assert_eq!(bob.run(&["send", "alice", "hi"]).ok(), "sent to alice\n");
    assert_eq!(bodies(&alice.run(&["receive", "--json"]).ok()), ["hi"]);

    assert_eq!(alice.history("Bob"), ["hello", "hi"]);
    assert_eq!(bob.history("alice"), ["hello", "hi"]);
}

#[test]
fn sending_works_while_the_same_profile_follows() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let mut alice_follows = alice.follow();
    let mut bob_follows = bob.follow();
    for round in 0..5 {
        // Each `send` is another process than the one that hosts the engine.
        alice
            .run(&["send", "bob", &format!("question {round}")])
            .ok();
        bob_follows.expect(&format!("question {round}"));
        bob.run(&["send", "alice", &format!("answer {round}")]).ok();
        alice_follows.expect(&format!("answer {round}"));
    }
    let expected: Vec<String> = (0..5)
        .flat_map(|n| [format!("question {n}"), format!("answer {n}")])
        .collect();
    assert_eq!(alice.history("bob"), expected);
    assert_eq!(bob.history("alice"), expected);
    drop((alice_follows, bob_follows));
}

/// With a passphrase from a file; the two know each other by name only.
#[test]
fn a_name_on_the_own_server_is_enough() {
    let server = Server::start();
    let bob = Person::registered(&server, "bob");
    let alice = Person::new();
    let file = alice.home.path().join("passphrase");
    std::fs::write(&file, "correct horse\n").unwrap();
    let with = ["--passphrase-file", file.to_str().unwrap(), "--no-input"];
    let run = |arguments: &[&str]| alice.run(&[&with, arguments].concat());
    run(&["register", &server.invite, "--name", "alice"]).ok();
    run(&["contacts", "add", "bob"]).ok();
    run(&["send", "bob", "by name"]).ok();
    assert_eq!(bodies(&bob.run(&["receive", "--json"]).ok()), ["by name"]);
    run(&["--json", "contacts", "add", "nobody-there"]).fails("name_unknown", 7);
    assert!(run(&["contacts", "list"]).ok().contains("bob@127.0.0.1"));
}
