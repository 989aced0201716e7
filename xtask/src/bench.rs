// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench NAME`: figures against a peer or a raw limit.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::workspace;

/// Measure one part against a peer or a raw limit in the same run.
///
/// Prints a table; each figure is the median of five alternating pairs, and a bar is a ratio. An
/// absolute figure is a goal, never a bar. Exits with an error when a bar does not hold.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench ratchet                       the pairwise protocol against vodozemac
  cargo xtask bench transport                     the transport over QUIC against plain quinn
  cargo xtask bench tcp --heavy                   over TCP, with up to 10000 idle connections
  cargo xtask bench ratchet --json figures.json   the same, for a program to read")]
pub(crate) struct Bench {
    /// What is measured: ratchet, transport, tcp
    name: String,
    /// Also write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also measure what needs thousands of connections
    #[arg(long)]
    heavy: bool,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<bool> {
        let mut command = workspace::cargo();
        command.args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "waxwing-bench",
            "--",
        ]);
        command.arg(&self.name);
        if let Some(file) = &self.json {
            // The program runs in the workspace's folder, the user perhaps elsewhere.
            command.arg("--json").arg(std::path::absolute(file)?);
        }
        if self.heavy {
            command.arg("--heavy");
        }
        workspace::succeeds(&mut command)
    }
}
