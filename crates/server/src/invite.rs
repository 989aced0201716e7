// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long an invite is good, and how invites are named on the command line.

use core::fmt;
use core::str::FromStr;

use waxwing_storage::Minute;
use waxwing_storage::server::InviteId;

/// Digits of an invite's id that are shown: enough to tell any two apart.
const ID_DIGITS: usize = 12;
/// The fewest digits that name an invite.
pub(crate) const ID_DIGITS_MIN: usize = 4;

/// How long an invite is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Minutes(u32),
    Unlimited,
}

impl Lifetime {
    /// The first minute in which it is no longer good.
    pub(crate) fn expires(self, now: Minute) -> Option<Minute> {
        match self {
            Self::Minutes(minutes) => Some(Minute(now.0.saturating_add(minutes))),
            Self::Unlimited => None,
        }
    }
}

/// A text that is no lifetime.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LifetimeError;

impl std::error::Error for LifetimeError {}

impl fmt::Display for LifetimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::text::LIFETIME_SYNTAX)
    }
}

impl FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, LifetimeError> {
        if text == "never" {
            return Ok(Self::Unlimited);
        }
        let unit = text.chars().last().ok_or(LifetimeError)?;
        let minutes_each = match unit {
            'm' => 1,
            'h' => 60,
            'd' => 24 * 60,
            'w' => 7 * 24 * 60,
            _ => return Err(LifetimeError),
        };
        let number: u32 = text
            .strip_suffix(unit)
            .and_then(|digits| digits.parse().ok())
            .ok_or(LifetimeError)?;
        match number.checked_mul(minutes_each) {
            Some(minutes) if minutes > 0 => Ok(Self::Minutes(minutes)),
            _ => Err(LifetimeError),
        }
    }
}

/// An invite's id as it is shown.
pub(crate) fn short_id(id: &InviteId) -> String {
    let mut digits = data_encoding::HEXLOWER.encode(&id.0);
    digits.truncate(ID_DIGITS);
    digits
}

/// Whether `text` can begin the id of an invite.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() >= ID_DIGITS_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether `text` begins this id.
pub(crate) fn id_begins(id: &InviteId, text: &str) -> bool {
    data_encoding::HEXLOWER
        .encode(&id.0)
        .starts_with(&text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit() {
        assert_eq!("30m".parse::<Lifetime>().unwrap(), Lifetime::Minutes(30));
        assert_eq!("7d".parse::<Lifetime>().unwrap(), Lifetime::Minutes(10_080));
        assert_eq!("2w".parse::<Lifetime>().unwrap(), Lifetime::Minutes(20_160));
        assert_eq!("never".parse::<Lifetime>().unwrap(), Lifetime::Unlimited);
        for bad in [
            "",
            "7",
            "d",
            "0d",
            "-1d",
            "7x",
            "7 d",
            "99999999999d",
            "4294967295w",
            "7é",
        ] {
            assert!(bad.parse::<Lifetime>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_named_by_its_beginning() {
        let id = InviteId([0xab; 32]);
        assert_eq!(short_id(&id), "abababababab");
        assert!(id_begins(&id, "ABab") && !id_begins(&id, "abc0"));
        assert!(is_id("abab") && !is_id("aba") && !is_id("xyzw"));
    }
}
