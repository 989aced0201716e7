// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A full, broken or read-only disk while a store works, and files that were damaged since.
//!
//! The promise: a clear error and no acknowledgement that does not hold; what is undamaged can be
//! read; nothing wrong is ever given out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use waxwing_storage::embedded::files::verify_server;

use crate::checking::Check;
use crate::choice::Choice;
use crate::process;
use crate::recording::{Kind, Place, Recorder};
use crate::subject::{Broken, Finding, was_rebuilt};
use crate::trace::{
    Event, acknowledged_after_failed_sync, failed_sync_file, is_behind_the_log, works_after_fault,
};
use crate::work::{Task, files as files_of};

/// The faults by their names in `crates/preload/src/fault.rs`, and what the error must say.
const FAULTS: [(&str, &str); 4] = [
    ("full", "no space is left for the store"),
    ("write-error", "the store could not be read or written"),
    ("sync-error", "the store could not be read or written"),
    ("read-only", "the store could not be read or written"),
];

/// The faults of a kind of store.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The kind of store.
    pub kind: Kind,
    /// Decides the work and the damages.
    pub seed: u64,
    /// How often each fault is tried, each time later in the work.
    pub rounds: u64,
    /// How many damaged folders are opened.
    pub damages: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Processes that a fault hit.
    pub faults: u64,
    /// Folders with one damaged file that were opened.
    pub damages: u64,
    /// Of these: refused with an error that says so.
    pub refused: u64,
    /// Of these: nothing was missing.
    pub unharmed: u64,
    /// Of the unharmed: the rows did not open, and were made anew.
    pub rebuilt: u64,
    /// Of these: something was missing, and `waxwingd verify` says that the store is damaged.
    pub noticed: u64,
    /// Of these: something was missing without an error. The store below cannot tell.
    pub silent: u64,
    /// Some of the last kind.
    pub silent_shown: Vec<String>,
    /// Broken promises, by kind.
    pub broken: BTreeMap<Broken, u64>,
    /// Some of them.
    pub shown: Vec<String>,
}

impl Report {
    /// Whether every promise held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_empty() && self.faults > 0
    }

    fn add(&mut self, place: &str, finding: Finding) {
        *self.broken.entry(finding.0).or_default() += 1;
        if self.shown.len() < 5 {
            self.shown.push(format!("{place}: {}", finding.1));
        }
    }
}

impl Faults {
    /// Tries everything in a folder of its own below `scratch`.
    ///
    /// # Errors
    /// A process could not be started or watched.
    pub fn run(&self, recorder: &Recorder, scratch: &Path) -> Result<Report> {
        let folder = scratch.join(format!("faults-{}-{}", self.kind.name(), self.seed));
        let mut report = Report::default();
        for round in 0..self.rounds {
            for (fault, says) in FAULTS {
                self.fail(recorder, &folder, (fault, says), round, &mut report)?;
            }
        }
        self.damage(recorder, &folder, &mut report)?;
        fs::remove_dir_all(&folder)?;
        Ok(report)
    }

    fn task(&self, round: u64) -> Task {
        Task {
            seed: self.seed + round,
            process: 0,
            steps: 40,
            workers: 3,
            plant: None,
        }
    }

    fn fail(
        &self,
        recorder: &Recorder,
        folder: &Path,
        (fault, says): (&str, &str),
        round: u64,
        report: &mut Report,
    ) -> Result<()> {
        let place = Place::new(folder);
        place.clear()?;
        let after = Choice::new(self.seed, round).below(4 + 20 * (round + 1));
        let mut task = self.task(round);
        if fault == "sync-error" {
            // One at a time, so that an acknowledgement after the fault is one of after the fault.
            task.workers = 1;
        }
        let mut command = recorder.command(&place, self.kind, task);
        command
            .env("WAXWING_FAULT", fault)
            .env("WAXWING_FAULT_AFTER", after.to_string());
        let ended = process::run(&mut command)?;
        let events = place.events()?;
        if !events.iter().any(|event| matches!(event, Event::Fault(_))) {
            if ended.is_success() {
                return Ok(());
            }
            bail!("before its fault began the work {}", ended.in_words());
        }
        report.faults += 1;
        let file = failed_sync_file(&events).and_then(|path| path.rsplit('/').next());
        let file = file.map_or_else(String::new, |file| format!(" ({file})"));
        let name = format!("{fault} at change {after}{file}");
        let said = &ended.stderr;
        // Whoever waited behind the step that failed hears that the store has stopped.
        let is_clear = said.contains(says) || said.contains("the store stopped after an earlier");
        // While a store is closed nothing hangs on the disk any more: only the next opening is slower.
        let is_behind = failed_sync_file(&events).is_some_and(is_behind_the_log);
        let may_go_on = self.kind != Kind::Client && (is_behind || !works_after_fault(&events));
        if ended.is_success() && may_go_on {
            // What it left is checked below all the same.
        } else if ended.status.is_none() {
            report.add(&name, (Broken::Died, ended.in_words()));
        } else if ended.status.and_then(|status| status.code()) != Some(2) || !is_clear {
            report.add(&name, (Broken::Refused, ended.in_words()));
        }
        // What a sync failed for is unknown from then on.
        let is_late = fault == "sync-error"
            && self.kind != Kind::Client
            && !acknowledged_after_failed_sync(&events).is_empty();
        if is_late {
            let what = "something was acknowledged after a sync had failed".to_owned();
            report.add(&name, (Broken::Lost, what));
        }
        if let Some(finding) = self.check(&place, &place.store(), round).run(recorder)? {
            report.add(&name, finding);
        }
        Ok(())
    }

    fn check<'a>(&self, place: &'a Place, folder: &'a Path, number: u64) -> Check<'a> {
        Check {
            kind: self.kind,
            place,
            folder,
            seed: self.seed,
            number,
        }
    }

    /// Whether the command that reads every record finds the damage.
    fn is_noticed(&self, folder: &Path) -> bool {
        let verified = match self.kind {
            Kind::Server | Kind::ServerRedb => {
                verify_server(folder, files_of(self.kind.engine(), None))
            }
            Kind::Client => return false,
        };
        verified.map_or(true, |verified| !verified.is_whole())
    }

    fn damage(&self, recorder: &Recorder, folder: &Path, report: &mut Report) -> Result<()> {
        let place = Place::new(folder);
        place.clear()?;
        for process in 0..2 {
            let task = Task {
                process,
                ..self.task(0)
            };
            let ended = process::run(&mut recorder.command(&place, self.kind, task))?;
            if !ended.is_success() {
                bail!("on a good disk the work {}", ended.in_words());
            }
        }
        let files = files(&place.store())?;
        for number in 0..self.damages {
            let copy = folder.join("damaged");
            let damaged = || -> Result<String> {
                let mut choice = Choice::new(self.seed, number);
                copy_folder(&place.store(), &copy)?;
                damage(&copy, &files, &mut choice)
            };
            let name = damaged()?;
            report.damages += 1;
            match self.check(&place, &copy, number).run(recorder)? {
                None => {
                    report.unharmed += 1;
                    report.rebuilt += u64::from(was_rebuilt(&copy));
                }
                Some((Broken::Refused, _)) => report.refused += 1,
                Some(finding) if finding.0.is_missing() => {
                    // The check has used the folder up.
                    fs::remove_dir_all(&copy)?;
                    damaged()?;
                    if self.is_noticed(&copy) {
                        report.noticed += 1;
                    } else {
                        report.silent += 1;
                        report.silent_shown.push(format!("{name}: {}", finding.1));
                    }
                }
                Some(finding) => report.add(&name, finding),
            }
            fs::remove_dir_all(&copy)?;
        }
        Ok(())
    }
}

/// The files below a folder that have bytes, by their paths in it.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.metadata()?.len() > 0 {
                found.push(entry.path().strip_prefix(folder)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Flips a bit of one file, cuts it, or overwrites a page of it.
fn damage(folder: &Path, files: &[PathBuf], choice: &mut Choice) -> Result<String> {
    let file = files.get(choice.place(files.len())).context("no files")?;
    let path = folder.join(file);
    let mut bytes = fs::read(&path)?;
    let place = choice.place(bytes.len());
    let what = match choice.below(3) {
        0 => {
            bytes[place] ^= 1 << choice.below(8);
            "a flipped bit"
        }
        1 => {
            bytes.truncate(place);
            "a cut"
        }
        _ => {
            let end = bytes.len().min(place + 4096);
            bytes[place..end].fill(0);
            "a page of zeros"
        }
    };
    fs::write(&path, bytes)?;
    Ok(format!("{what} in {} at {place}", file.display()))
}
