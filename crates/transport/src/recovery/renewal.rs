// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way back to the transport that a client prefers: when to look whether it gets through again, and the
//! connection that then waits for its moment.
//!
//! A connection over TCP cannot move to another network, and a lost packet holds everything up. It is looked
//! for QUIC by the ordinary race, beside the connection and as often as the race forgets that TCP won, so
//! that an observer sees what each new connection looks like. The new connection takes over while nothing waits
//! for the server: what is under way on the old one need not be sent again.

use crate::link::Transport;
use crate::race::REMEMBERED_MS;
use crate::rpc::Connection;

/// How long a look is put off that comes at a time when the connection is silent, in milliseconds.
const PUT_OFF_MS: u64 = 10_000;

/// Times are those of one monotonic clock.
#[derive(Debug)]
pub(super) struct Renewal {
    /// The transport that is looked for; `None` where there is nothing to look for.
    wanted: Option<Transport>,
    due_ms: u64,
    is_under_way: bool,
    better: Option<Connection>,
}

impl Renewal {
    /// Nothing is up.
    pub(super) const fn none() -> Self {
        Self {
            wanted: None,
            due_ms: u64::MAX,
            is_under_way: false,
            better: None,
        }
    }

    /// A connection over `transport` is up; `preferred` is what an attempt may find.
    pub(super) fn of(now_ms: u64, transport: Transport, preferred: Option<Transport>) -> Self {
        Self {
            wanted: preferred.filter(|preferred| *preferred != transport),
            due_ms: now_ms.saturating_add(REMEMBERED_MS),
            ..Self::none()
        }
    }

    /// When the next look is due. `u64::MAX` for never.
    pub(super) const fn due_ms(&self) -> u64 {
        let is_busy = self.is_under_way || self.better.is_some();
        if self.wanted.is_some() && !is_busy {
            self.due_ms
        } else {
            u64::MAX
        }
    }

    /// The look that is due cannot be taken now.
    pub(super) const fn put_off(&mut self, now_ms: u64) {
        self.due_ms = now_ms.saturating_add(PUT_OFF_MS);
    }

    /// An attempt begins.
    pub(super) const fn began(&mut self) {
        self.is_under_way = true;
    }

    /// Whether an attempt is under way that is no race against the connection.
    pub(super) const fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// The attempt has ended, whatever came of it.
    pub(super) const fn ended(&mut self, now_ms: u64) {
        if self.is_under_way {
            self.is_under_way = false;
            self.due_ms = now_ms.saturating_add(REMEMBERED_MS);
        }
    }

    /// Everything under way is given up, as the network has changed.
    pub(super) fn give_up(&mut self, now_ms: u64) {
        self.ended(now_ms);
        self.better = None;
    }

    /// Keeps a connection if it is over the transport that is looked for; gives it back otherwise.
    pub(super) fn keep(&mut self, connection: Connection) -> Option<Connection> {
        if self.wanted != Some(connection.link().transport()) {
            return Some(connection);
        }
        self.better = Some(connection);
        None
    }

    /// Whether a better connection waits, and is open.
    pub(super) fn has_better(&mut self) -> bool {
        self.better
            .take_if(|better| better.link().close_reason().is_some());
        self.better.is_some()
    }

    /// The better connection.
    pub(super) const fn take(&mut self) -> Option<Connection> {
        self.better.take()
    }
}
