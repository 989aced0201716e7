// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The parts of `cargo xtask crash` that need the real stores. See `cargo xtask crash --help`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program exists to print to the program that runs it"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use waxwing_crash::checking::Check;
use waxwing_crash::examine::{self, Part};
use waxwing_crash::faults::Faults;
use waxwing_crash::power_cut::PowerCut;
use waxwing_crash::recording::{Kind, Place, Recorder};
use waxwing_crash::work::{self, Marks, Plant, Task};

/// Proof that the stores survive, and that the proof can fail.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether processes can be watched here
    Probe {
        #[command(flatten)]
        tools: Tools,
    },
    /// Record one store's work and open every image of it; prints a report as JSON
    PowerCut {
        /// The store
        kind: Kind,
        #[command(flatten)]
        tools: Tools,
        /// Decides the work and the images
        #[arg(long)]
        seed: u64,
        /// How many images are opened
        #[arg(long)]
        images: u64,
        /// What is planted into the store
        #[arg(long)]
        plant: Option<Plant>,
    },
    /// Let a store work on a failing disk and on damaged files; prints a report as JSON
    Faults {
        /// The store
        kind: Kind,
        #[command(flatten)]
        tools: Tools,
        #[arg(long)]
        seed: u64,
        /// How often each fault is tried, each time later
        #[arg(long)]
        rounds: u64,
        /// How many damaged folders are opened
        #[arg(long)]
        damages: u64,
    },
    /// Work on a store, and say what is acknowledged
    Work {
        /// The store
        kind: Kind,
        /// The store's folder
        #[arg(long)]
        folder: PathBuf,
        /// The file that the work is said in
        #[arg(long)]
        marks: PathBuf,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        process: u32,
        #[arg(long)]
        steps: u32,
        #[arg(long)]
        workers: u32,
        #[arg(long)]
        plant: Option<Plant>,
    },
    /// Compare one folder with a recording; prints what is wrong as JSON
    Check {
        /// The store
        kind: Kind,
        /// Where the recording is
        #[arg(long)]
        recording: PathBuf,
        /// The folder that is compared, and used up
        #[arg(long)]
        folder: PathBuf,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        number: u64,
    },
    /// Open images of a recording; prints a verdict a line
    Examine {
        /// The store
        kind: Kind,
        /// Where the recording is
        #[arg(long)]
        recording: PathBuf,
        /// Where images are opened
        #[arg(long)]
        scratch: PathBuf,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        images: u64,
        #[arg(long)]
        first: usize,
        #[arg(long)]
        end: usize,
        #[arg(long)]
        plant: Option<Plant>,
    },
}

#[derive(Debug, clap::Args)]
struct Tools {
    /// The library that is loaded before the C library
    #[arg(long)]
    preload: PathBuf,
    /// Where recordings and images are put; memory is faster than a disk
    #[arg(long)]
    scratch: PathBuf,
}

impl Tools {
    fn recorder(&self) -> Result<Recorder> {
        Ok(Recorder {
            program: std::env::current_exe()?,
            preload: std::path::absolute(&self.preload)?,
        })
    }
}

fn main() -> ExitCode {
    let outcome = run(Arguments::parse().command);
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<bool> {
    match command {
        Command::Probe { tools } => {
            tools.recorder()?.probe(&tools.scratch)?;
            Ok(true)
        }
        Command::PowerCut {
            kind,
            tools,
            seed,
            images,
            plant,
        } => {
            let work = PowerCut {
                kind,
                seed,
                images,
                plant,
                workers: std::thread::available_parallelism()?.get(),
            };
            let report = work.run(&tools.recorder()?, &tools.scratch)?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(report.holds())
        }
        Command::Faults {
            kind,
            tools,
            seed,
            rounds,
            damages,
        } => {
            let faults = Faults {
                kind,
                seed,
                rounds,
                damages,
            };
            let (recorder, scratch) = (tools.recorder()?, &tools.scratch);
            let report = faults.run(&recorder, scratch)?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(report.holds())
        }
        Command::Work {
            kind,
            folder,
            marks,
            seed,
            process,
            steps,
            workers,
            plant,
        } => {
            let task = Task {
                seed,
                process,
                steps,
                workers,
                plant,
            };
            let marks = Marks::open(&marks)?;
            let runtime = runtime()?;
            match kind {
                Kind::Server | Kind::ServerRedb => {
                    let work = work::server::run(&folder, kind.engine(), task, marks);
                    runtime.block_on(work)?;
                }
                Kind::Client => runtime.block_on(work::client::run(&folder, task, marks))?,
            }
            Ok(true)
        }
        Command::Check {
            kind,
            recording,
            folder,
            seed,
            number,
        } => {
            let check = Check {
                kind,
                place: &Place::new(&recording),
                folder: &folder,
                seed,
                number,
            };
            let found = runtime()?.block_on(check.here())?;
            println!("{}", serde_json::to_string(&found)?);
            Ok(true)
        }
        Command::Examine {
            kind,
            recording,
            scratch,
            seed,
            images,
            first,
            end,
            plant,
        } => {
            let part = Part {
                kind,
                seed,
                plant,
                images,
                first,
                end,
            };
            let place = Place::new(&recording);
            let out = &mut std::io::stdout().lock();
            runtime()?.block_on(examine::run(&place, &part, &scratch, out))?;
            Ok(true)
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().build()
}
