// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask sim`: seeds of the deterministic simulator.

use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::workspace;

/// Run clients and relays in a simulated world full of faults, and judge what they show.
///
/// Prints a line `event-log HASH` a seed: the same seed gives the same hash. Exits with an error
/// when any promise was broken: a text lost, shown twice or out of order, or a plaintext seen.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask sim --seeds 1000             a thousand worlds
  cargo xtask sim --seed 7                 one of them again
  cargo xtask sim --seed 7 --trace         everything that happens in it
  cargo xtask sim --quic --seeds 1000      the transport alone, over the real QUIC stack")]
pub(crate) struct Sim {
    /// How many seeds to run
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed; the only one unless --seeds is given
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print every event of a single seed
    #[arg(long, requires = "seed", conflicts_with = "seeds")]
    trace: bool,
    /// Run the transport alone: the real QUIC stack over a simulated network, and how late messages
    /// are after outages, moves and restarts
    #[arg(long, conflicts_with = "trace")]
    quic: bool,
}

impl Sim {
    /// So many seeds of the transport alone.
    pub(crate) const fn quic(seeds: u64) -> Self {
        Self {
            seeds: Some(seeds),
            seed: None,
            trace: false,
            quic: true,
        }
    }

    pub(crate) fn run(&self) -> Result<bool> {
        workspace::succeeds(&mut self.command())
    }

    /// Runs the seeds and prints what they have in common, without a line for each; and whatever is
    /// wrong in one.
    pub(crate) fn summarise(&self) -> Result<bool> {
        let output = self.command().output().context("cannot start cargo")?;
        let text = String::from_utf8_lossy(&output.stdout);
        for line in text.lines().filter(|line| !is_in_order(line)) {
            println!("{line}");
        }
        print!("{}", String::from_utf8_lossy(&output.stderr));
        Ok(output.status.success())
    }

    fn command(&self) -> Command {
        let first = self.seed.unwrap_or(1);
        let count = self
            .seeds
            .unwrap_or(if self.seed.is_some() { 1 } else { 100 });
        let mut command = workspace::cargo();
        command.args(["run", "--quiet", "--package", "waxwing-simulator", "--"]);
        command.args(["--first", &first.to_string(), "--count", &count.to_string()]);
        if self.trace {
            command.arg("--trace");
        }
        if self.quic {
            command.arg("--quic");
        }
        command
    }
}

/// Whether a line says of one seed how it went, and nothing else.
fn is_in_order(line: &str) -> bool {
    line.starts_with("seed ") && line.contains(": packets ")
}
