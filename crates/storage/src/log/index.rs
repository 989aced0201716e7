// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the log holds, in memory: for each mailbox where its envelopes are, and what it remembers.
//!
//! An envelope costs one [`Entry`] of 32 bytes and one place of 9 in a table of fingerprints. The entries
//! grow by an eighth and the table doubles; both give back what they do not use, so that a mailbox
//! of 64 envelopes or more never takes more than 64 bytes for each.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::BuildHasherDefault;

use waxwing_proto::{AccountKey, DeliveryId, DeviceId};

use super::fingerprint::Plain;
use super::format::{Place, record_length};
use super::packed::Packed;
use super::record::{ENVELOPE_FIELDS, MailboxKey, Range};
use super::turn::Prepared;
use crate::Day;
use crate::server::{DeliveryIdKind, Position};

pub(crate) use super::fingerprint::{Fingerprint, FingerprintKey};

/// The first number of a cold segment; hot ones are below.
pub(crate) const COLD_FIRST: u32 = 1 << 31;

/// How many entries a mailbox has room for at first, and gets at least when it grows.
const ENTRIES_FIRST: usize = 4;

type Known = HashSet<u64, BuildHasherDefault<Plain>>;

/// Where one envelope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) fingerprint: u64,
    pub(crate) place: Place,
    /// Of the payload.
    pub(crate) length: u32,
    /// Which of the mailbox's shares it uses.
    pub(crate) share: u32,
}

impl Entry {
    pub(crate) fn body(&self) -> u64 {
        u64::from(self.length).saturating_sub(u64::try_from(ENVELOPE_FIELDS).unwrap_or(0))
    }

    /// The bytes that the record takes in its segment.
    pub(crate) fn record(&self) -> u64 {
        let payload = usize::try_from(self.length).unwrap_or(usize::MAX);
        u64::try_from(record_length(payload)).unwrap_or(u64::MAX)
    }
}

/// What is held under one delivery id, or under one kind of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Envelopes.
    pub envelopes: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Held {
    pub(crate) fn add(&mut self, body: u64) {
        self.envelopes = self.envelopes.saturating_add(1);
        self.bytes = self.bytes.saturating_add(body);
    }

    fn join(&mut self, other: Self) {
        self.envelopes = self.envelopes.saturating_add(other.envelopes);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn remove(&mut self, body: u64) {
        self.envelopes = self.envelopes.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(body);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) delivery_id: DeliveryId,
    pub(crate) kind: DeliveryIdKind,
    pub(crate) held: Held,
}

/// One mailbox.
#[derive(Default)]
pub struct Mailbox {
    pub(crate) last_position: u64,
    /// What a checkpoint had, until it is unpacked: these entries are before [`Mailbox::entries`].
    pub(crate) packed: Option<Packed>,
    /// From which place on its records are replayed.
    pub(crate) since: Place,
    pub(crate) entries: VecDeque<Entry>,
    pub(crate) shares: Vec<Share>,
    all: Held,
    own: Held,
    strangers: Held,
    /// Fingerprints of what is held and of what is remembered. Empty while anything is packed.
    known: Known,
    /// Fingerprints of what is gone, in the order of the going.
    pub(crate) remembered: VecDeque<u64>,
    /// How many of the remembered, from the front, the next day forgets.
    pub(crate) older: usize,
    /// How many of the remembered, from the back, no checkpoint has.
    pub(crate) unsaved: usize,
}

impl Mailbox {
    /// Everything that it holds.
    #[must_use]
    pub const fn held(&self) -> Held {
        self.all
    }

    /// The highest position that was ever used.
    #[must_use]
    pub const fn last_position(&self) -> Position {
        Position(self.last_position)
    }

    /// What it holds under each delivery id.
    pub fn shares(&self) -> impl Iterator<Item = (DeliveryId, DeliveryIdKind, Held)> + '_ {
        let used = self.shares.iter().filter(|share| share.held.envelopes > 0);
        used.map(|share| (share.delivery_id, share.kind, share.held))
    }

    /// How many envelopes that are gone it remembers.
    #[must_use]
    pub fn remembered_count(&self) -> usize {
        self.remembered.len()
    }

    /// The fingerprints of the envelopes that it remembers, in the order of their going.
    pub fn remembered(&self) -> impl Iterator<Item = u64> + '_ {
        self.remembered.iter().copied()
    }

    /// What it holds from the account's own devices.
    #[must_use]
    pub const fn held_own(&self) -> Held {
        self.own
    }

    /// What it holds from strangers.
    #[must_use]
    pub const fn held_strangers(&self) -> Held {
        self.strangers
    }

    /// What it holds under one delivery id.
    #[must_use]
    pub fn held_under(&self, delivery_id: &DeliveryId) -> Held {
        self.shares
            .iter()
            .find(|share| share.delivery_id == *delivery_id)
            .map_or_else(Held::default, |share| share.held)
    }

    /// Whether it holds or remembers an envelope.
    #[must_use]
    pub fn knows(&self, envelope: &Prepared) -> bool {
        self.has_seen(envelope.fingerprint)
    }

    pub(crate) fn has_seen(&self, fingerprint: Fingerprint) -> bool {
        debug_assert!(self.packed.is_none(), "unpacked before it is looked into");
        self.known.contains(&fingerprint.0)
    }

    /// The share of a delivery id; one that holds nothing any more gives way to it.
    pub(crate) fn share_of(&mut self, delivery_id: DeliveryId, kind: DeliveryIdKind) -> u32 {
        let mut free = None;
        for (number, share) in self.shares.iter().enumerate() {
            if share.delivery_id == delivery_id && share.kind == kind {
                return u32::try_from(number).unwrap_or(u32::MAX);
            }
            if share.held.envelopes == 0 {
                free.get_or_insert(number);
            }
        }
        let share = Share {
            delivery_id,
            kind,
            held: Held::default(),
        };
        let number = free.unwrap_or(self.shares.len());
        match self.shares.get_mut(number) {
            Some(place) => *place = share,
            None => self.shares.push(share),
        }
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// Puts an entry at the end.
    pub(crate) fn push(&mut self, entry: Entry) {
        let body = entry.body();
        self.last_position = self.last_position.max(entry.position);
        if self.packed.is_none() {
            self.known.insert(entry.fingerprint);
        }
        self.count(entry.share, |held| held.add(body));
        if self.entries.len() == self.entries.capacity() {
            // Doubling would leave half of it unused; what is behind packed entries is moved soon.
            let parts = if self.packed.is_some() { 1 } else { 8 };
            let more = self.entries.len().div_ceil(parts).max(ENTRIES_FIRST);
            self.entries.reserve_exact(more);
        }
        self.entries.push_back(entry);
    }

    fn count(&mut self, share: u32, change: impl Fn(&mut Held)) {
        change(&mut self.all);
        let number = usize::try_from(share).unwrap_or(usize::MAX);
        if let Some(share) = self.shares.get_mut(number) {
            change(&mut share.held);
            match share.kind {
                DeliveryIdKind::Own => change(&mut self.own),
                DeliveryIdKind::Public => change(&mut self.strangers),
                DeliveryIdKind::Contact => {}
            }
        }
    }

    /// The place of a position in the entries.
    pub(crate) fn find(&self, position: u64) -> Option<usize> {
        self.entries
            .binary_search_by_key(&position, |entry| entry.position)
            .ok()
    }

    /// Takes an entry out and remembers its envelope.
    pub(crate) fn remove(&mut self, position: u64, remembered_max: usize) -> Option<Entry> {
        let entry = self.find(position).and_then(|at| self.entries.remove(at))?;
        let body = entry.body();
        self.count(entry.share, |held| held.remove(body));
        self.remembered.push_back(entry.fingerprint);
        self.unsaved = self.unsaved.saturating_add(1);
        while self.remembered.len() > remembered_max {
            self.forget_oldest();
        }
        self.shrink();
        Some(entry)
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.remembered.pop_front() {
            self.known.remove(&oldest);
            self.older = self.older.saturating_sub(1);
            self.unsaved = self.unsaved.min(self.remembered.len());
        }
    }

    /// Looks once at what will be forgotten when so many more are remembered: looks one after the other miss
    /// the processor's caches together.
    fn touch_oldest(&self, more: usize, remembered_max: usize) {
        let remembered = self.remembered.len().saturating_add(more);
        let oldest = self.remembered.iter();
        let oldest = oldest.take(remembered.saturating_sub(remembered_max).min(more));
        let known = oldest.filter(|oldest| self.known.contains(oldest));
        core::hint::black_box(known.count());
    }

    /// A day has passed: what was remembered on an earlier one is forgotten.
    pub(crate) fn forget_older(&mut self) {
        for _ in 0..self.older {
            self.forget_oldest();
        }
        self.older = self.remembered.len();
        self.shrink();
    }

    /// Gives memory back: of the entries when a fifth is unused, of the table, which knows powers of
    /// two only, when five ninths are. What is left grows by an eighth before it grows again.
    fn shrink(&mut self) {
        let used = self.entries.len().max(16);
        let eighth = used.div_ceil(8);
        if self.entries.capacity() > used.saturating_add(eighth.saturating_mul(2)) {
            self.entries.shrink_to(used.saturating_add(eighth));
        }
        let used = self.known.len().max(16);
        let quarter = used.div_ceil(4);
        if self.known.capacity() > quarter.saturating_mul(9) {
            self.known.shrink_to(used);
        }
    }

    /// Puts back what a checkpoint held and remembered; the shares are there.
    pub(crate) fn restore(&mut self, packed: Packed, remembered: VecDeque<u64>, older: usize) {
        for share in &self.shares {
            self.all.join(share.held);
            match share.kind {
                DeliveryIdKind::Own => self.own.join(share.held),
                DeliveryIdKind::Public => self.strangers.join(share.held),
                DeliveryIdKind::Contact => {}
            }
        }
        self.older = older.min(remembered.len());
        self.remembered = remembered;
        self.packed = Some(packed);
    }

    /// Makes the table of fingerprints anew.
    pub(super) fn fill_known(&mut self) {
        let held = self.entries.iter().map(|entry| entry.fingerprint);
        let count = self.entries.len().saturating_add(self.remembered.len());
        self.known = Known::with_capacity_and_hasher(count, BuildHasherDefault::default());
        self.known.extend(self.remembered.iter().copied());
        self.known.extend(held);
    }
}

/// Every mailbox, and how much each segment holds that is still wanted.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) mailboxes: BTreeMap<MailboxKey, Mailbox>,
    /// Mailboxes that are packed.
    pub(crate) packed: usize,
    /// Bytes of wanted records, by segment, without those that are packed.
    pub(crate) live: BTreeMap<u32, u64>,
    /// Of all of them, as the number of entries is.
    pub(crate) live_bytes: u64,
    pub(crate) entries: u64,
    /// The last day on which remembered envelopes were forgotten.
    pub(crate) forgotten: Option<Day>,
    /// Counts those days.
    pub(crate) generation: u32,
    pub(crate) remembered_max: usize,
}

impl Index {
    fn enliven(&mut self, entry: &Entry) {
        let bytes = entry.record();
        let live = self.live.entry(entry.place.segment).or_insert(0);
        *live = live.saturating_add(bytes);
        self.live_bytes = self.live_bytes.saturating_add(bytes);
        self.entries = self.entries.saturating_add(1);
    }

    fn bury(&mut self, entry: &Entry) {
        let bytes = entry.record();
        if let Some(live) = self.live.get_mut(&entry.place.segment) {
            *live = live.saturating_sub(bytes);
            if *live == 0 {
                self.live.remove(&entry.place.segment);
            }
        }
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
        self.entries = self.entries.saturating_sub(1);
    }

    /// Puts an envelope into its mailbox. One whose position is not above the last one is there, or
    /// was there, already; so is one from before where the mailbox is replayed from.
    pub(crate) fn add(
        &mut self,
        mailbox: MailboxKey,
        delivery_id: DeliveryId,
        kind: DeliveryIdKind,
        mut entry: Entry,
    ) {
        let held = self.mailboxes.entry(mailbox).or_default();
        if entry.position <= held.last_position || entry.place < held.since {
            return;
        }
        entry.share = held.share_of(delivery_id, kind);
        held.push(entry);
        self.enliven(&entry);
    }

    /// Puts an envelope into its mailbox at the next position, which is answered.
    pub(crate) fn add_next(
        &mut self,
        mailbox: MailboxKey,
        delivery_id: DeliveryId,
        kind: DeliveryIdKind,
        mut entry: Entry,
    ) -> u64 {
        let held = self.mailboxes.entry(mailbox).or_default();
        entry.position = held.last_position.saturating_add(1);
        entry.share = held.share_of(delivery_id, kind);
        held.push(entry);
        self.enliven(&entry);
        entry.position
    }

    /// Takes envelopes out of a mailbox, which is unpacked; positions that hold nothing are passed over. Answers which
    /// positions held something, as ranges.
    pub(crate) fn acknowledge(
        &mut self,
        mailbox: &MailboxKey,
        positions: impl Iterator<Item = u64>,
    ) -> Vec<Range> {
        let mut gone = Vec::new();
        let remembered_max = self.remembered_max;
        if let Some(held) = self.mailboxes.get_mut(mailbox) {
            held.touch_oldest(positions.size_hint().0, remembered_max);
            gone = positions
                .filter_map(|position| held.remove(position, remembered_max))
                .collect();
        }
        let mut ranges: Vec<Range> = Vec::new();
        for entry in gone {
            self.bury(&entry);
            match ranges.last_mut() {
                Some(last)
                    if last.first.saturating_add(u64::from(last.count)) == entry.position =>
                {
                    last.count = last.count.saturating_add(1);
                }
                _ => ranges.push(Range {
                    first: entry.position,
                    count: 1,
                }),
            }
        }
        ranges
    }

    /// Removes a mailbox, which is unpacked, with all that is in it.
    pub(crate) fn remove_mailbox(&mut self, mailbox: &MailboxKey) {
        if let Some(held) = self.mailboxes.remove(mailbox) {
            for entry in &held.entries {
                self.bury(entry);
            }
        }
    }

    /// The mailboxes of an account.
    pub(crate) fn mailboxes_of(&self, account: &AccountKey) -> Vec<MailboxKey> {
        let first = MailboxKey {
            account: *account,
            device: DeviceId::new([0; DeviceId::LENGTH]),
        };
        let last = MailboxKey {
            account: *account,
            device: DeviceId::new([0xff; DeviceId::LENGTH]),
        };
        self.mailboxes
            .range(first..=last)
            .map(|(mailbox, _)| *mailbox)
            .collect()
    }

    /// Whether a day is later than the last one on which something was forgotten.
    pub(crate) fn is_new_day(&self, day: Day) -> bool {
        self.forgotten.is_none_or(|last| day > last)
    }

    /// Notes that a day has come, without forgetting anything.
    pub(crate) fn turn_day(&mut self, day: Day) {
        self.forgotten = Some(day);
        self.generation = self.generation.saturating_add(1);
    }

    /// Moves an envelope of an unpacked mailbox that was copied forward, if it is still where it was.
    pub(crate) fn relocate(
        &mut self,
        mailbox: &MailboxKey,
        position: u64,
        from: Place,
        to: Place,
    ) -> bool {
        let Some(held) = self.mailboxes.get_mut(mailbox) else {
            return false;
        };
        let Some(entry) = held.find(position).and_then(|at| held.entries.get_mut(at)) else {
            return false;
        };
        if entry.place != from {
            return false;
        }
        let before = *entry;
        entry.place = to;
        let after = *entry;
        self.bury(&before);
        self.enliven(&after);
        true
    }
}

#[cfg(test)]
mod tests;
