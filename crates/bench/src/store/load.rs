// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The work of many senders at once, the same on both sides.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use waxwing_storage::server::Store;

use super::bare_log::BareLog;
use super::device::Told;
use super::machine::{self, Space};
use super::world::{BODY, MAILBOXES, World, body};

/// What an acknowledgement of a window takes in a log.
const ACKNOWLEDGEMENT: usize = 32;

/// What the writers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Append.
    Append,
    /// Append, and read and acknowledge as many.
    Steady,
    /// The same, and one mailbox in ten is never read.
    OneInTen,
}

/// How much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) kind: Kind,
    pub(super) writers: u32,
    pub(super) seconds: u32,
    /// Messages that are stored before it is measured.
    pub(super) live: u32,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    appended: f64,
    seconds: f64,
    cpu: f64,
    /// Bytes to the device for each byte appended, and messages for each flush of it, from the second part on.
    pub(super) written_each: f64,
    pub(super) batch: f64,
    /// Messages a second in the last and in the second part.
    pub(super) last_part: f64,
    pub(super) second_part: f64,
    /// The most that the folder's files took at the end of a part.
    pub(super) space_max: Space,
}

impl Sample {
    /// Messages a second.
    pub(super) fn rate(&self) -> f64 {
        self.appended / self.seconds
    }

    /// Processor time for each message, in microseconds.
    pub(super) fn cpu_us_each(&self) -> f64 {
        self.cpu * 1e6 / self.appended
    }
}

impl Load {
    /// On the server's store.
    pub(super) async fn on_store<S: Store>(
        self,
        world: &World<S>,
        folder: &Path,
    ) -> Result<Sample> {
        world.fill(self.live).await?;
        let kind = self.kind;
        let each = MAILBOXES.checked_div(self.writers).unwrap_or(MAILBOXES);
        let world = world.clone();
        let round = move |writer: u32, turn: u64| {
            let world = world.clone();
            async move {
                // Each writer has mailboxes of its own, so that each is drained in order.
                let of_turn = |turn: u64| u32::try_from(turn % u64::from(each)).unwrap_or(0);
                world.append(writer * each + of_turn(turn)).await?;
                if kind != Kind::Append && turn % 16 == 15 {
                    let mailbox = writer * each + of_turn(turn / 16);
                    if kind == Kind::Steady || !mailbox.is_multiple_of(10) {
                        world.drain(mailbox).await?;
                    }
                }
                anyhow::Ok(())
            }
        };
        self.measure(folder, round).await
    }

    /// On the bare log, where an acknowledgement is a small record and reading is nothing.
    pub(super) async fn on_bare_log(self, log: &Arc<BareLog>, folder: &Path) -> Result<Sample> {
        let kind = self.kind;
        let log = Arc::clone(log);
        let round = move |writer: u32, turn: u64| {
            let log = Arc::clone(&log);
            async move {
                log.append(&body(u64::from(writer) << 32 | turn)).await?;
                if kind != Kind::Append && turn % 16 == 15 {
                    log.append(&[0xac; ACKNOWLEDGEMENT]).await?;
                }
                anyhow::Ok(())
            }
        };
        self.measure(folder, round).await
    }

    async fn measure<F>(
        self,
        folder: &Path,
        round: impl Fn(u32, u64) -> F + Clone + Send + 'static,
    ) -> Result<Sample>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let done = Arc::new(AtomicBool::new(false));
        let appended = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        let (cpu, began) = (machine::cpu(), machine::now());
        for writer in 0..self.writers {
            let (round, done, appended) = (round.clone(), Arc::clone(&done), Arc::clone(&appended));
            tasks.spawn(async move {
                for turn in 0_u64.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    round(writer, turn).await?;
                    appended.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
        // The watch is a thread of its own, so that a busy runtime does not make it late.
        let count = Arc::clone(&appended);
        let (parts, part) = self.parts();
        let folder = folder.to_owned();
        let watch = std::thread::spawn(move || {
            let mut marks = vec![Mark::now(&count, &folder)];
            for _ in 0..parts {
                let until = machine::now() + part;
                while machine::now() < until {
                    std::thread::park_timeout(std::time::Duration::from_millis(5));
                }
                marks.push(Mark::now(&count, &folder));
            }
            done.store(true, Ordering::Relaxed);
            marks.into_iter().collect::<Result<Vec<_>>>()
        });
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let seconds = machine::now() - began;
        let marks = watch.join().ok().context("the watch panicked")??;
        let mark = |number: usize| marks.get(number).context("the watch ended early");
        let (first, second) = (mark(1)?, mark(2)?);
        let (before, last) = (
            mark(marks.len().saturating_sub(2))?,
            mark(marks.len().saturating_sub(1))?,
        );
        // What is made once, at the beginning, is not what goes on.
        let later = last.count - first.count;
        Ok(Sample {
            appended: appended.load(Ordering::Relaxed) as f64,
            seconds,
            cpu: machine::cpu() - cpu,
            written_each: (last.told.bytes - first.told.bytes) / (later * BODY as f64),
            batch: later / (last.told.flushes - first.told.flushes),
            last_part: last.rate_since(before),
            second_part: second.rate_since(first),
            space_max: marks
                .iter()
                .map(|mark| mark.space)
                .fold(Space::default(), Space::max),
        })
    }

    /// How many parts a run has, and the seconds of each: minutes, or thirds of a shorter run.
    fn parts(self) -> (u32, f64) {
        let parts = (self.seconds / 60).max(3);
        (parts, f64::from(self.seconds) / f64::from(parts))
    }
}

/// A moment of a run.
struct Mark {
    at: f64,
    /// Messages that were appended.
    count: f64,
    told: Told,
    space: Space,
}

impl Mark {
    fn now(count: &AtomicU64, folder: &Path) -> Result<Self> {
        Ok(Self {
            at: machine::now(),
            count: count.load(Ordering::Relaxed) as f64,
            told: Told::of(folder)?,
            space: Space::of(folder)?,
        })
    }

    fn rate_since(&self, earlier: &Self) -> f64 {
        (self.count - earlier.count) / (self.at - earlier.at)
    }
}
