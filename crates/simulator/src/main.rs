// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs seeds and prints one line for each. See `cargo xtask sim --help`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program exists to print to the person who runs it"
)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use clap::Parser;
use waxwing_simulator::run::{Outcome, Settings, run};

/// Deterministic simulation of clients and relays under faults.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many seeds to run
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// Print every event of a single seed
    #[arg(long)]
    trace: bool,
    /// How many seeds run at the same time
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (first, count) = (arguments.first, arguments.count);
    let settings = Settings {
        trace: arguments.trace,
        plant: None,
    };
    let next = AtomicU64::new(first);
    let (failed, accepted, shown) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first.saturating_add(count) {
                        return;
                    }
                    match run(seed, settings) {
                        Ok(outcome) => {
                            accepted.fetch_add(outcome.accepted, Ordering::Relaxed);
                            shown.fetch_add(outcome.shown, Ordering::Relaxed);
                            if !report(seed, &outcome) {
                                failed.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        Err(error) => {
                            println!("seed {seed}: cannot be set up: {error:#}");
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!(
        "{count} seeds, {} texts accepted, shown {} times, {failed} seeds failed",
        accepted.into_inner(),
        shown.into_inner()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One line a seed, and below it whatever is wrong. Says whether nothing is.
fn report(seed: u64, outcome: &Outcome) -> bool {
    println!(
        "seed {seed}: event-log {} ({} events, {} s, {} texts)",
        outcome.hash,
        outcome.events,
        outcome.lasted_ms / 1000,
        outcome.accepted
    );
    for violation in &outcome.violations {
        println!("  seed {seed}: {violation:?}");
    }
    for failure in &outcome.failures {
        println!("  seed {seed}: {failure}");
    }
    outcome.is_good()
}
