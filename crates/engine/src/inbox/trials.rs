// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What envelopes may cost whose tag says nothing: whoever knows a delivery id can send any number of
//! them, and each makes this device try keys. What is beyond the budget waits untried, in order;
//! envelopes whose tag is known go past it.

use std::collections::VecDeque;

use waxwing_proto::limits;

use super::Waiting;
use crate::sessions::Sessions;

/// The budget, in microseconds of one core as the costs in [`limits`] estimate them: counted and not
/// measured, so that every run of the same events is the same.
#[derive(Debug)]
pub(super) struct Budget {
    left_us: u64,
    /// When it was filled last, by the monotonic clock.
    filled_ms: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left_us: limits::TRIAL_BUDGET_US_MAX,
            filled_ms: 0,
        }
    }
}

impl Budget {
    /// Pays for a trial, or says when it can be paid for, by the monotonic clock.
    fn pay(&mut self, cost_us: u64, now_ms: u64) -> Result<(), u64> {
        let passed_ms = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        let gained = passed_ms.saturating_mul(limits::TRIAL_BUDGET_US_PER_MS);
        self.left_us = self
            .left_us
            .saturating_add(gained)
            .min(limits::TRIAL_BUDGET_US_MAX);
        // What is dearer than the whole budget takes all of it, and is tried.
        let cost_us = cost_us.min(limits::TRIAL_BUDGET_US_MAX);
        let lacking = cost_us.saturating_sub(self.left_us);
        if lacking > 0 {
            let wait_ms = lacking.div_ceil(limits::TRIAL_BUDGET_US_PER_MS);
            return Err(now_ms.saturating_add(wait_ms));
        }
        self.left_us = self.left_us.saturating_sub(cost_us);
        Ok(())
    }
}

/// Deliveries in the order in which they are looked at.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// What cannot be paid for yet, and ends of drains behind it: a mailbox with something untried in it
    /// has not been drained.
    untried: VecDeque<Waiting>,
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
    pub(super) fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.untried.len())
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// The budget stays: a connection that is made anew pays for nothing.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.untried.clear();
    }

    pub(super) fn next(&mut self, sessions: &Sessions, now_ms: u64) -> Next {
        // ENV-62.
        let due_ms = match self.untried.front() {
            None => None,
            Some(first) => match self.budget.pay(cost_us(first, sessions), now_ms) {
                Ok(()) => return self.untried.pop_front().map_or(Next::Nothing, Next::Take),
                Err(due_ms) => Some(due_ms),
            },
        };
        let mut due_ms = due_ms;
        while let Some(next) = self.waiting.pop_front() {
            let is_free = match &next {
                Waiting::Drained => due_ms.is_none(),
                Waiting::Envelope(_) => {
                    let cost_us = cost_us(&next, sessions);
                    let is_free = cost_us == 0;
                    if !is_free && due_ms.is_none() {
                        due_ms = self.budget.pay(cost_us, now_ms).err();
                        if due_ms.is_none() {
                            return Next::Take(next);
                        }
                    }
                    is_free
                }
            };
            if is_free {
                return Next::Take(next);
            }
            self.untried.push_back(next);
        }
        due_ms.map_or(Next::Nothing, Next::Later)
    }
}

fn cost_us(waiting: &Waiting, sessions: &Sessions) -> u64 {
    match waiting {
        Waiting::Drained => 0,
        Waiting::Envelope(envelope) => sessions.trial_cost_us(&envelope.envelope),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_fills_with_time_up_to_its_bound() {
        let mut budget = Budget::default();
        let all = limits::TRIAL_BUDGET_US_MAX;
        assert_eq!(budget.pay(all.saturating_add(7), 5), Ok(()));
        assert_eq!(budget.pay(0, 5), Ok(()));
        assert_eq!(budget.pay(1, 5), Err(6));
        assert_eq!(budget.pay(25, 5), Err(8));
        assert_eq!(budget.pay(25, 7), Err(8));
        assert_eq!(budget.pay(25, 8), Ok(()));
        assert_eq!(budget.left_us, 5);
        // A clock that goes back gives nothing, and nothing twice.
        assert_eq!(budget.pay(6, 3), Err(4));
        assert_eq!(budget.pay(6, 8), Err(9));
        assert_eq!(budget.pay(all, u64::MAX), Ok(()));
        assert_eq!(budget.pay(1, u64::MAX), Err(u64::MAX));
    }
}
