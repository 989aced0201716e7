// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask test`: every test of the workspace, with true totals on the last line.

mod totals;

use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::workspace;
pub(crate) use totals::Totals;

/// All tests: the binaries that tests start are built, then unit, integration and doc tests run.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask test                     every test of the workspace
  cargo xtask test -p waxwing-ratchet  the tests of one crate
  cargo xtask test handshake           the tests whose name contains `handshake`

Uses cargo-nextest where it is installed, and cargo's own runner for doc tests and where it is not.
The last line sums all of them.")]
pub(crate) struct Test {
    /// Only this package; may be repeated.
    #[arg(short, long, value_name = "PACKAGE")]
    package: Vec<String>,
    /// Only tests whose name contains this text.
    filter: Option<String>,
}

/// What a run of the tests showed.
pub(crate) struct Outcome {
    /// The sums over all runners.
    pub(crate) totals: Totals,
    /// Whether everything was built, every runner succeeded and no test failed.
    pub(crate) holds: bool,
}

impl Test {
    /// Runs the tests, prints the totals last and says whether all passed.
    pub(crate) fn run(self) -> Result<bool> {
        let outcome = self.outcome()?;
        if !outcome.holds {
            println!("FAILED: a test failed, or something could not be built; see above");
        }
        println!("{}", outcome.totals);
        Ok(outcome.holds)
    }

    /// Runs the tests; the caller prints the totals.
    pub(crate) fn outcome(&self) -> Result<Outcome> {
        let mut totals = Totals::default();
        if !workspace::succeeds(&mut self.build_binaries())? {
            return Ok(Outcome {
                totals,
                holds: false,
            });
        }
        let nextest = workspace::has_subcommand("nextest");
        let mut holds = watch(&mut self.main_run(nextest), &mut totals)?;
        if nextest && self.filter.is_none() {
            holds &= watch(&mut self.doc_run(), &mut totals)?;
        }
        if self.filter.is_none() && self.package.is_empty() {
            holds &= watch(&mut self.fast_run(nextest), &mut totals)?;
        }
        holds &= totals.failed == 0;
        Ok(Outcome { totals, holds })
    }

    /// Integration tests of one crate start binaries of another, which no test runner builds.
    /// This program is left out: it is running, and some systems cannot replace a running program.
    fn build_binaries(&self) -> Command {
        let mut command = workspace::cargo();
        command.args([
            "build",
            "--quiet",
            "--workspace",
            "--bins",
            // A library that tests load into processes is no dependency of anything.
            "--lib",
            "--exclude",
            "xtask",
        ]);
        command
    }

    fn main_run(&self, nextest: bool) -> Command {
        let mut command = workspace::cargo();
        if nextest {
            command.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass"]);
            if std::io::stderr().is_terminal() {
                command.arg("--color=always");
            }
        } else {
            // This one runs the doc tests as well.
            command.args(["test", "--no-fail-fast"]);
        }
        self.select(&mut command);
        if let Some(filter) = &self.filter {
            command.arg("--").arg(filter);
        }
        command
    }

    /// The crate of the other backend, once more with it. What is built on it is left out: a backend that
    /// draws for itself makes tests of the order of handshakes depend on chance.
    fn fast_run(&self, nextest: bool) -> Command {
        let fast = Self {
            package: vec!["waxwing-crypto".to_owned()],
            filter: None,
        };
        let mut command = fast.main_run(nextest);
        command.args(["--features", "waxwing-crypto/fast"]);
        command
    }

    fn doc_run(&self) -> Command {
        let mut command = workspace::cargo();
        command.args(["test", "--doc", "--no-fail-fast"]);
        self.select(&mut command);
        command
    }

    fn select(&self, command: &mut Command) {
        if self.package.is_empty() {
            command.arg("--workspace");
        }
        for package in &self.package {
            command.args(["--package", package]);
        }
    }
}

/// Runs a test runner, passes its output on line by line and adds up the summaries in it.
fn watch(command: &mut Command, totals: &mut Totals) -> Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (from_out, from_err) = std::thread::scope(|scope| {
        let out = scope.spawn(move || {
            out.map_or_else(Totals::default, |pipe| {
                relay(pipe, |line| println!("{line}"))
            })
        });
        let err = scope.spawn(move || {
            err.map_or_else(Totals::default, |pipe| {
                relay(pipe, |line| eprintln!("{line}"))
            })
        });
        (out.join(), err.join())
    });
    for part in [from_out, from_err].into_iter().flatten() {
        totals.add(&part);
    }
    Ok(child.wait()?.success())
}

fn relay(pipe: impl std::io::Read, show: impl Fn(&str)) -> Totals {
    let mut totals = Totals::default();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|count| count > 0)
    {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        show(text);
        totals.read_line(text);
        line.clear();
    }
    totals
}
