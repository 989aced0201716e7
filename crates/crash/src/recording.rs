// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recording a store's work: several processes, one after the other, on one folder, some of which
//! end themselves in the middle of it or while they open it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use crate::choice::Choice;
use waxwing_storage::embedded::files::EngineKind;

use crate::process;
use crate::trace::{self, Event};
use crate::work::{Plant, Task};

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The server's, with its rows in sled.
    Server,
    /// The server's, with its rows in redb.
    ServerRedb,
    /// The client's sealed one.
    Client,
}

impl Kind {
    /// What keeps the rows.
    #[must_use]
    pub const fn engine(self) -> EngineKind {
        match self {
            Self::Server | Self::Client => EngineKind::Sled,
            Self::ServerRedb => EngineKind::Redb,
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::ServerRedb => "server-redb",
            Self::Client => "client",
        }
    }
}

/// How a process of a recording ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Done,
    /// It kills itself after so many events.
    Killed(u64),
}

/// Where a recording lies.
#[derive(Debug, Clone)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// A recording below a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder that is watched.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// The file of marks.
    #[must_use]
    pub fn marks(&self) -> PathBuf {
        self.folder.join("marks")
    }

    /// Empties the place.
    ///
    /// # Errors
    /// The folder cannot be emptied or made.
    pub fn clear(&self) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        fs::create_dir_all(self.store())?;
        Ok(())
    }

    fn record(&self, process: u32) -> PathBuf {
        self.folder.join(format!("record.{process}"))
    }

    /// The events of every process, in order.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn events(&self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        for process in 0.. {
            let path = self.record(process);
            if !path.exists() {
                break;
            }
            let bytes = Bytes::from(fs::read(&path)?);
            events.extend(trace::read(bytes).with_context(|| format!("{}", path.display()))?);
        }
        Ok(events)
    }
}

/// Who records: this program, and the library that is loaded before the C library.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// This program.
    pub program: PathBuf,
    /// The library.
    pub preload: PathBuf,
}

impl Recorder {
    /// `waxwing-crash work` in a place, watched, not started.
    #[must_use]
    pub fn command(&self, place: &Place, kind: Kind, task: Task) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["work", kind.name()])
            .arg("--folder")
            .arg(place.store())
            .arg("--marks")
            .arg(place.marks())
            .args(["--seed", &task.seed.to_string()])
            .args(["--process", &task.process.to_string()])
            .args(["--steps", &task.steps.to_string()])
            .args(["--workers", &task.workers.to_string()]);
        if let Some(plant) = task.plant {
            command.args(["--plant", plant.name()]);
        }
        command
            .env("LD_PRELOAD", &self.preload)
            .env("WAXWING_TRACE", place.record(task.process))
            .env("WAXWING_TRACE_FOLDER", place.store())
            .env("WAXWING_TRACE_MARKS", place.marks());
        command
    }

    /// Whether processes can be watched here: a child writes a file and the record shows it.
    ///
    /// # Errors
    /// They cannot; the text says why.
    pub fn probe(&self, scratch: &Path) -> Result<()> {
        let place = Place::new(&scratch.join("probe"));
        let task = Task {
            seed: 1,
            process: 0,
            steps: 1,
            workers: 1,
            plant: None,
        };
        place.clear()?;
        let ended = process::run(&mut self.command(&place, Kind::Client, task))?;
        if !ended.is_success() {
            bail!("a process with the library {}", ended.in_words());
        }
        let events = place.events()?;
        let wrote = |event: &Event| matches!(event, Event::Write { .. });
        let said = |event: &Event| matches!(event, Event::Mark(_));
        if !events.iter().any(wrote) || !events.iter().any(said) {
            bail!("the library was not loaded: libraries cannot be preloaded here");
        }
        fs::remove_dir_all(scratch.join("probe"))?;
        Ok(())
    }

    /// Records the work of a seed.
    ///
    /// # Errors
    /// A process failed otherwise than it was made to.
    pub fn record(&self, place: &Place, kind: Kind, seed: u64, plant: Option<Plant>) -> Result<()> {
        place.clear()?;
        let mut choice = Choice::new(seed, u64::MAX);
        let ends = if plant.is_some() {
            vec![End::Done]
        } else {
            vec![
                End::Killed(60 + choice.below(1200)),
                // Killed while it opens: the recovery itself is cut.
                End::Killed(4 + choice.below(40)),
                End::Done,
                End::Killed(60 + choice.below(1200)),
                End::Done,
            ]
        };
        for (process, end) in (0..).zip(ends) {
            let task = Task {
                seed,
                process,
                steps: if plant.is_some() { 25 } else { 40 },
                workers: if plant.is_some() { 1 } else { 3 },
                plant,
            };
            let mut command = self.command(place, kind, task);
            if let End::Killed(after) = end {
                command.env("WAXWING_TRACE_DIE_AFTER", after.to_string());
            }
            let ended = process::run(&mut command)?;
            let killed = ended.status.is_some_and(|status| status.code().is_none());
            let wanted = ended.is_success() || (killed && matches!(end, End::Killed(_)));
            if !wanted {
                bail!(
                    "the work of seed {seed}, process {process}, {}",
                    ended.in_words()
                );
            }
        }
        Ok(())
    }
}
