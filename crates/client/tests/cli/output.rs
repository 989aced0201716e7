// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the command line says about itself, and where it says it.

use crate::support::Person;

#[test]
fn help_is_everywhere_and_a_bare_command_shows_it() {
    let nobody = Person::new();
    let bare = nobody.run(&[]);
    assert_eq!(bare.code(), 2);
    assert!(
        bare.stderr().contains("Usage: waxwing"),
        "{}",
        bare.stderr()
    );
    let commands = [
        "register",
        "contacts",
        "send",
        "receive",
        "history",
        "verify",
        "devices",
        "recover",
        "status",
        "doctor",
        "lock",
        "unlock",
        "completions",
        "man",
        "version",
    ];
    let help = nobody.run(&["--help"]).ok();
    for command in commands {
        assert!(help.contains(&format!("\n  {command}")), "{command}");
        assert!(
            nobody
                .run(&[command, "--help"])
                .ok()
                .contains("Usage: waxwing"),
            "{command}"
        );
    }
    let typo = nobody.run(&["recieve"]);
    assert_eq!(typo.code(), 2);
    assert!(typo.stderr().contains("'receive'"), "{}", typo.stderr());
}

#[test]
fn pages_for_shells_and_manuals() {
    let nobody = Person::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            nobody.run(&["completions", shell]).ok().contains("waxwing"),
            "{shell}"
        );
    }
    let manual = nobody.run(&["man"]).ok();
    assert!(
        manual.contains(".TH") && manual.contains("contacts"),
        "{manual}"
    );
    assert!(
        nobody
            .run(&["version", "--json"])
            .ok()
            .starts_with(r#"{"v":1,"type":"version","#)
    );
}

#[test]
fn errors_go_to_standard_error_without_colour() {
    let nobody = Person::new();
    let ran = nobody.run(&["status"]);
    assert_eq!((ran.code(), ran.stdout().as_str()), (7, ""));
    let stderr = ran.stderr();
    assert!(stderr.starts_with("error[profile_missing]: "), "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
    let ran = nobody.run(&["--profile", "work", "status"]);
    assert!(
        ran.stderr()
            .contains("waxwing --profile work register --help"),
        "{}",
        ran.stderr()
    );
}
