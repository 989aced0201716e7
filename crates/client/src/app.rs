// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole life of the process `waxwing`: from arguments to an exit code.

use core::task::Poll;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Cli, Global};
use crate::commands;
use crate::console::{BROKEN_PIPE, Console};
use crate::fault::{Code, Exit, Fault, Outcome};
use crate::platform;
use crate::session::Context;

/// How long the end of the process waits for files to be closed.
const LAST_WRITES: Duration = Duration::from_millis(1_500);

/// Runs `waxwing` with the process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    // Before the first secret is read.
    if !cli.global.allow_memory_inspection {
        platform::harden();
    }
    let console = Console::new(&cli.global);
    log(&cli.global);
    let outcome = match commands::without_profile(cli.command, &console) {
        Ok(outcome) => outcome,
        Err(command) => block_on(command, &cli.global, console.clone()),
    };
    ExitCode::from(conclude(outcome, &console).code())
}

fn block_on(command: crate::cli::Command, global: &Global, console: Console) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Fault::new(Code::HostFailed).because(error))?;
    let in_background = matches!(command, crate::cli::Command::Host(_));
    let outcome = runtime.block_on(async {
        // A file-size limit is to come as an error of the write, which the store understands, not
        // as a signal that kills.
        let _limit = signal(platform::file_size_signal());
        // Before anybody can know that this process is there.
        let mut interrupts = Interrupts::new();
        let mut context = Context::new(console, global)?;
        tokio::select! {
            biased;
            outcome = commands::run(command, &mut context) => outcome,
            // The background process ends in its own order.
            () = interrupts.next(), if !in_background => Err(Code::Interrupted.into()),
        }
    });
    // A thread that waits for the keyboard must not keep the process.
    runtime.shutdown_timeout(LAST_WRITES);
    outcome
}

/// Requests to end: an interrupt, a termination, a terminal that is gone. From the moment that this
/// is made they no longer kill the process.
pub(crate) struct Interrupts(Vec<Signal>);

impl Interrupts {
    pub(crate) fn new() -> Self {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        // One that cannot be listened for kills the process, which loses nothing either.
        Self(
            kinds
                .into_iter()
                .filter_map(|kind| signal(kind).ok())
                .collect(),
        )
    }

    /// Completes at the next request.
    pub(crate) async fn next(&mut self) {
        core::future::poll_fn(|context| {
            let asked = self
                .0
                .iter_mut()
                .any(|signal| signal.poll_recv(context).is_ready());
            if asked {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

fn conclude(outcome: Outcome, console: &Console) -> Exit {
    match outcome {
        Ok(()) => Exit::Ok,
        // The reader has seen enough.
        Err(fault) if fault.code == Code::Output && fault.cause.as_deref() == Some(BROKEN_PIPE) => {
            Exit::Ok
        }
        // Whoever interrupts knows that; the exit code says it to programs.
        Err(fault) if fault.code == Code::Interrupted && !console.json => Exit::Interrupted,
        Err(fault) => {
            console.fail(&fault);
            fault.code.exit()
        }
    }
}

/// Help, version, and mistakes in the arguments. With `--json` a mistake is an object, too.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let first = error.render().to_string();
        let first = first
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        let fault = Fault::new(Code::Usage).because(first);
        if let Ok(cli) = Cli::try_parse_from(["waxwing", "--json", "version"]) {
            Console::new(&cli.global).fail(&fault);
        }
    } else {
        // Nobody is served by a failure to say it.
        let _ = error.print();
    }
    match u8::try_from(error.exit_code()) {
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::from(Exit::Usage.code()),
    }
}

/// Logs go to standard error, for this project's crates only. None of them logs contents or ids.
fn log(global: &Global) {
    let level = match global.verbose {
        0 => "error",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let crates = ["client", "engine", "transport", "storage", "ratchet"];
    let filter: Vec<String> = crates
        .iter()
        .map(|name| format!("waxwing_{name}={level}"))
        .collect();
    // Set once, here, at the start of the process.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter.join(",")))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .try_init();
}
