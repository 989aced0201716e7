// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When the engine wants to be called again, by the monotonic clock. Nothing here is stored: what a
//! timer is for can be told from the rows, and is armed again when the profile is opened.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use waxwing_proto::AccountKey;

/// What a timer is for. At most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Look at the outbox of an account again.
    Outbox(AccountKey),
    /// Put the receipts for an account in the outbox.
    Receipts(AccountKey),
    /// Tell an account how this one is reached now.
    Address(AccountKey),
    /// Look at the signed pair's age and the number of one-time pairs.
    Prekeys,
    /// Try the account's own step (registration, authentication) again.
    Account,
    /// Ask for the next step of a linking.
    Linking,
    /// Ask for versions that would end an alarm about a contact.
    Successors,
    /// Ask again for a slot of a linking.
    LinkingSlot,
    /// Ask again for the manifests of one's own account.
    OwnManifests,
    /// Give up a linking.
    LinkingExpired,
    /// Make delivery ids valid on the server again.
    DeliveryIds,
    /// Try what came and could not be paid for.
    Untried,
    /// Show what has been missing for a day.
    Gaps,
    /// Look for contents that were lost and for sessions in which nobody answers.
    Horizon,
}

/// The timers that run.
#[derive(Default)]
pub(crate) struct Timers {
    due: BTreeMap<Timer, u64>,
}

impl Timers {
    /// Sets a timer, in place of an earlier one for the same thing.
    pub(crate) fn set(&mut self, timer: Timer, due_ms: u64) {
        self.due.insert(timer, due_ms);
    }

    /// Sets a timer unless one for the same thing is due sooner.
    pub(crate) fn set_sooner(&mut self, timer: Timer, due_ms: u64) {
        let due = self.due.entry(timer).or_insert(due_ms);
        *due = (*due).min(due_ms);
    }

    /// Stops a timer.
    pub(crate) fn clear(&mut self, timer: Timer) {
        self.due.remove(&timer);
    }

    /// Whether a timer runs.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.due.contains_key(&timer)
    }

    /// The earliest.
    pub(crate) fn earliest_ms(&self) -> Option<u64> {
        self.due.values().copied().min()
    }

    /// Takes those that are due, in a fixed order.
    pub(crate) fn take_due(&mut self, monotonic_ms: u64) -> Vec<Timer> {
        let due: Vec<Timer> = self
            .due
            .iter()
            .filter(|(_, due)| **due <= monotonic_ms)
            .map(|(timer, _)| *timer)
            .collect();
        for timer in &due {
            self.due.remove(timer);
        }
        due
    }
}

/// A number in `low..=high`. The bias of the remainder is of no weight for delays.
pub(crate) fn jitter(rng: &mut dyn CryptoRng, low: u64, high: u64) -> u64 {
    let span = high.saturating_sub(low).saturating_add(1);
    low.saturating_add(rng.next_u64().checked_rem(span).unwrap_or(0))
}

/// How long to wait before attempt `attempt` (from 1): between half and all of 1 s, 2 s, 4 s … 5 min.
pub(crate) fn retry_delay_ms(rng: &mut dyn CryptoRng, attempt: u32) -> u64 {
    let full = 1000_u64
        .checked_shl(attempt.saturating_sub(1).min(16))
        .unwrap_or(u64::MAX)
        .min(300_000);
    jitter(rng, full >> 1, full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_are_taken_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Prekeys, 10);
        timers.set(Timer::Account, 5);
        timers.set_sooner(Timer::Prekeys, 20);
        assert_eq!(timers.earliest_ms(), Some(5));
        assert_eq!(timers.take_due(10), vec![Timer::Prekeys, Timer::Account]);
        assert_eq!(timers.earliest_ms(), None);
    }
}
