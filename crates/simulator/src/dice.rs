// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything that a seed decides, drawn from named streams, so that a draw more in one place does
//! not shift the draws of another.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// One stream of draws.
pub struct Dice(ChaCha12Rng);

impl Dice {
    /// The stream `name` of a seed.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        Self(ChaCha12Rng::from_seed(stream_seed(seed, name)))
    }

    /// A number in `0..bound`; 0 where `bound` is 0. The bias is irrelevant here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// A number in `low..high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low)))
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the elements; `None` where there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(from.len() as u64)).ok()?;
        from.get(index)
    }

    /// Sixteen bytes.
    pub fn bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

/// 32 bytes that follow from a seed and a name.
#[must_use]
pub fn stream_seed(seed: u64, name: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(name.as_bytes());
    hash.finalize().into()
}
