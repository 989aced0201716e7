// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The alarms that stand about one account. Each stands until something settles that very one: a
//! second alarm hides none, and a comparison that says nothing about it leaves it.

use crate::codec;
use crate::notice::AlarmKind;
use crate::trust::{self, Settlement};

/// Every kind, the one that is shown first first.
const BY_WEIGHT: [AlarmKind; 10] = [
    AlarmKind::RestoredStore,
    AlarmKind::RemovedFromAccount,
    AlarmKind::KeyChanged,
    AlarmKind::Equivocation,
    AlarmKind::SuspiciousRemoval,
    AlarmKind::Rollback,
    AlarmKind::ClonedDevice,
    AlarmKind::SessionsInVain,
    AlarmKind::ListContested,
    AlarmKind::Recovered,
];

/// A set of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Alarms(u32);

impl Alarms {
    /// No alarm.
    pub(crate) const NONE: Self = Self(0);

    const fn bit(kind: AlarmKind) -> u32 {
        1_u32.wrapping_shl(codec::alarm_number(kind))
    }

    /// Adds an alarm. Whether it did not stand before.
    pub(crate) const fn raise(&mut self, kind: AlarmKind) -> bool {
        let before = self.0;
        self.0 |= Self::bit(kind);
        self.0 != before
    }

    /// Takes away what is settled by it. Whether anything was.
    pub(crate) fn settle(&mut self, by: Settlement) -> bool {
        let before = self.0;
        for kind in BY_WEIGHT {
            if trust::settles(by, kind) {
                self.0 &= !Self::bit(kind);
            }
        }
        self.0 != before
    }

    /// Whether this one stands.
    pub(crate) const fn contains(self, kind: AlarmKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// Whether none stands.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The one to show first; one that blocks sending before one that does not.
    pub(crate) fn first(self) -> Option<AlarmKind> {
        BY_WEIGHT.into_iter().find(|kind| self.contains(*kind))
    }

    /// The one to name where sending is refused.
    pub(crate) fn blocking(self) -> Option<AlarmKind> {
        self.first().filter(|kind| trust::blocks_sending(*kind))
    }

    /// Whether a version of the account key would end one.
    pub(crate) fn await_account_key(self) -> bool {
        BY_WEIGHT
            .into_iter()
            .any(|kind| self.contains(kind) && trust::settles(Settlement::AccountSigned, kind))
    }

    /// As a row holds it: a bit for each kind, at the place of its number.
    pub(crate) const fn to_row(self) -> u32 {
        self.0
    }

    /// From a row: the bits, and the one alarm that rows held before there were bits.
    pub(crate) fn from_row(bits: u32, single: u32) -> Self {
        let known = BY_WEIGHT
            .into_iter()
            .fold(0, |known, kind| known | Self::bit(kind));
        let mut alarms = Self(bits & known);
        if let Some(kind) = codec::alarm_from_number(single) {
            alarms.raise(kind);
        }
        alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [IDN-64], [IDN-65].
    #[test]
    fn a_second_alarm_hides_none_and_is_settled_by_itself() {
        let mut alarms = Alarms::default();
        assert!(alarms.raise(AlarmKind::Equivocation));
        assert!(alarms.raise(AlarmKind::KeyChanged) && !alarms.raise(AlarmKind::KeyChanged));
        alarms.raise(AlarmKind::Recovered);
        assert_eq!(alarms.blocking(), Some(AlarmKind::KeyChanged));
        alarms.settle(Settlement::AccountKeys);
        assert_eq!(alarms.blocking(), Some(AlarmKind::Equivocation));
        assert!(!alarms.contains(AlarmKind::Recovered));
        alarms.settle(Settlement::AccountSigned);
        assert!(alarms.is_empty() && alarms.first().is_none());
    }

    #[test]
    fn rows_of_before_are_read() {
        assert_eq!(
            Alarms::from_row(0, 2).first(),
            Some(AlarmKind::Equivocation)
        );
        assert!(Alarms::from_row(1 << 30 | 1, 0).is_empty());
        let mut alarms = Alarms::default();
        for kind in BY_WEIGHT {
            assert!(alarms.raise(kind));
            assert_eq!(Alarms::from_row(alarms.to_row(), 0), alarms);
        }
        assert_eq!(Alarms::from_row(4, 1).to_row(), 0b110);
    }

    #[test]
    fn what_blocks_is_shown_before_what_does_not() {
        let blocks = BY_WEIGHT.map(trust::blocks_sending);
        assert!(blocks.is_sorted_by(|first, second| first >= second));
    }
}
