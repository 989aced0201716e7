// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Randomness that is written down: a module of each test that seals what known answers hold. The
//! order of the draws is that of this implementation and no part of the specification.

use std::collections::VecDeque;
use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// Hands out what it was given, and fails where a draw does not have the length that comes next.
pub(crate) struct Scripted(VecDeque<Vec<u8>>);

impl Scripted {
    /// The draws, in their order.
    pub(crate) fn new(draws: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(draws.into_iter().collect())
    }

    /// Every draw was made.
    pub(crate) fn assert_used_up(&self) {
        assert!(self.0.is_empty(), "{} draws are left", self.0.len());
    }
}

impl TryRng for Scripted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("only byte strings are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("only byte strings are drawn")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0.pop_front().unwrap());
        Ok(())
    }
}

impl TryCryptoRng for Scripted {}
