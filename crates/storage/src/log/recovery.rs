// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening a log: the newest checkpoint that can be read, and what happened after it.
//!
//! What a crash left at the end is no damage: a record that cannot be read ends the log, unless
//! something later says that it was durable. That is: a segment after it, a record in the same segment
//! whose `synced to` is beyond it, or the checkpoint. Then it is damage: it is reported, passed
//! over, and the rest is read. So is a header of a segment that is damaged itself.

pub(crate) mod headers;
mod replay;

use std::cmp::Ordering;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use self::headers::Headers;
use self::replay::Replay;
use super::checkpoint::{self, Head};
use super::committer::{Committer, first_offset};
use super::file::{LogFolder, make_durable};
use super::format::Place;
use super::index::{COLD_FIRST, Index};
use super::keeper::{Keeper, Kept, Signal};
use super::segments::{Segment, Segments, number_in};
use super::{DeliveryLog, LogOptions, LogPosition, Opened, Shared, State};
use crate::StoreError;

/// What lies in the folder.
struct Found {
    checkpoints: Vec<u32>,
    segments: Vec<u32>,
}

fn look(folder: &dyn LogFolder) -> Result<Found, StoreError> {
    let mut found = Found {
        checkpoints: Vec::new(),
        segments: Vec::new(),
    };
    for name in folder.list()? {
        if let Some(number) = number_in(&name, "checkpoint") {
            found.checkpoints.push(number);
        } else if let Some(number) = number_in(&name, "segment") {
            found.segments.push(number);
        } else if name.ends_with(".new") {
            folder.remove(&name)?;
        }
    }
    Ok(found)
}

/// Makes an empty log.
fn make(folder: &dyn LogFolder, options: &LogOptions) -> Result<(), StoreError> {
    let (log, rest) = options
        .entropy
        .split_first_chunk::<16>()
        .ok_or(StoreError::Bug("entropy of the log"))?;
    let fingerprint_key = rest
        .first_chunk::<16>()
        .ok_or(StoreError::Bug("entropy of the log"))?;
    let start = Place::default();
    let head = Head {
        log: *log,
        fingerprint_key: *fingerprint_key,
        number: 1,
        start,
        durable: start,
        forgotten: None,
        generation: 0,
        remembered: Vec::new(),
    };
    let mut bytes = head.encode();
    checkpoint::finish(&mut bytes);
    checkpoint::store(folder, 1, &bytes)?;
    Ok(())
}

/// A log that was read. Nothing of it has changed, but that what lies in the machine's memory is durable.
pub(crate) struct ReadLog {
    folder: Arc<dyn LogFolder>,
    replay: Replay,
    segments: Arc<Segments>,
    found: Found,
    headers: Headers,
    tail: Place,
    /// Bytes after the checkpoint.
    replayed: u64,
}

/// See [`DeliveryLog::open`].
pub(crate) fn open(folder: Arc<dyn LogFolder>, options: &LogOptions) -> Result<Opened, StoreError> {
    read(folder, options)?.open(options.tables_from)
}

/// Reads a log: its newest checkpoint that can be read, and what came after that. From which place on table
/// records are wanted may be known later.
///
/// # Errors
/// As [`DeliveryLog::open`].
pub(crate) fn read(
    folder: Arc<dyn LogFolder>,
    options: &LogOptions,
) -> Result<ReadLog, StoreError> {
    let mut found = look(folder.as_ref())?;
    if found.checkpoints.is_empty() {
        // The first checkpoint is durable before the first segment is made.
        if !found.segments.is_empty() {
            return Err(StoreError::Corrupt {
                what: "log checkpoint",
            });
        }
        make(folder.as_ref(), options)?;
        found = look(folder.as_ref())?;
    }
    let mut loaded = None;
    for number in found.checkpoints.iter().rev() {
        loaded = checkpoint::load(folder.as_ref(), *number, options.remembered_max)?;
        if loaded.is_some() {
            break;
        }
        tracing::error!(code = "store_corrupt", "a checkpoint of the log is damaged");
    }
    let loaded = loaded.ok_or(StoreError::Corrupt {
        what: "log checkpoint",
    })?;
    let segments = Arc::new(Segments::new(Arc::clone(&folder), options.segment_size));
    let headers = Headers::read(
        folder.as_ref(),
        &found.segments,
        &loaded.head,
        |number, file| segments.insert(Arc::new(Segment::new(number, file))),
    )?;
    let mut replay = Replay::new(loaded);
    let (tail, replayed) = replay_hot(&mut replay, folder.as_ref(), &headers)?;
    // BOX-75. What was read may be in the memory of the machine alone, if only the process had died, or if
    // a sync had failed. It is going to be shown and acknowledged, so it has to be durable. A segment was
    // durable as a whole before the next one was begun.
    if let Some(last) = segments.get(tail.segment) {
        make_durable(
            last.file.as_ref(),
            replay.synced_to.into(),
            tail.offset.into(),
        )?;
    }
    Ok(ReadLog {
        folder,
        replay,
        segments,
        found,
        headers,
        tail,
        replayed,
    })
}

impl ReadLog {
    /// Opens the log that was read, and hands out the table records from a place on.
    ///
    /// # Errors
    /// As [`DeliveryLog::open`].
    pub(crate) fn open(mut self, tables_from: LogPosition) -> Result<Opened, StoreError> {
        replay_tables(&mut self, tables_from)?;
        self.replay.broken()?;
        let highest = |cold: bool| {
            let numbers = self.found.segments.iter().copied();
            numbers
                .filter(move |number| (*number >= COLD_FIRST) == cold)
                .max()
        };
        let next_hot = highest(false)
            .unwrap_or(0)
            .max(self.tail.segment)
            .saturating_add(1);
        // Where no cold segment is left the numbers begin again. A file that is used again may hold records of the same
        // number then. Nobody reads them: the index alone says what is in a cold segment, and it says nothing before
        // that was written.
        let next_cold = highest(true).map_or(COLD_FIRST, |number| number.saturating_add(1));
        let index = &self.replay.loaded.index;
        self.segments.keep_leftovers(index, self.tail, next_hot)?;
        self.folder.sync()?;
        start(self, tables_from, (next_hot, next_cold))
    }
}

fn start(
    read: ReadLog,
    tables_from: LogPosition,
    (next_hot, next_cold): (u32, u32),
) -> Result<Opened, StoreError> {
    let ReadLog {
        replay,
        segments,
        found,
        tail,
        replayed,
        ..
    } = read;
    let head = replay.loaded.head;
    let index: Index = replay.loaded.index;
    let signal = Signal::default();
    let committer = Arc::new(Committer::new(Arc::clone(&segments), head.log, tail));
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            index,
            tail,
            must_roll: true,
            next_hot,
            next_cold,
            // The next opening is to replay it no more: a quiet moment is enough for another checkpoint.
            since_checkpoint: replayed,
            appended: 0,
            last_tables: replay.last_tables,
        }),
        committer: Arc::clone(&committer),
        segments,
        sealer: replay.sealer,
        log: head.log,
        fingerprint_key: head.fingerprint_key,
        damaged: AtomicU64::new(0),
        tables_kept: AtomicU64::new(tables_from.0),
        told: OnceLock::new(),
        signal: signal.clone(),
    });
    let kept = Kept {
        // Until two checkpoints have been written every file that is here may be referred to.
        number: head.number,
        start: head.start,
        segments: found.segments.iter().copied().collect(),
        remembered: head.remembered.clone(),
    };
    let highest = found.checkpoints.iter().copied().max().unwrap_or(0);
    let keeper = Keeper::start(Arc::clone(&shared), signal, kept, highest)?;
    let committers = committer.start()?;
    Ok(Opened {
        log: DeliveryLog {
            shared,
            committers,
            keeper,
        },
        damage: replay.damage,
        tables: replay.tables,
    })
}

/// Replays the hot segments from the checkpoint on, in order; answers where the log ends, and how many bytes
/// that were.
fn replay_hot(
    replay: &mut Replay,
    folder: &dyn LogFolder,
    headers: &Headers,
) -> Result<(Place, u64), StoreError> {
    let (start, durable) = (replay.loaded.head.start, replay.loaded.head.durable);
    let (mut tail, mut replayed) = (start, 0_u64);
    for header in &headers.hot(start.segment) {
        let number = header.number;
        // One that was there once and is needed. Those before the checkpoint may have been given back.
        if let Some(damage) = headers.missing_before(header, start.segment) {
            replay.report(damage);
        }
        if let Some(damage) = headers.damage(number) {
            replay.report(damage);
        }
        let end = headers.end(number);
        let from = if number == start.segment {
            start.offset.max(first_offset())
        } else {
            first_offset()
        };
        let claimed = if durable.segment == number {
            durable.offset
        } else {
            0
        };
        tail = Place {
            segment: number,
            offset: replay.segment(folder, number, from, end, claimed)?,
        };
        replayed = replayed.saturating_add(tail.offset.saturating_sub(from).into());
    }
    Ok((tail.max(start), replayed))
}

/// Adds the table records from a place on that are before the checkpoint, and leaves those out that are
/// before the place.
fn replay_tables(read: &mut ReadLog, tables_from: LogPosition) -> Result<(), StoreError> {
    let start = read.replay.loaded.head.start;
    let from = Place::from(tables_from);
    let replay = &mut read.replay;
    // Where nobody has kept tables yet they are in all that is left of the log.
    let is_all = from.segment == 0;
    if is_all || from < start {
        let after = std::mem::take(&mut replay.tables);
        let damaged = std::mem::take(&mut replay.damage);
        let first = if is_all { 0 } else { from.segment };
        for header in read.headers.hot(first) {
            let number = header.number;
            let begin = if number == from.segment {
                from.offset
            } else {
                0
            };
            let begin = begin.max(first_offset());
            let end = match number.cmp(&start.segment) {
                Ordering::Less => read.headers.end(number),
                Ordering::Equal if begin < start.offset => Some(start.offset),
                _ => break,
            };
            if number < start.segment
                && let Some(damage) = read.headers.damage(number)
            {
                replay.report(damage);
            }
            replay.segment(read.folder.as_ref(), number, begin, end, 0)?;
        }
        replay.tables.extend(after);
        replay.damage.extend(damaged);
    }
    replay.tables.retain(|(end, _)| *end > tables_from);
    Ok(())
}
