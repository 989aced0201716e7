// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a client keeps things, what damage to them does, and what happens where nobody can be asked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Person, Server, WAXWING};

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn the_xdg_folders_are_used_and_nothing_else() {
    let server = Server::start();
    let home = Person::new().home;
    let path = |name: &str| home.path().join(name);
    std::fs::create_dir(path("run")).unwrap();
    let run = |arguments: &[&str]| {
        Command::new(WAXWING)
            .args(arguments)
            .env_clear()
            .env("HOME", home.path())
            .env("XDG_CONFIG_HOME", path("config"))
            .env("XDG_DATA_HOME", path("data"))
            .env("XDG_RUNTIME_DIR", path("run"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let words = path("words");
    let words = words.to_str().unwrap();
    let register = ["register", &server.invite, "--name", "alice"];
    let more = ["--unprotected", "--words-file", words, "--profile", "work"];
    let made = run(&[&register[..], &more].concat());
    assert!(made.status.success(), "{made:?}");
    let files = files_below(home.path());
    let profile = path("data/waxwing/profiles/work");
    assert!(profile.join("key").exists());
    for file in files {
        let expected = file.starts_with(&profile) || file == Path::new(words);
        assert!(expected, "{} is in nobody's folder", file.display());
    }
    std::fs::create_dir_all(path("config/waxwing")).unwrap();
    std::fs::write(path("config/waxwing/config.toml"), "nonsense = 1\n").unwrap();
    let status = run(&["status", "--profile", "work", "--json"]);
    let stderr = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(stderr.contains("config_invalid"), "{stderr}");
}

#[test]
fn a_store_that_was_overwritten_is_refused_and_left_as_it_is() {
    let server = Server::start();
    let (alice, _bob) = Person::pair(&server);
    let store = alice.home.path().join("data/profiles/default/store");
    let files: Vec<PathBuf> = files_below(&store)
        .into_iter()
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name == "db" || name == "conf")
        })
        .collect();
    assert!(!files.is_empty());
    for file in &files {
        let length = std::fs::metadata(file).unwrap().len();
        std::fs::write(file, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
    }
    for arguments in [
        &["status"][..],
        &["send", "bob", "x"],
        &["receive"],
        &["unlock"],
    ] {
        let ran = alice.run(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code(), 6, "{arguments:?}: {}", ran.stderr());
        assert!(
            ran.stderr().contains("store_"),
            "{arguments:?}: {}",
            ran.stderr()
        );
    }
    let damaged = |file: &PathBuf| {
        std::fs::read(file)
            .unwrap()
            .iter()
            .all(|byte| *byte == 0xa5)
    };
    assert!(files.iter().all(damaged), "nothing was written over it");
}

/// With `--no-input`, or without a terminal, nothing waits for an answer.
#[test]
fn nobody_is_asked_where_nobody_is() {
    let server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let code = |person: &Person, arguments: &[&str], code: &str, exit: i32| {
        person
            .run(&[arguments, &["--json", "--no-input"]].concat())
            .fails(code, exit);
    };
    code(&alice, &["verify", "bob", "--words"], "input_needed", 1);
    // Without `--words` it shows what is to be compared, which needs no answer.
    let shown = alice.run(&["verify", "bob", "--json", "--no-input"]).ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["type"], "verification");
    code(
        &alice,
        &["devices", "remove", &device(&alice)],
        "input_needed",
        1,
    );
    let new = Person::new();
    code(
        &new,
        &["devices", "link", &server.link, "--unprotected"],
        "input_needed",
        1,
    );
    code(
        &new,
        &["recover", &server.link, "--unprotected"],
        "input_needed",
        1,
    );
    let words = bob.home.path().join("words");
    let words = words.to_str().unwrap();
    let recover = [
        "recover",
        &server.link,
        "--unprotected",
        "--words-file",
        words,
    ];
    code(&new, &recover, "input_needed", 1);
    code(
        &new,
        &["register", &server.invite, "--name", "carol"],
        "passphrase_needed",
        6,
    );
    code(&new, &["status"], "profile_missing", 7);
}

fn device(who: &Person) -> String {
    let list = who.run(&["devices", "list", "--json"]).ok();
    let first: Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    first["id"].as_str().unwrap().to_owned()
}

/// A name is looked up on one's own server only; people of other servers come by their link.
#[test]
fn two_servers_and_their_names() {
    let (home, away) = (Server::start(), Server::start());
    let alice = Person::registered(&home, "alice");
    let bob = Person::registered(&away, "bob");
    alice
        .run(&["contacts", "add", "bob@chat.example", "--json"])
        .fails("name_unknown", 7);
    alice
        .run(&["contacts", "add", "bob", "--json"])
        .fails("name_unknown", 7);
    // The same name on two servers is two people.
    let other = Person::registered(&home, "bob");
    alice.knows(&bob, "bob of the other server");
    alice.run(&["contacts", "add", "bob"]).ok();
    alice
        .run(&["send", "bob", "to the one here", "--wait"])
        .ok();
    alice
        .run(&[
            "send",
            "bob of the other server",
            "to the one there",
            "--wait",
        ])
        .ok();
    for (who, body) in [(&other, "to the one here"), (&bob, "to the one there")] {
        let got = crate::support::bodies(&who.run(&["receive", "--json"]).ok());
        assert_eq!(got, [body]);
    }
}
