// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The slots in which two devices of one person meet. The secret travels in the link code; the
//! server sees a locator that is hashed from it, and values that it can neither read nor move
//! from one slot to another.

use rand_core::CryptoRng;
use waxwing_identity::RendezvousSecret;
use zeroize::Zeroizing;

use super::{open_value, seal_value};
use crate::error::CryptoError;
use crate::kdf::{self, Z};
use crate::labels;
use crate::secret::Secret;

/// What seals the slots of one rendezvous.
pub struct RendezvousKey(Secret<32>);

impl RendezvousKey {
    /// Derives the key from the secret of a link code.
    #[must_use]
    pub fn derive(secret: &RendezvousSecret) -> Self {
        Self(kdf::derive(
            &Z,
            &[secret.as_bytes()],
            labels::RENDEZVOUS_KEY,
            &[],
        ))
    }

    /// Seals the value of one slot.
    ///
    /// # Errors
    /// [`CryptoError::TooLong`] for a value beyond the bounds of GCM.
    pub fn seal<R: CryptoRng + ?Sized>(
        &self,
        slot: u32,
        value: &[u8],
        rng: &mut R,
    ) -> Result<Vec<u8>, CryptoError> {
        // IDN-42.
        let slot = slot.to_be_bytes();
        seal_value(&self.0, labels::RENDEZVOUS_VALUE, &[&slot], value, rng)
    }

    /// Opens the value of one slot. The server controls `sealed`.
    ///
    /// # Errors
    /// [`CryptoError::AuthFailed`] or [`CryptoError::UnsupportedFormat`].
    pub fn open(&self, slot: u32, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let slot = slot.to_be_bytes();
        open_value(&self.0, labels::RENDEZVOUS_VALUE, &[&slot], sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn a_value_belongs_to_its_slot_and_secret() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let key = RendezvousKey::derive(&RendezvousSecret::new([1; 16]));
        let sealed = key.seal(0, b"offer", &mut rng).unwrap();
        let same = RendezvousKey::derive(&RendezvousSecret::new([1; 16]));
        assert_eq!(same.open(0, &sealed).unwrap().as_slice(), b"offer");
        assert_eq!(same.open(1, &sealed).err(), Some(CryptoError::AuthFailed));
        let other = RendezvousKey::derive(&RendezvousSecret::new([2; 16]));
        assert_eq!(other.open(0, &sealed).err(), Some(CryptoError::AuthFailed));
    }
}
