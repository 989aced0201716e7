// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Starts `waxwingd` and reads what it says.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_waxwingd");

/// What one command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(self.out.trim()).unwrap()
    }

    /// The failure that a command with `--json` reported.
    pub(crate) fn failure(&self) -> Value {
        assert_ne!(self.code, 0, "{self:?}");
        let line = self.err.lines().last().unwrap();
        let failure: Value = serde_json::from_str(line).unwrap();
        assert_eq!(failure["type"], "error");
        assert_eq!(failure["exit"], self.code);
        failure
    }

    pub(crate) fn failed_with(&self, exit: i32, code: &str) -> Value {
        let failure = self.failure();
        assert_eq!(failure["code"], code, "{self:?}");
        assert_eq!(self.code, exit, "{self:?}");
        failure
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env_remove("WAXWINGD_DATA")
        .env("HOME", "/nonexistent")
        .env_remove("XDG_DATA_HOME")
        .stdin(Stdio::null());
    command
}

pub(crate) fn say(mut command: Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A data folder that is not there yet, in a temporary one.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs a command on the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let mut command = command(arguments);
        command.arg("--data").arg(self.data());
        say(command)
    }

    pub(crate) fn init(&self) -> Value {
        self.run(&["init", "--json", "--listen", "127.0.0.1:0"])
            .json()
    }

    pub(crate) fn up(&self) -> Server {
        Server::start(&self.data(), &["up", "--listen", "127.0.0.1:0"])
    }
}

/// A server that runs, and ends with the test.
pub(crate) struct Server {
    child: Child,
    /// Held open, so that the server never writes into a closed pipe.
    _out: BufReader<ChildStdout>,
    errors: PathBuf,
    pub(crate) ready: Value,
}

impl Server {
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_as(command(arguments), data)
    }

    /// A server that can write files of at most so many blocks of 512 bytes.
    pub(crate) fn start_limited(data: &Path, blocks: u32) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
        shell.args(["-c", &script, PROGRAM, "serve"]);
        Self::start_as(shell, data)
    }

    fn start_as(mut command: Command, data: &Path) -> Self {
        let errors = data.with_extension("stderr");
        let mut child = command
            .arg("--json")
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            let status = child.wait();
            panic!("it did not start: {status:?} {line:?} {}", read(&errors));
        });
        Self {
            child,
            _out: out,
            errors,
            ready,
        }
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn errors(&self) -> String {
        read(&self.errors)
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(self, signal: Signal) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.end()
    }

    /// Waits for the end. The bound is generous: it finds hangs, no slowness.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, read(&self.errors));
            }
            assert!(Instant::now() < limit, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    let mut text = String::new();
    File::open(path).unwrap().read_to_string(&mut text).unwrap();
    text
}
