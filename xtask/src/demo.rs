// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask demo`: two people talk through a server that cannot read them.

mod live;
pub(crate) mod story;

use std::io::IsTerminal;

use anyhow::Result;
use clap::Args;

/// Build everything, start a server, let two people talk, and show what the operator sees.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask demo                        watch it; on a terminal with tmux, join in afterwards
  cargo xtask demo --check                the same without a terminal, each step verified
  cargo xtask demo --check --two-servers  each person on a server of their own")]
pub(crate) struct Demo {
    /// Only verify each step; exit with an error on any difference
    #[arg(long)]
    check: bool,
    /// Each person has an account on a server of their own
    #[arg(long)]
    two_servers: bool,
}

impl Demo {
    pub(crate) fn run(&self) -> Result<bool> {
        let stage = crate::stage::Stage::build()?;
        let cast = story::tell(&stage, self.two_servers)?;
        if !self.check && std::io::stdout().is_terminal() {
            live::offer(&cast)?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Stage;

    #[test]
    fn the_story_holds_on_one_server() {
        story::tell(&Stage::built().unwrap(), false).unwrap();
    }

    #[test]
    fn the_story_holds_on_two_servers() {
        story::tell(&Stage::built().unwrap(), true).unwrap();
    }
}
