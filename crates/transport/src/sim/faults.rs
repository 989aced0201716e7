// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Crashes, killed links, partitions, and what happens when a timer rings.

use std::sync::Arc;

use super::world::{Action, Direction, HELD, Side, World};
use crate::close::CloseReason;

/// How long a sender waits before it tries again to get a single packet through, in milliseconds.
const RETRY_MS: u64 = 1000;

impl World {
    /// A node stops in the middle of everything and says nothing to anybody.
    pub(super) fn crash(&mut self, now_ms: u64, node: &Arc<str>) {
        self.listeners.retain(|(name, _), _| name != node);
        self.down.insert(Arc::clone(node));
        for (link, side) in self.ends_at(node) {
            self.end(now_ms, link, side, CloseReason::Fault);
            if let Some(state) = self.links.get_mut(&link) {
                state.ends.at_mut(side).crashed = true;
            }
        }
    }

    fn ends_at(&self, node: &Arc<str>) -> Vec<(u64, Side)> {
        let mut found = Vec::new();
        for (&link, state) in &self.links {
            for side in [Side::Client, Side::Server] {
                if state.nodes.at(side) == node {
                    found.push((link, side));
                }
            }
        }
        found
    }

    /// Both ends of every link between two nodes are over at once.
    pub(super) fn kill(&mut self, now_ms: u64, one: &Arc<str>, two: &Arc<str>) {
        for (link, side) in self.ends_at(one) {
            let is_between = self
                .links
                .get(&link)
                .is_some_and(|state| state.nodes.at(side.other()) == two);
            if is_between {
                self.end(now_ms, link, side, CloseReason::Reset);
                self.end(now_ms, link, side.other(), CloseReason::Reset);
            }
        }
    }

    /// Cuts the path in one direction. What is on its way is held back.
    pub(super) fn partition(&mut self, now_ms: u64, from: &Arc<str>, to: &Arc<str>) {
        let path = (Arc::clone(from), Arc::clone(to));
        if self.partitions.contains_key(&path) {
            return;
        }
        self.partitions.insert(path, now_ms);
        for (link, sender) in self.senders_on(from, to) {
            for direction in self.directions_of(link, sender) {
                for flight in &mut direction.flights {
                    if flight.at_ms > now_ms {
                        flight.at_ms = HELD;
                        direction.last_at_ms = HELD;
                    }
                }
            }
            let action = Action::ExpireBehindPartition {
                link,
                side: sender.other(),
                since_ms: now_ms,
            };
            self.timers.push((self.settings.idle_timeout_ms, action));
        }
    }

    /// Opens a path again. What was held back is sent once more.
    pub(super) fn heal(&mut self, now_ms: u64, from: &Arc<str>, to: &Arc<str>) {
        let path = (Arc::clone(from), Arc::clone(to));
        if self.partitions.remove(&path).is_none() {
            return;
        }
        for (link, sender) in self.senders_on(from, to) {
            let (delay_ms, _) = self.draw_delay_ms(0);
            let at_ms = now_ms.saturating_add(delay_ms);
            for direction in self.directions_of(link, sender) {
                for flight in &mut direction.flights {
                    if flight.at_ms == HELD {
                        flight.at_ms = at_ms;
                    }
                }
                if direction.last_at_ms == HELD {
                    direction.last_at_ms = at_ms;
                }
                direction.reader.wake();
            }
            if let Some(state) = self.links.get_mut(&link) {
                state.ends.at_mut(sender.other()).streams_changed.wake();
            }
        }
    }

    fn senders_on(&self, from: &Arc<str>, to: &Arc<str>) -> Vec<(u64, Side)> {
        let mut ends = self.ends_at(from);
        ends.retain(|(link, side)| {
            self.links
                .get(link)
                .is_some_and(|state| state.nodes.at(side.other()) == to)
        });
        ends
    }

    fn directions_of(&mut self, link: u64, sender: Side) -> impl Iterator<Item = &mut Direction> {
        self.links
            .get_mut(&link)
            .into_iter()
            .flat_map(|state| state.streams.values_mut())
            .map(move |stream| stream.sent_by.at_mut(sender))
    }

    /// The time of an action has come.
    pub(super) fn fire(&mut self, now_ms: u64, action: Action) {
        match action {
            Action::StopArrives {
                link,
                stream,
                sender,
                code,
            } => {
                if !self.is_link_path_open(link, sender.other()) {
                    if self.links.contains_key(&link) {
                        self.timers.push((RETRY_MS, action));
                    }
                } else if let Some(direction) = self.direction(link, stream, sender) {
                    direction.stop = Some(code);
                    direction.writer.wake();
                }
            }
            Action::CloseArrives { link, side, reason } => {
                self.end(now_ms, link, side, reason);
            }
            Action::ExpireBesideGonePeer { link, side } => {
                let is_alone = self
                    .links
                    .get(&link)
                    .is_some_and(|state| state.ends.at(side.other()).close_reason().is_some());
                if is_alone {
                    self.end(now_ms, link, side, CloseReason::TimedOut);
                }
            }
            Action::ExpireBehindPartition {
                link,
                side,
                since_ms,
            } => {
                let path = self.links.get(&link).map(|state| {
                    let from = Arc::clone(state.nodes.at(side.other()));
                    (from, Arc::clone(state.nodes.at(side)))
                });
                let is_cut_since = path.and_then(|path| self.partitions.get(&path).copied());
                if is_cut_since == Some(since_ms) {
                    self.end(now_ms, link, side, CloseReason::TimedOut);
                }
            }
        }
    }
}
