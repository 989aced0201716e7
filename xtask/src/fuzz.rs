// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask fuzz`: looks for inputs that break a target, with libFuzzer on the stable toolchain.
//!
//! All code is safe Rust, so no sanitizer is needed: a panic, a failed assertion, an overflow, too
//! much memory and too much time are what there is to find.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// What LLVM puts in, so that libFuzzer sees which edges an input reaches and what it compares.
const INSTRUMENTATION: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Look for inputs that break a target.
///
/// New inputs that reach new code are kept in the target folder, and `--keep` puts a small set of
/// them into the corpus that every test run replays. An input that breaks the target goes there at
/// once, under the name `crash-…`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz                          every target, one minute each
  cargo xtask fuzz manifest --seconds 3600  one target for an hour
  cargo xtask fuzz manifest --keep          and put what was found into fuzz/corpus
  cargo xtask fuzz --list                   the targets

Needs a C++ compiler. The corpus is replayed without it: cargo xtask test -p waxwing-fuzz")]
pub(crate) struct Fuzz {
    /// Only this target; all of them without it.
    target: Option<String>,
    /// How long each target is tried.
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
    /// Put a small set of inputs that together reach the same code into the corpus.
    #[arg(long)]
    keep: bool,
    /// Print the targets and do nothing.
    #[arg(long)]
    list: bool,
}

impl Fuzz {
    pub(crate) fn run(&self) -> Result<bool> {
        let known = catalogue()?;
        if self.list {
            for (name, about) in &known {
                println!("{name:<16} {about}");
            }
            return Ok(true);
        }
        let chosen: Vec<_> = known
            .into_iter()
            .filter(|(name, _)| self.target.as_ref().is_none_or(|wanted| wanted == name))
            .collect();
        if chosen.is_empty() {
            bail!("there is no target of this name; `cargo xtask fuzz --list` shows them");
        }
        let program = build()?;
        let mut broken = Vec::new();
        for (name, about) in &chosen {
            println!("== {name}: {about}");
            if !self.search(&program, name)? {
                broken.push(name);
            }
        }
        for name in &broken {
            println!(
                "FAILED: {name}; the input is in fuzz/corpus/{name}, mend it and keep the input"
            );
        }
        println!("{} targets, {} broken", chosen.len(), broken.len());
        Ok(broken.is_empty())
    }

    fn search(&self, program: &Path, target: &str) -> Result<bool> {
        let corpus = workspace::root().join("fuzz/corpus").join(target);
        let found = workspace::target_folder()?.join("fuzz-inputs").join(target);
        std::fs::create_dir_all(&corpus).context("cannot make the corpus folder")?;
        let mut seeds = targets();
        seeds.args(["seeds", target]).arg(&found);
        if !workspace::succeeds(&mut seeds)? {
            bail!("the seeds of {target} could not be written");
        }
        let mut command = libfuzzer(program, target);
        command
            .arg(format!("-max_total_time={}", self.seconds))
            .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", corpus.display()))
            .args([&found, &corpus]);
        let holds = workspace::succeeds(&mut command)?;
        if self.keep && holds {
            let mut command = libfuzzer(program, target);
            command.arg("-merge=1").args([&corpus, &found]);
            return workspace::succeeds(&mut command);
        }
        Ok(holds)
    }
}

/// The program of `waxwing-fuzz`, which knows the targets.
fn targets() -> Command {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--package", "waxwing-fuzz", "--"]);
    command
}

/// Name and description of every target.
fn catalogue() -> Result<Vec<(String, String)>> {
    let output = targets().arg("list").output();
    let output = output.context("cannot start cargo")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(lines
        .map(|(name, about)| (name.to_owned(), about.to_owned()))
        .collect())
}

fn libfuzzer(program: &Path, target: &str) -> Command {
    let mut command = Command::new(program);
    command.env("WAXWING_FUZZ_TARGET", target);
    command
}

/// Builds the program with instrumentation, beside the ordinary target folder.
fn build() -> Result<PathBuf> {
    let folder = workspace::target_folder()?.join("fuzz");
    let host = host()?;
    let mut command = workspace::cargo();
    command
        .args(["build", "--release", "--manifest-path"])
        .arg("fuzz/libfuzzer/Cargo.toml")
        // With a target named, build scripts and macros are not instrumented.
        .args(["--target", &host])
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTFLAGS", INSTRUMENTATION.join(" "));
    if !workspace::succeeds(&mut command)? {
        bail!("the fuzzing program could not be built; it needs a C++ compiler");
    }
    Ok(folder.join(host).join("release/waxwing-libfuzzer"))
}

fn host() -> Result<String> {
    let version = Command::new("rustc").arg("-vV").output();
    let version = version.context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&version.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc does not name its host")?.to_owned())
}
