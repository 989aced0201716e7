// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server of its own folder, to be killed, restarted, restored and replaced.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{folder, waxwingd};

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
