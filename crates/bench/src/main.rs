// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench NAME`: measures one part of Waxwing against a peer or a raw limit, in the
//! same run.
#![allow(
    clippy::print_stdout,
    reason = "this program exists to print to the person who runs it"
)]

mod pairs;
mod ratchet;
mod report;
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
    /// Also measure what needs thousands of connections
    #[arg(long)]
    heavy: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// The pairwise protocol, against vodozemac
    Ratchet,
    /// The transport over QUIC, against plain quinn with the same settings
    Transport,
    /// The transport over TCP, against plain tokio-rustls
    Tcp,
}

fn main() -> Result<ExitCode> {
    // A benchmark of two processes starts itself again as the other one.
    if std::env::args()
        .nth(1)
        .is_some_and(|it| it == transport::SERVER)
    {
        transport::serve(std::env::args().skip(2))?;
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    let figures = match arguments.name {
        Name::Ratchet => ratchet::run()?,
        Name::Transport => transport::run()?,
        Name::Tcp => transport::tcp::run(arguments.heavy)?,
    };
    report::print(&figures, &mut std::io::stdout().lock())?;
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&figures)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let broken = figures.iter().any(|figure| figure.holds == Some(false));
    Ok(if broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
