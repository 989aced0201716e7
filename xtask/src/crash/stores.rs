// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Power cuts and failing disks: `crates/crash` does them, with the library of `crates/preload`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Shown;
use crate::workspace;

/// Memory that looks like a folder. Images are opened there, since nothing has to survive.
const MEMORY: &str = "/dev/shm";
/// Instead of a number of images: one at each point, without anything that was not synced.
const EVERY_POINT: u64 = 0;

/// The program, the library and a folder for both.
pub(super) struct Stores {
    program: PathBuf,
    preload: PathBuf,
    scratch: tempfile::TempDir,
}

impl Stores {
    /// Builds the program and the library.
    pub(super) fn build() -> Result<Self> {
        let built = workspace::succeeds(workspace::cargo().args([
            "build",
            "--quiet",
            "--package",
            "waxwing-crash",
            "--package",
            "waxwing-preload",
        ]))?;
        if !built {
            bail!("the programs do not build");
        }
        let programs = workspace::target_folder()?.join("debug");
        let mut scratch = tempfile::Builder::new();
        scratch.prefix("waxwing-crash-");
        let memory = Path::new(MEMORY);
        let scratch = if memory.is_dir() {
            scratch.tempdir_in(memory)
        } else {
            scratch.tempdir()
        };
        let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        Ok(Self {
            program: programs.join(format!("waxwing-crash{}", std::env::consts::EXE_SUFFIX)),
            preload: programs.join(format!("{prefix}waxwing_preload{suffix}")),
            scratch: scratch.context("cannot make a temporary folder")?,
        })
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn preload(&self) -> &Path {
        &self.preload
    }

    /// Whether processes can be watched here.
    pub(super) fn probe(&self) -> Result<()> {
        let output = self.run(&["probe"])?;
        if !output.status.success() {
            bail!(
                "{}",
                String::from_utf8_lossy(&output.stderr).trim().to_owned()
            );
        }
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Command::new(&self.program)
            .args(arguments)
            .arg("--preload")
            .arg(&self.preload)
            .arg("--scratch")
            .arg(self.scratch.path())
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// Runs a command that reports, whatever it found.
    fn report(&self, arguments: &[&str]) -> Result<(bool, Value)> {
        let output = self.run(arguments)?;
        let holds = match output.status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => bail!(
                "{}",
                String::from_utf8_lossy(&output.stderr).trim().to_owned()
            ),
        };
        let report = serde_json::from_slice(&output.stdout).context("the report is not JSON")?;
        Ok((holds, report))
    }

    fn power_cut(
        &self,
        kind: &str,
        seed: u64,
        images: u64,
        plant: Option<&str>,
    ) -> Result<(bool, Value)> {
        let (seed, images) = (seed.to_string(), images.to_string());
        let mut arguments = vec!["power-cut", kind, "--seed", &seed, "--images", &images];
        if let Some(plant) = plant {
            arguments.extend(["--plant", plant]);
        }
        self.report(&arguments)
    }

    /// Opens images of one recording; none may break a promise.
    pub(super) fn power_cuts(&self, kind: &str, seed: u64, images: u64) -> Result<Shown> {
        let (holds, report) = self.power_cut(kind, seed, images, None)?;
        let recorded = format!(
            "{} steps acknowledged, {} syncs, {} KiB written",
            count(&report, "acknowledged"),
            count(&report, "syncs"),
            count(&report, "bytes_written") / 1024,
        );
        Ok(Shown {
            holds,
            line: format!("{recorded}; {}", broken(&report)),
            kills: 0,
            images: count(&report, "images"),
        })
    }

    /// A store that is broken on purpose; the suite must find it.
    pub(super) fn planted(&self, kind: &str, plant: &str, seed: u64) -> Result<Shown> {
        let (holds, report) = self.power_cut(kind, seed, EVERY_POINT, Some(plant))?;
        // That it does not open proves nothing about what is acknowledged.
        let lost = ["lost", "shown_again", "used_twice"];
        let broken_kinds = report.get("broken").unwrap_or(&Value::Null);
        let lost = lost.iter().any(|kind| count(broken_kinds, kind) > 0);
        let images = count(&report, "images");
        Ok(Shown {
            holds: !holds && lost,
            line: format!("found in {images} images: {}", broken(&report)),
            kills: 0,
            images: 0,
        })
    }

    /// A failing disk, and damaged files.
    pub(super) fn faults(&self, kind: &str, seed: u64, rounds: u64, damages: u64) -> Result<Shown> {
        let (seed, rounds, damages) = (seed.to_string(), rounds.to_string(), damages.to_string());
        let arguments = ["faults", kind, "--seed", &seed, "--rounds", &rounds];
        let (holds, report) = self.report(&[&arguments[..], &["--damages", &damages]].concat())?;
        let line = format!(
            "{} processes on a failing disk; {} damaged folders: {} refused, {} unharmed, {} with \
             something missing that `verify` names, {} with something missing unsaid{}; {} of the \
             unharmed had rows made anew; {}",
            count(&report, "faults"),
            count(&report, "damages"),
            count(&report, "refused"),
            count(&report, "unharmed"),
            count(&report, "noticed"),
            count(&report, "silent"),
            some_of(&report, "silent_shown"),
            count(&report, "rebuilt"),
            broken(&report),
        );
        Ok(Shown {
            holds,
            line,
            kills: 0,
            images: 0,
        })
    }
}

fn count(report: &Value, field: &str) -> u64 {
    report.get(field).and_then(Value::as_u64).unwrap_or(0)
}

/// The broken promises of a report, and some of them in words.
fn broken(report: &Value) -> String {
    let kinds: Vec<String> = report
        .get("broken")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    if kinds.is_empty() {
        return "none broken".to_owned();
    }
    format!("{}{}", kinds.join(", "), some_of(report, "shown"))
}

/// Two examples of a list, if it has any.
fn some_of(report: &Value, list: &str) -> String {
    let shown = report.get(list).and_then(Value::as_array);
    let shown: Vec<String> = shown
        .into_iter()
        .flatten()
        .take(2)
        .map(ToString::to_string)
        .collect();
    if shown.is_empty() {
        return String::new();
    }
    format!(", as {}", shown.join(" and "))
}
