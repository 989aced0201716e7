// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How late messages were, over all seeds.

use std::collections::BTreeMap;

use super::bounds::Event;

/// Fewer messages say nothing about a share.
const MESSAGES_MIN: usize = 100;

/// Times of one kind, in virtual milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    times_ms: Vec<u64>,
    later: usize,
}

impl Spread {
    /// Adds one, which would not be later than `bound_ms` without loss.
    pub fn add(&mut self, ms: u64, bound_ms: u64) {
        self.times_ms.push(ms);
        self.later = self.later.saturating_add(usize::from(ms > bound_ms));
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        self.times_ms.extend_from_slice(&other.times_ms);
        self.later = self.later.saturating_add(other.later);
    }

    /// How many there are, the median and the worst; zeros where there are none.
    #[must_use]
    pub fn summary(&self) -> (usize, u64, u64) {
        let mut sorted = self.times_ms.clone();
        sorted.sort_unstable();
        let middle = sorted.len().checked_div(2).unwrap_or(0);
        let median = sorted.get(middle).copied().unwrap_or(0);
        (sorted.len(), median, sorted.last().copied().unwrap_or(0))
    }

    /// How many were later than they may be without loss.
    #[must_use]
    pub const fn later(&self) -> usize {
        self.later
    }

    fn is_often_later(&self, percent_max: usize) -> bool {
        let (count, later) = (self.times_ms.len(), self.later);
        count >= MESSAGES_MIN && later.saturating_mul(100) > count.saturating_mul(percent_max)
    }
}

/// What was measured, apart for paths that lose packets.
#[derive(Debug, Clone, Default)]
pub struct Figures(BTreeMap<(Event, bool), Spread>);

impl Figures {
    pub(super) fn add(&mut self, event: Event, is_lossy: bool, (ms, bound_ms): (u64, u64)) {
        let spread = self.0.entry((event, is_lossy)).or_default();
        spread.add(ms, bound_ms);
    }

    /// Each kind with its name.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, Spread)> {
        let kinds = Event::ALL
            .into_iter()
            .flat_map(|event| [(event, false), (event, true)]);
        let row = |(event, is_lossy): (Event, bool)| {
            let spread = self.0.get(&(event, is_lossy)).cloned().unwrap_or_default();
            let loss = if is_lossy { ", with loss" } else { "" };
            (format!("{}{loss}", event.as_str()), spread)
        };
        kinds.map(row).collect()
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        for (kind, spread) in &other.0 {
            self.0.entry(*kind).or_default().merge(spread);
        }
    }

    /// The kinds of which more messages were later than without loss than may be.
    #[must_use]
    pub fn judge(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for ((event, is_lossy), spread) in &self.0 {
            let percent_max = event.later_percent_max();
            if *is_lossy && spread.is_often_later(percent_max) {
                let (count, later) = (spread.times_ms.len(), spread.later);
                let when = event.as_str();
                broken.push(format!(
                    "{when}: {later} of {count} later than without loss, of {percent_max} % allowed"
                ));
            }
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_the_middle_and_the_worst() {
        let mut spread = Spread::default();
        assert_eq!(spread.summary(), (0, 0, 0));
        [5, 1, 9].into_iter().for_each(|ms| spread.add(ms, 5));
        assert_eq!(spread.summary(), (3, 5, 9));
        assert_eq!(spread.later(), 1);
    }

    #[test]
    fn a_share_that_is_too_late_is_told_where_there_are_enough() {
        let mut figures = Figures::default();
        for number in 0..99 {
            let late_ms = if number < 16 { 7 } else { 1 };
            figures.add(Event::Move, true, (late_ms, 5));
        }
        assert_eq!(figures.judge(), Vec::<String>::new());
        figures.add(Event::Move, true, (1, 5));
        assert_eq!(figures.judge().len(), 1);
        for _ in 0..7 {
            figures.add(Event::Move, true, (1, 5));
        }
        assert_eq!(figures.judge(), Vec::<String>::new());
    }
}
