// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the program says about itself, and `doctor`.

use crate::process::{Place, command, say};

#[test]
fn every_command_has_help() {
    let commands: [&[&str]; 17] = [
        &[],
        &["up"],
        &["serve"],
        &["init"],
        &["invite"],
        &["invite", "new"],
        &["invite", "list"],
        &["invite", "revoke"],
        &["disclose"],
        &["doctor"],
        &["verify"],
        &["export"],
        &["import"],
        &["rebuild"],
        &["completions"],
        &["man"],
        &["version"],
    ];
    for arguments in commands {
        for help in ["--help", "-h"] {
            let said = say(command(&[arguments, &[help]].concat()));
            assert_eq!(said.code, 0, "{arguments:?}");
            assert!(
                said.out.contains("Usage: waxwingd"),
                "{arguments:?}: {}",
                said.out
            );
            assert!(said.err.is_empty(), "{arguments:?}: {}", said.err);
        }
    }
}

#[test]
fn wrong_usage_has_its_own_exit_code_and_a_suggestion() {
    let bare = say(command(&[]));
    assert_eq!(bare.code, 2);
    assert!(bare.err.contains("Examples:"), "{bare:?}");
    let near = say(command(&["disclos"]));
    assert_eq!(near.code, 2);
    assert!(near.err.contains("disclose"), "{near:?}");
    for wrong in [
        &["up", "--nonsense"][..],
        &["invite", "new", "--uses", "0"],
        &["invite", "new", "--expires", "soon"],
    ] {
        assert_eq!(say(command(wrong)).code, 2, "{wrong:?}");
    }
}

#[test]
fn completions_manual_and_version_are_printed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = say(command(&["completions", shell]));
        assert_eq!(said.code, 0, "{shell}");
        assert!(said.out.contains("disclose"), "{shell}");
    }
    let page = say(command(&["man"]));
    assert!(page.out.contains(".TH waxwingd"), "{page:?}");
    let page = say(command(&["man", "disclose"]));
    assert!(page.code == 0 && page.out.contains("grep"), "{page:?}");
    say(command(&["man", "nothing", "--json"])).failed_with(7, "command_unknown");
    let version = say(command(&["version", "--json"])).json();
    assert_eq!(version["protocol_max"], 1);
    assert!(say(command(&["version"])).out.starts_with("waxwingd "));
}

#[test]
fn doctor_examines_a_server_that_runs_and_one_that_does_not() {
    let place = Place::new();
    let missing = place.run(&["doctor", "--json"]);
    missing.failed_with(1, "doctor_found_problems");
    place.init();
    let verdict = |report: &serde_json::Value, name: &str| {
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("{name} in {report}"))["verdict"].clone()
    };
    let report = place.run(&["doctor", "--json"]).json();
    for name in [
        "configuration",
        "permissions",
        "server key",
        "clock",
        "disk",
        "key exchange",
        "port",
        "store",
    ] {
        assert_eq!(verdict(&report, name), "ok", "{report}");
    }
    let server = place.up();
    let report = place.run(&["doctor", "--json"]).json();
    assert_eq!(verdict(&report, "server"), "ok");
    assert_eq!(verdict(&report, "connections"), "ok");
    drop(server);
}

/// Where the system lets a process open few files, fewer connections are taken, and `doctor` says how many.
#[test]
fn doctor_says_where_few_files_may_be_open() {
    let place = Place::new();
    place.init();
    let data = place.folder.path().join("data");
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "ulimit -n 1000 && exec \"$0\" \"$@\""])
        .arg(command(&[]).get_program())
        .args(["doctor", "--json", "--data"])
        .arg(&data);
    let report = say(shell).json();
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "open files");
    let check = check.unwrap();
    assert_eq!(check["verdict"], "warning", "{report}");
    let told = check.to_string();
    assert!(
        told.contains("744") && told.contains("LimitNOFILE"),
        "{told}"
    );
}
