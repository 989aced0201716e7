// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How late messages were, over all seeds.

/// Times of one kind, in virtual milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Spread(Vec<u64>);

impl Spread {
    /// Adds one.
    pub fn add(&mut self, ms: u64) {
        self.0.push(ms);
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// How many there are, the median and the worst; zeros where there are none.
    #[must_use]
    pub fn summary(&self) -> (usize, u64, u64) {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let middle = sorted.len().checked_div(2).unwrap_or(0);
        let median = sorted.get(middle).copied().unwrap_or(0);
        (sorted.len(), median, sorted.last().copied().unwrap_or(0))
    }
}

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// From the end of an outage until the waiting message is through, without loss.
    pub after_outage: Spread,
    /// The same where packets are lost besides.
    pub after_outage_lossy: Spread,
    /// From a move to another network until the waiting message is through, without loss.
    pub after_move: Spread,
    /// The same where packets are lost besides.
    pub after_move_lossy: Spread,
    /// From the start of a crashed server until the waiting message is through, without loss.
    pub after_restart: Spread,
    /// The same where packets are lost besides.
    pub after_restart_lossy: Spread,
}

impl Figures {
    /// Each kind with its name.
    #[must_use]
    pub const fn rows(&self) -> [(&'static str, &Spread); 6] {
        [
            ("after an outage", &self.after_outage),
            ("after an outage, with loss", &self.after_outage_lossy),
            ("after a move", &self.after_move),
            ("after a move, with loss", &self.after_move_lossy),
            ("after a server's restart", &self.after_restart),
            (
                "after a server's restart, with loss",
                &self.after_restart_lossy,
            ),
        ]
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        self.after_outage.merge(&other.after_outage);
        self.after_outage_lossy.merge(&other.after_outage_lossy);
        self.after_move.merge(&other.after_move);
        self.after_move_lossy.merge(&other.after_move_lossy);
        self.after_restart.merge(&other.after_restart);
        self.after_restart_lossy.merge(&other.after_restart_lossy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_the_middle_and_the_worst() {
        let mut spread = Spread::default();
        assert_eq!(spread.summary(), (0, 0, 0));
        [5, 1, 9].into_iter().for_each(|ms| spread.add(ms));
        assert_eq!(spread.summary(), (3, 5, 9));
    }
}
