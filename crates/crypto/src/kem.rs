// SPDX-License-Identifier: Apache-2.0 OR MIT
//! ML-KEM keys (FIPS 203). A decapsulation key is kept as its seed `d || z`, the only form that
//! is the same for every implementation.

use rand_core::CryptoRng;

use crate::backend::{self, KemKey, ParameterSet};
use crate::error::CryptoError;
use crate::secret::Secret;

macro_rules! decapsulation_key {
    ($(#[$doc:meta])* $name:ident, $set:ident, $ek:literal, $ct:literal) => {
        $(#[$doc])*
        pub struct $name(Secret<64>);

        impl $name {
            /// Bytes of the encapsulation key.
            pub const ENCAPSULATION_KEY_LENGTH: usize = $ek;
            /// Bytes of a ciphertext.
            pub const CIPHERTEXT_LENGTH: usize = $ct;

            /// A fresh key.
            #[must_use]
            pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
                Self(Secret::generate(rng))
            }

            /// The key with this seed.
            #[must_use]
            pub const fn from_seed(seed: Secret<64>) -> Self {
                Self(seed)
            }

            /// The seed, for sealed rows.
            #[must_use]
            pub const fn expose_seed(&self) -> &Secret<64> {
                &self.0
            }

            /// The key in the form to compute with: for more than one use, at the cost of some
            /// kilobytes for as long as it is kept.
            #[must_use]
            pub fn prepare(&self) -> Box<dyn KemKey> {
                backend::active().kem_key(ParameterSet::$set, &self.0)
            }

            /// The encapsulation key. Computed from the seed each time.
            #[must_use]
            pub fn encapsulation_key(&self) -> Vec<u8> {
                self.prepare().encapsulation_key()
            }

            /// Decapsulates, computing the key from the seed each time. A forged ciphertext of the right length yields an unrelated secret.
            ///
            /// # Errors
            /// [`CryptoError::Malformed`] for another length.
            pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<Secret<32>, CryptoError> {
                self.prepare().decapsulate(ciphertext)
            }
        }
    };
}

decapsulation_key!(
    /// An ML-KEM-1024 decapsulation key: the half of a prekey pair that resists quantum computers.
    KemSecret1024, MlKem1024, 1568, 1568
);
decapsulation_key!(
    /// An ML-KEM-768 decapsulation key, for the ratchet's epochs.
    KemSecret768, MlKem768, 1184, 1088
);

/// Checks an encapsulation key that came from outside (FIPS 203, section 7.2).
///
/// # Errors
/// [`CryptoError::BadKemKey`].
pub fn check(set: ParameterSet, encapsulation_key: &[u8]) -> Result<(), CryptoError> {
    // SES-2, PRE-7.
    backend::check_encapsulation_key(set, encapsulation_key)
}

/// Encapsulates to a key that came from outside; the backend checks it first. Returns ciphertext and secret.
///
/// # Errors
/// [`CryptoError::BadKemKey`].
pub fn encapsulate<R: CryptoRng + ?Sized>(
    set: ParameterSet,
    encapsulation_key: &[u8],
    rng: &mut R,
) -> Result<(Vec<u8>, Secret<32>), CryptoError> {
    backend::active().kem_encapsulate(set, encapsulation_key, &Secret::generate(rng))
}
