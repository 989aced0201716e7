// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench NAME`: measures one part of Waxwing against a peer or a raw limit, in the
//! same run.
#![allow(
    clippy::print_stdout,
    reason = "this program exists to print to the person who runs it"
)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "counts of some thousands; an overflow would end the program"
)]

mod pairs;
mod ratchet;
mod relay;
mod report;
mod store;
mod transport;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

/// Measures one part of Waxwing against a peer or a raw limit, in the same run.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is measured
    name: Name,
    /// Also write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also measure what needs thousands of connections; store: ten minutes instead of three
    #[arg(long)]
    heavy: bool,
    /// ratchet: only count instructions, under valgrind; prints JSON
    #[arg(long)]
    instructions: bool,
    /// Do one thing and measure nothing, for a program that counts instructions
    #[arg(long, hide = true, requires = "side")]
    work: Option<ratchet::Work>,
    /// Whose protocol does it
    #[arg(long, hide = true)]
    side: Option<ratchet::Side>,
    /// How often
    #[arg(long, hide = true, default_value_t = 1)]
    count: u32,
    /// transport, store, relay: only the figures that have this in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// store, relay: seconds of each sample
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// store: messages that are stored during the steady state
    #[arg(long, default_value_t = 200_000)]
    live: u32,
    /// fill: the folder
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// The pairwise protocol, against vodozemac
    Ratchet,
    /// The transport over QUIC, against plain quinn with the same settings
    Transport,
    /// The transport over TCP, against plain tokio-rustls
    Tcp,
    /// The server's store, against a bare log
    Store,
    /// The real server, against a bare relay
    Relay,
    /// Fills a store and waits: the process that `store` kills
    #[value(hide = true)]
    Fill,
    /// Opens a store, says after how long it delivered something, and waits to be killed
    #[value(hide = true)]
    First,
    /// Reads the newest checkpoint of a store, and says how long that took
    #[value(hide = true)]
    Checkpoint,
}

fn main() -> Result<ExitCode> {
    // A benchmark of two processes starts itself again as the other one.
    let rest = std::env::args().skip(2);
    let other = match std::env::args().nth(1).as_deref() {
        Some(transport::SERVER) => Some(transport::serve(rest)),
        Some(relay::SERVER) => Some(relay::serve(rest)),
        Some(relay::GUARD) => Some(relay::guard(rest)),
        _ => None,
    };
    if let Some(ended) = other {
        return ended.map(|()| ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    if let (Some(work), Some(side)) = (arguments.work, arguments.side) {
        ratchet::work(work, side, arguments.count)?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.instructions {
        println!("{}", serde_json::to_string(&ratchet::instructions()?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let figures = match arguments.name {
        Name::Ratchet => ratchet::run()?,
        Name::Transport => transport::run(&transport::Plan {
            only: arguments.only,
            heavy: arguments.heavy,
        })?,
        Name::Tcp => transport::tcp::run(arguments.heavy)?,
        Name::Store => store::run(&store::Settings {
            only: arguments.only,
            seconds: arguments.seconds,
            live: arguments.live,
            heavy: arguments.heavy,
        })?,
        Name::Relay => relay::run(&relay::Settings {
            only: arguments.only,
            seconds: arguments.seconds,
        })?,
        Name::Fill | Name::First | Name::Checkpoint => {
            let folder = arguments.folder.context("--folder is missing")?;
            let out = &mut std::io::stdout().lock();
            match arguments.name {
                Name::Fill => store::fill(&folder, arguments.live, out)?,
                Name::First => store::first(&folder, out)?,
                _ => store::checkpoint(&folder, out)?,
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    report::print(&figures, &mut std::io::stdout().lock())?;
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&figures)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    // A bar that nothing counted for was not shown to hold.
    let broken = |figure: &report::Figure| figure.bar.is_some() && figure.holds != Some(true);
    let broken = figures.iter().any(broken);
    Ok(if broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
