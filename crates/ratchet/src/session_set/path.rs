// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The path through the tree of sessions.

use super::{Entry, SessionSet};
use crate::SessionId;

impl SessionSet {
    /// From the first session that is kept to the active one: at each place the greatest of those
    /// that continue the one before.
    pub(super) fn path(&self) -> Vec<&Entry> {
        // SES-54.
        let mut path: Vec<&Entry> = Vec::with_capacity(self.entries.len());
        let mut level = self.root;
        while let Some(greatest) = self.greatest_after(level)
            && path.len() < self.entries.len()
        {
            path.push(greatest);
            level = Some(greatest.id);
        }
        path
    }

    fn greatest_after(&self, level: Option<SessionId>) -> Option<&Entry> {
        let siblings = self.entries.iter().filter(|e| e.predecessor == level);
        siblings.max_by_key(|entry| entry.order())
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// The place on the path of what continues `level`, where that is on the path.
    pub(super) fn place_after(&self, path: &[&Entry], level: Option<SessionId>) -> Option<usize> {
        if level == self.root {
            return Some(0);
        }
        let at = path.iter().position(|entry| Some(entry.id) == level)?;
        Some(at.saturating_add(1))
    }

    /// The place on the path of the session that took over from `entry`: the next one for a session
    /// of the path, and for one beside it the one that its branch lost against.
    pub(super) fn superseded_by(&self, path: &[&Entry], entry: &Entry) -> usize {
        if let Some(at) = path.iter().position(|other| other.id == entry.id) {
            return at.saturating_add(1);
        }
        let mut level = entry.predecessor;
        for _ in 0..self.entries.len() {
            if let Some(at) = self.place_after(path, level) {
                return at;
            }
            let Some(above) = level.and_then(|id| self.get(id)) else {
                break;
            };
            level = above.predecessor;
        }
        // What it branched from is gone: whatever stands first has won.
        0
    }
}

/// When it became known that no handshake of `path[place]` travels any more: its prefix has ended,
/// or that of a session that continues it.
pub(super) fn ended_at(path: &[&Entry], place: usize) -> Option<u64> {
    let from = path.get(place..)?;
    from.iter().filter_map(|entry| entry.ended_at).min()
}
