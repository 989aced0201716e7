// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One process hosts a profile; all others are its clients.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::support::{Person, Server, bodies};

fn socket(person: &Person) -> PathBuf {
    let lock = person.home.path().join("data/profiles/default/lock");
    PathBuf::from(std::fs::read_to_string(lock).unwrap().trim_end())
}

#[test]
fn processes_that_start_at_once_share_one_engine() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let senders: Vec<_> = (0..6)
        .map(|n| {
            alice
                .command(&["send", "bob", &format!("at once {n}"), "--wait"])
                .spawn()
                .unwrap()
        })
        .collect();
    for mut sender in senders {
        assert!(sender.wait().unwrap().success());
    }
    let mut arrived = bodies(&bob.run(&["receive", "--json"]).ok());
    arrived.sort();
    let expected: Vec<String> = (0..6).map(|n| format!("at once {n}")).collect();
    assert_eq!(arrived, expected);
}

#[test]
fn unlock_holds_the_key_until_lock() {
    let server = Server::start();
    let alice = Person::new();
    let file = alice.home.path().join("passphrase");
    std::fs::write(&file, "correct horse\n").unwrap();
    let with = ["--passphrase-file", file.to_str().unwrap()];
    alice
        .run(&[&with[..], &["register", &server.invite, "--name", "alice"]].concat())
        .ok();

    let locked = alice
        .run(&["status", "--json"])
        .fails("passphrase_missing", 6);
    assert_eq!(locked["hint"][1], "unlock");
    assert_eq!(
        alice
            .run(&[&with[..], &["unlock", "--for", "1h"]].concat())
            .ok(),
        "unlocked\n"
    );
    assert_eq!(alice.run(&["unlock"]).ok(), "already unlocked\n");
    let status: Value = serde_json::from_str(&alice.run(&["status", "--json"]).ok()).unwrap();
    assert_eq!(status["host"], "background");
    assert_eq!(status["protected"], true);
    assert_eq!(alice.run(&["lock"]).ok(), "locked\n");
    assert_eq!(alice.run(&["lock"]).ok(), "already locked\n");
    alice
        .run(&["status", "--json"])
        .fails("passphrase_missing", 6);

    // It ends by itself, too.
    alice
        .run(&[&with[..], &["unlock", "--for", "1ms"]].concat())
        .ok();
    let mut tries = 0;
    while alice.run(&["status"]).code() == 0 {
        crate::support::pause();
        tries += 1;
        assert!(tries < 500, "still unlocked");
    }
}

/// The passphrase goes to the background process over a pipe: no other process can read it.
#[test]
fn the_background_process_shows_no_secret() {
    let server = Server::start();
    let alice = Person::new();
    let file = alice.home.path().join("passphrase");
    std::fs::write(&file, "correct horse\n").unwrap();
    let with = ["--passphrase-file", file.to_str().unwrap()];
    alice
        .run(&[&with[..], &["register", &server.invite, "--name", "alice"]].concat())
        .ok();
    alice.run(&[&with[..], &["unlock"]].concat()).ok();
    let host = ask(&mut UnixStream::connect(socket(&alice)).unwrap(), &hello());
    let id = host["result"]["pid"].as_i64().unwrap();
    for name in ["cmdline", "environ"] {
        let shown = std::fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
        assert!(
            !shown.windows(7).any(|window| window == b"correct"),
            "{name}"
        );
    }
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");
    alice.run(&["lock"]).ok();
    // Gone, or waiting for somebody to take note of its end.
    let mut tries = 0;
    while std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|text| !text.is_empty()) {
        crate::support::pause();
        tries += 1;
        assert!(tries < 500, "still running");
    }
}

#[test]
fn a_follower_takes_the_place_of_a_killed_host() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    bob.run(&["unlock"]).ok();
    let mut follows = bob.follow();
    alice.run(&["send", "bob", "through the first host"]).ok();
    follows.expect("through the first host");
    let host = ask(&mut UnixStream::connect(socket(&bob)).unwrap(), &hello());
    let id = Pid::from_raw(host["result"]["pid"].as_i64().unwrap() as i32).unwrap();
    rustix::process::kill_process(id, Signal::KILL).unwrap();
    alice.run(&["send", "bob", "through the second host"]).ok();
    follows.expect("through the second host");
    assert_eq!(bodies(&follows.kill().join("\n")).len(), 2);
}

#[test]
fn lock_ends_a_foreground_host_and_an_interrupt_ends_with_130() {
    let server = Server::start();
    let alice = Person::registered(&server, "alice");
    let follows = alice.follow();
    assert_eq!(follows.signal(Signal::INT), 130);
    let follows = alice.follow();
    assert_eq!(follows.signal(Signal::TERM), 130);
    let follows = alice.follow();
    assert_eq!(alice.run(&["lock"]).ok(), "locked\n");
    drop(follows);
    alice.run(&["status"]).ok();
}

/// A follower must not undo a `lock` by taking the host's place.
#[test]
fn lock_ends_those_who_are_attached() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["unlock"]).ok();
    let mut follows = alice.follow();
    bob.run(&["send", "alice", "attached"]).ok();
    follows.expect("attached");
    assert_eq!(alice.run(&["lock"]).ok(), "locked\n");
    assert_eq!(follows.ends(), 6);
}

#[test]
fn only_one_receive_prints() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let mut follows = bob.follow();
    alice.run(&["send", "bob", "first"]).ok();
    follows.expect("first");
    bob.run(&["receive", "--json"]).fails("reader_busy", 1);
    drop(follows);
    alice.run(&["send", "bob", "second"]).ok();
    assert_eq!(bodies(&bob.run(&["receive", "--json"]).ok()), ["second"]);
}

fn hello() -> String {
    r#"{"jsonrpc":"2.0","id":"h","method":"host.hello","params":{"version":1}}"#.to_owned()
}

fn ask(stream: &mut UnixStream, line: &str) -> Value {
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn the_socket_is_private_and_speaks_json_rpc() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let follows = alice.follow();
    let path = socket(&alice);
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);

    let mut stream = UnixStream::connect(&path).unwrap();
    assert_eq!(ask(&mut stream, "nonsense")["error"]["code"], -32700);
    assert_eq!(ask(&mut stream, "{}")["error"]["code"], -32600);
    let unknown = r#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#;
    assert_eq!(ask(&mut stream, unknown)["error"]["code"], -32601);
    let wrong = r#"{"jsonrpc":"2.0","id":2,"method":"messages.send","params":{"to":3}}"#;
    assert_eq!(ask(&mut stream, wrong)["error"]["code"], -32602);
    assert_eq!(ask(&mut stream, &hello())["result"]["api"], 1);
    let send = r#"{"jsonrpc":"2.0","id":3,"method":"messages.send","params":{"contact":"bob","body":"by socket"}}"#;
    let queued = ask(&mut stream, send);
    assert_eq!(queued["id"], 3);
    assert_eq!(queued["result"]["type"], "queued");
    let nobody = r#"{"jsonrpc":"2.0","id":4,"method":"contacts.find","params":{"contact":"bbo"}}"#;
    let error = ask(&mut stream, nobody);
    assert_eq!(error["error"]["data"]["code"], "contact_unknown");
    assert_eq!(error["error"]["data"]["nearest"], "bob");
    bob.follow().expect("by socket");
    drop(follows);
}
