// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SIGKILL of anybody at any moment loses nothing and doubles nothing.

use std::collections::BTreeMap;

use crate::support::{Person, Server, bodies, pause};

fn count(bodies: &[String]) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for body in bodies {
        *count.entry(body.as_str()).or_default() += 1;
    }
    count
}

#[test]
fn the_outbox_survives_restarts_while_the_server_is_away() {
    let mut server = Server::start();
    let (alice, bob) = Person::pair(&server);
    server.kill();
    for text in ["one", "two"] {
        assert_eq!(
            alice.run(&["send", "bob", text, "--timeout", "300ms"]).ok(),
            "queued for bob\n"
        );
    }
    let error = alice
        .run(&[
            "send",
            "bob",
            "three",
            "--wait",
            "--timeout",
            "300ms",
            "--json",
        ])
        .fails("not_stored_in_time", 3);
    assert_eq!(error["hint"][1], "status");
    server.restart();
    alice.run(&["send", "bob", "four", "--wait"]).ok();
    assert_eq!(
        bodies(&bob.run(&["receive", "--json"]).ok()),
        ["one", "two", "three", "four"]
    );
    assert_eq!(alice.history("bob"), ["one", "two", "three", "four"]);
}

#[test]
fn a_killed_receiver_loses_nothing_and_keeps_nothing_twice() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let mut printed = Vec::new();
    let mut sent = Vec::new();
    for round in 0..6 {
        let follows = bob.follow();
        for part in 0..3 {
            let text = format!("{round}-{part}");
            alice.run(&["send", "bob", &text]).ok();
            sent.push(text);
        }
        // At another moment of receiving in each round.
        for _ in 0..round {
            pause();
        }
        printed.extend(bodies(&follows.kill().join("\n")));
    }
    printed.extend(bodies(&bob.run(&["receive", "--json"]).ok()));
    assert_eq!(bob.history("alice"), sent, "each is stored once, in order");
    let printed = count(&printed);
    assert_eq!(printed.len(), sent.len(), "each was printed");
}

#[test]
fn a_killed_sender_sends_what_it_accepted_once() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    for round in 0..8_usize {
        let sends = alice.start(&["send", "bob", &format!("text {round}")]);
        for _ in 0..round {
            pause();
        }
        sends.kill();
    }
    alice.run(&["send", "bob", "last", "--wait"]).ok();
    let accepted = alice.history("bob");
    assert_eq!(accepted.last().unwrap(), "last");
    assert_eq!(bodies(&bob.run(&["receive", "--json"]).ok()), accepted);
    assert!(count(&accepted).values().all(|times| *times == 1));
}

#[test]
fn a_killed_server_loses_nothing_that_it_accepted() {
    let mut server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let mut follows = bob.follow();
    let mut sent = Vec::new();
    for round in 0..4 {
        for part in 0..3 {
            let text = format!("{round}-{part}");
            let arguments: [&str; 5] = ["send", "bob", &text, "--timeout", "1s"];
            if part == 1 {
                let sends = alice.start(&arguments);
                for _ in 0..round {
                    pause();
                }
                server.kill();
                server.restart();
                let _ = sends;
            } else {
                alice.run(&arguments).ok();
            }
        }
    }
    alice.run(&["send", "bob", "last", "--wait"]).ok();
    follows.expect("last");
    sent.extend(alice.history("bob"));
    assert_eq!(bob.history("alice"), sent);
    assert!(count(&sent).values().all(|times| *times == 1));
    let mut printed = bodies(&follows.kill().join("\n"));
    printed.sort();
    sent.sort();
    assert_eq!(printed, sent, "each was printed once");
}

#[test]
fn the_socket_of_a_killed_host_is_in_nobodys_way() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.follow().kill();
    alice.run(&["send", "bob", "after the crash"]).ok();
    assert_eq!(
        bodies(&bob.run(&["receive", "--json"]).ok()),
        ["after the crash"]
    );
}
