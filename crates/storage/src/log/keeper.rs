// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One thread behind the log: prepares the next segment, writes checkpoints, copies forward what waits
//! for long, and gives files back.
//!
//! Copying forward puts an envelope into a cold segment, which is never replayed, and then changes its
//! place in the index. The old segment is given back when the two newest checkpoints refer to it no
//! more: whichever of them an opening reads, everything that it refers to is there.

mod copying;
mod remembering;
mod saving;
mod victims;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::checkpoint::RememberedFile;
use super::file::LogFile;
use super::format::Place;
use super::index::COLD_FIRST;
use super::segments::{Segment, number_in};
use super::{Shared, State};
use crate::StoreError;

/// How long the log is left alone before it is looked after anyway.
const QUIET: Duration = Duration::from_secs(2);
/// Between two pieces that are unpacked others get the lock, which a thread that lets it go and takes it at once
/// would not leave to them.
const UNPACK_PAUSE: Duration = Duration::from_millis(1);
/// Entries that are looked at under one lock.
const ENTRIES_PER_LOOK: usize = 2048;
/// Rounds of copying forward in one tidying up.
const ROUNDS_MAX: usize = 64;
/// Files that are kept for the next segments while nothing happens.
const SPARES_QUIET: usize = 1;
/// Files are kept for the next segments up to so much of what is stored, and so many segments.
const SPARES_PERCENT: u64 = 130;
const SPARES_SEGMENTS: u64 = 3;
/// Files of segments and for the next ones together: up to so much of what is stored, and so many halves of
/// segments, or these. The bound of all that a store takes is a little more.
const FILES_PERCENT: u64 = 140;
const FILES_HALVES: u64 = 7;
const FILES_LEAST: usize = 12;
/// From so many of the last times that files were given back it is known how many are in use at most.
const USES_KEPT: usize = 4;
/// What is appended between two checkpoints beside one segment: so many parts of what is stored.
const CHECKPOINT_SHARE: u64 = 24;
/// After so many waits in which no segment began files are given back although the log is in use.
const WAITS_MAX: u32 = 10;
/// After so many rounds room for a segment is looked for again where there was none.
const ROUNDS_WITHOUT_ROOM: u32 = 10;
/// How much is copied forward in one write.
const COPY: usize = 1024 * 1024;
/// A file of remembered envelopes is at least one part in this many of a segment before there is another one.
const REMEMBERED_FILE_SHARE: u32 = 4;

#[derive(Default)]
struct Flags {
    due: bool,
    closing: bool,
}

/// Wakes the keeper.
#[derive(Clone, Default)]
pub(crate) struct Signal(Arc<(Mutex<Flags>, Condvar)>);

impl Signal {
    fn flags(&self) -> MutexGuard<'_, Flags> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notice(&self) {
        self.flags().due = true;
        self.0.1.notify_one();
    }

    fn close(&self) {
        self.flags().closing = true;
        self.0.1.notify_one();
    }

    /// Waits for a moment, or until something happens; answers whether the log is closed.
    fn pause(&self) -> bool {
        let flags = self.flags();
        let (flags, _) = self
            .0
            .1
            .wait_timeout_while(flags, UNPACK_PAUSE, |flags| !flags.due && !flags.closing)
            .unwrap_or_else(PoisonError::into_inner);
        flags.closing
    }

    /// Waits; answers whether nothing had happened, or `None` when the log is closed.
    fn wait(&self) -> Option<bool> {
        let flags = self.flags();
        let (mut flags, timeout) = self
            .0
            .1
            .wait_timeout_while(flags, QUIET, |flags| !flags.due && !flags.closing)
            .unwrap_or_else(PoisonError::into_inner);
        flags.due = false;
        (!flags.closing).then(|| timeout.timed_out())
    }
}

/// What one checkpoint refers to.
pub(crate) struct Kept {
    pub(crate) number: u32,
    pub(crate) start: Place,
    pub(crate) segments: BTreeSet<u32>,
    pub(crate) remembered: Vec<RememberedFile>,
}

/// The end of the newest cold segment.
struct Cold {
    segment: Arc<Segment>,
    end: u32,
}

struct Work {
    shared: Arc<Shared>,
    /// The newest two, the newest last.
    kept: VecDeque<Kept>,
    last_checkpoint: u32,
    remembered: Vec<RememberedFile>,
    remembered_file: Option<Arc<dyn LogFile>>,
    /// What is remembered and could not be saved yet.
    unsaved: Vec<u8>,
    /// What all mailboxes remember took when it was saved last.
    remembered_takes: u64,
    next_remembered: u32,
    cold: Option<Cold>,
    /// Envelopes that could not be copied.
    damaged: BTreeSet<Place>,
    /// What was wanted in each segment when it was looked for some to copy forward.
    wanted: BTreeMap<u32, u64>,
    /// What had been appended when the keeper looked last.
    seen: u64,
    /// How many segments were in use when files were given back, the last times.
    uses: VecDeque<usize>,
    /// Rounds that are left before room for a segment is looked for again.
    pause: u32,
    /// Waits since then in which nothing happened that wakes the keeper.
    waits: u32,
}

/// The keeper's handle.
pub(crate) struct Keeper {
    work: Arc<Mutex<Work>>,
    signal: Signal,
    thread: Option<JoinHandle<()>>,
}

/// Says why the log stops, and stops it.
fn stop(shared: &Shared, error: StoreError) {
    tracing::error!(code = error.code(), "the delivery log stopped: {error}");
    shared.committer.fail();
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    pub(crate) fn start(
        shared: Arc<Shared>,
        signal: Signal,
        kept: Kept,
        last_checkpoint: u32,
    ) -> io::Result<Self> {
        let next_remembered = kept
            .remembered
            .iter()
            .map(|file| file.number.saturating_add(1))
            .max();
        let leftover = shared
            .segments
            .folder
            .list()?
            .iter()
            .filter_map(|name| number_in(name, "remembered"))
            .max()
            .map(|number| number.saturating_add(1));
        let work = Arc::new(Mutex::new(Work {
            shared: Arc::clone(&shared),
            remembered: kept.remembered.clone(),
            kept: VecDeque::from([kept]),
            last_checkpoint,
            remembered_file: None,
            unsaved: Vec::new(),
            remembered_takes: 0,
            next_remembered: next_remembered.max(leftover).unwrap_or(1),
            cold: None,
            damaged: BTreeSet::new(),
            wanted: BTreeMap::new(),
            seen: 0,
            uses: VecDeque::new(),
            pause: 0,
            waits: 0,
        }));
        let thread = {
            let (work, signal) = (Arc::clone(&work), signal.clone());
            thread::Builder::new()
                .name("log-keeper".to_owned())
                .spawn(move || {
                    let mut was_full = false;
                    // Where nothing was left over for it: the first step waits for that.
                    if shared.begin().is_err() {
                        return;
                    }
                    let unpacked = lock(&work).unpack(|| signal.pause());
                    if let Err(error) = unpacked {
                        stop(&shared, error);
                        return;
                    }
                    while let Some(is_quiet) = signal.wait() {
                        let result = lock(&work).round(is_quiet);
                        let is_full = matches!(result, Err(StoreError::DiskFull));
                        if is_full && !was_full {
                            tracing::warn!(
                                code = StoreError::DiskFull.code(),
                                "the disk is full: what needs another segment of the log is refused"
                            );
                        }
                        was_full = is_full;
                        // Nothing was promised that hangs on what the keeper makes. The next round makes
                        // it anew, in other files. After any other failure it is not known what the
                        // folder holds.
                        if let Err(error) = result
                            && !is_full
                        {
                            stop(&shared, error);
                            return;
                        }
                    }
                })?
        };
        Ok(Self {
            work,
            signal,
            thread: Some(thread),
        })
    }

    /// Ends the thread, and writes a last checkpoint while the committers still run.
    pub(crate) fn close(&mut self) {
        self.signal.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(code = "store_bug", "the keeper of the log panicked");
        }
        let mut work = lock(&self.work);
        if work.shared.state().since_checkpoint > 0
            && !work.shared.committer.has_stopped()
            && let Err(error) = work.checkpoint()
        {
            // Nothing is lost by that: the next opening replays more.
            tracing::warn!(code = error.code(), "no last checkpoint was written");
        }
    }

    pub(crate) fn tidy_up(&self) -> Result<(), StoreError> {
        let mut work = lock(&self.work);
        let result = work.tidy_up();
        if !matches!(result, Ok(()) | Err(StoreError::DiskFull)) {
            work.shared.committer.fail();
        }
        result
    }
}

impl Work {
    /// Unpacks, piece by piece, what the opening has left packed, until that is done or is to end.
    fn unpack(&self, is_to_end: impl Fn() -> bool) -> Result<(), StoreError> {
        let mut after = None;
        while !is_to_end() {
            let mut state = self.shared.state();
            after = state.index.unpack_some(after, ENTRIES_PER_LOOK)?;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn round(&mut self, is_quiet: bool) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let prepared = self.prepare_now_and_then();
        if !matches!(prepared, Ok(()) | Err(StoreError::DiskFull)) {
            return prepared;
        }
        let (is_due, is_dirty) = {
            let state = shared.state();
            let interval = u64::from(shared.segments.size).saturating_add(
                state
                    .index
                    .live_bytes
                    .checked_div(CHECKPOINT_SHARE)
                    .unwrap_or(0),
            );
            self.waits = self.waits.saturating_add(u32::from(is_quiet));
            let is_quiet = is_quiet && state.appended == self.seen;
            self.seen = state.appended;
            let can_free = || self.can_free(&state);
            (
                state.since_checkpoint >= interval,
                (is_quiet && (state.since_checkpoint > 0 || can_free()))
                    || (self.waits >= WAITS_MAX && can_free()),
            )
        };
        if is_due || is_dirty {
            self.checkpoint()?;
            self.free()?;
        }
        if self.copy_forward(is_dirty)? {
            self.checkpoint()?;
            self.free()?;
        }
        if is_quiet {
            self.uses.clear();
            shared.segments.trim_spares(SPARES_QUIET)?;
        }
        prepared
    }

    /// The same as [`Work::prepare`], on a full disk not in every round: a try takes all the room that is left,
    /// for as long as it lasts.
    fn prepare_now_and_then(&mut self) -> Result<(), StoreError> {
        if let Some(left) = self.pause.checked_sub(1) {
            self.pause = left;
            return Err(StoreError::DiskFull);
        }
        let prepared = self.prepare();
        if matches!(prepared, Err(StoreError::DiskFull)) {
            self.pause = ROUNDS_WITHOUT_ROOM;
        }
        prepared
    }

    /// Makes sure that the next segment has a file.
    fn prepare(&self) -> Result<(), StoreError> {
        let segments = &self.shared.segments;
        let next = self.shared.state().next_hot;
        if segments.is_prepared(next) {
            return Ok(());
        }
        segments.prepare(next)
    }

    fn tidy_up(&mut self) -> Result<(), StoreError> {
        self.unpack(|| false)?;
        self.prepare()?;
        self.checkpoint()?;
        for _ in 0..ROUNDS_MAX {
            if !self.copy_forward(true)? {
                break;
            }
            self.checkpoint()?;
        }
        self.checkpoint()?;
        self.free()?;
        Ok(self.shared.segments.trim_spares(SPARES_QUIET)?)
    }

    /// Whether a file is there that the index does not refer to.
    fn can_free(&self, state: &State) -> bool {
        let numbers = self.shared.segments.numbers();
        numbers.iter().any(|number| self.is_unused(*number, state))
    }

    fn is_unused(&self, number: u32, state: &State) -> bool {
        let is_active = self
            .cold
            .as_ref()
            .is_some_and(|cold| cold.segment.number == number);
        let replayed_from = self.kept.back().map_or(0, |kept| kept.start.segment);
        !is_active
            && !state.index.live.contains_key(&number)
            && (number >= COLD_FIRST || number < replayed_from.min(state.tail.segment))
            && !self.has_tables(number, state)
    }

    /// Whether a hot segment may hold table records that are durable nowhere else.
    fn has_tables(&self, number: u32, state: &State) -> bool {
        let kept = self.shared.tables_kept.load(Ordering::Relaxed);
        let last = super::LogPosition::from(state.last_tables);
        number < COLD_FIRST && last.0 > kept && u64::from(number) >= kept >> 32
    }

    /// How many files are worth keeping for the next segments, when so many were in use lately and `going` of
    /// those that are now come free.
    fn spares_max(&self, lately: usize, going: usize) -> usize {
        let segments = &self.shared.segments;
        let size = u64::from(segments.size).max(1);
        let live = self.shared.state().index.live_bytes;
        let files = |percent, slack: u64| {
            let bytes = live.saturating_mul(percent).checked_div(100).unwrap_or(0);
            let files = bytes.saturating_add(slack).checked_div(size).unwrap_or(0);
            usize::try_from(files).unwrap_or(usize::MAX)
        };
        let worth = files(SPARES_PERCENT, size.saturating_mul(SPARES_SEGMENTS));
        let open = segments.numbers().len().saturating_sub(going);
        let limit = files(
            FILES_PERCENT,
            size.saturating_mul(FILES_HALVES).div_euclid(2),
        );
        let named = segments.named_count().saturating_sub(going);
        let room = limit.max(FILES_LEAST).saturating_sub(named);
        let wanted = lately.max(worth).saturating_sub(open);
        wanted.min(room).max(SPARES_QUIET)
    }

    /// Gives back what neither the index nor a kept checkpoint refers to. Segments come free several at a
    /// time: they are kept for the next ones as long as there are no more files than were lately in use.
    fn free(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        self.waits = 0;
        self.uses.push_back(shared.segments.numbers().len());
        if self.uses.len() > USES_KEPT {
            self.uses.pop_front();
        }
        let in_use = self.uses.iter().copied().max().unwrap_or(0);
        for number in shared.segments.numbers() {
            let is_free = {
                let state = shared.state();
                self.is_unused(number, &state)
                    && self.kept.iter().all(|kept| {
                        !kept.segments.contains(&number)
                            && (number >= COLD_FIRST || number < kept.start.segment)
                    })
            };
            if is_free {
                shared.segments.free(number, self.spares_max(in_use, 1))?;
            }
        }
        Ok(shared.segments.trim_spares(self.spares_max(in_use, 0))?)
    }
}
