// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The randomness of a thief who sees a part of the device's.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, TryCryptoRng, TryRng};

/// The device's randomness at first, another's afterwards.
pub(super) struct Seen {
    pub(super) left: usize,
    pub(super) device: ChaCha20Rng,
    pub(super) own: ChaCha20Rng,
}

impl TryRng for Seen {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let (seen, other) = bytes.split_at_mut(self.left.min(bytes.len()));
        self.left -= seen.len();
        self.device.fill_bytes(seen);
        self.own.fill_bytes(other);
        Ok(())
    }
}

impl TryCryptoRng for Seen {}
