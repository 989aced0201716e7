// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The clock and the randomness of the operating system. The only module of this crate that reads
//! either.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::seams::{BoxFuture, Clock, Entropy};

/// The clock of the operating system. Its `sleep` futures need a tokio runtime with timers.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts at 0 now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "this module is where the wall clock is read"
    )]
    fn wall_ms(&self) -> u64 {
        // A clock that stands before 1970 is shown as 1970; `doctor` reports the skew.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            })
    }

    fn sleep_until(&self, monotonic_ms: u64) -> BoxFuture<'static, ()> {
        let at = self.start.checked_add(Duration::from_millis(monotonic_ms));
        Box::pin(async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                // Further away than the clock can express: never.
                None => core::future::pending().await,
            }
        })
    }
}

/// The randomness of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // Going on would make keys that an attacker can guess.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeping_until_the_past_returns_and_time_does_not_go_back() {
        let clock = SystemClock::new();
        let before = clock.monotonic_ms();
        clock.sleep_until(0).await;
        clock.sleep(2).await;
        assert!(clock.monotonic_ms() >= before.saturating_add(2));
        assert!(clock.wall_ms() > 1_600_000_000_000);
    }

    #[test]
    fn two_draws_differ() {
        let (mut one, mut two) = ([0; 32], [0; 32]);
        SystemEntropy.fill(&mut one);
        SystemEntropy.fill(&mut two);
        assert_ne!(one, two);
    }
}
