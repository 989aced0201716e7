// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask mutants`: would the tests notice if the protocol's code were wrong?

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use known::{Fate, Known, load, results, save, source_hash};

use crate::workspace;

mod known;

/// Break the three crates of the protocol, one small change at a time, and see whether a test fails.
///
/// Works in shards and keeps what each showed in `xtask/mutants/`, with a hash of the crate's code without
/// its tests: a later run goes on where this one ended, until that code changes. Tests that are added
/// cannot make a mutant unnoticed that was noticed; those that were not are tried again with `--again`. Every mutant that no test notices has to be named in
/// `docs/mutants.md` with the reason. Exits with an error where shards are left, where fewer than
/// nine of ten were noticed, or where one that was not is not explained.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask mutants --minutes 60           an hour's worth, going on where the last run ended
  cargo xtask mutants -p waxwing-crypto      all that are left of one crate
  cargo xtask mutants --again --minutes 0    after a new test: only what was not noticed before
  cargo xtask mutants --minutes 0            what is known so far")]
pub(crate) struct Mutants {
    /// Only this crate
    #[arg(short, long, value_name = "PACKAGE")]
    package: Option<String>,
    /// No further shard is begun after so many minutes
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Try again what no test noticed, before any further shard
    #[arg(long)]
    again: bool,
}

const PACKAGES: [&str; 3] = ["waxwing-identity", "waxwing-crypto", "waxwing-ratchet"];
/// Shards of each crate: of some tens of mutants.
const SHARDS: u32 = 32;
/// How cargo-mutants ends when it has tried every mutant: all noticed, some not, some without an end.
const MEANT: [i32; 3] = [0, 2, 3];
/// Of a hundred mutants, how many have to be noticed.
const NOTICED_MIN: usize = 90;
/// The page that explains those that are not.
const EXPLAINED: &str = "docs/mutants.md";

impl Mutants {
    pub(crate) fn run(&self) -> Result<bool> {
        if !workspace::has_subcommand("mutants") {
            bail!(
                "cargo-mutants is not there, and it is what makes the mutants; type `cargo install cargo-mutants --locked`"
            );
        }
        let began = clock();
        let budget = self
            .minutes
            .map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
        let explained = fs::read_to_string(workspace::root().join(EXPLAINED)).unwrap_or_default();
        let mut holds = true;
        let wanted = |package: &&str| self.package.as_deref().is_none_or(|one| one == *package);
        let packages: Vec<&str> = PACKAGES.into_iter().filter(wanted).collect();
        if packages.is_empty() {
            bail!("mutants are made of {}", PACKAGES.join(", "));
        }
        for package in packages {
            let file = results(package);
            let mut known = load(&file, &source_hash(package)?)?;
            if self.again {
                known.mutants.extend(run_again(package, &known)?);
                save(&file, &known)?;
            }
            for shard in 0..SHARDS {
                if known.shards.contains(&shard) {
                    continue;
                }
                if budget.is_some_and(|budget| began.elapsed() >= budget) {
                    break;
                }
                let which = [
                    OsString::from("--shard"),
                    format!("{shard}/{SHARDS}").into(),
                ];
                let fates = run(package, &which)?;
                println!(
                    "{package} shard {shard} of {SHARDS}: {} mutants",
                    fates.len()
                );
                known.mutants.extend(fates);
                known.shards.push(shard);
                save(&file, &known)?;
            }
            holds &= report(package, &known, &explained);
        }
        Ok(holds)
    }
}

/// Tries again what no test noticed.
fn run_again(package: &str, known: &Known) -> Result<BTreeMap<String, Fate>> {
    let missed = known
        .mutants
        .iter()
        .filter(|(_, fate)| **fate == Fate::Missed);
    let which: Vec<OsString> = missed
        .flat_map(|(name, _)| ["--re".into(), format!("^{}$", escaped(name)).into()])
        .collect();
    if which.is_empty() {
        return Ok(BTreeMap::new());
    }
    run(package, &which)
}

/// A name as a regular expression.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        if !character.is_alphanumeric() && !matches!(character, ' ' | '_' | '/' | ':' | '<' | '>') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Makes the mutants that `which` names and runs the crate's tests against each.
fn run(package: &str, which: &[OsString]) -> Result<BTreeMap<String, Fate>> {
    let scratch = tempfile::tempdir()?;
    // The copies that cargo-mutants makes share what they depend on. The crate itself is not kept: its
    // last build is of a mutant, and newer than the files of the next copy.
    let build = workspace::target_folder()?.join("mutants/build");
    let cleaned = workspace::cargo()
        .args(["clean", "--quiet", "--package", package])
        .env("CARGO_TARGET_DIR", &build)
        .status()
        .context("cannot start cargo")?;
    if !cleaned.success() {
        bail!("cargo clean ended with {cleaned}");
    }
    let mut command = workspace::cargo();
    command
        .args([
            "mutants",
            "--package",
            package,
            // What is not compiled cannot be noticed.
            "--all-features",
            "--no-shuffle",
            "--colors=never",
        ])
        .args(which)
        // Tests that fail as things are would notice every mutant.
        .args(["--baseline=run", "--timeout", "120", "--output"])
        .arg(scratch.path())
        // No examples, and no time for what a test would run a little faster by.
        .args(["--", "--tests"])
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_TARGET_DIR", &build);
    let output = command.output().context("cannot start cargo-mutants")?;
    if !output
        .status
        .code()
        .is_some_and(|code| MEANT.contains(&code))
    {
        bail!(
            "cargo-mutants ended with {}; the tests have to pass before anything is changed: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let outcomes = scratch.path().join("mutants.out/outcomes.json");
    let Ok(bytes) = fs::read(outcomes) else {
        // A shard of none.
        return Ok(BTreeMap::new());
    };
    let outcomes: Value = serde_json::from_slice(&bytes)?;
    let fates = fates(&outcomes)?;
    Ok(fates)
}

/// Reads what cargo-mutants wrote.
fn fates(outcomes: &Value) -> Result<BTreeMap<String, Fate>> {
    let list = outcomes
        .get("outcomes")
        .and_then(Value::as_array)
        .context("no outcomes")?;
    let mut fates = BTreeMap::new();
    for outcome in list {
        let Some(mutant) = outcome.pointer("/scenario/Mutant") else {
            continue;
        };
        let name = mutant
            .get("name")
            .and_then(Value::as_str)
            .context("a mutant without a name")?;
        let summary = outcome.get("summary").and_then(Value::as_str);
        let fate = match summary {
            Some("CaughtMutant" | "Timeout") => Fate::Noticed,
            Some("MissedMutant") => Fate::Missed,
            Some("Unviable") => Fate::Unviable,
            other => bail!("`{name}` came to {other:?}"),
        };
        fates.insert(name.to_owned(), fate);
    }
    Ok(fates)
}

/// A mutant without the place in its file, which moves.
fn without_place(name: &str) -> String {
    let mut parts = name.splitn(2, ": ");
    let (place, change) = (parts.next().unwrap_or(name), parts.next().unwrap_or(""));
    let file = place.split(':').next().unwrap_or(place);
    format!("{file}: {change}")
}

fn report(package: &str, known: &Known, explained: &str) -> bool {
    let count = |fate| known.mutants.values().filter(|one| **one == fate).count();
    let (noticed, missed) = (count(Fate::Noticed), count(Fate::Missed));
    let all = noticed.saturating_add(missed);
    let left = usize::try_from(SHARDS)
        .unwrap_or(usize::MAX)
        .saturating_sub(known.shards.len());
    let unexplained: Vec<String> = known
        .mutants
        .iter()
        .filter(|(_, fate)| **fate == Fate::Missed)
        .map(|(name, _)| without_place(name))
        .filter(|name| !explained.contains(name.as_str()))
        .collect();
    let enough = noticed.saturating_mul(100) >= all.saturating_mul(NOTICED_MIN);
    println!(
        "{package}: {noticed} of {all} noticed, {} do not compile, {} not explained, {left} of {SHARDS} shards left",
        count(Fate::Unviable),
        unexplained.len(),
    );
    for name in &unexplained {
        println!("  not noticed: {name}");
    }
    enough && left == 0 && unexplained.is_empty()
}

#[allow(
    clippy::disallowed_methods,
    reason = "a budget of time that a person gave"
)]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_searched_for_as_it_is() {
        assert_eq!(
            escaped("a/b.rs:7:9: f -> Vec<u8> with vec![]"),
            r"a/b\.rs:7:9: f \-> Vec<u8> with vec\!\[\]"
        );
    }

    #[test]
    fn what_cargo_mutants_writes_is_read() {
        let mutant = |name: &str, summary: &str| {
            serde_json::json!({
                "scenario": {"Mutant": {"name": name}},
                "summary": summary,
            })
        };
        let outcomes = serde_json::json!({"outcomes": [
            {"scenario": "Baseline", "summary": "Success"},
            mutant("crates/a/src/b.rs:7:9: replace f -> bool with true", "MissedMutant"),
            mutant("crates/a/src/b.rs:8:9: replace == with !=", "CaughtMutant"),
            mutant("crates/a/src/b.rs:9:9: replace + with *", "Timeout"),
            mutant("crates/a/src/b.rs:10:9: replace g with ()", "Unviable"),
        ]});
        let found = fates(&outcomes).unwrap();
        let all: Vec<Fate> = found.values().copied().collect();
        assert_eq!(found.len(), 4);
        assert_eq!(all.iter().filter(|fate| **fate == Fate::Noticed).count(), 2);
        let mut known = Known {
            source: String::new(),
            shards: (0..SHARDS).collect(),
            mutants: found,
        };
        assert!(
            !report("a", &known, ""),
            "two of three, and one not explained"
        );
        for number in 0..9 {
            known.mutants.insert(format!("x{number}"), Fate::Noticed);
        }
        assert!(!report("a", &known, ""));
        let page = "`crates/a/src/b.rs: replace f -> bool with true`: equal";
        assert!(report("a", &known, page));
        known.shards.pop();
        assert!(!report("a", &known, page));
        let odd = serde_json::json!({"outcomes": [mutant("x", "Strange")]});
        assert!(fates(&odd).is_err());
    }
}
