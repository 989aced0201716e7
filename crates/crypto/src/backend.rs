// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam between the protocol and the implementations of X25519 (RFC 7748) and ML-KEM
//! (FIPS 203): standard byte strings in, standard byte strings out. So a backend can be replaced, and
//! each accepts what the other makes. The default takes every random choice as an argument and can be
//! compared byte for byte; the fast one draws the randomness of an encapsulation itself.

#[cfg(feature = "fast")]
mod fast;

#[cfg(feature = "fast")]
pub use fast::Fast;
use ml_kem::kem::{Decapsulate, KeyExport};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroize;

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

    /// Encapsulates to a key that has passed [`check_encapsulation_key`]: `ML-KEM.Encaps_internal`
    /// with `randomness`, or `ML-KEM.Encaps` with the backend's own where it takes none.
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

/// x25519-dalek and ml-kem: pure Rust, constant time, deterministic.
#[derive(Debug, Clone, Copy)]
pub struct PureRust;

struct PureDhKey(StaticSecret);

impl DhKey for PureDhKey {
    fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    fn agree(&self, public: &[u8; 32]) -> Result<Secret<32>, CryptoError> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*public));
        if !shared.was_contributory() {
            return Err(CryptoError::NonContributory);
        }
        Ok(Secret::copy_of(shared.as_bytes()))
    }
}

impl Backend for PureRust {
    fn takes_randomness(&self) -> bool {
        true
    }

    fn x25519_key(&self, secret: &Secret<32>) -> Box<dyn DhKey> {
        Box::new(PureDhKey(StaticSecret::from(*secret.expose())))
    }

    fn kem_key(&self, set: ParameterSet, seed: &Secret<64>) -> Box<dyn KemKey> {
        let key = match set {
            ParameterSet::MlKem768 => ml_kem_768::boxed(seed),
            ParameterSet::MlKem1024 => ml_kem_1024::boxed(seed),
        };
        scrub_stack();
        key
    }

    fn kem_encapsulate(
        &self,
        set: ParameterSet,
        encapsulation_key: &[u8],
        randomness: &Secret<32>,
    ) -> Result<(Vec<u8>, Secret<32>), CryptoError> {
        let made = match set {
            ParameterSet::MlKem768 => ml_kem_768::encapsulate(encapsulation_key, randomness),
            ParameterSet::MlKem1024 => ml_kem_1024::encapsulate(encapsulation_key, randomness),
        };
        scrub_stack();
        made
    }
}

/// More than what any call into `ml-kem` takes of the stack.
const SCRUBBED: usize = 64 * 1024;

/// Overwrites the stack below the caller: `ml-kem` takes seeds and gives keys by value, and what is moved
/// stays where it was. Once at full speed, and a test searches the memory.
#[inline(never)]
fn scrub_stack() {
    core::hint::black_box(&mut [0_u8; SCRUBBED]);
}

macro_rules! parameter_set {
    ($name:ident) => {
        mod $name {
            use ml_kem::$name::{DecapsulationKey, EncapsulationKey};

            use super::{CryptoError, Decapsulate, KemKey, KeyExport, Secret, Zeroize};

            /// Not a part of its caller, which cannot overwrite its own stack.
            #[inline(never)]
            pub(super) fn boxed(seed: &Secret<64>) -> Box<dyn KemKey> {
                Box::new(expand(seed))
            }

            fn expand(seed: &Secret<64>) -> DecapsulationKey {
                let mut copy = ml_kem::Seed::from(*seed.expose());
                let key = DecapsulationKey::from_seed(copy);
                copy.as_mut_slice().zeroize();
                key
            }

            /// The expanded decapsulation key of FIPS 203, section 6.1, and the encapsulation key.
            #[cfg(feature = "fast")]
            #[allow(
                deprecated,
                reason = "another implementation takes a key in this form only"
            )]
            #[inline(never)]
            pub(super) fn expanded(seed: &Secret<64>) -> (Vec<u8>, Vec<u8>) {
                use ml_kem::ExpandedKeyEncoding as _;

                let key = expand(seed);
                let mut bytes = key.to_expanded_bytes();
                let expanded = bytes.to_vec();
                bytes.as_mut_slice().zeroize();
                (expanded, KemKey::encapsulation_key(&key))
            }

            impl KemKey for DecapsulationKey {
                fn encapsulation_key(&self) -> Vec<u8> {
                    Self::encapsulation_key(self).to_bytes().to_vec()
                }

                fn decapsulate(&self, ciphertext: &[u8]) -> Result<Secret<32>, CryptoError> {
                    let secret = decapsulated(self, ciphertext);
                    super::scrub_stack();
                    secret
                }
            }

            #[inline(never)]
            fn decapsulated(
                key: &DecapsulationKey,
                ciphertext: &[u8],
            ) -> Result<Secret<32>, CryptoError> {
                let ciphertext = ciphertext
                    .try_into()
                    .map_err(|_| CryptoError::Malformed("a KEM ciphertext"))?;
                let mut shared = Decapsulate::decapsulate(key, ciphertext);
                let secret = Secret::fill_with(|out| out.copy_from_slice(&shared));
                shared.as_mut_slice().zeroize();
                Ok(secret)
            }

            fn parse(bytes: &[u8]) -> Result<EncapsulationKey, CryptoError> {
                let encoded = bytes.try_into().map_err(|_| CryptoError::BadKemKey)?;
                EncapsulationKey::new(encoded).map_err(|_| CryptoError::BadKemKey)
            }

            #[inline(never)]
            pub(super) fn encapsulate(
                bytes: &[u8],
                randomness: &Secret<32>,
            ) -> Result<(Vec<u8>, Secret<32>), CryptoError> {
                let mut m = ml_kem::B32::from(*randomness.expose());
                let (ciphertext, mut shared) = parse(bytes)?.encapsulate_deterministic(&m);
                let secret = Secret::fill_with(|out| out.copy_from_slice(&shared));
                m.as_mut_slice().zeroize();
                shared.as_mut_slice().zeroize();
                Ok((ciphertext.to_vec(), secret))
            }
        }
    };
}

parameter_set!(ml_kem_768);
parameter_set!(ml_kem_1024);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x25519_matches_rfc_7748() {
        // Section 6.1: Alice's secret and Bob's public key.
        let alice = Secret::copy_of(&[
            0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2,
            0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5,
            0x1d, 0xb9, 0x2c, 0x2a,
        ]);
        let bob = [
            0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61, 0xc2, 0xec, 0xe4,
            0x35, 0x37, 0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78, 0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14,
            0x6f, 0x88, 0x2b, 0x4f,
        ];
        let shared = [
            0x4a, 0x5d, 0x9d, 0x5b, 0xa4, 0xce, 0x2d, 0xe1, 0x72, 0x8e, 0x3b, 0xf4, 0x80, 0x35,
            0x0f, 0x25, 0xe0, 0x7e, 0x21, 0xc9, 0x47, 0xd1, 0x9e, 0x33, 0x76, 0xf0, 0x9b, 0x3c,
            0x1e, 0x16, 0x17, 0x42,
        ];
        assert_eq!(
            PureRust.x25519_key(&alice).agree(&bob).unwrap().expose(),
            &shared
        );
    }

    #[test]
    fn low_order_points_are_refused() {
        let secret = Secret::copy_of(&[0x42; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        for public in [[0; 32], one] {
            assert_eq!(
                PureRust.x25519_key(&secret).agree(&public).err(),
                Some(CryptoError::NonContributory)
            );
        }
    }

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
