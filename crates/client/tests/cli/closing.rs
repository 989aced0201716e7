// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The end of an account: asked for twice, needs the words, leaves nothing on the server.

use serde_json::Value;

use crate::support::{Person, Server, bodies, pause};

#[test]
fn an_account_is_closed_with_its_words_only() {
    let mut server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "the last one", "--wait"]).ok();
    bob.run(&["send", "alice", "never fetched", "--wait"]).ok();
    let words = alice.home.path().join("words");
    let words = words.to_str().unwrap();
    let close = |more: &[&str]| alice.run(&[&["close-account", "--json"], more].concat());
    // Nobody is there to be asked: both things have to be said.
    close(&[]).fails("input_needed", 1);
    close(&["--yes"]).fails("input_needed", 1);
    close(&["--words-file", words, "--no-input"]).fails("input_needed", 1);
    close(&["--yes", "--words-file", "/nonexistent"]).fails("input", 1);
    let others = bob.home.path().join("words");
    let others = others.to_str().unwrap();
    close(&["--yes", "--words-file", others]).fails("words_of_another", 1);
    let known = server.tool(&["disclose", "alice", "--json"]);
    assert!(known.contains("alice"), "nothing has happened: {known}");

    server.kill();
    close(&["--yes", "--words-file", words, "--timeout", "300ms"]).fails("unreachable", 3);
    server.restart();
    let closed = close(&["--yes", "--words-file", words]).ok();
    let closed: Value = serde_json::from_str(&closed).unwrap();
    assert_eq!(closed["type"], "account_closed");
    assert_eq!(closed["address"], "alice@127.0.0.1");

    // The server has forgotten everything but a hash of the name.
    server.fails(&["disclose", "alice", "--json"], "account_unknown");
    let carol = Person::new();
    let register = [
        "register",
        &server.invite,
        "--name",
        "alice",
        "--unprotected",
        "--json",
    ];
    carol.run(&register).fails("name_held", 1);

    // What is here stays, and says why nothing more happens.
    assert!(alice.history("bob").contains(&"the last one".to_owned()));
    alice
        .run(&["send", "bob", "x", "--json"])
        .fails("account_closed", 1);
    alice.run(&["receive", "--json"]).fails("account_closed", 1);
    close(&["--yes", "--words-file", words]).fails("account_closed", 1);
    assert_eq!(
        bodies(&bob.run(&["receive", "--json"]).ok()),
        ["the last one"]
    );
    let lost = bob.run(&["send", "alice", "to nobody", "--json", "--timeout", "1s"]);
    assert_eq!(lost.code(), 0, "queued: {}", lost.stderr());
}

/// Another device learns from the server's refusal that the account is gone.
#[test]
fn other_devices_say_that_the_server_does_not_know_them() {
    let server = Server::start();
    let alice = Person::registered(&server, "alice");
    let tablet = crate::devices::linked(&server, &alice);
    let words = alice.home.path().join("words");
    let arguments = [
        "close-account",
        "--yes",
        "--words-file",
        words.to_str().unwrap(),
    ];
    alice.run(&arguments).ok();
    let mut tries = 0;
    loop {
        let status: Value = serde_json::from_str(&tablet.run(&["status", "--json"]).ok()).unwrap();
        if status["link_error"] == "device_shut_out" {
            break;
        }
        pause();
        tries += 1;
        assert!(tries < 100, "{status}");
    }
    tablet
        .run(&["receive", "--json"])
        .fails("device_shut_out", 1);
}
