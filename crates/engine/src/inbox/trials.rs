// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What envelopes may cost whose tag says nothing: whoever knows a delivery id can send any number of
//! them, and each makes this device try keys. What is beyond the budget waits untried, in order;
//! envelopes whose tag is known go past it.

use std::collections::VecDeque;

use waxwing_proto::{limits, v1};

use super::Waiting;
use crate::prekeys::Prekeys;
use crate::sessions::Sessions;

/// The budget, in microseconds of one core as the costs in [`limits`] estimate them: counted and not
/// measured, so that every run of the same events is the same.
#[derive(Debug)]
pub(super) struct Budget {
    /// Below 0 where something cost more than it was thought to.
    left_us: i64,
    /// When it was filled last, by the monotonic clock.
    filled_ms: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left_us: signed(limits::TRIAL_BUDGET_US_MAX),
            filled_ms: 0,
        }
    }
}

impl Budget {
    /// Pays for a trial, or says when it can be paid for, by the monotonic clock. `rate_us` is gained in
    /// each millisecond.
    fn pay(&mut self, cost_us: u64, rate_us: u64, now_ms: u64) -> Result<(), u64> {
        let passed_ms = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        let gained = signed(passed_ms.saturating_mul(rate_us));
        let most = signed(limits::TRIAL_BUDGET_US_MAX);
        self.left_us = self.left_us.saturating_add(gained).min(most);
        // What is dearer than the whole budget takes all of it, and is tried.
        let cost_us = signed(cost_us).min(most);
        if cost_us > self.left_us {
            return Err(self.due_ms(u64::try_from(cost_us).unwrap_or(0), rate_us, now_ms));
        }
        self.left_us = self.left_us.saturating_sub(cost_us);
        Ok(())
    }

    /// When something can be paid for, where it was not at `now_ms`.
    fn due_ms(&self, cost_us: u64, rate_us: u64, now_ms: u64) -> u64 {
        let cost_us = signed(cost_us.min(limits::TRIAL_BUDGET_US_MAX));
        let lacking = u64::try_from(cost_us.saturating_sub(self.left_us)).unwrap_or(0);
        now_ms.saturating_add(lacking.div_ceil(rate_us).max(1))
    }

    /// Something has cost more than was paid.
    fn charge(&mut self, cost_us: u64) {
        self.left_us = self.left_us.saturating_sub(signed(cost_us));
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

/// Deliveries in the order in which they are looked at.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// What cannot be paid for yet, and ends of drains behind it: a mailbox with something untried in it
    /// has not been drained.
    untried: VecDeque<Waiting>,
    untried_bytes: usize,
    budget: Budget,
}

/// What is next.
pub(super) enum Next {
    Take(Waiting),
    /// Something waits for the budget until then, by the monotonic clock.
    Later(u64),
    Nothing,
}

impl Queue {
    /// Takes what came, as far as the server keeps to its bounds: what is left comes again, and what is
    /// not stored does not.
    pub(super) fn push(&mut self, waiting: Waiting) {
        let is_ephemeral = is_ephemeral(&waiting);
        let all = self.waiting.iter().chain(&self.untried);
        let count = all
            .filter(|other| self::is_ephemeral(other) == is_ephemeral)
            .count();
        let most = if is_ephemeral {
            limits::EPHEMERAL_WAITING_MAX
        } else {
            // And an end of a drain.
            limits::UNACKNOWLEDGED_MAX.saturating_add(1)
        };
        if count < most {
            self.waiting.push_back(waiting);
        }
    }

    /// The budget stays: a connection that is made anew pays for nothing.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.untried.clear();
        self.untried_bytes = 0;
    }

    /// An envelope that was tried has cost more than it was counted with.
    pub(super) fn charge(&mut self, cost_us: u64) {
        self.budget.charge(cost_us);
    }

    pub(super) fn next(&mut self, sessions: &Sessions, prekeys: &Prekeys, now_ms: u64) -> Next {
        // ENV-62.
        let cost_us = |waiting: &Waiting| match waiting {
            Waiting::Drained => 0,
            Waiting::Envelope(envelope) => sessions.trial_cost_us(&envelope.envelope, prekeys),
        };
        let mut due_ms = None;
        if let Some(first) = self.untried.front() {
            let rate_us = self.rate_us();
            match self.budget.pay(cost_us(first), rate_us, now_ms) {
                Ok(()) => {
                    let first = self.untried.pop_front();
                    self.untried_bytes = self
                        .untried_bytes
                        .saturating_sub(first.as_ref().map_or(0, size));
                    return first.map_or(Next::Nothing, Next::Take);
                }
                Err(at_ms) => due_ms = Some(at_ms),
            }
        }
        while let Some(next) = self.waiting.pop_front() {
            let cost_us = cost_us(&next);
            let is_free = match next {
                Waiting::Drained => self.untried.is_empty(),
                Waiting::Envelope(_) => cost_us == 0,
            };
            if is_free {
                return Next::Take(next);
            }
            if due_ms.is_none() {
                let rate_us = self.rate_us();
                due_ms = self.budget.pay(cost_us, rate_us, now_ms).err();
                if due_ms.is_none() {
                    return Next::Take(next);
                }
            }
            // What is stored nowhere is not waited for: of it there is no end.
            if !is_ephemeral(&next) {
                self.untried_bytes = self.untried_bytes.saturating_add(size(&next));
                self.untried.push_back(next);
            }
        }
        // The rate may be another one by now.
        self.untried.front().map_or(Next::Nothing, |first| {
            let cost_us = cost_us(first);
            Next::Later(self.budget.due_ms(cost_us, self.rate_us(), now_ms))
        })
    }

    /// What waits takes up the window in which the other envelopes come: where that is half, it is worth
    /// more.
    fn rate_us(&self) -> u64 {
        let is_half = self.untried.len() >= limits::UNACKNOWLEDGED_MAX.div_euclid(2)
            || self.untried_bytes >= limits::UNACKNOWLEDGED_BYTES_MAX.div_euclid(2);
        if is_half {
            limits::TRIAL_BUDGET_US_PER_MS_PRESSED
        } else {
            limits::TRIAL_BUDGET_US_PER_MS
        }
    }
}

/// Whether it is in no mailbox.
const fn is_ephemeral(waiting: &Waiting) -> bool {
    matches!(
        waiting,
        Waiting::Envelope(v1::StoredEnvelope { position: 0, .. })
    )
}

fn size(waiting: &Waiting) -> usize {
    match waiting {
        Waiting::Drained => 0,
        Waiting::Envelope(envelope) => envelope.envelope.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = limits::TRIAL_BUDGET_US_PER_MS;

    #[test]
    fn the_budget_fills_with_time_up_to_its_bound() {
        let mut budget = Budget::default();
        let all = limits::TRIAL_BUDGET_US_MAX;
        assert_eq!(budget.pay(all.saturating_add(7), RATE, 5), Ok(()));
        assert_eq!(budget.pay(0, RATE, 5), Ok(()));
        assert_eq!(budget.pay(1, RATE, 5), Err(6));
        assert_eq!(budget.pay(25, RATE, 5), Err(8));
        assert_eq!(budget.pay(25, RATE, 7), Err(8));
        assert_eq!(budget.pay(25, RATE, 8), Ok(()));
        assert_eq!(budget.left_us, 5);
        // A clock that goes back gives nothing, and nothing twice.
        assert_eq!(budget.pay(6, RATE, 3), Err(4));
        assert_eq!(budget.pay(6, RATE, 8), Err(9));
        assert_eq!(budget.pay(all, RATE, u64::MAX), Ok(()));
        assert_eq!(budget.pay(1, RATE, u64::MAX), Err(u64::MAX));
    }

    #[test]
    fn what_was_charged_later_is_paid_first() {
        let mut budget = Budget::default();
        assert_eq!(budget.pay(limits::TRIAL_BUDGET_US_MAX, RATE, 5), Ok(()));
        budget.charge(100);
        assert_eq!(budget.pay(20, RATE, 5), Err(17));
        assert_eq!(budget.pay(20, RATE * 10, 5), Err(7));
        assert_eq!(budget.pay(20, RATE, 17), Ok(()));
    }

    fn envelope(position: u64) -> Waiting {
        Waiting::Envelope(v1::StoredEnvelope {
            position,
            ..v1::StoredEnvelope::default()
        })
    }

    /// What is stored nowhere is in no window of the server, and must not use up that of the mailbox.
    #[test]
    fn what_is_not_stored_takes_no_room_of_what_is() {
        let mut queue = Queue::default();
        for _ in 0..1000 {
            queue.push(envelope(0));
        }
        assert_eq!(queue.waiting.len(), limits::EPHEMERAL_WAITING_MAX);
        for position in 1..1000 {
            queue.push(envelope(position));
        }
        let stored = queue.waiting.iter().filter(|it| !is_ephemeral(it)).count();
        assert_eq!(stored, limits::UNACKNOWLEDGED_MAX + 1);
    }
}
