// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands that have ended, and commands that go on.

use std::io::Read;
use std::process::{Child, Output};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use serde_json::Value;

use super::PATIENCE;

/// A command that has ended.
pub(crate) struct Ran {
    pub(super) what: String,
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
    pub(super) child: Child,
    pub(super) lines: Receiver<String>,
    pub(super) seen: Vec<String>,
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
