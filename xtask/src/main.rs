// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask …`: the one entry point for people and for continuous integration.
//!
//! One file per command. A command prints what it does, and its exit code says whether it held.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program exists to print to the person who runs it"
)]

mod bench;
mod ci;
mod constant_time;
mod crash;
mod demo;
mod fuzz;
mod instructions;
mod kills;
mod model;
mod mutants;
mod sim;
mod stage;
mod test;
mod tidy;
mod vectors;
mod wiretap;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Kills(kills::Kills),
    Sim(sim::Sim),
    ConstantTime(constant_time::ConstantTime),
    Model(model::Model),
    Mutants(mutants::Mutants),
    Wiretap(wiretap::Wiretap),
    Bench(bench::Bench),
    Instructions(instructions::Instructions),
    Fuzz(fuzz::Fuzz),
    Tidy(tidy::Tidy),
    Vectors(vectors::Vectors),
    Test(test::Test),
    Crash(crash::Crash),
    Ci(ci::Ci),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(command) => command.run(),
        Command::Kills(command) => command.run(),
        Command::Sim(command) => command.run(),
        Command::ConstantTime(command) => command.run(),
        Command::Model(command) => command.run(),
        Command::Mutants(command) => command.run(),
        Command::Wiretap(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Instructions(command) => command.run(),
        Command::Fuzz(command) => command.run(),
        Command::Tidy(command) => command.run(),
        Command::Vectors(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Crash(command) => command.run(),
        Command::Ci(command) => command.run(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Arguments::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|text| text.contains("Examples:")),
                "`{}` has no examples",
                command.get_name()
            );
        }
    }
}
