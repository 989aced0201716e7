// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server, people with folders of their own, and commands that run to their end or in parallel.

mod command;
mod person;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use command::{Ran, Running};
pub(crate) use person::Person;
pub(crate) use server::Server;

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
        .filter(|object| object["type"] == "message" && object["content"] == "text")
        .map(|message| message["body"].as_str().unwrap().to_owned())
        .collect()
}
