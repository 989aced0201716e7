// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sessions with one peer device, and which of them is active.
//!
//! Two devices may open sessions to each other at the same time, and a first attempt may stay
//! unanswered. Sessions with the same predecessor are ordered by (`attempt`, `th`), both of which
//! the two sides know alike; the greatest is active on both sides, the others receive only. Once a
//! prefix has ended, a smaller handshake is a late loser; a greater one is the alarm.

use waxwing_identity::encoding::{LayoutError, Reader, Writer};
use waxwing_proto::limits::{ATTEMPT_JUMP_MAX, SESSIONS_PER_DEVICE_MAX, SUPERSEDED_SESSION_HOURS};

use crate::{RatchetError, Session, SessionId};

const FORMAT: u8 = 1;
const ENTRY_FLAGS: u8 = 0b111;
const ENDED: u8 = 1;
const SUPERSEDED: u8 = 1 << 1;
const DRAINED: u8 = 1 << 2;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Sending happens here.
    Active,
    /// Its envelopes are still opened.
    ReceiveOnly,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    id: SessionId,
    attempt: u32,
    placed_at: u64,
    prefix_ended: bool,
    superseded_at: Option<u64>,
    /// Whether a complete drain of the mailbox began after it was superseded.
    drained: bool,
}

impl Entry {
    const fn order(&self) -> (u32, SessionId) {
        (self.attempt, self.id)
    }
}

/// The sessions with one peer device: one row, at most 4 entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSet {
    entries: Vec<Entry>,
}

/// A set with one session more.
#[derive(Debug)]
pub struct Placed {
    /// The next set. Its row is committed with the session.
    pub set: SessionSet,
    /// What the new session is for.
    pub placement: Placement,
    /// Sessions that have to go, with all their rows.
    pub evicted: Vec<SessionId>,
}

impl SessionSet {
    /// No session.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The session to send in: the greatest.
    #[must_use]
    pub fn active(&self) -> Option<SessionId> {
        self.greatest().map(|entry| entry.id)
    }

    /// All sessions, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.entries.iter().map(|entry| entry.id)
    }

    /// The attempt that an own handshake takes now.
    #[must_use]
    pub fn next_attempt(&self) -> u32 {
        let highest = self.entries.iter().map(|entry| entry.attempt).max();
        highest.map_or(0, |attempt| attempt.saturating_add(1))
    }

    /// Whether a handshake without continuity, own or foreign, may still become the active session.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        !self.entries.iter().any(|entry| entry.prefix_ended)
    }

    /// Takes a session in, initiated or accepted. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`RatchetError::ContinuityMissing`], the alarm: a greater session, although a prefix has
    /// ended. [`RatchetError::AttemptTooHigh`], [`RatchetError::DuplicateSession`]. The new session
    /// is then not kept, and its content is not delivered.
    pub fn place(&self, session: &Session, now: u64) -> Result<Placed, RatchetError> {
        // SES-21, SES-22.
        let entry = Entry {
            id: session.id(),
            attempt: session.attempt(),
            placed_at: now,
            prefix_ended: session.prefix_ended(),
            superseded_at: None,
            drained: false,
        };
        if self.entries.iter().any(|known| known.id == entry.id) {
            return Err(RatchetError::DuplicateSession);
        }
        let last = self.entries.iter().map(|known| known.attempt).max();
        if entry.attempt > last.unwrap_or(0).saturating_add(ATTEMPT_JUMP_MAX) {
            return Err(RatchetError::AttemptTooHigh);
        }
        let greater = self
            .greatest()
            .is_none_or(|active| entry.order() > active.order());
        if greater && !self.is_unsettled() {
            return Err(RatchetError::ContinuityMissing);
        }
        let mut set = self.clone();
        set.entries.push(entry);
        set.supersede(now);
        let evicted = set.evict();
        let placement = if greater {
            Placement::Active
        } else {
            Placement::ReceiveOnly
        };
        Ok(Placed {
            set,
            placement,
            evicted,
        })
    }

    /// Notes that the prefix of a session has ended.
    ///
    /// # Errors
    /// [`RatchetError::SessionUnknown`].
    pub fn record_prefix_ended(&mut self, id: SessionId) -> Result<(), RatchetError> {
        let known = self.entries.iter_mut().find(|entry| entry.id == id);
        known.ok_or(RatchetError::SessionUnknown)?.prefix_ended = true;
        Ok(())
    }

    /// Notes that the mailbox was drained completely, by a drain that began at `began_at`.
    pub fn record_drained(&mut self, began_at: u64) {
        for entry in &mut self.entries {
            entry.drained |= entry.superseded_at.is_some_and(|at| began_at >= at);
        }
    }

    /// Removes the superseded sessions whose time has come: 48 hours after they were superseded,
    /// not before the prefix of the active session has ended, nor before a drain since.
    pub fn expire(&mut self, now: u64) -> Vec<SessionId> {
        if !self.greatest().is_some_and(|active| active.prefix_ended) {
            return Vec::new();
        }
        let life = u64::from(SUPERSEDED_SESSION_HOURS).saturating_mul(3600);
        let over = |entry: &Entry| {
            let at = entry.superseded_at;
            entry.drained && at.is_some_and(|at| now.saturating_sub(at) >= life)
        };
        let gone = self.entries.iter().filter(|entry| over(entry));
        let gone = gone.map(|entry| entry.id).collect();
        self.entries.retain(|entry| !over(entry));
        gone
    }

    fn greatest(&self) -> Option<&Entry> {
        self.entries.iter().max_by_key(|entry| entry.order())
    }

    /// Dates every session that is not the greatest.
    fn supersede(&mut self, now: u64) {
        let active = self.active();
        for entry in &mut self.entries {
            if Some(entry.id) != active {
                entry.superseded_at.get_or_insert(now);
            }
        }
    }

    /// Beyond the limit, the oldest session goes that is neither active nor answered; without one,
    /// the oldest that is not active.
    fn evict(&mut self) -> Vec<SessionId> {
        // SES-42.
        let mut evicted = Vec::new();
        while self.entries.len() > SESSIONS_PER_DEVICE_MAX {
            let active = self.active();
            let idle = || {
                let idle = self.entries.iter().filter(|entry| Some(entry.id) != active);
                idle.map(|entry| (entry.prefix_ended, entry.placed_at, entry.order()))
            };
            let Some((_, _, (_, oldest))) = idle().min() else {
                break;
            };
            self.entries.retain(|entry| entry.id != oldest);
            evicted.push(oldest);
        }
        evicted
    }

    /// The row for the sealed store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = u8::try_from(self.entries.len()).unwrap_or(u8::MAX);
        let mut writer = Writer::new().u8(FORMAT).u8(count);
        for entry in &self.entries {
            let flags = [
                (entry.prefix_ended, ENDED),
                (entry.superseded_at.is_some(), SUPERSEDED),
                (entry.drained, DRAINED),
            ];
            let flags = flags.into_iter().filter(|(set, _)| *set);
            writer = writer
                .raw(entry.id.as_bytes())
                .u32(entry.attempt)
                .u64(entry.placed_at)
                .u8(flags.fold(0, |all, (_, flag)| all | flag))
                .u64(entry.superseded_at.unwrap_or(0));
        }
        writer.into_bytes()
    }

    /// Reads what [`SessionSet::encode`] wrote.
    ///
    /// # Errors
    /// [`RatchetError::Corrupt`] or [`RatchetError::UnsupportedFormat`].
    pub fn decode(row: &[u8]) -> Result<Self, RatchetError> {
        match row.first() {
            Some(&FORMAT) => read(Reader::new(row)).map_err(|_| RatchetError::Corrupt),
            Some(format) => Err(RatchetError::UnsupportedFormat(*format)),
            None => Err(RatchetError::Corrupt),
        }
    }
}

fn read(mut reader: Reader<'_>) -> Result<SessionSet, LayoutError> {
    reader.u8()?;
    let count = usize::from(reader.u8()?);
    if count > SESSIONS_PER_DEVICE_MAX {
        return Err(LayoutError::Limit);
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let id = SessionId::new(reader.array()?);
        let attempt = reader.u32()?;
        let placed_at = reader.u64()?;
        let flags = reader.u8()?;
        let superseded_at = reader.u64()?;
        let superseded = flags & SUPERSEDED != 0;
        if flags & !ENTRY_FLAGS != 0 || (!superseded && superseded_at != 0) {
            return Err(LayoutError::Value);
        }
        entries.push(Entry {
            id,
            attempt,
            placed_at,
            prefix_ended: flags & ENDED != 0,
            superseded_at: superseded.then_some(superseded_at),
            drained: flags & DRAINED != 0,
        });
    }
    reader.finish()?;
    Ok(SessionSet { entries })
}
