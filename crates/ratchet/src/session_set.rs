// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sessions with one peer device, and which of them is active.
//!
//! A session names the one that it continues, so that sessions form a tree. Two devices may open
//! sessions to each other at the same time, and an attempt may stay unanswered: sessions that
//! continue the same one are ordered by (`attempt`, `th`), both of which the two sides know alike.
//! The path goes from the root to the greatest each time; its last session is active on both sides,
//! the others receive only. `judging` says what becomes of a handshake, `life` which sessions go.

mod judging;
mod life;
mod path;
mod row;

pub use judging::Judged;

use waxwing_proto::limits::{ATTEMPT_JUMP_MAX, SESSIONS_PER_DEVICE_MAX};

use crate::{Continuation, ContinuityId, RatchetError, Role, Session, SessionId};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Sending happens here.
    Active,
    /// Its envelopes are still opened.
    ReceiveOnly,
}

/// The order of sessions that continue the same one.
type Order = (u32, SessionId);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    id: SessionId,
    predecessor: Option<SessionId>,
    attempt: u32,
    placed_at: u64,
    /// When it became known that no handshake of it travels any more.
    ended_at: Option<u64>,
    /// Whether this device made the handshake.
    own: bool,
}

impl Entry {
    const fn order(&self) -> Order {
        (self.attempt, self.id)
    }

    /// Whether the peer is known to have it: it opened the handshake, or made it.
    const fn is_confirmed(&self) -> bool {
        !self.own || self.ended_at.is_some()
    }
}

/// A session that is not kept any more, for handshakes that still name it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gone {
    /// `None` stands for the place before the first session.
    id: Option<SessionId>,
    continuity: Vec<ContinuityId>,
    /// The greatest of those that continued it; `None` for a session beside the path, of which
    /// everything that continues it has lost.
    winner: Option<Order>,
    at: u64,
}

/// The sessions with one peer device: one row, at most 4 sessions, and the names of 16 more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSet {
    entries: Vec<Entry>,
    /// What the first session of the path continues; `None` for nothing.
    root: Option<SessionId>,
    gone: Vec<Gone>,
    /// When the last drain of the mailbox began that was completed.
    drained_at: u64,
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

    /// The session to send in: the end of the path.
    #[must_use]
    pub fn active(&self) -> Option<SessionId> {
        self.path().last().map(|entry| entry.id)
    }

    /// The path: from the first session that is kept to the active one.
    #[must_use]
    pub fn path_ids(&self) -> Vec<SessionId> {
        self.path().iter().map(|entry| entry.id).collect()
    }

    /// All sessions, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.entries.iter().map(|entry| entry.id)
    }

    /// Whether no session is kept.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the prefix of the active session has ended.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let path = self.path();
        path.last().is_some_and(|active| active.ended_at.is_some())
    }

    /// What an own handshake continues now: the nearest session on the path in which something of
    /// the peer was opened, and the highest attempt known under it, plus 1. `sessions` gives the
    /// sessions of this set.
    pub fn continuation<'a>(
        &self,
        sessions: impl Fn(SessionId) -> Option<&'a Session>,
    ) -> Continuation {
        // SES-50, SES-53.
        let path = self.path();
        let nearest = path.iter().rev().find_map(|entry| {
            let attempt = self.next_attempt(Some(entry.id));
            Continuation::of(sessions(entry.id)?, attempt)
        });
        nearest.unwrap_or_else(|| Continuation::first(self.next_attempt(self.root)))
    }

    fn highest_attempt(&self, level: Option<SessionId>) -> Option<u32> {
        let siblings = self.entries.iter().filter(|e| e.predecessor == level);
        siblings.map(|entry| entry.attempt).max()
    }

    fn next_attempt(&self, level: Option<SessionId>) -> u32 {
        self.highest_attempt(level)
            .map_or(0, |attempt| attempt.saturating_add(1))
    }

    /// Takes a session in, initiated or accepted. `sessions` gives the other sessions of this set;
    /// `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// Those of [`SessionSet::judge`] that concern the place of the session. It is then not kept,
    /// and its content is not delivered.
    pub fn place<'a>(
        &self,
        session: &Session,
        sessions: impl Fn(SessionId) -> Option<&'a Session>,
        now: u64,
    ) -> Result<Placed, RatchetError> {
        // SES-22, SES-54.
        let entry = Entry {
            id: session.id(),
            predecessor: predecessor_of(session),
            attempt: session.attempt(),
            placed_at: now,
            ended_at: session.prefix_ended().then_some(now),
            own: session.role() == Role::Initiator,
        };
        self.check_place(entry.predecessor, entry.order(), now)?;
        let mut set = self.clone();
        if let Some(named) = entry.predecessor.filter(|_| !entry.own) {
            set.end_prefix(named, now);
        }
        let id = entry.id;
        set.entries.push(entry);
        let evicted = set.evict(&sessions, now);
        let placement = if set.active() == Some(id) {
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
    pub fn record_prefix_ended(&mut self, id: SessionId, now: u64) -> Result<(), RatchetError> {
        if self.end_prefix(id, now) {
            Ok(())
        } else {
            Err(RatchetError::SessionUnknown)
        }
    }

    fn end_prefix(&mut self, id: SessionId, now: u64) -> bool {
        // SES-55.
        let known = self.entries.iter_mut().find(|entry| entry.id == id);
        known.is_some_and(|entry| {
            entry.ended_at.get_or_insert(now);
            true
        })
    }

    /// Notes that the mailbox was drained completely, by a drain that began at `began_at`.
    pub fn record_drained(&mut self, began_at: u64) {
        if !self.entries.is_empty() {
            self.drained_at = self.drained_at.max(began_at);
        }
    }
}

fn predecessor_of(session: &Session) -> Option<SessionId> {
    let named = *session.predecessor();
    (named != [0; 32]).then(|| SessionId::new(named))
}
