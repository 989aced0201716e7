// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What one connection may take to be sent before it has sent it.
//!
//! A peer that does not read decides how long that lies here. So beyond a small share of its own, which
//! no other connection can take from it, a connection has what it takes counted with all others. It
//! counts in blocks: a connection that carries messages never touches the common count.

use waxwing_proto::limits;

use crate::tcp::budget::Budget;

/// What is counted at a time, in bytes.
const BLOCK_SIZE: usize = 16 * 1024;

/// The room of one connection.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Bytes that wait in the streams.
    queued: usize,
    /// What of the streams was composed since TLS last had nothing to write. It lies there until the socket
    /// takes it.
    composed: usize,
    /// What is counted with all others.
    counted: usize,
    /// Somebody got less than was asked for.
    is_wanted: bool,
}

impl Room {
    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    pub(super) const fn composed(&self) -> usize {
        self.composed
    }

    const fn occupied(&self) -> usize {
        self.queued.saturating_add(self.composed)
    }

    /// How many of `wanted` bytes may be taken now.
    pub(super) fn find(&mut self, wanted: usize, budget: &Budget) -> usize {
        let occupied = self.occupied();
        let own = limits::TCP_SEND_QUEUE_SIZE_MAX.saturating_sub(occupied);
        let most = wanted.min(own);
        let needed = to_count(occupied.saturating_add(most));
        let more = needed.saturating_sub(self.counted);
        if more > 0 {
            self.counted = self.counted.saturating_add(budget.queue(more));
        }
        let has = limits::TCP_QUEUED_BYTES_SPARED.saturating_add(self.counted);
        let found = most.min(has.saturating_sub(occupied));
        self.is_wanted |= found < wanted;
        found
    }

    /// So many bytes were taken.
    pub(super) fn take(&mut self, count: usize, budget: &Budget) {
        self.queued = self.queued.saturating_add(count);
        self.settle(budget);
    }

    /// So many bytes will not be sent.
    pub(super) fn give(&mut self, count: usize, budget: &Budget) {
        self.queued = self.queued.saturating_sub(count);
        self.settle(budget);
    }

    /// What was composed before is on its way.
    pub(super) const fn sent(&mut self) {
        self.composed = 0;
    }

    /// So many of the bytes that waited are part of what was composed.
    pub(super) const fn send(&mut self, count: usize) {
        self.queued = self.queued.saturating_sub(count);
        self.composed = self.composed.saturating_add(count);
    }

    /// All is composed. Gives whether somebody who waits for room should look again.
    pub(super) fn end(&mut self, budget: &Budget) -> bool {
        self.settle(budget);
        core::mem::take(&mut self.is_wanted)
    }

    /// Nothing will be sent any more.
    pub(super) fn clear(&mut self, budget: &Budget) {
        *self = Self {
            counted: self.counted,
            ..Self::default()
        };
        self.settle(budget);
    }

    fn settle(&mut self, budget: &Budget) {
        let needed = to_count(self.occupied());
        if needed < self.counted {
            budget.unqueue(self.counted.saturating_sub(needed));
            self.counted = needed;
        }
    }
}

/// What of so many bytes is counted with all others.
const fn to_count(occupied: usize) -> usize {
    occupied
        .saturating_sub(limits::TCP_QUEUED_BYTES_SPARED)
        .next_multiple_of(BLOCK_SIZE)
}

#[cfg(test)]
mod tests {
    use core::task::{Context, Waker};
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::tcp::mux::{Mux, Side};

    const SPARED: usize = limits::TCP_QUEUED_BYTES_SPARED;

    #[test]
    fn messages_never_touch_the_common_count() {
        let budget = Budget::new(0, 0);
        let mut room = Room::default();
        for _ in 0..1000 {
            assert_eq!(room.find(1000, &budget), 1000);
            room.take(1000, &budget);
            room.sent();
            room.send(1000);
            room.end(&budget);
        }
        assert_eq!(budget.queued(), 0);
    }

    /// What was composed counts until more is asked for: the socket may not have taken it.
    #[test]
    fn what_was_composed_is_counted_until_it_is_gone() {
        let budget = Budget::new(0, 0);
        let mut room = Room::default();
        assert_eq!(room.find(usize::MAX, &budget), SPARED);
        room.take(SPARED, &budget);
        room.sent();
        room.send(SPARED);
        // Somebody waits, although now in vain.
        assert!(room.end(&budget));
        assert_eq!(room.find(1, &budget), 0);
        room.sent();
        assert!(room.end(&budget));
        assert_eq!(room.find(1, &budget), 1);
    }

    #[test]
    fn what_one_takes_beyond_its_share_another_has_not() {
        let budget = Budget::new(0, 3 * BLOCK_SIZE);
        let (mut one, mut two) = (Room::default(), Room::default());
        let large = SPARED + 2 * BLOCK_SIZE;
        assert_eq!(one.find(large, &budget), large);
        one.take(large, &budget);
        assert_eq!(budget.queued(), 2 * BLOCK_SIZE);
        assert_eq!(two.find(large, &budget), SPARED + BLOCK_SIZE);
        assert_eq!(budget.queued(), 3 * BLOCK_SIZE);
        two.take(1, &budget);
        // What was found and not taken is free again.
        assert_eq!(budget.queued(), 2 * BLOCK_SIZE);
        one.give(large, &budget);
        assert_eq!(budget.queued(), 0);
        assert_eq!(two.find(large, &budget), large);
        two.clear(&budget);
        assert_eq!(budget.queued(), 0);
    }

    /// Peers that take everything and read nothing, at the multiplexer itself: what it took for all of
    /// them is bounded, each has its share, and it is free when they are gone.
    #[test]
    fn peers_that_do_not_read_are_held_within_the_bound_together() {
        const PEERS: usize = 100;
        let queued_max = 1024 * 1024;
        let budget = Arc::new(Budget::new(usize::MAX, queued_max));
        let context = Context::from_waker(Waker::noop());
        let mut taken = Vec::new();
        let mut peers: Vec<Mux> = (0..PEERS)
            .map(|_| Mux::new(Side::Server, Arc::clone(&budget)))
            .collect();
        for peer in &mut peers {
            // A byte on the first stream, and all the credit that there can be.
            peer.receive(&[0, 0, 0, 0, 0, 0, 1, 7]);
            peer.receive(&[4, 0, 0, 0, 0, 0x7f, 0, 0, 0, 5, 0x7f, 0, 0, 0]);
            let key = peer.accept().unwrap().unwrap();
            let mut bytes = Bytes::from(vec![7; 1_000_000]);
            while peer.poll_write(key, &context, &mut bytes).is_ready() {}
            // What is composed lies in TLS, as the socket takes nothing: it makes no room for more.
            peer.sent();
            for _ in 0..4 {
                peer.compose(&mut Vec::new());
                while peer.poll_write(key, &context, &mut bytes).is_ready() {}
            }
            taken.push(1_000_000 - bytes.len());
        }
        assert_eq!(taken[0], limits::TCP_SEND_QUEUE_SIZE_MAX);
        assert_eq!(taken[PEERS - 1], SPARED);
        assert!(taken.iter().sum::<usize>() <= queued_max + PEERS * SPARED);
        assert!(budget.queued() <= queued_max);
        drop(peers);
        assert_eq!(budget.queued(), 0);
    }

    #[test]
    fn one_connection_has_no_more_than_its_queue_however_much_there_is() {
        let budget = Budget::new(0, usize::MAX);
        let mut room = Room::default();
        let found = room.find(usize::MAX, &budget);
        assert_eq!(found, limits::TCP_SEND_QUEUE_SIZE_MAX);
    }
}
