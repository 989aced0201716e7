// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `waxwingd`: the server that carries messages and cannot read them.
//!
//! This binary wires the relay to a store on files, to QUIC and to the operating system. Nothing
//! in its dependency graph can open an envelope.

mod admin;
mod backup;
mod cli;
mod commands;
mod config;
mod disclosure;
mod failure;
mod folder;
mod grep;
mod invite;
mod logging;
mod operator;
mod output;
mod panics;
mod platform;
mod qr;
mod server_key;
mod text;
mod tickets;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.global.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    let output = Output {
        json: cli.global.json,
        quiet: cli.global.quiet,
    };
    let data = cli.global.data.clone();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure.at(data.as_deref()));
            ExitCode::from(failure.exit_code())
        }
    }
}
