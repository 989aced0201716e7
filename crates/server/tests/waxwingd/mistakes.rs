// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What goes wrong, each with its own code and a next step that works.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::process::{PROGRAM, Place, Said, Server, command, say};

fn hints(failure: &serde_json::Value) -> Vec<String> {
    let hints = failure["hint"].as_array().unwrap();
    assert!(!hints.is_empty(), "{failure}");
    hints
        .iter()
        .map(|hint| hint.as_str().unwrap().to_owned())
        .collect()
}

/// Types a printed hint into a shell.
fn type_in(hint: &str) -> std::process::Output {
    let folder = std::path::Path::new(PROGRAM)
        .parent()
        .unwrap()
        .display()
        .to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    Command::new("sh")
        .arg("-c")
        .arg(hint)
        .env("PATH", path)
        .output()
        .unwrap()
}

#[test]
fn a_second_server_on_one_folder_is_refused() {
    let place = Place::new();
    let server = place.up();
    for arguments in [&["up", "--json"][..], &["serve", "--json"]] {
        let failure = place.run(arguments).failed_with(6, "data_folder_in_use");
        // The first hint asks the server that runs.
        let output = type_in(&hints(&failure)[0]);
        assert!(output.status.success(), "{output:?}");
    }
    assert!(place.run(&["invite", "list", "--json"]).json()["invites"].is_array());
    drop(server);
}

#[test]
fn a_folder_without_a_server_is_named() {
    let place = Place::new();
    for arguments in [
        &["serve", "--json"][..],
        &["invite", "list", "--json"],
        &["disclose", "alice", "--json"],
        &["disclose", "--grep", "some text", "--json"],
    ] {
        place.run(arguments).failed_with(1, "not_initialised");
    }
    let failure = place.run(&["serve", "--json"]).failure();
    // One of the hints makes a server.
    let init = hints(&failure)
        .into_iter()
        .find(|hint| hint.starts_with("waxwingd init"))
        .unwrap();
    assert!(type_in(&init).status.success());
    assert!(place.data().join("waxwingd.toml").exists());
}

#[test]
fn a_foreign_folder_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    fs::write(place.data().join("letter.txt"), "dear").unwrap();
    let failure = place.run(&["init", "--json", "--listen", "127.0.0.1:0"]);
    failure.failed_with(1, "data_folder_not_empty");
    assert_eq!(fs::read_dir(place.data()).unwrap().count(), 1);
}

#[test]
fn a_configuration_with_mistakes_is_refused() {
    let place = Place::new();
    place.init();
    let path = place.data().join("waxwingd.toml");
    let good = fs::read_to_string(&path).unwrap();
    let cases = [
        (format!("{good}\nlisten_on = 5\n"), "config_unreadable"),
        ("listen = 5".to_owned(), "config_unreadable"),
        (String::new(), "config_unreadable"),
        (
            good.replace("retention_days = 45", "retention_days = 0"),
            "config_value",
        ),
    ];
    for (text, code) in cases {
        fs::write(&path, text).unwrap();
        for arguments in [
            &["serve", "--json"][..],
            &["up", "--json"],
            &["invite", "list", "--json"],
        ] {
            let failure = place.run(arguments).failed_with(1, code);
            assert!(
                failure["message"]
                    .as_str()
                    .unwrap()
                    .contains("waxwingd.toml"),
                "{failure}"
            );
            assert!(hints(&failure)[0].contains("waxwingd.toml"));
        }
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    place
        .run(&["serve", "--json"])
        .failed_with(1, "config_unreadable");
    fs::write(&path, good).unwrap();
    drop(Server::start(&place.data(), &["serve"]));
}

#[test]
fn an_open_key_is_refused_until_it_is_closed() {
    let place = Place::new();
    place.init();
    let key = place.data().join("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let failure = place
        .run(&["serve", "--json"])
        .failed_with(1, "permissions");
    assert!(type_in(&hints(&failure)[0]).status.success());
    drop(Server::start(&place.data(), &["serve"]));

    fs::write(&key, b"damaged").unwrap();
    place
        .run(&["serve", "--json"])
        .failed_with(6, "server_key_unreadable");
    fs::remove_file(&key).unwrap();
    place
        .run(&["serve", "--json"])
        .failed_with(6, "server_key_unreadable");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let place = Place::new();
    let made = place.init();
    let listen = made["listen"].as_str().unwrap();
    let holder = UdpSocket::bind(listen).unwrap();
    let failure = place
        .run(&["serve", "--json"])
        .failed_with(3, "address_unusable");
    assert!(failure["message"].as_str().unwrap().contains(listen));
    drop(holder);
    let refused = place.run(&["serve", "--json", "--listen", "192.0.2.1:4747"]);
    refused.failed_with(3, "address_unusable");
    place
        .run(&["serve", "--json", "--listen", "nowhere"])
        .failed_with(1, "listen_invalid");
    place
        .run(&["serve", "--json", "--name", "no host"])
        .failed_with(1, "name_invalid");
}

#[test]
fn a_damaged_store_is_refused_and_kept() {
    let place = Place::new();
    drop(place.up());
    let mut files = Vec::new();
    let mut folders = vec![place.data().join("store")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name == "db" || name == "conf" || name.starts_with("rows-"))
            {
                // The tables and their journal: either of them would do.
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty());
    for file in &files {
        let length = fs::metadata(file).unwrap().len();
        fs::write(file, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
    }
    let said = place.run(&["serve", "--json"]);
    let failure = said.failure();
    assert_eq!(said.code, 6, "{failure}");
    assert!(
        failure["code"].as_str().unwrap().starts_with("store_"),
        "{failure}"
    );
    hints(&failure);
}

#[test]
fn a_full_disk_is_an_error_and_no_crash() {
    let place = Place::new();
    place.init();
    // A limit for the size of each file stands for a disk without room.
    let limited = |blocks: u32, arguments: &str| {
        let data = place.data();
        let script = format!(
            "ulimit -f {blocks}; exec {PROGRAM} {arguments} --json --data {}",
            data.display()
        );
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script);
        say(shell)
    };
    // Files that cannot grow any further fail, or there is no room for what is asked.
    let is_full = |said: Said| {
        let code = said.failure()["code"].clone();
        assert!(
            code == "store_disk_full" || code == "store_busy",
            "{said:?}"
        );
        assert_eq!(said.code, 6);
    };
    // Nothing was made yet. A segment of the log takes 32768 blocks.
    is_full(limited(8, "invite new"));
    place.run(&["invite", "new", "--json"]).json();
    // With the segment that is prepared since some more is taken.
    let mut accepted = 1;
    let refused = loop {
        let said = limited(16_384, "invite new");
        if said.code != 0 {
            break said;
        }
        accepted += 1;
        assert!(accepted < 1000, "the limit is never reached");
    };
    is_full(refused);
    is_full(limited(8, "up"));
    let listed = place.run(&["invite", "list", "--json"]).json();
    assert!(accepted > 1);
    assert_eq!(listed["invites"].as_array().unwrap().len(), accepted);
    drop(Server::start(&place.data(), &["serve"]));
}

#[test]
fn a_file_that_is_not_there_is_named_with_what_to_type_next() {
    let place = Place::new();
    drop(place.up());
    let folder = place.folder.path().join("a folder for backups");
    let file = folder.join("monday");
    let file = file.to_str().unwrap();
    let failure = place
        .run(&["export", file, "--json"])
        .failed_with(1, "file_failed");
    assert!(
        failure["why"].as_str().unwrap().contains("folder"),
        "{failure}"
    );
    // The hints in their order make the export.
    for hint in hints(&failure) {
        let typed = type_in(&hint);
        assert!(typed.status.success(), "{hint}: {typed:?}");
    }
    assert!(std::path::Path::new(file).exists());
    let again = place
        .run(&["export", file, "--json"])
        .failed_with(1, "file_failed");
    assert!(hints(&again)[0].starts_with("waxwingd export FILE"));

    fs::rename(place.data().join("store"), folder.join("store")).unwrap();
    let missing = folder.join("tuesday");
    let failure = place
        .run(&["import", missing.to_str().unwrap(), "--json"])
        .failed_with(1, "file_failed");
    let hints = hints(&failure);
    // One shows which exports there are.
    let listed = type_in(&hints[0]);
    assert!(
        String::from_utf8_lossy(&listed.stdout).contains("monday"),
        "{hints:?}"
    );
    assert!(hints[1].starts_with("waxwingd import FILE"), "{hints:?}");
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_named() {
    let place = Place::new();
    let long = place.data().join("x".repeat(100));
    let mut up = command(&["up", "--json", "--listen", "127.0.0.1:0"]);
    up.arg("--data").arg(long);
    say(up).failed_with(1, "path_too_long");
}

#[test]
fn errors_for_people_have_three_parts() {
    let place = Place::new();
    let said = place.run(&["serve"]);
    assert_eq!(said.code, 1);
    let lines: Vec<&str> = said.err.lines().collect();
    assert!(
        lines[0].starts_with("error[not_initialised]: "),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("  There is no"), "{lines:?}");
    assert!(lines[2].contains(":   waxwingd up --data "), "{lines:?}");
    assert!(
        !said.err.contains('\u{1b}'),
        "no colours where nobody sees them"
    );
}
