// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Safety numbers: 60 digits that two people compare to know that nobody stands between them.
//!
//! The idea of an iterated hash and groups of five digits is that of Signal's numeric fingerprints.
//! Here both keys go into one chain: a stranger in the middle needs two accounts whose numbers with
//! the two victims are equal, a collision of 60 digits at 5200 hashes a try.

use core::fmt;

use sha2::{Digest as _, Sha512};
use waxwing_proto::AccountKey;

use crate::labels;

/// Hashes between the keys and the digits.
const ITERATIONS: u32 = 5200;
const GROUPS: usize = 12;

/// The safety number of two accounts; the same whichever is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SafetyNumber {
    /// Each below 100000.
    groups: [u32; GROUPS],
}

impl SafetyNumber {
    /// The number between two accounts: `h = SHA-512(label || a || b)` with the smaller key as `a`,
    /// 5200 times `h = SHA-512(h || a || b)`, then of each of the first twelve runs of five bytes,
    /// read big-endian, the remainder by 100000. Takes milliseconds.
    #[must_use]
    pub fn between(one: &AccountKey, other: &AccountKey) -> Self {
        // IDN-46.
        let (smaller, greater) = (one.min(other), one.max(other));
        let mut hash = Sha512::new_with_prefix(labels::SAFETY_NUMBER)
            .chain_update(smaller.as_bytes())
            .chain_update(greater.as_bytes())
            .finalize();
        for _ in 0..ITERATIONS {
            hash = Sha512::new_with_prefix(hash)
                .chain_update(smaller.as_bytes())
                .chain_update(greater.as_bytes())
                .finalize();
        }
        let mut groups = [0; GROUPS];
        for (group, bytes) in groups.iter_mut().zip(hash.chunks_exact(5)) {
            *group = remainder(bytes);
        }
        Self { groups }
    }

    /// The twelve groups of five digits.
    #[must_use]
    pub const fn groups(&self) -> &[u32; GROUPS] {
        &self.groups
    }
}

/// A big-endian number by 100000, byte by byte: 99999 * 256 + 255 fits easily.
fn remainder(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0_u32, |value, byte| {
        value
            .wrapping_mul(256)
            .wrapping_add(u32::from(*byte))
            .wrapping_rem(100_000)
    })
}

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.groups.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{group:05}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_pair_has_its_number() {
        // Computed by an independent program from the formula in the documentation.
        let number = SafetyNumber::between(&AccountKey::new([1; 32]), &AccountKey::new([2; 32]));
        assert_eq!(
            number.to_string(),
            "08128 59199 05053 66194 20282 16961 07944 12887 83635 43701 92093 88991"
        );
    }

    #[test]
    fn it_is_symmetric_and_depends_on_both() {
        let [a, b, c] = [1, 2, 3].map(|byte| AccountKey::new([byte; 32]));
        assert_eq!(SafetyNumber::between(&a, &b), SafetyNumber::between(&b, &a));
        assert_ne!(SafetyNumber::between(&a, &b), SafetyNumber::between(&a, &c));
        assert_ne!(SafetyNumber::between(&a, &b), SafetyNumber::between(&c, &b));
        let text = SafetyNumber::between(&a, &b).to_string();
        assert_eq!(text.len(), 71);
        assert!(text.split(' ').all(|group| group.len() == 5));
    }
}
