// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The default backend: libcrux's X25519 and ML-KEM, and x25519-dalek for the public keys, whose table of
//! the base point makes them three times as fast; without C or assembly, and deterministic.

use x25519_dalek::{PublicKey, StaticSecret};

use super::{Backend, CryptoError, DhKey, KemKey, ParameterSet, Secret, check_encapsulation_key};

/// libcrux and x25519-dalek: constant time, and every random choice is an argument.
#[derive(Debug, Clone, Copy)]
pub struct PureRust;

struct PureDhKey(Secret<32>);

impl DhKey for PureDhKey {
    fn public(&self) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(*self.0.expose())).to_bytes()
    }

    fn agree(&self, public: &[u8; 32]) -> Result<Secret<32>, CryptoError> {
        let shared = agreed(&self.0, public);
        scrub_stack::<SCRUBBED_X25519>();
        shared
    }
}

/// Not a part of its caller, which cannot overwrite its own stack. The library refuses an all-zero result.
#[inline(never)]
fn agreed(secret: &Secret<32>, public: &[u8; 32]) -> Result<Secret<32>, CryptoError> {
    Secret::try_fill_with(|out| {
        libcrux_curve25519::ecdh(out, public, secret.expose())
            .map_err(|_| CryptoError::NonContributory)
    })
}

impl Backend for PureRust {
    fn takes_randomness(&self) -> bool {
        true
    }

    fn x25519_key(&self, secret: &Secret<32>) -> Box<dyn DhKey> {
        Box::new(PureDhKey(secret.duplicate()))
    }

    fn kem_key(&self, set: ParameterSet, seed: &Secret<64>) -> Box<dyn KemKey> {
        match set {
            ParameterSet::MlKem768 => Box::new(ml_kem_768::Key::expand(seed)),
            ParameterSet::MlKem1024 => Box::new(ml_kem_1024::Key::expand(seed)),
        }
    }

    fn kem_encapsulate(
        &self,
        set: ParameterSet,
        encapsulation_key: &[u8],
        randomness: &Secret<32>,
    ) -> Result<(Vec<u8>, Secret<32>), CryptoError> {
        // The library takes unreduced coefficients.
        check_encapsulation_key(set, encapsulation_key)?;
        match set {
            ParameterSet::MlKem768 => ml_kem_768::encapsulate(encapsulation_key, randomness),
            ParameterSet::MlKem1024 => ml_kem_1024::encapsulate(encapsulation_key, randomness),
        }
    }
}

/// The expanded decapsulation key of FIPS 203, section 6.1, for another implementation, and the
/// encapsulation key.
#[cfg(feature = "fast")]
pub(super) fn expand<T>(
    set: ParameterSet,
    seed: &Secret<64>,
    take: impl FnOnce(&[u8], &[u8]) -> T,
) -> T {
    match set {
        ParameterSet::MlKem768 => ml_kem_768::Key::expand(seed).lend(take),
        ParameterSet::MlKem1024 => ml_kem_1024::Key::expand(seed).lend(take),
    }
}

/// More than what any call into libcrux-ml-kem takes of the stack.
const SCRUBBED_ML_KEM: usize = 64 * 1024;
/// More than what an X25519 takes of it.
const SCRUBBED_X25519: usize = 4 * 1024;

/// Overwrites the stack below the caller: libcrux wipes nothing, and its ML-KEM takes seeds and gives
/// keys by value. Once at full speed, and a test searches the memory.
#[inline(never)]
fn scrub_stack<const N: usize>() {
    core::hint::black_box(&mut [0_u8; N]);
}

macro_rules! parameter_set {
    ($name:ident, $library:ident, $private:ident, $secret_length:literal) => {
        mod $name {
            use libcrux_ml_kem::$library::{self as library, $private};

            use super::{CryptoError, KemKey, SCRUBBED_ML_KEM, Secret, scrub_stack};

            /// The expanded decapsulation key, which contains the encapsulation key.
            pub(super) struct Key {
                secret: Secret<$secret_length>,
                public: Vec<u8>,
            }

            impl Key {
                pub(super) fn expand(seed: &Secret<64>) -> Self {
                    let key = expanded(seed);
                    scrub_stack::<SCRUBBED_ML_KEM>();
                    key
                }

                #[cfg(feature = "fast")]
                pub(super) fn lend<T>(self, take: impl FnOnce(&[u8], &[u8]) -> T) -> T {
                    take(self.secret.expose(), &self.public)
                }
            }

            impl KemKey for Key {
                fn encapsulation_key(&self) -> Vec<u8> {
                    self.public.clone()
                }

                fn decapsulate(&self, ciphertext: &[u8]) -> Result<Secret<32>, CryptoError> {
                    let secret = decapsulated(&self.secret, ciphertext);
                    scrub_stack::<SCRUBBED_ML_KEM>();
                    secret
                }
            }

            /// Not a part of its caller, which cannot overwrite its own stack; so are the next two.
            #[inline(never)]
            fn expanded(seed: &Secret<64>) -> Key {
                let pair = library::generate_key_pair(*seed.expose());
                Key {
                    secret: Secret::copy_of(pair.sk()),
                    public: pair.pk().to_vec(),
                }
            }

            #[inline(never)]
            fn decapsulated(
                secret: &Secret<$secret_length>,
                ciphertext: &[u8],
            ) -> Result<Secret<32>, CryptoError> {
                let ciphertext = ciphertext
                    .try_into()
                    .map_err(|_| CryptoError::Malformed("a KEM ciphertext"))?;
                let key = $private::from(secret.expose());
                Ok(Secret::copy_of(&library::decapsulate(&key, &ciphertext)))
            }

            pub(super) fn encapsulate(
                key: &[u8],
                randomness: &Secret<32>,
            ) -> Result<(Vec<u8>, Secret<32>), CryptoError> {
                let made = encapsulated(key, randomness);
                scrub_stack::<SCRUBBED_ML_KEM>();
                made
            }

            #[inline(never)]
            fn encapsulated(
                key: &[u8],
                randomness: &Secret<32>,
            ) -> Result<(Vec<u8>, Secret<32>), CryptoError> {
                let key = key.try_into().map_err(|_| CryptoError::BadKemKey)?;
                let (ciphertext, shared) = library::encapsulate(&key, *randomness.expose());
                Ok((ciphertext.as_slice().to_vec(), Secret::copy_of(&shared)))
            }
        }
    };
}

parameter_set!(ml_kem_768, mlkem768, MlKem768PrivateKey, 2400);
parameter_set!(ml_kem_1024, mlkem1024, MlKem1024PrivateKey, 3168);

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
}
