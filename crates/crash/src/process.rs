// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Running a process that may hang.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// After this time without an end a process hangs. What is done in one takes a second or two.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of a process.
#[derive(Debug)]
pub struct Ended {
    /// How it ended; `None` where it hung and was killed.
    pub status: Option<ExitStatus>,
    /// What it wrote to its output.
    pub stdout: String,
    /// What it said about errors.
    pub stderr: String,
}

impl Ended {
    /// Whether it ended by itself and well.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended and what it said, in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let said = self.stderr.trim();
        match self.status {
            Some(status) => format!("ended with {status} and said: {said}"),
            None => format!("hung for {} s and said: {said}", PATIENCE.as_secs()),
        }
    }
}

/// Runs a command to its end, or kills it when it does not come to one.
///
/// # Errors
/// It could not be started or killed.
pub fn run(command: &mut Command) -> Result<Ended> {
    run_within(command, PATIENCE)
}

fn run_within(command: &mut Command, patience: Duration) -> Result<Ended> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a process")?;
    let (over, is_over) = mpsc::channel::<()>();
    let out = read(child.stdout.take().context("no output")?, over.clone());
    let err = read(child.stderr.take().context("no errors")?, over);
    // Nobody sends: it ends when both are read to their end.
    let hangs = is_over.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout);
    if hangs {
        child.kill()?;
    }
    let status = child.wait()?;
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Ended {
        status: (!hangs).then_some(status),
        stdout: text(out),
        stderr: text(err),
    })
}

/// Reads to the end; then `over` is dropped.
fn read(
    mut from: impl Read + Send + 'static,
    over: mpsc::Sender<()>,
) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _cut = from.read_to_end(&mut bytes);
        drop(over);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_is_heard_and_one_that_hangs_is_killed() {
        let ended = run(Command::new("sh").args(["-c", "echo yes; echo no >&2; exit 3"])).unwrap();
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str()),
            ("yes\n", "no\n")
        );
        assert_eq!(ended.status.unwrap().code(), Some(3));
        assert!(!ended.is_success());
        let mut endless = Command::new("sleep");
        endless.arg("1000");
        let ended = run_within(&mut endless, Duration::from_millis(20)).unwrap();
        assert!(ended.status.is_none() && !ended.is_success());
        assert!(ended.in_words().starts_with("hung"));
    }
}
