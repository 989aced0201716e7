// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask instructions`: what the operations of the ratchet cost, counted and not timed, against
//! what they cost when somebody last looked.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::workspace;

/// Count the instructions of sealing, opening, a turn and a session, and compare them with the file.
///
/// The programs are those of the tests, under valgrind, which shows the same count on a busy machine. A
/// count that is further from the file than compilers and processors explain is an error in both
/// directions: what became dearer has to be meant, and what became cheaper has to stay so.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  cargo xtask instructions           count and compare
  cargo xtask instructions --write   a change is meant: write the file")]
pub(crate) struct Instructions {
    /// Write the file.
    #[arg(long)]
    write: bool,
}

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// The compiler that they are of.
    rustc: String,
    counts: BTreeMap<String, u64>,
}

/// How far a count may be from that of the same compiler, and of another one, in percent.
const SAME: u64 = 5;
const OTHER: u64 = 20;
/// The processor that the counts are of.
const ARCHITECTURE: &str = "x86_64";

impl Instructions {
    pub(crate) fn run(&self) -> Result<bool> {
        if std::env::consts::ARCH != ARCHITECTURE {
            println!("the counts are of {ARCHITECTURE}; nothing is compared on this processor");
            return Ok(true);
        }
        let found = Command::new("valgrind").arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            bail!("valgrind is not there, and it counts; install the package `valgrind`");
        }
        let found = Known {
            rustc: compiler()?,
            counts: count()?,
        };
        let file = file();
        if self.write {
            let text = serde_json::to_string_pretty(&found)?;
            fs::write(&file, format!("{text}\n"))?;
            println!("written: {}", file.display());
            return Ok(true);
        }
        let known = fs::read_to_string(&file).with_context(|| {
            format!(
                "{} is missing; `cargo xtask instructions --write` makes it",
                file.display()
            )
        })?;
        let known: Known = serde_json::from_str(&known)?;
        Ok(compare(&known, &found))
    }
}

fn file() -> PathBuf {
    workspace::root().join("xtask/instructions.json")
}

fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.context("cannot start rustc")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn count() -> Result<BTreeMap<String, u64>> {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--package", "waxwing-bench", "--"]);
    command.args(["ratchet", "--instructions"]);
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!(
            "nothing was counted: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Prints every operation and says whether all are near what is known.
fn compare(known: &Known, found: &Known) -> bool {
    let percent = if known.rustc == found.rustc {
        SAME
    } else {
        println!("the counts on record are of {}", known.rustc);
        OTHER
    };
    let mut holds = known.counts.len() == found.counts.len();
    for (name, now) in &found.counts {
        let Some(before) = known.counts.get(name) else {
            println!("NEW    {name}: {now} instructions");
            holds = false;
            continue;
        };
        let is_near = now.abs_diff(*before).saturating_mul(100) <= before.saturating_mul(percent);
        let word = if is_near { "holds" } else { "MOVED" };
        println!("{word:<6} {name}: {now} instructions, {before} on record, within {percent} %");
        holds &= is_near;
    }
    if !holds {
        println!("where that is meant: cargo xtask instructions --write");
    }
    holds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(rustc: &str, turn: u64) -> Known {
        Known {
            rustc: rustc.to_owned(),
            counts: BTreeMap::from([("seal".to_owned(), 1000), ("turn".to_owned(), turn)]),
        }
    }

    #[test]
    fn a_count_that_moved_does_not_hold_in_either_direction() {
        let before = known("a", 10_000);
        for near in [9500, 10_000, 10_500] {
            assert!(compare(&before, &known("a", near)), "{near}");
        }
        for far in [9499, 10_501] {
            assert!(!compare(&before, &known("a", far)), "{far}");
            assert!(compare(&before, &known("b", far)), "{far}");
        }
        assert!(!compare(&before, &known("b", 12_001)));
        let mut fewer = known("a", 10_000);
        fewer.counts.remove("turn");
        assert!(!compare(&before, &fewer) && !compare(&fewer, &before));
    }
}
