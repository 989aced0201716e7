// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask ci`: everything that must hold before a change is taken.

use std::time::Instant;

use anyhow::Result;

use crate::{crash, instructions, sim, test, tidy, workspace};

/// Format, lints, tidy, all tests, the instructions of the ratchet, a thousand seeds of the transport and the
/// small crash suite, in this order, with the time of each.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask ci               everything, stopping at the first step that fails
  cargo xtask ci --keep-going  every step, whatever the others said")]
pub(crate) struct Ci {
    /// Run the later steps even when an earlier one failed.
    #[arg(long)]
    keep_going: bool,
}

const STEPS: [&str; 7] = [
    "format", "lints", "tidy", "test", "counts", "seeds", "crash",
];
/// Worlds of the transport that are run.
const SEEDS: u64 = 1000;

struct Finished {
    name: &'static str,
    seconds: u64,
    holds: bool,
}

impl Ci {
    /// Runs the steps and says whether all of them held.
    pub(crate) fn run(self) -> Result<bool> {
        let mut finished: Vec<Finished> = Vec::new();
        let mut totals = None;
        for name in STEPS {
            println!("== {name}");
            let start = clock();
            let holds = match name {
                "format" => {
                    workspace::succeeds(workspace::cargo().args(["fmt", "--all", "--check"]))?
                }
                "lints" => workspace::succeeds(workspace::cargo().args([
                    "clippy",
                    "--quiet",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ]))?,
                "tidy" => tidy::Tidy::default().run()?,
                "counts" => instructions::Instructions::default().run()?,
                "seeds" => sim::Sim::quic(SEEDS).run()?,
                "crash" => crash::Crash::small().run()?,
                _ => {
                    let outcome = test::Test::default().outcome()?;
                    totals = Some(outcome.totals);
                    outcome.holds
                }
            };
            let seconds = start.elapsed().as_secs();
            finished.push(Finished {
                name,
                seconds,
                holds,
            });
            if !holds && !self.keep_going {
                break;
            }
        }
        println!();
        for step in &finished {
            let word = if step.holds { "holds" } else { "FAILS" };
            println!("{:<8} {word}  {:>5} s", step.name, step.seconds);
        }
        match totals {
            Some(totals) => println!("{totals}"),
            None => println!("the tests were not run, because an earlier step failed"),
        }
        Ok(finished.len() == STEPS.len() && finished.iter().all(|step| step.holds))
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the time that a step took is shown to a person and decides nothing"
)]
fn clock() -> Instant {
    Instant::now()
}
