// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server, people with folders of their own, and commands that run to their end or in parallel.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes; a bound for hanging tests, not a measurement.
const PATIENCE: Duration = Duration::from_secs(40);

/// The client's binary.
pub(crate) const WAXWING: &str = env!("CARGO_BIN_EXE_waxwing");

/// The server's binary, beside the client's. Built when it is not there.
fn waxwingd() -> PathBuf {
    let path = Path::new(WAXWING).with_file_name("waxwingd");
    if !path.exists() {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "-p", "waxwing-server"])
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the server is built");
    }
    path
}

/// A folder for one test, on a short path: sockets need that.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("wx")
        .tempdir_in("/tmp")
        .expect("a temporary folder")
}

/// A running server, ended by SIGKILL when it is dropped.
pub(crate) struct Server {
    folder: TempDir,
    child: Option<Child>,
    pub(crate) invite: String,
    pub(crate) link: String,
    port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut server = Self {
            folder: folder(),
            child: None,
            invite: String::new(),
            link: String::new(),
            port: 0,
        };
        server.restart();
        server
    }

    /// Ends the server and starts it anew.
    pub(crate) fn replaced(&mut self) {
        self.kill();
        self.restart();
    }

    /// The port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server on the data that it left behind.
    pub(crate) fn restart(&mut self) {
        self.start_at("127.0.0.1:0");
    }

    fn start_at(&mut self, listen: &str) {
        let mut child = Command::new(waxwingd())
            .args(["up", "--json", "--listen", listen, "--uses", "10", "--data"])
            .arg(self.folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the server is ready");
        if let Some(invite) = ready["invite"].as_str() {
            self.invite = invite.to_owned();
        }
        self.link = ready["server"].as_str().unwrap().to_owned();
        self.port = ready["port"].as_u64().unwrap().try_into().unwrap();
        self.child = Some(child);
    }

    /// Lets the server offer other transports from its next start on.
    pub(crate) fn offer(&self, transports: &str) {
        self.configure("transports", transports);
    }

    /// Changes a value of the configuration file.
    pub(crate) fn configure(&self, key: &str, value: &str) {
        let path = self.folder.path().join("data/waxwingd.toml");
        let before = std::fs::read_to_string(&path).unwrap();
        let kept = before
            .lines()
            .filter(|line| !line.starts_with(&format!("{key} =")));
        let mut text = format!("{key} = {value}\n");
        for line in kept {
            text.push_str(line);
            text.push('\n');
        }
        std::fs::write(&path, text).unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What the server has stored by now.
    pub(crate) fn backup(&mut self) -> TempDir {
        self.kill();
        let backup = folder();
        copy_folder(
            &self.folder.path().join("data"),
            &backup.path().join("data"),
        );
        self.start_at(&format!("127.0.0.1:{}", self.port));
        backup
    }

    /// The server goes back to what it had stored then.
    pub(crate) fn restore(&mut self, backup: &TempDir) {
        self.kill();
        let place = self.folder.path().join("data");
        std::fs::remove_dir_all(&place).unwrap();
        copy_folder(&backup.path().join("data"), &place);
        self.start_at(&format!("127.0.0.1:{}", self.port));
    }

    /// Runs another `waxwingd` command on this server's data.
    fn tool_output(&self, arguments: &[&str]) -> Output {
        Command::new(waxwingd())
            .args(arguments)
            .arg("--data")
            .arg(self.folder.path().join("data"))
            .output()
            .unwrap()
    }

    /// What a `waxwingd` command prints that succeeds.
    pub(crate) fn tool(&self, arguments: &[&str]) -> String {
        let output = self.tool_output(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A `waxwingd` command that fails with this code.
    pub(crate) fn fails(&self, arguments: &[&str], code: &str) {
        let output = self.tool_output(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(
            stderr.contains(&format!("\"{code}\"")),
            "{arguments:?}: {stderr}"
        );
    }

    /// Another server with a key of its own at this one's address.
    pub(crate) fn replace_key(&self) -> Self {
        let other = folder();
        let port = self.port.to_string();
        let mut impostor = Self {
            folder: other,
            child: None,
            invite: String::new(),
            link: String::new(),
            port: self.port,
        };
        impostor.start_at(&format!("127.0.0.1:{port}"));
        impostor
    }

    /// An invite that can be used once.
    pub(crate) fn single_invite(&self) -> String {
        self.new_invite(&["--uses", "1"])
    }

    /// A new invite.
    pub(crate) fn new_invite(&self, terms: &[&str]) -> String {
        let output = Command::new(waxwingd())
            .args(["invite", "new", "--json"])
            .args(terms)
            .arg("--data")
            .arg(self.folder.path().join("data"))
            .output()
            .unwrap();
        let invite: Value = serde_json::from_slice(&output.stdout).expect("an invite");
        invite["invite"].as_str().unwrap().to_owned()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_folder(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

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
        let words = person.home.path().join("words");
        let words = words.to_str().unwrap();
        person
            .run(&[
                "register",
                &server.invite,
                "--name",
                name,
                "--unprotected",
                "--words-file",
                words,
            ])
            .ok();
        person
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

/// How long a [`pause`] is at least.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// A moment.
pub(crate) fn pause() {
    let (_keep, never) = channel::<()>();
    let _ = never.recv_timeout(PAUSE);
}

/// The bodies of messages in lines of JSON.
pub(crate) fn bodies(lines: &str) -> Vec<String> {
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
        .filter(|object| object["type"] == "message")
        .map(|message| message["body"].as_str().unwrap().to_owned())
        .collect()
}

/// A command that has ended.
pub(crate) struct Ran {
    what: String,
    pub(crate) output: Output,
}

impl Ran {
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().expect("not killed")
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    /// Its output, when it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(
            self.output.status.code(),
            Some(0),
            "{}: {}",
            self.what,
            self.stderr()
        );
        self.stdout()
    }

    /// Its error as JSON, when it failed with these codes. Needs `--json`.
    #[track_caller]
    pub(crate) fn fails(self, code: &str, exit: i32) -> Value {
        let stderr = self.stderr();
        let error = stderr
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|object| object["type"] == "error")
            .unwrap_or_else(|| panic!("{}: no error in: {stderr}", self.what));
        assert_eq!(error["code"], code, "{}: {error}", self.what);
        assert_eq!(error["exit"], exit, "{}: {error}", self.what);
        assert_eq!(self.code(), exit, "{}", self.what);
        error
    }
}

/// A command that goes on. Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    /// Waits for a line that holds `text`.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => {
                    let mut stderr = String::new();
                    if error == RecvTimeoutError::Disconnected {
                        let _ = self
                            .child
                            .stderr
                            .take()
                            .unwrap()
                            .read_to_string(&mut stderr);
                    }
                    panic!(
                        "no line with {text:?} ({error}); seen {:?}; {stderr}",
                        self.seen
                    );
                }
            }
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // The reading thread ends with the pipe, and with it the channel.
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        core::mem::take(&mut self.seen)
    }

    /// Waits for the end.
    pub(crate) fn ends(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn signal(mut self, signal: rustix::process::Signal) -> i32 {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| panic!("{status}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
