// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replaying what came after a checkpoint.

use bytes::{Bytes, BytesMut};

use crate::StoreError;
use crate::log::LogPosition;
use crate::log::checkpoint::Loaded;
use crate::log::file::LogFolder;
use crate::log::format::{Place, RecordHeader, Sealer};
use crate::log::index::{Entry, Fingerprint};
use crate::log::pieces::{self, read_around};
use crate::log::record::{self, Event, MailboxKey};
use crate::log::scan::{Damage, Scan};
use crate::log::segments::segment_name;

/// What is found while the log is replayed.
pub(super) struct Replay {
    pub(super) loaded: Loaded,
    pub(super) sealer: Sealer,
    pub(super) damage: Vec<Damage>,
    /// Every table record, with the place after it.
    pub(super) tables: Vec<(LogPosition, Bytes)>,
    pub(super) last_tables: Place,
    /// Up to where the last segment was durable when its last record was written.
    pub(super) synced_to: u32,
    /// A mailbox of the checkpoint that could not be unpacked.
    broken: Option<StoreError>,
    /// What a segment was read into is used for the next one.
    buffer: BytesMut,
}

/// A record, the place of it, its payload and the offset after it.
type Found = (Place, RecordHeader, Bytes, u32);

impl Replay {
    pub(super) fn new(loaded: Loaded) -> Self {
        Self {
            sealer: Sealer::new(&loaded.head.log),
            loaded,
            damage: Vec::new(),
            tables: Vec::new(),
            last_tables: Place::default(),
            synced_to: 0,
            broken: None,
            buffer: BytesMut::new(),
        }
    }

    /// What kept a part of the log from being replayed, if anything did.
    pub(super) fn broken(&self) -> Result<(), StoreError> {
        self.broken.map_or(Ok(()), Err)
    }

    pub(super) fn report(&mut self, damage: Damage) {
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
        let held = self.loaded.index.mailboxes.get(mailbox);
        held.is_none_or(|held| place >= held.since)
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
            self.last_tables = self.last_tables.max(end);
            // A copy: what the segment was read into is used again.
            self.tables
                .push((end.into(), Bytes::copy_from_slice(&rows)));
            return;
        }
        if place < self.loaded.head.start {
            return;
        }
        if let Err(error) = self.change(place, header, event) {
            self.broken.get_or_insert(error);
        }
    }

    /// Changes what a record says in the index.
    fn change(
        &mut self,
        place: Place,
        header: &RecordHeader,
        event: Event,
    ) -> Result<(), StoreError> {
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
                let index = &mut self.loaded.index;
                index.add(found.mailbox, arrival.delivery_id, arrival.kind, entry);
            }
            Event::Acknowledge(mailbox, ranges) => {
                if self.is_new(&mailbox, place) {
                    let positions = ranges.iter().flat_map(|range| {
                        range.first..range.first.saturating_add(range.count.into())
                    });
                    self.loaded.index.unpack(&mailbox)?;
                    self.loaded.index.acknowledge(&mailbox, positions);
                }
            }
            Event::RemoveMailbox(mailbox) => {
                if self.is_new(&mailbox, place) {
                    self.remove(&mailbox)?;
                }
            }
            Event::RemoveAccount(account) => {
                for mailbox in self.loaded.index.mailboxes_of(&account) {
                    if self.is_new(&mailbox, place) {
                        self.remove(&mailbox)?;
                    }
                }
            }
            Event::Forget(day) => {
                if self.loaded.index.is_new_day(day) {
                    self.loaded.index.turn_day(day);
                }
                for held in self.loaded.index.mailboxes.values_mut() {
                    if place >= held.since {
                        held.forget_older();
                    }
                }
            }
            Event::Tables(_) => {}
        }
        Ok(())
    }

    fn remove(&mut self, mailbox: &MailboxKey) -> Result<(), StoreError> {
        self.loaded.index.unpack(mailbox)?;
        self.loaded.index.remove_mailbox(mailbox);
        Ok(())
    }

    /// Reads a segment and replays it as [`Replay::scan`] says. What the device does not read of it is zeros there, so
    /// damage where it was durable.
    pub(super) fn segment(
        &mut self,
        folder: &dyn LogFolder,
        number: u32,
        from: u32,
        end: Option<u32>,
        claimed: u32,
    ) -> Result<u32, StoreError> {
        let name = segment_name(number);
        let file = folder.open(&name)?;
        let length =
            usize::try_from(file.length()?).map_err(|_| StoreError::Corrupt { what: "log" })?;
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.len() < length {
            buffer = BytesMut::zeroed(length);
        }
        let part = buffer.get_mut(..length).unwrap_or_default();
        let around = read_around(file.as_ref(), part, 0);
        pieces::say(&name, &around.unread);
        let whole = buffer.freeze();
        let end = self.scan(number, &whole.slice(..around.read), from, end, claimed);
        self.buffer = whole.try_into_mut().unwrap_or_default();
        Ok(end)
    }

    /// Replays a segment from an offset. `end` is where it is known to end; `claimed` up to where
    /// it is known to have been durable. Answers where it ends.
    fn scan(
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
        let mut group: Vec<Found> = Vec::new();
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

    fn apply_group(&mut self, group: &mut Vec<Found>) {
        for (place, header, payload, next) in group.drain(..) {
            self.apply(place, &header, &payload, next);
        }
    }
}
