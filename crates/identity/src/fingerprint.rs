// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fingerprints: one account's key as hexadecimal digits, for cards, web pages and scripts.

use core::fmt;
use core::str::FromStr;

use subtle::ConstantTimeEq as _;
use waxwing_proto::AccountKey;

use crate::keys::Digest;

/// SHA-256 of an account key, all of it: a shortened fingerprint would invite look-alikes.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprint(Digest);

/// Text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// Not 64 hexadecimal digits, with or without spaces and colons between them.
    #[error("a fingerprint has 64 hexadecimal digits")]
    Syntax,
}

impl FingerprintError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        "fingerprint_syntax"
    }
}

impl Fingerprint {
    /// The fingerprint of an account key.
    #[must_use]
    pub fn of(account: &AccountKey) -> Self {
        // IDN-47.
        Self(Digest::of(&[account.as_bytes()]))
    }

    /// Whether this is the fingerprint of `account`, in constant time.
    #[must_use]
    pub fn fits(&self, account: &AccountKey) -> bool {
        *self == Self::of(account)
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Fingerprint {}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pair) in self.0.as_bytes().chunks(2).enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", data_encoding::HEXLOWER.encode(pair))?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        // Enough for any separators a person would put between the digits.
        if text.len() > 256 {
            return Err(FingerprintError::Syntax);
        }
        let digits: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace() && *byte != b':')
            .collect();
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(&digits)
            .map_err(|_| FingerprintError::Syntax)?;
        Digest::try_from(bytes.as_slice())
            .map(Self)
            .map_err(|_| FingerprintError::Syntax)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_are_read() {
        let account = AccountKey::new([0; 32]);
        let text = Fingerprint::of(&account).to_string();
        // SHA-256 of 32 zero bytes.
        assert!(text.starts_with("6668 7aad f862 bd77"), "{text}");
        assert_eq!(text.split(' ').count(), 16);
        let full = text.replace(' ', "").to_uppercase();
        for written in [text.clone(), full, text.replace(' ', ":")] {
            let read: Fingerprint = written.parse().unwrap();
            assert!(read.fits(&account));
            assert!(!read.fits(&AccountKey::new([1; 32])));
        }
    }

    #[test]
    fn parts_are_not_enough() {
        for bad in [
            "",
            "6668 7aad",
            "zz",
            &"6".repeat(63),
            &"6".repeat(66),
            &" ".repeat(300),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError::Syntax));
        }
    }
}
