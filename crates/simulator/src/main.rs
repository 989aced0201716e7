// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs seeds and prints one line for each. See `cargo xtask sim --help`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program exists to print to the person who runs it"
)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Parser;
use waxwing_simulator::quic::Figures;
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
    /// Run the transport alone, over the real QUIC stack
    #[arg(long)]
    quic: bool,
    /// How many seeds run at the same time
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.quic {
        return quic_seeds(&arguments);
    }
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

/// The seeds of the real QUIC stack: one line for each, and how late messages were in all of them.
fn quic_seeds(arguments: &Arguments) -> ExitCode {
    let end = arguments.first.saturating_add(arguments.count);
    let next = AtomicU64::new(arguments.first);
    let totals = Mutex::new((Figures::default(), 0_u64, 0_u64));
    let failed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    match waxwing_simulator::quic::run(seed, arguments.trace) {
                        Ok(run) => {
                            println!(
                                "seed {seed}: packets {} ({} packets, {} s, {} messages, {} of 1000 lost)",
                                run.hash,
                                run.packets,
                                run.lasted_ms / 1000,
                                run.messages,
                                run.loss_per_mille
                            );
                            for failure in &run.failures {
                                println!("  seed {seed}: {failure}");
                            }
                            if !run.failures.is_empty() {
                                failed.fetch_add(1, Ordering::Relaxed);
                            }
                            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                            totals.0.merge(&run.figures);
                            totals.1 = totals.1.saturating_add(u64::from(run.messages));
                            totals.2 = totals.2.saturating_add(run.lasted_ms / 1000);
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
    let (figures, messages, seconds) = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, spread) in figures.rows() {
        let (count, median_ms, worst_ms) = spread.summary();
        let later = spread.later();
        println!(
            "{name}: {count} times, median {median_ms} ms, worst {worst_ms} ms, {later} later than without loss"
        );
    }
    let broken = figures.judge();
    for one in &broken {
        println!("  {one}");
    }
    let failed = failed.into_inner();
    println!(
        "{} seeds, {seconds} virtual seconds, {messages} messages, {failed} seeds failed",
        arguments.count
    );
    if failed == 0 && broken.is_empty() {
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
