// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a delivery stream has handed over and its device has not acknowledged.

use std::collections::VecDeque;

use waxwing_storage::server::Position;

/// Positions with the sizes of their envelopes, in order. Mostly the first ones go first.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    held: VecDeque<(Position, usize)>,
    bytes: usize,
}

impl UnderWay {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a position above all that were added before.
    pub(super) fn push(&mut self, position: Position, size: usize) {
        self.bytes = self.bytes.saturating_add(size);
        self.held.push_back((position, size));
    }

    /// Takes out all positions up to one, and gives them.
    pub(super) fn take_up_to(&mut self, last: Position) -> Vec<Position> {
        let count = self.held.partition_point(|held| held.0 <= last);
        let taken = self.held.drain(..count);
        let (bytes, taken) = taken.fold(
            (0_usize, Vec::with_capacity(count)),
            |(bytes, mut taken), (position, size)| {
                taken.push(position);
                (bytes.saturating_add(size), taken)
            },
        );
        self.bytes = self.bytes.saturating_sub(bytes);
        self.give_memory_back();
        taken
    }

    /// Takes a position out, if it is here.
    pub(super) fn take(&mut self, position: Position) {
        let found = self.held.binary_search_by_key(&position, |held| held.0);
        if let Some((_, size)) = found.ok().and_then(|at| self.held.remove(at)) {
            self.bytes = self.bytes.saturating_sub(size);
        }
        self.give_memory_back();
    }

    /// A stream that waits for news holds no room.
    fn give_memory_back(&mut self) {
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_go_from_the_front_and_from_between() {
        let mut under_way = UnderWay::default();
        for position in [2, 3, 5, 8, 9] {
            under_way.push(Position(position), 10);
        }
        assert_eq!(under_way.take_up_to(Position(1)), []);
        assert_eq!(under_way.take_up_to(Position(4)), [2, 3].map(Position));
        under_way.take(Position(8));
        under_way.take(Position(8));
        under_way.take(Position(4));
        assert_eq!((under_way.len(), under_way.bytes()), (2, 20));
        assert!(!under_way.is_empty());
        let rest = under_way.take_up_to(Position(u64::MAX));
        assert_eq!(rest, [5, 9].map(Position));
        assert!(under_way.is_empty());
        assert_eq!((under_way.bytes(), under_way.held.capacity()), (0, 0));
    }
}
