// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finding the session of an envelope: a table of the routing tags that may come next, and trial
//! header decryption behind it.
//!
//! The table is a cache in memory. Correctness never depends on it: what it does not know costs one
//! lookup more and then a header opening for each header key.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::{BTreeMap, HashMap};

use waxwing_identity::Day;
use waxwing_proto::limits::{
    CHAIN_LENGTH_MAX, RETENTION_DAYS, SKIPPED_KEYS_PER_ACCOUNT_MAX, SKIPPED_KEYS_PER_SESSION_MAX,
    TAG_WINDOW, TAG_WINDOW_FIRST,
};

use crate::envelope::Envelope;
use crate::session::header::HeaderKeys;
use crate::session::skipped::SkippedRow;
use crate::{HandshakeId, Session, SessionId, SkippedId, Tag};

/// What one opened envelope changes in the table.
#[derive(Debug, Default)]
pub struct TagChanges {
    pub(crate) removed: Vec<Tag>,
    pub(crate) added: Vec<(Tag, SkippedId)>,
    /// Tags of skipped keys that are not kept at all.
    pub(crate) dropped: Vec<Tag>,
    pub(crate) skipped_added: Vec<(SkippedId, Tag, Day)>,
    pub(crate) skipped_removed: Option<SkippedId>,
}

/// What a tag belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagHit {
    /// The session.
    pub session: SessionId,
    /// The row to load and pass to [`Session::decrypt`], where the key was skipped; `None` where a
    /// chain of the session gives the key.
    pub skipped: Option<SkippedId>,
}

/// What one tag leads to.
#[derive(Debug, Clone, Copy)]
struct Place {
    session: SessionId,
    position: SkippedId,
    skipped: bool,
}

/// The first 8 bytes of a tag are its hash. Tags in the table are pseudorandom under keys that a
/// peer cannot choose, so nobody makes them collide; which tags are looked up is no matter.
#[derive(Debug, Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length, which is always the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

type Places = HashMap<Tag, Place, BuildHasherDefault<TagHasher>>;

/// The skipped keys of one session: their tags and days.
type SkippedIndex = BTreeMap<SkippedId, (Tag, Day)>;

/// Where the tags end (exclusive) that are held ready for a chain whose next number is `n`: many for a
/// chain that has gone on for long, few for one that may end with its first message, as most do.
pub(crate) fn window_end(n: u32) -> u32 {
    // SES-35.
    let width = TAG_WINDOW_FIRST.saturating_add(n).min(TAG_WINDOW);
    n.saturating_add(width).min(CHAIN_LENGTH_MAX)
}

/// Tag → (session, chain, number), over the skipped rows, the next 16 to 64 numbers of each receiving
/// chain, and the first 16 of each next chain.
#[derive(Debug, Default)]
pub struct TagTable {
    tags: Places,
    skipped: BTreeMap<SessionId, SkippedIndex>,
}

impl TagTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tags are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether no tag is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// One lookup, whoever made the envelope.
    #[must_use]
    #[inline]
    pub fn lookup(&self, tag: &Tag) -> Option<TagHit> {
        let place = self.tags.get(tag)?;
        Some(TagHit {
            session: place.session,
            skipped: place.skipped.then_some(place.position),
        })
    }

    /// Adds the windows of a session that was restored, initiated or accepted.
    pub fn insert_session(&mut self, session: &Session) {
        let state = session.state();
        if let Some(chain) = &state.receiving {
            self.insert_window(session.id(), &chain.header, chain.step, chain.n);
        }
        let next = state.next_receiving_step();
        self.insert_window(session.id(), &state.receiving_next, next, 0);
    }

    /// Adds the tag of a skipped row, at start-up or after [`accept`](crate::accept).
    pub fn insert_skipped(&mut self, session: SessionId, row: &SkippedRow) {
        self.insert_skipped_tag(session, row.id(), row.tag(), row.day());
    }

    /// Follows an envelope that was opened, once its batch is durable.
    pub fn apply(&mut self, session: SessionId, changes: &TagChanges) {
        for tag in &changes.removed {
            self.tags.remove(tag);
        }
        for (tag, position) in &changes.added {
            self.insert_tag(*tag, session, *position, false);
        }
        for tag in &changes.dropped {
            self.tags.remove(tag);
        }
        for (id, tag, day) in &changes.skipped_added {
            self.insert_skipped_tag(session, *id, *tag, *day);
        }
        if let Some(id) = &changes.skipped_removed {
            self.forget(session, *id);
        }
    }

    /// Forgets a session that has gone, with its skipped rows.
    pub fn remove_session(&mut self, session: SessionId) {
        self.tags.retain(|_, place| place.session != session);
        self.skipped.remove(&session);
    }

    /// Forgets a skipped row that was used or deleted.
    pub fn forget(&mut self, session: SessionId, id: SkippedId) {
        let Some(index) = self.skipped.get_mut(&session) else {
            return;
        };
        if let Some((tag, _)) = index.remove(&id) {
            self.tags.remove(&tag);
        }
        if index.is_empty() {
            self.skipped.remove(&session);
        }
    }

    /// The skipped rows of one session, oldest first.
    pub fn skipped(&self, session: SessionId) -> impl Iterator<Item = SkippedId> + '_ {
        self.skipped
            .get(&session)
            .into_iter()
            .flat_map(|index| index.keys().copied())
    }

    /// The rows that are over the limits, for all sessions with one peer account: the oldest of
    /// each session beyond 1000, then the oldest of all beyond 2000. Delete them, then
    /// [`forget`](TagTable::forget) them.
    #[must_use]
    pub fn overflow(&self, sessions: &[SessionId]) -> Vec<(SessionId, SkippedId)> {
        // SES-37.
        let counts = || {
            let indexes = sessions
                .iter()
                .filter_map(|session| self.skipped.get(session));
            indexes.map(SkippedIndex::len)
        };
        if counts().all(|count| count <= SKIPPED_KEYS_PER_SESSION_MAX)
            && counts().sum::<usize>() <= SKIPPED_KEYS_PER_ACCOUNT_MAX
        {
            return Vec::new();
        }
        let mut gone = Vec::new();
        let mut kept: Vec<(Day, SessionId, SkippedId)> = Vec::new();
        for session in sessions {
            let Some(index) = self.skipped.get(session) else {
                continue;
            };
            let excess = index.len().saturating_sub(SKIPPED_KEYS_PER_SESSION_MAX);
            for (place, (id, (_, day))) in index.iter().enumerate() {
                if place < excess {
                    gone.push((*session, *id));
                } else {
                    kept.push((*day, *session, *id));
                }
            }
        }
        let excess = kept.len().saturating_sub(SKIPPED_KEYS_PER_ACCOUNT_MAX);
        kept.sort_unstable_by_key(|(day, session, id)| (*day, *id, *session));
        let oldest = kept.into_iter().take(excess);
        gone.extend(oldest.map(|(_, session, id)| (session, id)));
        gone
    }

    /// The rows that are older than the mailbox retention: their envelopes cannot come any more.
    #[must_use]
    pub fn expired(&self, today: Day) -> Vec<(SessionId, SkippedId)> {
        let mut gone = Vec::new();
        for (session, index) in &self.skipped {
            for (id, (_, day)) in index {
                if today.saturating_sub(*day) > RETENTION_DAYS {
                    gone.push((*session, *id));
                }
            }
        }
        gone
    }

    fn insert_window(&mut self, session: SessionId, header: &HeaderKeys, step: u32, start: u32) {
        let numbers = start..window_end(start);
        for (n, tag) in numbers.clone().zip(header.tags(numbers)) {
            self.insert_tag(tag, session, SkippedId { step, n }, false);
        }
    }

    fn insert_tag(&mut self, tag: Tag, session: SessionId, position: SkippedId, skipped: bool) {
        let place = Place {
            session,
            position,
            skipped,
        };
        self.tags.insert(tag, place);
    }

    fn insert_skipped_tag(&mut self, session: SessionId, id: SkippedId, tag: Tag, day: Day) {
        self.insert_tag(tag, session, id, true);
        self.skipped
            .entry(session)
            .or_default()
            .insert(id, (tag, day));
    }
}

/// Where an envelope belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// In a known session.
    Session {
        /// The session.
        id: SessionId,
        /// The row to load and pass to [`Session::decrypt`], where the key was skipped.
        skipped: Option<SkippedId>,
    },
    /// Nowhere yet: it carries a handshake that is not known. [`accept`](crate::accept) decides.
    Handshake,
    /// Nowhere. Dropped, acknowledged and counted.
    Unknown,
}

/// Finds the session of an envelope: by its tag, by its repeated prefix, then by trying the header
/// keys of `sessions`, at most two openings each.
///
/// `known` finds the session of a handshake that was accepted before. The caller bounds the trials
/// by a budget of time; with no `sessions`, only tag and prefix are tried.
#[inline]
pub fn find<'a>(
    table: &TagTable,
    envelope: &Envelope<'_>,
    sessions: impl IntoIterator<Item = &'a Session>,
    known: impl FnOnce(&HandshakeId) -> Option<SessionId>,
) -> Found {
    // SES-19, SES-35.
    let mut sessions = sessions.into_iter();
    if let Some(hit) = table.lookup(&envelope.tag()) {
        return Found::Session {
            id: hit.session,
            skipped: hit.skipped,
        };
    }
    if let Some(prefix) = envelope.prefix() {
        return known(&prefix.handshake_id())
            .map_or(Found::Handshake, |id| Found::Session { id, skipped: None });
    }
    sessions
        .find(|session| session.opens_header(envelope))
        .map_or(Found::Unknown, |session| Found::Session {
            id: session.id(),
            skipped: None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionId = SessionId::new([1; 32]);
    const TWO: SessionId = SessionId::new([2; 32]);

    fn tag(number: u32) -> Tag {
        let mut bytes = [0; Tag::LENGTH];
        for (place, byte) in bytes.iter_mut().zip(number.to_le_bytes()) {
            *place = byte;
        }
        Tag::new(bytes)
    }

    const fn at(n: u32) -> SkippedId {
        SkippedId { step: 3, n }
    }

    /// A table with skipped rows of two sessions: those of the first are numbers 0 to 2, of days 10 to
    /// 12, and that of the second is number 3, of day 13.
    fn table() -> TagTable {
        let mut table = TagTable::new();
        for (n, day) in (0..4).zip(10..) {
            let session = if n < 3 { ONE } else { TWO };
            let changes = TagChanges {
                skipped_added: vec![(at(n), tag(n), day)],
                ..TagChanges::default()
            };
            table.apply(session, &changes);
        }
        table
    }

    fn skipped(table: &TagTable, session: SessionId) -> Vec<SkippedId> {
        table.skipped(session).collect()
    }

    #[test]
    fn a_session_that_has_gone_leaves_nothing() {
        let mut table = table();
        assert!(!table.is_empty() && TagTable::new().is_empty());
        assert_eq!(table.len(), 4);
        table.remove_session(ONE);
        assert_eq!(table.len(), 1);
        assert!(table.lookup(&tag(0)).is_none());
        assert!(skipped(&table, ONE).is_empty());
        let left = TagHit {
            session: TWO,
            skipped: Some(at(3)),
        };
        assert_eq!(table.lookup(&tag(3)), Some(left));
        assert_eq!(skipped(&table, TWO), [at(3)]);
        table.remove_session(TWO);
        assert!(table.is_empty());
    }

    #[test]
    fn a_row_that_was_used_leaves_the_others() {
        let mut table = table();
        table.forget(ONE, at(1));
        assert_eq!(skipped(&table, ONE), [at(0), at(2)]);
        assert_eq!(skipped(&table, TWO), [at(3)]);
        assert!(table.lookup(&tag(1)).is_none() && table.lookup(&tag(2)).is_some());
        for id in [at(0), at(2)] {
            table.forget(ONE, id);
        }
        assert!(!table.skipped.contains_key(&ONE));
    }

    #[test]
    fn rows_are_kept_as_long_as_their_envelopes_may_come() {
        let table = table();
        let expired = |today| table.expired(today);
        assert!(expired(10).is_empty());
        assert!(expired(RETENTION_DAYS.saturating_add(10)).is_empty());
        assert_eq!(expired(RETENTION_DAYS.saturating_add(11)), [(ONE, at(0))]);
        let all = [(ONE, at(0)), (ONE, at(1)), (ONE, at(2)), (TWO, at(3))];
        assert_eq!(expired(RETENTION_DAYS.saturating_add(14)), all);
    }

    /// SES-37, to the row.
    #[test]
    fn what_is_over_the_limits_is_the_oldest() {
        let mut table = TagTable::new();
        let mut fill = |session, from: u32, count: usize, day| {
            let numbers = from..from.saturating_add(u32::try_from(count).unwrap());
            let skipped_added = numbers.map(|n| (at(n), tag(n), day)).collect();
            let changes = TagChanges {
                skipped_added,
                ..TagChanges::default()
            };
            table.apply(session, &changes);
        };
        fill(ONE, 0, SKIPPED_KEYS_PER_SESSION_MAX, 20);
        fill(TWO, 5_000, SKIPPED_KEYS_PER_SESSION_MAX, 10);
        let third = SessionId::new([3; 32]);
        assert!(table.overflow(&[ONE, TWO]).is_empty());
        let one_more = |session, n: u32| TagChanges {
            skipped_added: vec![(at(n), tag(n), if session == ONE { 20 } else { 30 })],
            ..TagChanges::default()
        };
        // One more in one session: its own oldest goes.
        table.apply(ONE, &one_more(ONE, 4_999));
        assert_eq!(table.overflow(&[ONE, TWO]), [(ONE, at(0))]);
        // That holds for a session alone, however few rows there are in all.
        assert_eq!(table.overflow(&[ONE]), [(ONE, at(0))]);
        table.forget(ONE, at(0));
        // One more in all: the oldest of all goes.
        table.apply(third, &one_more(third, 9_000));
        assert_eq!(table.overflow(&[ONE, TWO, third]), [(TWO, at(5_000))]);
        assert!(table.overflow(&[ONE, third]).is_empty());
    }

    /// The first bytes, as they are: the length that slices put before them is no part of it.
    #[test]
    fn the_hash_of_a_tag_is_its_first_bytes() {
        use core::hash::Hash as _;
        let mut hasher = TagHasher::default();
        let mut bytes = [7; Tag::LENGTH];
        bytes[..8].copy_from_slice(&0x1234_5678_9abc_def0_u64.to_le_bytes());
        Tag::new(bytes).hash(&mut hasher);
        assert_eq!(hasher.finish(), 0x1234_5678_9abc_def0);
    }
}
