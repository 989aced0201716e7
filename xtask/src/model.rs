// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask model`: the bounded state-space explorer over the real session state machine.

use anyhow::Result;
use clap::Args;

use crate::workspace;

/// Explore every order of events between two devices, up to a bound, with the real state machine.
///
/// Handshakes cross, envelopes are lost, reordered and doubled, prekeys are dead, sessions expire. At
/// every state the two devices must find one session again, without a false alarm, and nothing that
/// was opened may open with what is stored. Without numbers two things are explored, one after the
/// other: three handshakes each; and a talk of more than three KEM epochs, around each moment of
/// which envelopes are lost, late and doubled and a device is read out, where exactly what the
/// specification says must open for the thief, also for one who breaks X25519. Prints the bound and
/// what was seen of it; exits with an error and the events that lead there when something is wrong, and
/// with an error where the time was over before 200,000 distinct states, or those of --states.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask model                                  both, ten minutes each at most
  cargo xtask model --handshakes 3                   three handshakes each, and no theft
  cargo xtask model --handshakes 2 --contents 2      fewer handshakes, longer talks
  cargo xtask model --states 20000 --seconds 60      a short look")]
pub(crate) struct Model {
    /// Handshakes that each device makes
    #[arg(long, value_name = "N")]
    handshakes: Option<u8>,
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
    /// Turns of a talk that goes before; everything is explored from each moment of it
    #[arg(long, value_name = "N", default_value_t = 0)]
    talk: u8,
    /// Devices that are read out
    #[arg(long, value_name = "N", default_value_t = 0)]
    thefts: u8,
    /// Most distinct states; four times as many around the long talk, where they take less
    #[arg(long, value_name = "N", default_value_t = 250_000)]
    states: u64,
    /// Most seconds
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
}

/// Turns of a talk of more than three epochs of 13.
const LONG_TALK: u8 = 46;

impl Model {
    pub(crate) fn run(&self) -> Result<bool> {
        let bounds = [
            self.dead,
            self.contents,
            self.drains,
            self.duplicates,
            self.talk,
            self.thefts,
        ];
        if self.handshakes.is_some() || self.talk > 0 || self.thefts > 0 {
            return self.explore(self.handshakes.unwrap_or(1), bounds, self.states);
        }
        let crossing = self.explore(3, bounds, self.states)?;
        let more = self.states.saturating_mul(4);
        let read_out = self.explore(2, [0, 2, 0, 1, LONG_TALK, 1], more)?;
        Ok(crossing && read_out)
    }

    fn explore(&self, handshakes: u8, bounds: [u8; 6], states: u64) -> Result<bool> {
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
        command.arg(handshakes.to_string());
        command.args(bounds.map(|n| n.to_string()));
        command.args([states, self.seconds].map(|n| n.to_string()));
        workspace::succeeds(&mut command)
    }
}
