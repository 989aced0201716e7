// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Somebody with folders of their own, and what they type.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use tempfile::TempDir;

use super::{Ran, Running, Server, WAXWING, bodies, folder, pause};

/// Somebody with a home folder of their own.
pub(crate) struct Person {
    pub(crate) home: TempDir,
}

impl Person {
    pub(crate) fn new() -> Self {
        Self { home: folder() }
    }

    /// Somebody with an account and an unprotected profile.
    pub(crate) fn registered(server: &Server, name: &str) -> Self {
        let person = Self::new();
        person.register(server, name);
        person
    }

    /// The same with a configuration file.
    pub(crate) fn configured(server: &Server, name: &str, configuration: &str) -> Self {
        let person = Self::new();
        let folder = person.home.path().join("config");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), configuration).unwrap();
        person.register(server, name);
        person
    }

    fn register(&self, server: &Server, name: &str) {
        let words = self.home.path().join("words");
        let words = words.to_str().unwrap();
        self.run(&[
            "register",
            &server.invite,
            "--name",
            name,
            "--unprotected",
            "--words-file",
            words,
        ])
        .ok();
    }

    /// Two people who know each other.
    pub(crate) fn pair(server: &Server) -> (Self, Self) {
        let (alice, bob) = (
            Self::registered(server, "alice"),
            Self::registered(server, "bob"),
        );
        alice.knows(&bob, "bob");
        bob.knows(&alice, "alice");
        (alice, bob)
    }

    pub(crate) fn knows(&self, other: &Self, label: &str) {
        let link = other.run(&["contacts", "qr"]).ok();
        self.run(&["contacts", "add", link.trim(), "--as", label])
            .ok();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(WAXWING);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("WAXWING_HOME", self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    /// Runs a command with something on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that has seen enough closes its input.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ran {
            what: format!("{arguments:?}"),
            output,
        }
    }

    /// Starts a command that goes on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Running {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Starts `receive --follow` and waits until it is the one that reads.
    pub(crate) fn follow(&self) -> Running {
        let running = self.start(&["receive", "--follow", "--json"]);
        self.until_hosted();
        running
    }

    /// Waits until some process hosts the profile and answers.
    pub(crate) fn until_hosted(&self) {
        let lock = self.home.path().join("data/profiles/default/lock");
        for _ in 0..2000 {
            if let Ok(path) = std::fs::read_to_string(&lock)
                && std::os::unix::net::UnixStream::connect(path.trim_end()).is_ok()
            {
                return;
            }
            pause();
        }
        panic!("nobody hosts the profile");
    }

    /// The bodies of a conversation, oldest first.
    pub(crate) fn history(&self, name: &str) -> Vec<String> {
        let text = self
            .run(&["history", name, "--json", "--limit", "500"])
            .ok();
        bodies(&text)
    }
}
