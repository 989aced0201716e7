// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening a log: the newest checkpoint that can be read, and what happened after it.
//!
//! What a crash left at the end is no damage: a record that cannot be read ends the log, unless
//! something later says that it was durable. That is: a segment after it, a record in the same segment
//! whose `synced to` is beyond it, or the checkpoint. Then it is damage: it is reported, passed
//! over, and the rest is read.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;

use super::checkpoint::{self, Head, Loaded, read_file};
use super::committer::{Committer, first_offset};
use super::file::{LogFolder, make_durable};
use super::format::{Place, RecordHeader, SEGMENT_HEADER, Sealer, SegmentHeader, Stream};
use super::index::{COLD_FIRST, Entry, Fingerprint, Index};
use super::keeper::{Keeper, Kept, Signal};
use super::record::{self, Event, MailboxKey};
use super::scan::{Damage, Scan};
use super::segments::{Segment, Segments, number_in, segment_name};
use super::{DeliveryLog, LogOptions, LogPosition, Opened, Shared, State};
use crate::StoreError;

/// What is found while the log is replayed.
struct Replay<'a> {
    loaded: Loaded,
    since: BTreeMap<MailboxKey, Place>,
    sealer: Sealer,
    options: &'a LogOptions,
    damage: Vec<Damage>,
    tables: Vec<(LogPosition, Bytes)>,
    last_tables: Place,
    /// Up to where the last segment was durable when its last record was written.
    synced_to: u32,
}

impl Replay<'_> {
    fn report(&mut self, damage: Damage) {
        tracing::error!(
            code = "store_corrupt",
            segment = damage.segment,
            offset = damage.offset,
            "a part of the log is damaged"
        );
        self.damage.push(damage);
    }

    /// Whether a mailbox's checkpointed state does not have this record yet.
    fn is_new(&self, mailbox: &MailboxKey, place: Place) -> bool {
        self.since.get(mailbox).is_none_or(|since| place >= *since)
    }

    fn apply(&mut self, place: Place, header: &RecordHeader, payload: &Bytes, next: u32) {
        let Some(event) = record::event(header.kind, payload) else {
            self.report(Damage {
                segment: place.segment,
                offset: place.offset,
                length: next.saturating_sub(place.offset),
            });
            return;
        };
        let end = Place {
            offset: next,
            ..place
        };
        if let Event::Tables(rows) = event {
            self.last_tables = end;
            if LogPosition::from(end) > self.options.tables_from {
                self.tables.push((end.into(), rows));
            }
            return;
        }
        if place < self.loaded.head.start {
            return;
        }
        match event {
            Event::Envelope(found) => {
                let key = &self.loaded.head.fingerprint_key;
                let arrival = &found.arrival;
                let fingerprint = Fingerprint::new(key, &arrival.delivery_id, &arrival.envelope_id);
                let entry = Entry {
                    position: header.position,
                    fingerprint: fingerprint.0,
                    place,
                    length: header.payload_length,
                    share: 0,
                };
                if self.is_new(&found.mailbox, place) {
                    let index = &mut self.loaded.index;
                    index.add(found.mailbox, arrival.delivery_id, arrival.kind, entry);
                }
            }
            Event::Acknowledge(mailbox, ranges) => {
                if self.is_new(&mailbox, place) {
                    let positions = ranges.iter().flat_map(|range| {
                        range.first..range.first.saturating_add(range.count.into())
                    });
                    self.loaded.index.acknowledge(&mailbox, positions);
                }
            }
            Event::RemoveMailbox(mailbox) => {
                if self.is_new(&mailbox, place) {
                    self.loaded.index.remove_mailbox(&mailbox);
                }
            }
            Event::RemoveAccount(account) => {
                for mailbox in self.loaded.index.mailboxes_of(&account) {
                    if self.is_new(&mailbox, place) {
                        self.loaded.index.remove_mailbox(&mailbox);
                    }
                }
            }
            Event::Forget(day) => {
                if self.loaded.index.is_new_day(day) {
                    self.loaded.index.turn_day(day);
                }
                let since = &self.since;
                for (mailbox, held) in &mut self.loaded.index.mailboxes {
                    if since.get(mailbox).is_none_or(|since| place >= *since) {
                        held.forget_older();
                    }
                }
            }
            Event::Tables(_) => {}
        }
    }

    /// Replays a segment from an offset. `end` is where it is known to end; `claimed` up to where
    /// it is known to have been durable. Answers where it ends.
    fn segment(
        &mut self,
        number: u32,
        bytes: &Bytes,
        from: u32,
        end: Option<u32>,
        claimed: u32,
    ) -> u32 {
        let sealer = self.sealer.clone();
        let scan = Scan {
            sealer: &sealer,
            segment: number,
            bytes,
        };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut offset = from;
        self.synced_to = 0;
        let mut group: Vec<(Place, RecordHeader, Bytes, u32)> = Vec::new();
        loop {
            if end.is_some_and(|end| offset >= end) {
                break;
            }
            if let Some((header, payload, next)) = scan.record(offset) {
                let place = Place {
                    segment: number,
                    offset,
                };
                let is_last = !header.more;
                self.synced_to = self.synced_to.max(header.synced_to);
                group.push((place, header, payload, next));
                offset = next;
                if is_last {
                    self.apply_group(&mut group);
                }
                continue;
            }
            let was_durable = end.is_some() || claimed > offset || scan.is_claimed(offset);
            if !was_durable {
                // The end: a group that is not whole was never acknowledged.
                let begin = group.first().map_or(offset, |(place, ..)| place.offset);
                return begin;
            }
            // What is left of a group that was acknowledged counts.
            self.apply_group(&mut group);
            let next = scan.next_record(offset, end.unwrap_or(length));
            self.report(Damage {
                segment: number,
                offset,
                length: next
                    .or(end)
                    .unwrap_or(claimed.max(offset))
                    .saturating_sub(offset),
            });
            match next {
                Some(next) => offset = next,
                None => return end.unwrap_or(claimed.max(offset)),
            }
        }
        self.apply_group(&mut group);
        offset
    }

    fn apply_group(&mut self, group: &mut Vec<(Place, RecordHeader, Bytes, u32)>) {
        for (place, header, payload, next) in group.drain(..) {
            self.apply(place, &header, &payload, next);
        }
    }
}

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
        } else if name.ends_with(".spare") || name.ends_with(".new") {
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
    let start = Place {
        segment: 0,
        offset: 0,
    };
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

/// See [`DeliveryLog::open`].
pub(crate) fn open(folder: Arc<dyn LogFolder>, options: &LogOptions) -> Result<Opened, StoreError> {
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
    let head = loaded.head.clone();
    let mut replay = Replay {
        since: loaded.since.iter().copied().collect(),
        sealer: Sealer::new(&head.log),
        loaded,
        options,
        damage: Vec::new(),
        tables: Vec::new(),
        last_tables: Place {
            segment: 0,
            offset: 0,
        },
        synced_to: 0,
    };
    let segments = Arc::new(Segments::new(Arc::clone(&folder), options.segment_size));
    let headers = open_segments(folder.as_ref(), &segments, &found, &head)?;
    let tail = replay_hot(&mut replay, folder.as_ref(), &headers)?;
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
    folder.sync()?;
    let highest = |cold: bool| {
        let numbers = found.segments.iter().copied();
        numbers
            .filter(move |number| (*number >= COLD_FIRST) == cold)
            .max()
    };
    let next_hot = highest(false)
        .unwrap_or(0)
        .max(tail.segment)
        .saturating_add(1);
    let next_cold = highest(true).map_or(COLD_FIRST, |number| number.saturating_add(1));
    start(replay, segments, &found, tail, (next_hot, next_cold))
}

fn start(
    replay: Replay<'_>,
    segments: Arc<Segments>,
    found: &Found,
    tail: Place,
    (next_hot, next_cold): (u32, u32),
) -> Result<Opened, StoreError> {
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
            since_checkpoint: 0,
            appended: 0,
            last_tables: replay.last_tables,
        }),
        committer: Arc::clone(&committer),
        segments,
        sealer: replay.sealer,
        log: head.log,
        fingerprint_key: head.fingerprint_key,
        damaged: AtomicU64::new(0),
        tables_kept: AtomicU64::new(replay.options.tables_from.0),
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

/// Opens every segment whose header can be read.
fn open_segments(
    folder: &dyn LogFolder,
    segments: &Segments,
    found: &Found,
    head: &Head,
) -> Result<BTreeMap<u32, SegmentHeader>, StoreError> {
    let mut headers = BTreeMap::new();
    for number in &found.segments {
        let file = folder.open(&segment_name(*number))?;
        let mut bytes = [0; SEGMENT_HEADER];
        file.read_at(&mut bytes, 0)?;
        // One without a header was prepared for what was to come.
        if let Some((log, header)) = SegmentHeader::decode(&bytes, *number)?
            && log == head.log
        {
            headers.insert(*number, header);
        }
        segments.insert(Arc::new(Segment::new(*number, file)));
    }
    Ok(headers)
}

/// Replays the hot segments in order; answers where the log ends.
fn replay_hot(
    replay: &mut Replay<'_>,
    folder: &dyn LogFolder,
    headers: &BTreeMap<u32, SegmentHeader>,
) -> Result<Place, StoreError> {
    let head = replay.loaded.head.clone();
    let tables_from = Place::from(replay.options.tables_from);
    let begin = if tables_from.segment == 0 {
        // Nobody has kept tables yet: they are in all that is left of the log.
        Place {
            segment: 0,
            offset: 0,
        }
    } else {
        head.start.min(tables_from)
    };
    let mut tail = head.start;
    let hot: Vec<SegmentHeader> = headers
        .values()
        .filter(|header| header.stream == Stream::Hot && header.number >= begin.segment)
        .copied()
        .collect();
    let mut expected: Option<u32> = None;
    for (at, header) in hot.iter().enumerate() {
        let number = header.number;
        // One that was there once and is needed. Those before the checkpoint may have been given back.
        let is_missing =
            header.previous >= head.start.segment.max(1) && expected != Some(header.previous);
        if is_missing {
            replay.report(Damage {
                segment: header.previous,
                offset: 0,
                length: header.previous_end,
            });
        }
        expected = Some(number);
        let successor = at.checked_add(1).and_then(|next| hot.get(next));
        let end = successor
            .filter(|next| next.previous == number)
            .map(|next| next.previous_end);
        let bytes = Bytes::from(read_file(folder, &segment_name(number))?);
        let from = if number == begin.segment {
            begin.offset.max(first_offset())
        } else {
            first_offset()
        };
        let claimed = if head.durable.segment == number {
            head.durable.offset
        } else {
            0
        };
        let end = replay.segment(number, &bytes, from, end, claimed);
        tail = Place {
            segment: number,
            offset: end,
        };
    }
    Ok(tail.max(head.start))
}
