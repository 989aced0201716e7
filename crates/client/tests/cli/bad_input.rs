// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whatever is wrong has its own code, its own exit code and a next step that works.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::{PAUSE, Person, Server, WAXWING, bodies, folder, pause};

const MINUTE: Duration = Duration::from_secs(60);

fn register(person: &Person, invite: &str, name: &str) -> crate::support::Ran {
    person.run(&[
        "register",
        invite,
        "--name",
        name,
        "--unprotected",
        "--json",
        "--no-input",
    ])
}

/// Runs the command that an error prints.
fn hint(person: &Person, error: &Value) -> crate::support::Ran {
    let words: Vec<&str> = error["hint"]
        .as_array()
        .expect("a hint")
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    assert_eq!(words[0], "waxwing");
    person.run(&words[1..])
}

#[test]
fn registering_names_what_is_wrong_and_leaves_nothing_behind() {
    let server = Server::start();
    Person::registered(&server, "alice");
    let bob = Person::new();
    register(&bob, "waxwing:invite/AAAA", "bob").fails("invite_invalid", 1);
    register(&bob, &server.link, "bob").fails("invite_invalid", 1);
    register(&bob, &server.invite, "Bob!").fails("name_invalid", 1);
    register(&bob, &server.invite, "alice").fails("name_taken", 1);
    let other = Server::start();
    let single = server.single_invite();
    register(&bob, &single, "bob").ok();
    register(&bob, &single, "bob").fails("already_registered", 1);
    register(&Person::new(), &single, "carol").fails("invite_used", 1);
    drop(other);
    let carol = Person::new();
    register(&carol, &server.invite, "alice").fails("name_taken", 1);
    let error = carol.run(&["status", "--json"]).fails("profile_missing", 7);
    hint(&carol, &error).ok();
    register(&carol, &server.invite, "carol").ok();
}

#[test]
fn an_invite_that_has_expired_says_so_and_leaves_nothing_behind() {
    let server = Server::start();
    let short = server.new_invite(&["--uses", "2", "--expires", "1m"]);
    let bob = Person::new();
    // Lifetimes are kept in whole minutes of the clock.
    for _ in 0..MINUTE.as_millis() / PAUSE.as_millis() {
        pause();
    }
    register(&bob, &short, "bob").fails("invite_expired", 1);
    register(&bob, &server.invite, "bob").ok();
}

#[test]
fn recovery_words_go_into_a_new_private_file_only() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let person = Person::new();
    let file = person.home.path().join("words");
    let path = file.to_str().unwrap();
    let with = ["--unprotected", "--json", "--words-file", path];
    let run = |name: &str| {
        person.run(&[&["register", &server.invite, "--name", name], &with[..]].concat())
    };
    std::fs::write(&file, "precious").unwrap();
    run("alice").fails("words_file", 1);
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    std::fs::remove_file(&file).unwrap();
    run("alice").ok();
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        std::fs::read_to_string(&file)
            .unwrap()
            .split_whitespace()
            .count(),
        24
    );
}

#[test]
fn a_server_that_is_away_or_another_one_is_told_apart() {
    let mut server = Server::start();
    let mut other = Server::start();
    let invite = other.invite.clone();
    other.kill();
    let person = Person::new();
    let arguments = ["register", &invite, "--name", "alice", "--unprotected"];
    let more = ["--json", "--no-input", "--timeout", "400ms"];
    person
        .run(&[&arguments[..], &more].concat())
        .fails("unreachable", 3);

    // Somebody else answers at the address: the key of one server, the port of the other.
    let alice = Person::registered(&server, "alice");
    server.kill();
    let impostor = server.replace_key();
    let error = alice
        .run(&["receive", "--json"])
        .fails("wrong_server_key", 4);
    hint(&alice, &error);
    drop(impostor);
}

#[test]
fn wrong_passphrases_and_missing_ones() {
    let server = Server::start();
    let alice = Person::new();
    let good = alice.home.path().join("good");
    let bad = alice.home.path().join("bad");
    std::fs::write(&good, "correct horse\n").unwrap();
    std::fs::write(&bad, "wrong horse\n").unwrap();
    let good = ["--passphrase-file", good.to_str().unwrap(), "--json"];
    let bad = ["--passphrase-file", bad.to_str().unwrap(), "--json"];
    alice
        .run(&["register", &server.invite, "--name", "alice", "--json"])
        .fails("passphrase_needed", 6);
    alice
        .run(&[&good[..], &["register", &server.invite, "--name", "alice"]].concat())
        .ok();
    alice
        .run(&["status", "--json"])
        .fails("passphrase_missing", 6);
    alice
        .run(&[&bad[..], &["status"]].concat())
        .fails("passphrase_wrong", 6);
    alice
        .run(&[&bad[..], &["unlock"]].concat())
        .fails("passphrase_wrong", 6);
    alice.run(&[&good[..], &["status"]].concat()).ok();
    alice
        .run(&["--passphrase-file", "/nonexistent", "--json", "status"])
        .fails("passphrase_source", 1);
    let unprotected = [
        "register",
        &server.invite,
        "--name",
        "eve",
        "--unprotected",
        "--json",
    ];
    alice.run(&unprotected).fails("protection_differs", 1);

    // From a command in the configuration.
    let config = alice.home.path().join("config");
    std::fs::create_dir(&config).unwrap();
    let command = "passphrase_command = ['printf', 'correct horse\\nmore']\n";
    std::fs::write(config.join("config.toml"), command).unwrap();
    alice.run(&["status"]).ok();
    std::fs::write(config.join("config.toml"), "passphrase = 'x'\n").unwrap();
    alice.run(&["status", "--json"]).fails("config_invalid", 1);
}

#[test]
fn texts_that_cannot_be_sent_are_refused_before_anything_is_stored() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let send = |input: &[u8]| alice.run_with(&["send", "bob", "-", "--json"], input);
    send(&vec![b'a'; 1_000_000]).fails("text_too_long", 1);
    send(&vec![b'a'; 48 * 1024 + 1]).fails("text_too_long", 1);
    send(b"\xff\xfe\x00binary").fails("text_not_utf8", 1);
    let error = send(b"\n").fails("text_empty", 1);
    hint(&alice, &error).ok();
    alice
        .run(&["send", "bob", "--json", "  "])
        .fails("text_empty", 1);
    assert!(alice.history("bob").is_empty());

    let largest = "ä".repeat(24 * 1024);
    send(largest.as_bytes()).ok();
    send(b"two\nlines\n").ok();
    assert_eq!(
        bodies(&bob.run(&["receive", "--json"]).ok()),
        [largest.as_str(), "two\nlines"]
    );
}

#[test]
fn unknown_names_suggest_the_nearest_and_hints_work() {
    let server = Server::start();
    let (alice, _bob) = Person::pair(&server);
    let error = alice
        .run(&["send", "bbo", "x", "--json"])
        .fails("contact_unknown", 7);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("did you mean bob?"),
        "{error}"
    );
    hint(&alice, &error).ok();
    alice
        .run(&["history", "nobody", "--json"])
        .fails("contact_unknown", 7);
    alice
        .run(&["contacts", "add", "waxwing:contact/AAAA", "--json"])
        .fails("contact_link_invalid", 1);

    alice.run(&["contacts", "block", "bob"]).ok();
    let error = alice
        .run(&["send", "bob", "x", "--json"])
        .fails("contact_blocked", 1);
    hint(&alice, &error).ok();
    alice.run(&["send", "bob", "x"]).ok();

    alice
        .run(&["contacts", "rename", "bob", "Robert the 2nd"])
        .ok();
    alice.run(&["send", "Robert the 2nd", "x"]).ok();
    alice
        .run(&[
            "contacts",
            "rename",
            "Robert the 2nd",
            &"x".repeat(65),
            "--json",
        ])
        .fails("label_invalid", 1);
    alice
        .run(&["devices", "remove", "ffff", "--yes", "--json"])
        .fails("device_unknown", 7);
    alice
        .run(&["devices", "approve", "waxwing:link/AAAA", "--json"])
        .fails("link_code_invalid", 1);
    alice.run(&["--json", "sned"]).fails("usage", 2);
    alice
        .run(&["--json", "--profile", "../x", "status"])
        .fails("profile_name_invalid", 1);
}

#[test]
fn a_damaged_store_is_refused_and_doctor_says_so() {
    let server = Server::start();
    let alice = Person::registered(&server, "alice");
    alice.run(&["doctor", "--json"]).ok();
    let profile = alice.home.path().join("data/profiles/default");
    std::fs::write(profile.join("key"), b"garbage").unwrap();
    let error = alice.run(&["status", "--json"]).fails("store_corrupt", 6);
    assert_eq!(error["hint"][1], "doctor");
    let report = hint(&alice, &error);
    assert_eq!(report.code(), 1);
    assert!(report.stdout().contains("problem"), "{}", report.stdout());
}

/// The files of a folder, without those of the folders in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.is_file());
    files
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

/// sled takes what it cannot read for the end of its file, and opens without the rest.
#[test]
fn a_store_that_lost_its_end_can_be_read_and_sends_nothing() {
    let mut server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "one", "--wait"]).ok();
    let sled = alice.home.path().join("data/profiles/default/store/sled");
    let older = files(&sled);
    for text in ["two", "three"] {
        alice.run(&["send", "bob", text, "--wait"]).ok();
    }
    bob.run(&["receive"]).ok();
    // Without the server, whose count of this device's sendings would say the same.
    server.kill();
    // Every file: a snapshot of sled's that is newer than its log is damage of another kind.
    for (path, _) in files(&sled) {
        std::fs::remove_file(path).unwrap();
    }
    for (path, bytes) in older {
        std::fs::write(path, bytes).unwrap();
    }
    let error = alice
        .run(&["send", "bob", "four", "--json"])
        .fails("restored_store", 4);
    assert_eq!(error["hint"][1], "doctor");
    assert!(alice.history("bob").contains(&"one".to_owned()));
    let status = alice.run(&["status", "--json"]).ok();
    assert!(
        status.contains(r#""link_error":"restored_store""#),
        "{status}"
    );
    // And still after the server is back.
    server.restart();
    alice
        .run(&["send", "bob", "four", "--json"])
        .fails("restored_store", 4);
}

/// A file-size limit stands for a full disk.
#[test]
fn a_full_disk_refuses_and_keeps_what_was_accepted() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "before"]).ok();
    let home = alice.home.path().display();
    let script = format!(
        "ulimit -f 1; WAXWING_HOME={home} exec {WAXWING} --json send bob 'on a full disk, {}'",
        "x".repeat(20_000),
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    assert!(stderr.contains(r#""code":"store_failed""#), "{stderr}");
    alice.run(&["send", "bob", "after"]).ok();
    let arrived = bodies(&bob.run(&["receive", "--json"]).ok());
    assert_eq!(arrived.first().unwrap(), "before");
    assert_eq!(arrived.last().unwrap(), "after");
    assert_eq!(arrived, alice.history("bob"));
    drop(folder());
}
