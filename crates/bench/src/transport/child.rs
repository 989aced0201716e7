// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server process, and what the kernel knows about it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

use super::SERVER;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The RPC layer of this workspace.
    Ours,
    /// Plain quinn.
    Bare,
    /// The RPC layer over TCP.
    OursTcp,
    /// Plain tokio-rustls.
    BareTcp,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Bare => "bare",
            Self::OursTcp => "ours-tcp",
            Self::BareTcp => "bare-tcp",
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "ours" => Ok(Self::Ours),
            "bare" => Ok(Self::Bare),
            "ours-tcp" => Ok(Self::OursTcp),
            "bare-tcp" => Ok(Self::BareTcp),
            other => bail!("no server is called {other}"),
        }
    }
}

/// The process. It ends when this is dropped.
pub(super) struct Child {
    process: std::process::Child,
    port: u16,
}

impl Child {
    pub(super) fn start(kind: Kind, window: usize) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([SERVER, kind.name(), &window.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let output = process.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let port = line.trim().parse().context("the server did not start")?;
        Ok(Self { process, port })
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    fn proc_file(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.id());
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }

    /// CPU time of the server's one thread.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let text = self.proc_file("schedstat")?;
        let nanoseconds: f64 = text
            .split_whitespace()
            .next()
            .context("an empty schedstat")?
            .parse()?;
        Ok(nanoseconds / 1e9)
    }

    pub(super) fn resident_kib(&self) -> Result<f64> {
        resident_kib(&self.proc_file("status")?).context("no VmRSS")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Its end needs no cooperation, and a benchmark has nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The resident memory of a process, in KiB, from its `status` file.
pub(crate) fn resident_kib(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
