// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long sessions are kept.
//!
//! The path from the last session whose prefix has ended has at most three: whoever continues a
//! session has opened something in it. An initiator that has done so has seen the prefix end, and
//! so has whoever is named by the peer; there remains a responder that continues a session of the
//! peer before the peer's next step, and what it opened so is its own and unanswered.

use waxwing_proto::limits::{GONE_SESSIONS_MAX, RETENTION_DAYS, SUPERSEDED_SESSION_HOURS};

use super::{Entry, Gone, SESSIONS_PER_DEVICE_MAX, SessionSet, path};
use crate::{Session, SessionId};

impl SessionSet {
    /// Removes the superseded sessions whose time has come: 48 hours after they were superseded and
    /// the prefix of what superseded them has ended, and not before a drain of the mailbox since.
    /// Their names are kept for the mailbox retention. `sessions` gives the sessions of this set.
    pub fn expire<'a>(
        &mut self,
        sessions: impl Fn(SessionId) -> Option<&'a Session>,
        now: u64,
    ) -> Vec<SessionId> {
        // SES-42, SES-58.
        let retention = u64::from(RETENTION_DAYS).saturating_mul(86_400);
        self.gone
            .retain(|gone| now.saturating_sub(gone.at) <= retention);
        let mut removed = Vec::new();
        while let Some(id) = self.next_over(now) {
            self.remove(id, &sessions, now);
            removed.push(id);
        }
        removed
    }

    /// Whether what was superseded at `since` need not be heard any more.
    pub(super) fn is_over(&self, since: u64, now: u64) -> bool {
        let life = u64::from(SUPERSEDED_SESSION_HOURS).saturating_mul(3600);
        self.drained_at >= since && now.saturating_sub(since) >= life
    }

    fn next_over(&self, now: u64) -> Option<SessionId> {
        let path = self.path();
        let over = |entry: &&Entry| {
            // Of the path the first goes first.
            let at = path.iter().position(|other| other.id == entry.id);
            if at.is_some_and(|at| at > 0) {
                return false;
            }
            let place = self.superseded_by(&path, entry);
            let (Some(winner), Some(ended)) = (path.get(place), path::ended_at(&path, place))
            else {
                return false;
            };
            let since = ended.max(winner.placed_at).max(entry.placed_at);
            self.is_over(since, now)
        };
        self.entries.iter().find(over).map(|entry| entry.id)
    }

    /// Beyond the limit the oldest unconfirmed session beside the path goes; without one, the oldest
    /// that is not on the path from the last ended session to the active one.
    pub(super) fn evict<'a>(
        &mut self,
        sessions: &impl Fn(SessionId) -> Option<&'a Session>,
        now: u64,
    ) -> Vec<SessionId> {
        // SES-59.
        let mut evicted = Vec::new();
        while self.entries.len() > SESSIONS_PER_DEVICE_MAX
            && let Some(id) = self.next_evicted()
        {
            self.remove(id, sessions, now);
            evicted.push(id);
        }
        evicted
    }

    fn next_evicted(&self) -> Option<SessionId> {
        let path = self.path();
        let last_ended = path.iter().rposition(|entry| entry.ended_at.is_some());
        let may_go = |entry: &&Entry| {
            let at = path.iter().position(|other| other.id == entry.id);
            at.is_none_or(|at| at == 0 && last_ended.is_some_and(|ended| ended > 0))
        };
        let candidates = self.entries.iter().filter(may_go);
        candidates
            .min_by_key(|entry| (entry.is_confirmed(), entry.placed_at, entry.order()))
            .map(|entry| entry.id)
    }

    /// Takes a session out, and keeps its names.
    fn remove<'a>(
        &mut self,
        id: SessionId,
        sessions: &impl Fn(SessionId) -> Option<&'a Session>,
        now: u64,
    ) {
        let path = self.path();
        let at = path.iter().position(|entry| entry.id == id);
        let first = path.first().map(|entry| entry.order());
        let next = at.and_then(|at| path.get(at.saturating_add(1)));
        let continuity = sessions(id).map(Session::continuity_ids);
        let gone = Gone {
            id: Some(id),
            continuity: continuity.unwrap_or_default(),
            winner: next.map(|entry| entry.order()),
            at: now,
        };
        if at == Some(0) {
            if self.root.is_none() {
                self.gone.push(Gone {
                    id: None,
                    continuity: Vec::new(),
                    winner: first,
                    at: now,
                });
            }
            self.root = Some(id);
        }
        self.gone.push(gone);
        let excess = self.gone.len().saturating_sub(GONE_SESSIONS_MAX);
        self.gone.drain(..excess);
        self.entries.retain(|entry| entry.id != id);
    }
}
