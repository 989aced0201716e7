// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What messages look like: exact in JSON, harmless on a terminal.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{Person, Server, bodies};

/// [ENV-10]: the id is the same on every device.
#[test]
fn a_message_in_json_has_its_shape() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "lunch at 1?"]).ok();
    let line = bob.run(&["receive", "--json"]).ok();
    assert!(
        line.starts_with(r#"{"v":1,"type":"message","id":""#),
        "{line}"
    );
    let message: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(message["chat"]["kind"], "direct");
    assert_eq!(message["chat"]["name"], "alice");
    assert_eq!(message["from"]["name"], "alice");
    assert_eq!(message["from"]["verified"], false);
    assert_eq!(message["from"]["own"], false);
    assert_eq!(message["content"], "text");
    assert_eq!(message["body"], "lunch at 1?");
    assert_eq!(message["state"], "received");
    assert!(message["cursor"].is_string());
    for field in ["sent_at", "received_at"] {
        let time = message[field].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    }
    let own: Value = serde_json::from_str(&alice.run(&["history", "bob", "--json"]).ok()).unwrap();
    assert_eq!(own["id"], message["id"], "the same on every device");
    assert_eq!(own["from"]["own"], true);
}

#[test]
fn a_stranger_is_told_why_the_thirty_third_message_stays() {
    let server = Server::start();
    let (alice, bob) = (
        Person::registered(&server, "alice"),
        Person::registered(&server, "bob"),
    );
    alice.knows(&bob, "bob");
    for number in 0..32 {
        alice
            .run(&["send", "bob", &number.to_string(), "--wait"])
            .ok();
    }
    let error = alice
        .run(&[
            "send",
            "bob",
            "32",
            "--wait",
            "--timeout",
            "500ms",
            "--json",
        ])
        .fails("not_answered", 3);
    assert!(error["message"].as_str().unwrap().contains("bob"));
    let status: Value = serde_json::from_str(&alice.run(&["status", "--json"]).ok()).unwrap();
    assert_eq!(status["outbox"], 1);
    assert_eq!(status["waiting"][0]["contact"], "bob");
    assert_eq!(status["waiting"][0]["contents"], 1);
    assert_eq!(status["waiting"][0]["held"], "not_answered");
    assert_eq!(
        alice.run(&["send", "bob", "33", "--timeout", "500ms"]).ok(),
        "queued for bob: bob has not answered yet, and no more goes out before that\n"
    );
    assert!(
        alice
            .run(&["status"])
            .ok()
            .contains("2 for bob: bob has not answered yet")
    );
    // The answer lets all of them go.
    bob.run(&["receive"]).ok();
    bob.run(&["contacts", "accept", "alice"]).ok();
    bob.run(&["send", "alice", "who are you?", "--wait"]).ok();
    alice.run(&["receive"]).ok();
    alice.run(&["send", "bob", "34", "--wait"]).ok();
    bob.run(&["receive"]).ok();
    assert_eq!(bob.history("alice").len(), 36);
}

/// [ENV-18].
#[test]
fn what_could_act_on_a_terminal_is_shown_and_kept_exactly() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let hostile = "a\u{1b}[2Jb\u{9b}31m\u{202e}c\u{200b}d\r\n2026-01-01 00:00  bob: forged\u{7}";
    alice.run(&["send", "bob", hostile]).ok();
    let label = "al\u{1b}]0;x\u{7}ice";
    bob.run(&["contacts", "rename", "alice", label, "--json"])
        .fails("label_invalid", 1);
    bob.run(&["contacts", "rename", "alice", "al\u{202e}ice\u{200b}"])
        .ok();
    for arguments in [
        &["receive"][..],
        &["history", "alice@127.0.0.1", "--plain"],
        &["contacts", "list"],
    ] {
        let shown = bob.run(arguments).ok();
        let harmful =
            |c: char| (c.is_control() && c != '\n' && c != '\t') || "\u{202e}\u{200b}".contains(c);
        assert!(!shown.contains(harmful), "{shown:?}");
        // No line of a message can be taken for another message.
        assert!(
            !shown.lines().any(|line| line.starts_with("2026-01-01")),
            "{shown:?}"
        );
    }
    assert_eq!(bob.history("alice@127.0.0.1"), [hostile]);
}

#[test]
fn a_reader_that_goes_away_has_not_seen_it() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "precious"]).ok();
    let mut child = bob
        .command(&["receive"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.wait().unwrap();
    assert_eq!(bodies(&bob.run(&["receive", "--json"]).ok()), ["precious"]);
}

#[test]
fn history_is_paged_from_the_newest() {
    let server = Server::start();
    let (alice, _bob) = Person::pair(&server);
    let follows = alice.follow();
    let sent: Vec<String> = (0..60).map(|n| format!("text {n}")).collect();
    for text in &sent {
        alice.run(&["send", "bob", text, "--timeout", "1ms"]).ok();
    }
    assert_eq!(alice.history("bob"), sent);
    let page = alice
        .run(&["history", "bob", "--json", "--limit", "5"])
        .ok();
    assert_eq!(bodies(&page), sent[55..]);
    let first: Value = serde_json::from_str(page.lines().next().unwrap()).unwrap();
    let cursor = first["cursor"].as_str().unwrap();
    let before = alice
        .run(&[
            "history", "bob", "--json", "--limit", "5", "--before", cursor,
        ])
        .ok();
    assert_eq!(bodies(&before), sent[50..55]);
    drop(follows);
}

#[test]
fn both_sides_show_one_order_over_several_pages() {
    let mut server = Server::start();
    let (alice, bob) = Person::pair(&server);
    // Each has an answer of the other: neither writes as a stranger any more.
    for (from, to, name) in [(&alice, &bob, "bob"), (&bob, &alice, "alice")] {
        from.run(&["send", name, "hello", "--wait"]).ok();
        to.run(&["receive"]).ok();
    }
    // Bob writes first, and alice gets it last.
    server.kill();
    bob.run(&["send", "alice", "early", "--timeout", "300ms"])
        .ok();
    server.restart();
    let follows = alice.follow();
    let mut written = ["hello", "hello", "early"].map(str::to_owned).to_vec();
    for n in 0..60 {
        let text = format!("text {n}");
        alice.run(&["send", "bob", &text, "--timeout", "1ms"]).ok();
        written.push(text);
    }
    alice.run(&["send", "bob", "last", "--wait"]).ok();
    written.push("last".to_owned());
    bob.run(&["receive"]).ok();
    bob.run(&["send", "alice", "seen", "--wait"]).ok();
    written.push("seen".to_owned());
    drop(follows);
    alice.run(&["receive"]).ok();
    assert_eq!(alice.history("bob"), written);
    assert_eq!(bob.history("alice"), written);
}
