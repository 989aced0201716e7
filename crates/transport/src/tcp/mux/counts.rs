// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a connection has at the moment, for who looks after the bounds.

use super::Mux;

/// What a connection has at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Streams of which a direction is open.
    pub open: usize,
    /// Streams that the layer above has in its hands.
    pub in_hand: usize,
    /// Streams of which anything is kept.
    pub known: usize,
    /// Bytes that came and were not read.
    pub held: usize,
    /// The same, as all connections of the listener count them.
    pub held_by_all: usize,
    /// Bytes that the streams keep of what came.
    pub kept: usize,
    /// Bytes that were taken and wait to be sent.
    pub queued: usize,
    /// What of them was composed and may not have gone out.
    pub composed: usize,
    /// What all connections of the listener count of both.
    pub queued_by_all: usize,
    /// What the peer may still send.
    pub receive_credit: u32,
    /// What was read and is to be granted anew.
    pub returnable: u32,
    /// What the peer still takes.
    pub send_credit: u32,
}

impl Mux {
    /// What there is at the moment.
    pub(in crate::tcp) fn counts(&self) -> Counts {
        let (known, kept) = self.streams.counts();
        Counts {
            open: self.open,
            in_hand: self.in_hand,
            known,
            held: self.held,
            held_by_all: self.budget.held(),
            kept,
            queued: self.room.queued(),
            composed: self.room.composed(),
            queued_by_all: self.budget.queued(),
            receive_credit: self.receive_credit,
            returnable: self.returnable,
            send_credit: self.send_credit,
        }
    }
}
