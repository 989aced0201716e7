// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a server has handed over on one connection and was not told to be done with, so that one
//! number can acknowledge all of it up to a position. It is handed over in order, so who has one
//! position has all below it.

use std::collections::BTreeSet;

use waxwing_proto::limits;

/// More than a server may hand over without an acknowledgement: from then on positions are named one by
/// one.
const HELD_MAX: usize = 2 * limits::UNACKNOWLEDGED_MAX;

/// Positions that were handed over and not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct HandedOver {
    positions: BTreeSet<u64>,
    /// Some position is not known here.
    is_incomplete: bool,
}

impl HandedOver {
    pub(crate) fn add(&mut self, position: u64) {
        if self.positions.len() >= HELD_MAX {
            self.is_incomplete = true;
        } else {
            self.positions.insert(position);
        }
    }

    /// Takes positions that are done with. Answers up to which one everything is, 0 for none, and the
    /// positions above it.
    pub(crate) fn done(&mut self, mut done: Vec<u64>) -> (u64, Vec<u64>) {
        // BOX-78.
        // One of an earlier connection says nothing about this one: what is below it may be under way.
        let mut here: Vec<u64> = done.clone();
        here.retain(|position| self.positions.remove(position));
        if self.is_incomplete {
            return (0, done);
        }
        let open = self.positions.first().copied();
        let is_below = |position: &u64| open.is_none_or(|open| *position < open);
        let up_to = here.into_iter().filter(is_below).max().unwrap_or(0);
        done.retain(|position| *position > up_to);
        (up_to, done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(positions: impl IntoIterator<Item = u64>) -> HandedOver {
        let mut handed = HandedOver::default();
        positions.into_iter().for_each(|one| handed.add(one));
        handed
    }

    /// [BOX-78].
    #[test]
    fn one_number_names_what_is_done_without_a_gap() {
        let mut handed = handed(3..=9);
        assert_eq!(handed.done(vec![4, 5]), (0, vec![4, 5]));
        assert_eq!(handed.done(vec![3, 6, 8]), (6, vec![8]));
        assert_eq!(handed.done(vec![7, 9]), (9, vec![]));
        // Of an earlier connection: another one may be under way below it.
        handed.add(12);
        assert_eq!(handed.done(vec![11]), (0, vec![11]));
        assert_eq!(handed.done(vec![12]), (12, vec![]));
    }

    #[test]
    fn a_server_that_hands_over_too_much_is_answered_one_by_one() {
        let end = u64::try_from(HELD_MAX).unwrap() + 1;
        let mut handed = handed(0..end);
        assert_eq!(handed.positions.len(), HELD_MAX);
        assert_eq!(handed.done(vec![0, 1]), (0, vec![0, 1]));
    }
}
