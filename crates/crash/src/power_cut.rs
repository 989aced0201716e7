// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One recording and all its images, shared among workers that may end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::examine::{Part, Verdict, Wanted, plan};
use crate::recording::{Kind, Place, Recorder};
use crate::subject::Broken;
use crate::trace::Event;
use crate::work::Plant;

/// Images that one worker opens: threads and memory that a store leaves behind stay bounded.
const IMAGES_PER_WORKER: usize = 125;
/// After this time without a verdict a worker hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Broken images that a report shows.
const SHOWN: usize = 5;

/// One recording to be examined.
#[derive(Debug, Clone)]
pub struct PowerCut {
    /// The kind of store.
    pub kind: Kind,
    /// Decides the work and the images.
    pub seed: u64,
    /// How many images are opened.
    pub images: u64,
    /// What is planted.
    pub plant: Option<Plant>,
    /// How many workers there are at a time.
    pub workers: usize,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Events of the recording.
    pub events: usize,
    /// Bytes written in it.
    pub bytes_written: usize,
    /// Syncs in it that count.
    pub syncs: usize,
    /// Steps that were acknowledged in it.
    pub acknowledged: usize,
    /// Images that were opened.
    pub images: u64,
    /// Broken promises, by kind.
    pub broken: BTreeMap<Broken, u64>,
    /// Some of them.
    pub shown: Vec<Verdict>,
}

impl Report {
    /// Whether every image kept every promise.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_empty() && self.images > 0
    }

    fn add(&mut self, verdict: Verdict) {
        self.images += 1;
        if let Some(broken) = verdict.broken {
            *self.broken.entry(broken).or_default() += 1;
            if self.shown.len() < SHOWN {
                self.shown.push(verdict);
            }
        }
    }
}

impl PowerCut {
    /// Records and examines in a folder of its own below `scratch`.
    ///
    /// # Errors
    /// The recording failed, or a worker failed otherwise than by an image.
    pub fn run(&self, recorder: &Recorder, scratch: &Path) -> Result<Report> {
        let name = format!("{}-{}", self.kind.name(), self.seed);
        let folder = scratch.join(name);
        let place = Place::new(&folder);
        recorder.record(&place, self.kind, self.seed, self.plant)?;
        let events = place.events()?;
        let mut report = Report {
            events: events.len(),
            ..Report::default()
        };
        for event in &events {
            match event {
                Event::Write { bytes, .. } => report.bytes_written += bytes.len(),
                Event::SyncEnd { .. } => report.syncs += 1,
                Event::Mark(line) if !line.contains('?') => report.acknowledged += 1,
                _ => {}
            }
        }
        if report.acknowledged < 20 {
            bail!("the work acknowledged {} steps only", report.acknowledged);
        }
        let plan = plan(&events, self.images);
        drop(events);
        let parts: Vec<(usize, usize)> = (0..plan.len())
            .step_by(IMAGES_PER_WORKER)
            .map(|first| (first, (first + IMAGES_PER_WORKER).min(plan.len())))
            .collect();
        let next = Mutex::new(parts.into_iter());
        let results = std::thread::scope(|scope| {
            let run = || -> Result<Vec<Verdict>> {
                let mut verdicts = Vec::new();
                loop {
                    let part = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((first, end)) = part else {
                        return Ok(verdicts);
                    };
                    let worker = Worker {
                        work: self,
                        program: &recorder.program,
                        folder: &folder,
                        scratch,
                    };
                    verdicts.extend(worker.examine(&plan, first, end)?);
                }
            };
            let threads: Vec<_> = (0..self.workers.max(1)).map(|_| scope.spawn(run)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().ok().context("a thread panicked")?)
                .collect::<Result<Vec<_>>>()
        })?;
        results
            .into_iter()
            .flatten()
            .for_each(|one| report.add(one));
        std::fs::remove_dir_all(&folder)?;
        Ok(report)
    }
}

struct Worker<'a> {
    work: &'a PowerCut,
    program: &'a PathBuf,
    folder: &'a Path,
    scratch: &'a Path,
}

impl Worker<'_> {
    /// The verdicts over a part of the plan; where a process ends or hangs, the image that it was
    /// at is broken, and another process goes on after it.
    fn examine(&self, plan: &[Wanted], first: usize, end: usize) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::new();
        let mut at = first;
        while at < end {
            let part = Part {
                kind: self.work.kind,
                seed: self.work.seed,
                plant: self.work.plant,
                images: self.work.images,
                first: at,
                end,
            };
            let (found, why) = self.process(&part)?;
            at += found.len();
            let is_stuck = found.is_empty();
            verdicts.extend(found);
            if let Some(one) = plan.get(at).filter(|_| at < end) {
                if is_stuck && why.contains("error:") {
                    bail!("a worker failed: {why}");
                }
                verdicts.push(Verdict::of(*one, Err((Broken::Died, why))));
                at += 1;
            }
        }
        Ok(verdicts)
    }

    fn process(&self, part: &Part) -> Result<(Vec<Verdict>, String)> {
        let mut command = Command::new(self.program);
        command
            .args(["examine", part.kind.name()])
            .arg("--recording")
            .arg(self.folder)
            .arg("--scratch")
            .arg(self.scratch)
            .args(["--seed", &part.seed.to_string()])
            .args(["--images", &part.images.to_string()])
            .args(["--first", &part.first.to_string()])
            .args(["--end", &part.end.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(plant) = part.plant {
            command.args(["--plant", plant.name()]);
        }
        let mut child = command.spawn().context("cannot start a worker")?;
        let (sender, lines) = mpsc::channel();
        let out = child.stdout.take().context("no output")?;
        let err = child.stderr.take().context("no errors")?;
        std::thread::spawn(move || {
            BufReader::new(out)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let said = std::thread::spawn(move || {
            let lines = BufReader::new(err).lines().map_while(Result::ok);
            lines.last().unwrap_or_default()
        });
        let mut verdicts = Vec::new();
        let is_hanging = loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => verdicts.push(serde_json::from_str(&line)?),
                Err(RecvTimeoutError::Timeout) => break true,
                Err(RecvTimeoutError::Disconnected) => break false,
            }
        };
        if is_hanging {
            child.kill()?;
        }
        let status = child.wait()?;
        let said = said.join().unwrap_or_default();
        let why = if is_hanging {
            "the process hung".to_owned()
        } else {
            format!("the process ended with {status}: {said}")
        };
        Ok((verdicts, why))
    }
}
