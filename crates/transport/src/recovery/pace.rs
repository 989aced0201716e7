// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When to try to connect, as a pure state machine.

use waxwing_proto::limits;

use super::INTERVAL_MS;
use crate::reconnect::Backoff;

/// When the next attempt to connect is due. Times are those of one monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    backoff: Backoff,
    due_ms: u64,
    asked_ms: u64,
    attempt_ms: Option<u64>,
    waiting_since_ms: Option<u64>,
}

impl Pace {
    /// The first attempt is due at once.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            backoff: Backoff::new(),
            due_ms: 0,
            asked_ms: 0,
            attempt_ms: None,
            waiting_since_ms: None,
        }
    }

    /// Says whether something waits to get through.
    pub const fn set_waiting(&mut self, now_ms: u64, is_waiting: bool) {
        match (is_waiting, self.waiting_since_ms) {
            (true, None) => self.waiting_since_ms = Some(now_ms),
            (false, Some(_)) => self.waiting_since_ms = None,
            _ => {}
        }
    }

    /// Whether something waits, and not for longer than [`limits::PROBE_EAGER_MS`].
    #[must_use]
    pub const fn is_eager(&self, now_ms: u64) -> bool {
        // TRN-62.
        match self.waiting_since_ms {
            Some(since_ms) => now_ms.saturating_sub(since_ms) < limits::PROBE_EAGER_MS as u64,
            None => false,
        }
    }

    /// The network has changed: what failed before says nothing about the new one. What the server
    /// asked for stays.
    pub const fn network_changed(&mut self, now_ms: u64) {
        self.backoff.succeeded();
        self.attempt_ms = None;
        self.due_ms = now_ms;
        // A wait of ten minutes begins anew: the network may be there again.
        if self.waiting_since_ms.is_some() {
            self.waiting_since_ms = Some(now_ms);
        }
    }

    /// An attempt begins.
    pub const fn began(&mut self, now_ms: u64) {
        self.attempt_ms = Some(now_ms);
        self.due_ms = u64::MAX;
    }

    /// An attempt failed. `random` is 64 fresh random bits, `retry_after_ms` what the server said, if it
    /// said anything.
    pub fn failed(&mut self, now_ms: u64, random: u64, retry_after_ms: Option<u32>) {
        let spent_ms = self
            .attempt_ms
            .map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
        self.put_off((now_ms, spent_ms), random, retry_after_ms);
    }

    /// The connection was lost; otherwise as [`Pace::failed`].
    pub fn lost(&mut self, now_ms: u64, random: u64, retry_after_ms: Option<u32>) {
        self.put_off((now_ms, 0), random, retry_after_ms);
    }

    fn put_off(&mut self, times_ms: (u64, u64), random: u64, retry_after_ms: Option<u32>) {
        // TRN-63.
        self.due_ms = self.backoff.failed_after(times_ms, random, retry_after_ms);
        if retry_after_ms.is_some() {
            self.asked_ms = self.due_ms;
        }
    }

    /// A connection has proved stable: the next failure starts from the shortest delay.
    pub const fn succeeded(&mut self) {
        self.backoff.succeeded();
    }

    /// Before this the server does not want to be called.
    #[must_use]
    pub const fn asked_ms(&self) -> u64 {
        self.asked_ms
    }

    /// When the next attempt is due. `u64::MAX` while one is under way and nothing waits.
    #[must_use]
    pub fn due_ms(&self, now_ms: u64) -> u64 {
        let eager_ms = if self.is_eager(now_ms) {
            self.attempt_ms
                .map_or(now_ms, |at_ms| at_ms.saturating_add(INTERVAL_MS))
        } else {
            u64::MAX
        };
        self.due_ms.min(eager_ms).max(self.asked_ms)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_that_waits_caps_the_delay_for_ten_minutes() {
        let mut pace = Pace::new();
        pace.set_waiting(0, true);
        let mut now_ms = 0;
        for _ in 0..40 {
            pace.began(now_ms);
            pace.failed(now_ms, u64::MAX, None);
            let due_ms = pace.due_ms(now_ms);
            assert!(due_ms <= now_ms + 1500, "{due_ms} at {now_ms}");
            now_ms = due_ms.max(now_ms + 100);
        }
        let late_ms = u64::from(limits::PROBE_EAGER_MS);
        pace.began(late_ms);
        pace.failed(late_ms, 29_000, None);
        assert_eq!(pace.due_ms(late_ms), late_ms + 29_000);
    }

    /// [TRN-62]. After an outage of ten minutes, too, there is an attempt within two seconds.
    #[test]
    fn the_end_of_an_outage_of_ten_minutes_is_noticed() {
        let mut pace = Pace::new();
        pace.set_waiting(0, true);
        // The last attempt began just before that end.
        pace.began(599_990);
        for _ in 0..9 {
            pace.failed(600_010, 29_000, None);
        }
        assert_eq!(pace.due_ms(600_010), 601_490);
        assert!(pace.is_eager(601_490));
    }

    #[test]
    fn attempts_overlap_only_while_something_waits() {
        let mut pace = Pace::new();
        pace.began(100);
        assert_eq!(pace.due_ms(5000), u64::MAX);
        pace.set_waiting(5000, true);
        assert_eq!(pace.due_ms(5000), 1600);
        pace.set_waiting(5001, false);
        assert_eq!(pace.due_ms(5001), u64::MAX);
    }

    #[test]
    fn what_the_server_asks_for_overrides_all() {
        let mut pace = Pace::new();
        pace.set_waiting(0, true);
        pace.failed(1000, 0, Some(20_000));
        assert_eq!(pace.due_ms(1000), 21_000);
        pace.network_changed(2000);
        assert_eq!(pace.due_ms(2000), 21_000);
        assert_eq!(pace.due_ms(21_500), 21_000);
    }

    /// TRN-21: a client that nobody tells is back half a minute after the network.
    #[test]
    fn an_attempt_begins_half_a_minute_after_the_last_one_began_at_the_latest() {
        let mut pace = Pace::new();
        let mut now_ms = 0;
        for _ in 0..50 {
            let began_ms = now_ms;
            pace.began(began_ms);
            // Nothing was heard until the attempt was given up.
            now_ms += u64::from(limits::CONNECT_TIMEOUT_MS);
            let worst = (0..40_000).step_by(7).max_by_key(|random| {
                let mut pace = pace;
                pace.failed(now_ms, *random, None);
                pace.due_ms(now_ms)
            });
            pace.failed(now_ms, worst.unwrap(), None);
            let pause_ms = pace.due_ms(now_ms) - began_ms;
            assert!(pause_ms <= 30_000, "{pause_ms}");
            now_ms = pace.due_ms(now_ms);
        }
        // A connection that is lost spent nothing: those that it had together do not return together.
        pace.lost(now_ms + 1_000_000, 29_000, None);
        assert_eq!(pace.due_ms(now_ms + 1_000_000), now_ms + 1_029_000);
    }

    #[test]
    fn another_network_is_tried_at_once() {
        let mut pace = Pace::new();
        for _ in 0..9 {
            pace.began(0);
            pace.failed(0, 29_000, None);
        }
        assert_eq!(pace.due_ms(10), 29_000);
        pace.network_changed(10);
        assert_eq!(pace.due_ms(10), 10);
    }
}
