// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which segments are worth copying forward: those that hold little, when too much room is used.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::index::COLD_FIRST;

/// Segments that are copied forward in one round.
const VICTIMS_MAX: usize = 8;
/// A segment of which more than one part in this many went since the last round empties by itself. It is not
/// copied forward as long as at most one segment more is used than where copying begins.
const EMPTIES_SHARE: u64 = 16;

/// What the segments of a log hold.
pub(super) struct Segments<'a> {
    /// The size of each.
    pub(super) size: u32,
    /// Bytes of wanted records, by segment, and of all together.
    pub(super) live: &'a BTreeMap<u32, u64>,
    pub(super) live_bytes: u64,
    /// The same when it was looked last.
    pub(super) before: &'a BTreeMap<u32, u64>,
    /// The first hot segment that cannot be given back, whatever is copied.
    pub(super) hot_below: u32,
    /// The cold segment that is copied to, and its end.
    pub(super) copied_to: Option<(u32, u32)>,
}

impl Segments<'_> {
    /// Those to copy forward, at most eight. Where nothing else happens more is worth copying.
    pub(super) fn victims(&self, is_quiet: bool) -> BTreeSet<u32> {
        let size = u64::from(self.size);
        let count = u64::try_from(self.live.len()).unwrap_or(u64::MAX);
        let used = count.saturating_mul(size);
        let (percent, slack, threshold) = if is_quiet {
            (110, size, 90)
        } else {
            (136, size.saturating_mul(2), 75)
        };
        let allowed = self.live_bytes.saturating_mul(percent);
        let allowed = allowed.checked_div(100).unwrap_or(0).saturating_add(slack);
        let mut over = used.saturating_sub(allowed);
        let can_wait = !is_quiet && over <= size;
        let mut candidates: Vec<(u64, u32)> = self
            .live
            .iter()
            .filter(|(number, bytes)| {
                self.can_be_given_back(**number)
                    && bytes.saturating_mul(100) < size.saturating_mul(threshold)
                    && !(can_wait && self.empties(**number, **bytes))
            })
            .map(|(number, bytes)| (*bytes, *number))
            .collect();
        candidates.sort_unstable();
        let mut victims = BTreeSet::new();
        let mut copied = 0_u64;
        for (bytes, number) in candidates {
            if over == 0 || victims.len() >= VICTIMS_MAX {
                break;
            }
            over = over.saturating_sub(size.saturating_sub(bytes));
            copied = copied.saturating_add(bytes);
            victims.insert(number);
        }
        // Copying is worth it only where it takes fewer segments than it gives back; the last part of
        // a segment stays empty where the next record does not fit.
        let room = self
            .copied_to
            .map_or(0, |(_, end)| self.size.saturating_sub(end));
        let packed = size.saturating_mul(3).checked_div(4).unwrap_or(1).max(1);
        let begun = copied.saturating_sub(u64::from(room)).div_ceil(packed);
        if begun >= u64::try_from(victims.len()).unwrap_or(u64::MAX) {
            victims.clear();
        }
        victims
    }

    fn can_be_given_back(&self, number: u32) -> bool {
        let is_copied_to = self.copied_to.is_some_and(|(cold, _)| cold == number);
        !is_copied_to && (number >= COLD_FIRST || number < self.hot_below)
    }

    /// Whether a segment is losing what it holds. One that was not seen before was full.
    fn empties(&self, number: u32, bytes: u64) -> bool {
        let full = u64::from(self.size);
        let before = self.before.get(&number).copied().unwrap_or(full);
        let share = before.checked_div(EMPTIES_SHARE).unwrap_or(0);
        before.saturating_sub(bytes) > share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u32 = 1000;

    fn victims(live: &[(u32, u64)], before: &[(u32, u64)], is_quiet: bool) -> Vec<u32> {
        let (live, before) = (
            live.iter().copied().collect(),
            before.iter().copied().collect(),
        );
        let segments = Segments {
            size: SIZE,
            live: &live,
            live_bytes: live.values().sum(),
            before: &before,
            hot_below: 10,
            copied_to: Some((COLD_FIRST, 0)),
        };
        segments.victims(is_quiet).into_iter().collect()
    }

    #[test]
    fn those_that_hold_least_are_copied_as_far_as_there_is_too_much() {
        let live = [(1, 100), (2, 50), (3, 900), (4, 900), (5, 60), (6, 70)];
        // 6000 are used, and 136 % of 2080 and two segments are not too much.
        assert_eq!(victims(&live, &live, false), [2, 5]);
        assert_eq!(victims(&live, &live, true), [2, 5, 6]);
        // Those that are replayed stay.
        let replayed = [(1, 900), (2, 900), (10, 10), (11, 10), (12, 10), (13, 10)];
        assert_eq!(victims(&replayed, &replayed, true), [0_u32; 0]);
    }

    #[test]
    fn what_empties_by_itself_is_left_alone_while_there_is_room() {
        let live = [(1, 100), (2, 50), (3, 900), (4, 900), (5, 60)];
        let before = [(1, 100), (2, 90), (3, 900), (4, 900), (5, 61)];
        assert_eq!(victims(&live, &live, false), [2]);
        assert_eq!(victims(&live, &before, false), [5]);
        assert_eq!(victims(&live, &[], false), [0_u32; 0], "they were full");
        assert_eq!(victims(&live, &[], true), [2, 5], "nothing happens");
        // With more than one segment too much nothing is left alone.
        let more: Vec<(u32, u64)> = (1..9).map(|number| (number, 100)).collect();
        assert!(!victims(&more, &[], false).is_empty());
    }
}
