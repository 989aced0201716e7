// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Time as stores know it: days, and minutes for what is tied to no account.
//!
//! Nothing here reads a clock; time is an argument of the steps that need it.

use core::fmt;

const MINUTES_PER_DAY: u32 = 24 * 60;

/// A day, counted from 1970-01-01 (UTC): the finest time that is stored with an account or an
/// envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(pub u32);

impl Day {
    /// The day of a Unix time in seconds; the last day that fits beyond the range.
    #[must_use]
    pub fn from_unix_seconds(seconds: u64) -> Self {
        Minute::from_unix_seconds(seconds).day()
    }

    /// The day `days` later, at most the last one that fits.
    #[must_use]
    pub const fn plus(self, days: u32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// How many days `self` is after `earlier`; 0 where it is not after it.
    #[must_use]
    pub const fn days_since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A minute, counted from 1970-01-01 (UTC): for invites, which are tied to no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Minute(pub u32);

impl Minute {
    /// The minute of a Unix time in seconds; the last minute that fits beyond the range.
    #[must_use]
    pub fn from_unix_seconds(seconds: u64) -> Self {
        Self(u32::try_from(seconds / 60).unwrap_or(u32::MAX))
    }

    /// The day that this minute lies in.
    #[must_use]
    pub const fn day(self) -> Day {
        Day(self.0 / MINUTES_PER_DAY)
    }
}

impl From<Day> for Minute {
    /// The first minute of the day.
    fn from(day: Day) -> Self {
        Self(day.0.saturating_mul(MINUTES_PER_DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_knows_its_day() {
        assert_eq!(Minute::from_unix_seconds(86_399).day(), Day(0));
        assert_eq!(Day::from_unix_seconds(86_400), Day(1));
        assert_eq!(Minute::from(Day(2)).day(), Day(2));
        assert_eq!(Minute::from_unix_seconds(u64::MAX), Minute(u32::MAX));
    }

    #[test]
    fn days_neither_overflow_nor_go_below_zero() {
        assert_eq!(Day(u32::MAX).plus(1), Day(u32::MAX));
        assert_eq!(Day(3).days_since(Day(5)), 0);
    }
}
