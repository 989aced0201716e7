// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When a link that is up is to be probed, as a pure state machine.

use waxwing_proto::limits;

use super::INTERVAL_MS;

/// How long a peer may be silent while something waits, in milliseconds: three round trips within
/// these bounds.
const PATIENCE_MS_MIN: u64 = 1000;
const PATIENCE_MS_MAX: u64 = INTERVAL_MS;

/// How often signs of life are looked for, in milliseconds, while something waits and while nothing
/// does: what is heard counts from the look that saw it.
const LOOK_EAGER_MS: u64 = 500;
const LOOK_IDLE_MS: u64 = 10_000;

/// What is known about the silence of one link. Times are those of one monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    signs: u64,
    heard_ms: u64,
    waiting_ms: Option<u64>,
    probed_ms: Option<u64>,
    probes: u32,
    /// What is heard until this time came over the path that was left.
    ignored_until_ms: u64,
}

impl Silence {
    /// A link from which `signs` signs of life have come until now.
    #[must_use]
    pub const fn new(now_ms: u64, signs: u64) -> Self {
        Self {
            signs,
            heard_ms: now_ms,
            waiting_ms: None,
            probed_ms: None,
            probes: 0,
            ignored_until_ms: 0,
        }
    }

    /// Says whether something waits for the peer.
    pub const fn set_waiting(&mut self, now_ms: u64, is_waiting: bool) {
        match (is_waiting, self.waiting_ms) {
            (true, None) => self.waiting_ms = Some(now_ms),
            (false, Some(_)) => self.waiting_ms = None,
            _ => {}
        }
    }

    /// The number of signs of life is `signs` now. Gives whether the peer is heard.
    pub const fn observe(&mut self, now_ms: u64, signs: u64) -> bool {
        if signs != self.signs {
            self.signs = signs;
            if now_ms > self.ignored_until_ms {
                self.heard_ms = now_ms;
                self.probed_ms = None;
                self.probes = 0;
            }
        }
        self.probes == 0
    }

    /// A probe goes out.
    pub const fn probed(&mut self, now_ms: u64) {
        self.probed_ms = Some(now_ms);
        self.probes = self.probes.saturating_add(1);
    }

    /// The network has changed, and a probe goes out on the new one. An answer to it cannot come
    /// before most of a round trip has passed; what comes sooner was sent to the old address.
    pub const fn moved(&mut self, now_ms: u64, round_trip_ms: u64) {
        self.probed(now_ms);
        let most_ms = round_trip_ms.saturating_sub(round_trip_ms >> 2);
        self.ignored_until_ms = now_ms.saturating_add(most_ms);
    }

    /// Probes since the peer was last heard.
    #[must_use]
    pub const fn probes(&self) -> u32 {
        self.probes
    }

    /// When to look for signs of life again, or to probe.
    #[must_use]
    pub fn look_ms(&self, now_ms: u64, is_eager: bool, round_trip_ms: u64) -> u64 {
        let pause_ms = if is_eager {
            LOOK_EAGER_MS
        } else {
            LOOK_IDLE_MS
        };
        let look_ms = now_ms.saturating_add(pause_ms);
        let due_ms = self.due_ms(is_eager, round_trip_ms).min(look_ms);
        if now_ms < self.ignored_until_ms {
            // What has come until then must be seen then, or it would count later.
            due_ms.min(self.ignored_until_ms)
        } else {
            due_ms
        }
    }

    /// When the next probe is due. `is_eager`: something waits, and not for too long.
    #[must_use]
    pub fn due_ms(&self, is_eager: bool, round_trip_ms: u64) -> u64 {
        // TRN-61, TRN-62.
        let patience_ms = round_trip_ms
            .saturating_mul(3)
            .clamp(PATIENCE_MS_MIN, PATIENCE_MS_MAX);
        let idle_ms = u64::from(limits::PROBE_IDLE_MS);
        match self.probed_ms {
            // The first probe may only have met a peer with nothing to say: the next comes sooner.
            Some(at_ms) if is_eager && self.probes <= 1 => at_ms.saturating_add(patience_ms),
            Some(at_ms) if is_eager => at_ms.saturating_add(INTERVAL_MS),
            Some(at_ms) => at_ms.saturating_add(idle_ms),
            None if is_eager => {
                let since_ms = self.waiting_ms.unwrap_or(self.heard_ms).max(self.heard_ms);
                since_ms.saturating_add(patience_ms)
            }
            None => self.heard_ms.saturating_add(idle_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_probed_often_while_something_waits() {
        let mut silence = Silence::new(1000, 5);
        assert_eq!(silence.due_ms(false, 100), 31_000);
        silence.set_waiting(4000, true);
        assert_eq!(silence.due_ms(true, 100), 5000);
        assert_eq!(silence.due_ms(true, 400), 5200);
        assert_eq!(silence.due_ms(true, 5000), 5500);
        silence.probed(5000);
        assert_eq!(silence.due_ms(true, 100), 6000);
        silence.probed(6000);
        assert_eq!(silence.due_ms(true, 100), 7500);
        assert_eq!(silence.due_ms(false, 100), 36_000);
        assert!(!silence.observe(7000, 5));
        assert!(silence.observe(7000, 6));
        assert_eq!(silence.due_ms(true, 100), 8000);
    }

    #[test]
    fn what_was_sent_to_the_old_address_is_no_sign_of_the_new_one() {
        let mut silence = Silence::new(0, 0);
        silence.moved(1000, 100);
        assert_eq!(silence.look_ms(1000, true, 100), 1075);
        assert!(!silence.observe(1075, 1));
        assert!(!silence.observe(1076, 1));
        assert!(silence.observe(1076, 2));
    }
}
