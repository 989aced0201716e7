// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam between the protocol and the implementations of X25519 (RFC 7748) and ML-KEM
//! (FIPS 203): standard byte strings in, standard byte strings out. So a backend can be replaced, and
//! each accepts what the other makes. The default takes every random choice as an argument and can be
//! compared byte for byte; the fast one draws the randomness of an encapsulation itself.

#[cfg(feature = "fast")]
mod fast;
mod pure_rust;

#[cfg(feature = "fast")]
pub use fast::Fast;
pub use pure_rust::PureRust;

use crate::error::CryptoError;
use crate::secret::Secret;

/// A parameter set of FIPS 203, section 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterSet {
    /// Security category 3; the ratchet's epochs.
    MlKem768,
    /// Security category 5; the handshake.
    MlKem1024,
}

impl ParameterSet {
    /// Bytes of an encapsulation key.
    #[must_use]
    pub const fn encapsulation_key_length(self) -> usize {
        match self {
            Self::MlKem768 => 1184,
            Self::MlKem1024 => 1568,
        }
    }

    /// Bytes of a ciphertext.
    #[must_use]
    pub const fn ciphertext_length(self) -> usize {
        match self {
            Self::MlKem768 => 1088,
            Self::MlKem1024 => 1568,
        }
    }
}

/// An X25519 secret in the form in which a backend computes with it. Wiped on drop.
pub trait DhKey: Send + Sync {
    /// The public key.
    fn public(&self) -> [u8; 32];

    /// X25519 with the contributory check.
    ///
    /// # Errors
    /// [`CryptoError::NonContributory`] where the result is all zeros.
    fn agree(&self, public: &[u8; 32]) -> Result<Secret<32>, CryptoError>;
}

/// An ML-KEM decapsulation key in the form in which a backend computes with it. Wiped on drop.
pub trait KemKey: Send + Sync {
    /// The encapsulation key.
    fn encapsulation_key(&self) -> Vec<u8>;

    /// `ML-KEM.Decaps`. A ciphertext of the right length always yields a secret: a wrong one is
    /// rejected implicitly and shows only where the secret is used.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] for another length.
    fn decapsulate(&self, ciphertext: &[u8]) -> Result<Secret<32>, CryptoError>;
}

/// X25519 and ML-KEM over the byte strings of their standards.
pub trait Backend: Send + Sync {
    /// An X25519 secret, ready to compute with.
    fn x25519_key(&self, secret: &Secret<32>) -> Box<dyn DhKey>;

    /// The decapsulation key of `ML-KEM.KeyGen_internal(d, z)` for the seed `d || z`, ready to
    /// compute with.
    fn kem_key(&self, set: ParameterSet, seed: &Secret<64>) -> Box<dyn KemKey>;

    /// Whether [`Backend::kem_encapsulate`] takes its `randomness`. Then everything that is made with this
    /// backend follows from the randomness given, and can be compared byte for byte.
    fn takes_randomness(&self) -> bool;

    /// Encapsulates to a key that came from outside, after the checks of [`check_encapsulation_key`]:
    /// `ML-KEM.Encaps_internal` with `randomness`, or `ML-KEM.Encaps` with the backend's own where it
    /// takes none.
    ///
    /// # Errors
    /// [`CryptoError::BadKemKey`].
    fn kem_encapsulate(
        &self,
        set: ParameterSet,
        encapsulation_key: &[u8],
        randomness: &Secret<32>,
    ) -> Result<(Vec<u8>, Secret<32>), CryptoError>;
}

/// The check of FIPS 203, section 7.2: the length, and every coefficient of 12 bits below q = 3329.
/// It is the same for every backend. The key is public, so its time may depend on it.
///
/// # Errors
/// [`CryptoError::BadKemKey`].
pub fn check_encapsulation_key(
    set: ParameterSet,
    encapsulation_key: &[u8],
) -> Result<(), CryptoError> {
    const Q: u32 = 3329;
    let rho = 32;
    let coefficients = encapsulation_key
        .len()
        .checked_sub(rho)
        .filter(|_| encapsulation_key.len() == set.encapsulation_key_length())
        .and_then(|end| encapsulation_key.get(..end))
        .ok_or(CryptoError::BadKemKey)?;
    let (triples, _) = coefficients.as_chunks::<3>();
    let reduced = triples.iter().all(|[a, b, c]| {
        let three = u32::from_le_bytes([*a, *b, *c, 0]);
        three & 0xfff < Q && three >> 12 < Q
    });
    if reduced {
        Ok(())
    } else {
        Err(CryptoError::BadKemKey)
    }
}

/// The backend that the secret types of this crate use: [`Fast`] with the feature `fast`, otherwise
/// [`PureRust`].
#[must_use]
pub fn active() -> &'static dyn Backend {
    #[cfg(feature = "fast")]
    return &Fast;
    #[cfg(not(feature = "fast"))]
    &PureRust
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parameter_sets_agree_and_are_deterministic() {
        for set in [ParameterSet::MlKem768, ParameterSet::MlKem1024] {
            let seed = Secret::copy_of(&[3; 64]);
            let key = PureRust.kem_key(set, &seed);
            let ek = key.encapsulation_key();
            assert_eq!(ek.len(), set.encapsulation_key_length());
            let randomness = Secret::copy_of(&[4; 32]);
            let (ct, sent) = PureRust.kem_encapsulate(set, &ek, &randomness).unwrap();
            assert_eq!(ct.len(), set.ciphertext_length());
            let (again, _) = PureRust.kem_encapsulate(set, &ek, &randomness).unwrap();
            assert_eq!(ct, again);
            let received = key.decapsulate(&ct).unwrap();
            assert!(sent.equals(&received));

            let mut forged = ct.clone();
            forged[0] ^= 1;
            let rejected = key.decapsulate(&forged).unwrap();
            assert!(!sent.equals(&rejected));
            assert!(key.decapsulate(&ct[1..]).is_err());
        }
    }

    #[test]
    fn an_unreduced_encapsulation_key_is_refused() {
        for set in [ParameterSet::MlKem768, ParameterSet::MlKem1024] {
            let key = PureRust.kem_key(set, &Secret::copy_of(&[3; 64]));
            let mut ek = key.encapsulation_key();
            assert!(check_encapsulation_key(set, &ek).is_ok());
            assert!(check_encapsulation_key(set, &ek[1..]).is_err());
            // 0xfff is above the modulus 3329 in the first 12-bit coefficient.
            ek[0] = 0xff;
            ek[1] |= 0x0f;
            assert_eq!(
                check_encapsulation_key(set, &ek),
                Err(CryptoError::BadKemKey)
            );
        }
    }

    #[test]
    fn what_takes_randomness_follows_from_it() {
        let set = ParameterSet::MlKem768;
        let backends: Vec<(&dyn Backend, bool)> = vec![
            (&PureRust, true),
            #[cfg(feature = "fast")]
            (&Fast, false),
        ];
        for (backend, takes) in backends {
            assert_eq!(backend.takes_randomness(), takes);
            let key = backend.kem_key(set, &Secret::copy_of(&[1; 64]));
            let randomness = Secret::copy_of(&[2; 32]);
            let [first, again] = [0, 1].map(|_| {
                let made = backend.kem_encapsulate(set, &key.encapsulation_key(), &randomness);
                made.unwrap().0
            });
            assert_eq!(first == again, takes);
        }
    }
}
