// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench NAME`: figures against a peer or a raw limit.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::workspace;

/// What `--only` calls the recovery of connections, which is no ratio and takes virtual time.
const RECOVERY: &str = "recovery";
/// How many courses of faults it is measured over.
const RECOVERY_SEEDS: u64 = 1_000;

/// Measure one part against a peer or a raw limit in the same run.
///
/// Prints a table; each figure is the median of five alternating pairs, and a bar is a ratio. An
/// absolute figure is a goal, never a bar. Exits with an error when a bar does not hold.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench ratchet                       the pairwise protocol against vodozemac
  cargo xtask bench transport                     the transport against plain quinn and plain TLS
  cargo xtask bench transport --only upload       a part of it
  cargo xtask bench transport --only recovery     how late messages are after faults, in virtual time
  cargo xtask bench tcp --heavy                   over TCP, with up to 10000 idle connections
  cargo xtask bench store                         the server's store against a bare log
  cargo xtask bench store --live 1000000          with a million messages stored
  cargo xtask bench store --heavy --only minutes  ten minutes of it instead of three
  cargo xtask bench relay                         the real server against a bare relay, 10 minutes
  cargo xtask bench relay --only quic_w16         a part of it; others: tcp, w1, latency, offline
  cargo xtask bench ratchet --json figures.json   the same, for a program to read; with the fast
                                                  backend in figures.fast.json")]
pub(crate) struct Bench {
    /// What is measured: ratchet, transport, tcp, store, relay
    name: String,
    /// Also write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also measure what needs thousands of connections; store: ten minutes instead of three
    #[arg(long)]
    heavy: bool,
    /// transport, store, relay: only the figures that have this in their names, such as upload or append_64
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// store, relay: seconds of each sample
    #[arg(long, value_name = "S")]
    seconds: Option<u32>,
    /// store: messages that are stored during the steady state
    #[arg(long, value_name = "N")]
    live: Option<u32>,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<bool> {
        if self.name == "relay" && !build_server()? {
            return Ok(false);
        }
        let recovers = |only: &str| self.name == "transport" && only == RECOVERY;
        let recovers_only = self.only.as_deref().is_some_and(recovers);
        let mut held = recovers_only || self.measure(None)?;
        if recovers_only || (self.name == "transport" && self.only.is_none()) {
            println!("{RECOVERY}, in virtual time:");
            held &= crate::sim::Sim::quic(RECOVERY_SEEDS).summarise()?;
        }
        if self.name == "ratchet" {
            // The same again with the other backend, which is chosen when the program is built.
            held &= self.measure(Some("fast"))?;
        }
        Ok(held)
    }

    fn measure(&self, feature: Option<&str>) -> Result<bool> {
        let mut command = workspace::cargo();
        command.args(["run", "--quiet", "--release", "--package", "waxwing-bench"]);
        if let Some(feature) = feature {
            command.args(["--features", feature]);
        }
        command.arg("--").arg(&self.name);
        if let Some(file) = &self.json {
            // The program runs in the workspace's folder, the user perhaps elsewhere.
            let mut file = std::path::absolute(file)?;
            if let Some(feature) = feature {
                file.set_extension(format!("{feature}.json"));
            }
            command.arg("--json").arg(file);
        }
        for (name, value) in [("--seconds", self.seconds), ("--live", self.live)] {
            if let Some(value) = value {
                command.args([name, &value.to_string()]);
            }
        }
        if let Some(only) = &self.only {
            command.args(["--only", only]);
        }
        if self.heavy {
            command.arg("--heavy");
        }
        workspace::succeeds(&mut command)
    }
}

/// Builds the server that `bench relay` starts; it looks for it next to itself.
fn build_server() -> Result<bool> {
    let mut command = workspace::cargo();
    command.args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "waxwing-server",
    ]);
    workspace::succeeds(&mut command)
}
