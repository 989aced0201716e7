// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The table of the rate limits: one number a key, bounded.

use std::collections::{BTreeSet, HashMap};

use waxwing_proto::limits;

use super::{Key, Rate, Refused, Subject};

/// For each key the theoretical arrival time: how far ahead of now it is says how much is used up.
#[derive(Default)]
pub(super) struct Cells {
    arrival_us: HashMap<Key, u64>,
    /// Each key once, ordered by an arrival time that it had: the actual one is that or later. What is
    /// counted often need not be put in order each time.
    by_arrival: BTreeSet<(u64, Key)>,
}

/// Keys that one call looks at for what may be forgotten, and more of them where the table is full.
const LOOKS: usize = 2;
const LOOKS_FULL: usize = 64;

impl Cells {
    /// Counts `cost` against every key, or against none where one of them does not allow it.
    pub(super) fn count<const N: usize>(
        &mut self,
        keys: [(Key, Rate); N],
        cost: u32,
        now_ms: u64,
    ) -> Result<(), Refused> {
        // TRN-25.
        // Microseconds, because a period of one minute divided by some thousands leaves less than
        // a few milliseconds.
        let now_us = now_ms.saturating_mul(1000);
        let mut arrivals = [0; N];
        for (arrival, (key, rate)) in arrivals.iter_mut().zip(&keys) {
            let known = self.arrival_us.get(key).copied();
            *arrival = rate.arrival_us(known.unwrap_or(0), cost, now_us)?;
        }
        for ((key, _), arrival) in keys.into_iter().zip(arrivals) {
            match self.arrival_us.get_mut(&key) {
                Some(known) => *known = arrival,
                None => {
                    self.arrival_us.insert(key, arrival);
                    self.by_arrival.insert((arrival, key));
                }
            }
            self.forget_unused(now_us);
        }
        Ok(())
    }

    /// Keys whose time has passed hold no state worth keeping; a few looks a call keep the table small
    /// without ever making one call slow. Over the bound a key that is used little goes: the least
    /// used one of those that were looked at.
    fn forget_unused(&mut self, now_us: u64) {
        for look in 0..LOOKS_FULL {
            let over = self.arrival_us.len() > limits::ADMISSION_TABLE_MAX;
            let Some((noted, key)) = self.by_arrival.first().copied() else {
                return;
            };
            if !over && (noted > now_us || look >= LOOKS) {
                return;
            }
            self.by_arrival.remove(&(noted, key));
            let arrival = self.arrival_us.get(&key).copied().unwrap_or(0);
            let is_last = look.saturating_add(1) == LOOKS_FULL;
            if arrival > noted && !is_last {
                self.by_arrival.insert((arrival, key));
            } else {
                self.arrival_us.remove(&key);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.arrival_us.len(), self.by_arrival.len());
        self.arrival_us.len()
    }

    pub(super) fn forget_prefixes(&mut self) {
        let kept = |key: &Key| !matches!(key.1, Subject::Prefix(_));
        self.arrival_us.retain(|key, _| kept(key));
        self.by_arrival.retain(|(_, key)| kept(key));
    }
}

impl Rate {
    /// The arrival time after so many more, where they are allowed.
    fn arrival_us(&self, known_us: u64, cost: u32, now_us: u64) -> Result<u64, Refused> {
        let period_us = self.period_ms.saturating_mul(1000);
        let Some(interval_us) = period_us.checked_div(u64::from(self.count)) else {
            return Err(Refused { retry_after_ms: 0 });
        };
        let start = known_us.max(now_us);
        let arrival = start.saturating_add(interval_us.saturating_mul(u64::from(cost)));
        let used_us = arrival.saturating_sub(now_us);
        if used_us > period_us {
            let wait_ms = used_us.saturating_sub(period_us).div_ceil(1000);
            return Err(Refused {
                retry_after_ms: u32::try_from(wait_ms).unwrap_or(u32::MAX),
            });
        }
        Ok(arrival)
    }
}

#[cfg(test)]
mod tests {
    use waxwing_proto::DeliveryId;

    use super::*;
    use crate::admission::Action;

    /// What is counted often is put in order now and then only; it must not look unused for that.
    #[test]
    fn what_is_counted_often_is_kept() {
        let mut cells = Cells::default();
        let rate = Rate::per_minute(60);
        let key = |n: u8| (Action::Send, Subject::DeliveryId(DeliveryId::new([n; 16])));
        for second in 0..200 {
            cells.count([(key(1), rate)], 1, second * 1000).unwrap();
            cells
                .count([(key(1), rate)], 1, second * 1000)
                .unwrap_or(());
        }
        // All but one of its sixty are used up.
        assert!(cells.count([(key(1), rate)], 2, 200_000).is_err());
        for n in 2..100 {
            cells.count([(key(n), rate)], 1, 100_000).unwrap();
        }
        assert_eq!(cells.len(), 99);
        for _ in 0..100 {
            cells.count([(key(1), rate)], 1, 300_000).unwrap_or(());
        }
        // The others' time has passed.
        assert_eq!(cells.len(), 1);
    }
    /// What two limits allow is counted against both, and what one of them refuses against neither.
    #[test]
    fn a_refusal_counts_nothing() {
        let mut cells = Cells::default();
        let key = |n: u8| (Action::Send, Subject::DeliveryId(DeliveryId::new([n; 16])));
        let (wide, narrow) = (Rate::per_minute(10), Rate::per_minute(4));
        for keys in [
            [(key(1), wide), (key(2), narrow)],
            [(key(2), narrow), (key(1), wide)],
        ] {
            let refused = cells.count(keys, 5, 0).unwrap_err();
            assert_eq!(refused.retry_after_ms, 15_000);
        }
        assert_eq!(cells.len(), 0);
        cells
            .count([(key(1), wide), (key(2), narrow)], 4, 0)
            .unwrap();
        cells.count([(key(1), wide)], 6, 0).unwrap();
        cells.count([(key(1), wide)], 1, 0).unwrap_err();
    }
}
