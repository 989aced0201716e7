// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask model`: the bounded state-space explorer over the real session state machine.

use anyhow::Result;
use clap::Args;

use crate::workspace;

/// Explore every order of events between two devices, up to a bound, with the real state machine.
///
/// Handshakes cross, envelopes are lost, reordered and doubled, prekeys are dead, sessions expire. At
/// every state the two devices must find one session again, without a false alarm, and nothing that
/// was opened may open with what is stored. Prints the bound and what was seen of it; exits with an
/// error and the events that lead there when something is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask model                                  three handshakes each, ten minutes at most
  cargo xtask model --handshakes 2 --contents 2      fewer handshakes, longer talks
  cargo xtask model --states 20000 --seconds 60      a short look")]
pub(crate) struct Model {
    /// Handshakes that each device makes
    #[arg(long, value_name = "N", default_value_t = 3)]
    handshakes: u8,
    /// Of them, those against prekeys that the peer does not have any more
    #[arg(long, value_name = "N", default_value_t = 1)]
    dead: u8,
    /// Contents that each sends beside the first ones of its handshakes
    #[arg(long, value_name = "N", default_value_t = 1)]
    contents: u8,
    /// How often each drains its mailbox after two days
    #[arg(long, value_name = "N", default_value_t = 0)]
    drains: u8,
    /// Envelopes that come twice
    #[arg(long, value_name = "N", default_value_t = 0)]
    duplicates: u8,
    /// Most distinct states
    #[arg(long, value_name = "N", default_value_t = 250_000)]
    states: u64,
    /// Most seconds
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
}

impl Model {
    pub(crate) fn run(&self) -> Result<bool> {
        let mut command = workspace::cargo();
        command.args([
            "run",
            "--quiet",
            "--package",
            "waxwing-ratchet",
            "--example",
            "model",
            "--",
        ]);
        command.args(
            [
                self.handshakes,
                self.dead,
                self.contents,
                self.drains,
                self.duplicates,
            ]
            .map(|n| n.to_string()),
        );
        command.args([self.states, self.seconds].map(|n| n.to_string()));
        workspace::succeeds(&mut command)
    }
}
