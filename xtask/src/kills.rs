// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask kills`: the real programs, killed again and again while two people write to each other.

mod dice;
mod storm;
mod tally;

use anyhow::Result;
use clap::Args;

use crate::stage::Stage;

/// Kill server, receiver, sender at random moments, and count what was lost or doubled.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask kills                        as many kills as the tests make
  cargo xtask kills --kills 500 --seed 7   many, by another schedule

Two people write to each other over a server. Each kill is a SIGKILL of the server, of a person's
`receive --follow` (which hosts that person's engine) or of a `send` while it runs; what was killed is
started again. In the end both must hold the same conversation, in which every message whose `send`
succeeded stands exactly once, and every message must have been printed by a `receive`: more than once
only where the process that printed it was killed. The seed decides who is killed and when; what
the operating system makes of it differs from run to run.")]
pub(crate) struct Kills {
    /// How many kills
    #[arg(long, value_name = "N", default_value_t = storm::KILLS_OF_A_TEST)]
    kills: u32,
    /// What the schedule follows from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

impl Kills {
    pub(crate) fn run(&self) -> Result<bool> {
        let tally = storm::rage(&Stage::build()?, self.kills, self.seed)?;
        print!("{tally}");
        Ok(tally.holds())
    }
}
