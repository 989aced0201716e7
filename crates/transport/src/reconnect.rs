// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When to connect again: exponential back-off with full jitter.
//!
//! A pure state machine: time and randomness are arguments. Each delay is drawn evenly from zero
//! to a ceiling that doubles with each failure, so that clients that were cut off together do not
//! come back together. A server that says when it wants to be called overrides it.

use waxwing_proto::limits;

use crate::error::CallError;

/// How long a client waits before it connects again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    not_before_ms: u64,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            failures: 0,
            not_before_ms: 0,
        }
    }

    /// A link was lost, or an attempt failed at once, at `now_ms`. `random` is 64 fresh random bits.
    /// `retry_after_ms` is what the server said, if it said anything: it replaces the drawn delay,
    /// up to [`limits::RETRY_AFTER_MS_MAX`], and the next one may come up to half as much again later.
    ///
    /// Gives the time of the next attempt, in the clock of `now_ms`.
    pub fn failed(&mut self, now_ms: u64, random: u64, retry_after_ms: Option<u32>) -> u64 {
        self.failed_after((now_ms, 0), random, retry_after_ms)
    }

    /// As [`Backoff::failed`], of an attempt that took `spent_ms`, which shortens the longest delay: who
    /// waits for it would otherwise be away for the time of the attempt besides.
    pub fn failed_after(
        &mut self,
        (now_ms, spent_ms): (u64, u64),
        random: u64,
        retry_after_ms: Option<u32>,
    ) -> u64 {
        // TRN-21.
        let delay_ms = match retry_after_ms {
            Some(wanted_ms) => {
                let wanted_ms = u64::from(wanted_ms.min(limits::RETRY_AFTER_MS_MAX));
                let spread_ms = wanted_ms.checked_div(2).unwrap_or(0);
                wanted_ms.saturating_add(below(random, spread_ms))
            }
            None => {
                let left_ms = u64::from(limits::RECONNECT_DELAY_MS_MAX).saturating_sub(spent_ms);
                let left_ms = left_ms.max(u64::from(limits::RECONNECT_DELAY_MS_MIN));
                below(random, self.ceiling_ms().min(left_ms))
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before_ms = now_ms.saturating_add(delay_ms);
        self.not_before_ms
    }

    /// As [`Backoff::failed`], with the hint that the error carries.
    pub fn failed_with(&mut self, now_ms: u64, random: u64, error: &CallError) -> u64 {
        self.failed(now_ms, random, error.retry_after_ms())
    }

    /// A connection works: the next failure starts from the shortest delay.
    pub const fn succeeded(&mut self) {
        *self = Self::new();
    }

    /// The time of the next attempt, in the clock of the last failure; 0 where nothing failed.
    #[must_use]
    pub const fn not_before_ms(&self) -> u64 {
        self.not_before_ms
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// The longest delay after the next failure, in milliseconds.
    #[must_use]
    pub const fn ceiling_ms(&self) -> u64 {
        let (shortest, longest) = (
            limits::RECONNECT_DELAY_MS_MIN,
            limits::RECONNECT_DELAY_MS_MAX,
        );
        let doubled = match shortest.checked_shl(self.failures) {
            // Bits that were shifted out would make the delay short again.
            Some(doubled) if self.failures < shortest.leading_zeros() => doubled,
            _ => longest,
        };
        // `From` cannot be called here; widening loses nothing.
        (if doubled > longest { longest } else { doubled }) as u64
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// A number from 0 to `bound`, from 64 random bits. The bias is below one in 2^30.
fn below(random: u64, bound: u64) -> u64 {
    bound
        .checked_add(1)
        .and_then(|count| random.checked_rem(count))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// [TRN-21].
    #[test]
    fn the_ceiling_doubles_up_to_its_limit() {
        let mut backoff = Backoff::new();
        let mut ceilings = Vec::new();
        for _ in 0..10 {
            ceilings.push(backoff.ceiling_ms());
            backoff.failed(0, 0, None);
        }
        let expected = [
            250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
        ];
        assert_eq!(ceilings, expected);
        for _ in 0..100 {
            backoff.failed(0, 0, None);
        }
        assert_eq!(backoff.ceiling_ms(), 30_000);
    }

    #[test]
    fn success_starts_again() {
        let mut backoff = Backoff::new();
        for _ in 0..5 {
            backoff.failed(7, u64::MAX, None);
        }
        backoff.succeeded();
        assert_eq!(backoff, Backoff::new());
        assert_eq!(backoff.ceiling_ms(), 250);
    }

    proptest! {
        /// [TRN-21].
        #[test]
        fn delays_stay_within_their_bounds(
            now_ms in 0_u64..1 << 50, draws in prop::collection::vec(any::<u64>(), 1..40),
        ) {
            let mut backoff = Backoff::new();
            for random in draws {
                let ceiling_ms = backoff.ceiling_ms();
                let next_ms = backoff.failed(now_ms, random, None);
                prop_assert!(next_ms >= now_ms && next_ms.saturating_sub(now_ms) <= ceiling_ms);
                prop_assert!(ceiling_ms <= 30_000);
            }
        }

        /// [TRN-21].
        #[test]
        fn what_the_server_asks_for_is_kept(
            random: u64, wanted_ms in prop_oneof![any::<u32>(), 0..7_200_000_u32], failures in 0_u32..50,
        ) {
            let mut backoff = Backoff::new();
            for _ in 0..failures {
                backoff.failed(0, random, None);
            }
            let next_ms = backoff.failed(1000, random, Some(wanted_ms));
            // For an hour, whatever it says.
            let wanted_ms = u64::from(wanted_ms.min(3_600_000));
            let delay_ms = next_ms.saturating_sub(1000);
            prop_assert!(delay_ms >= wanted_ms);
            prop_assert!(delay_ms.saturating_sub(wanted_ms) <= wanted_ms.div_euclid(2));
        }
    }
}
