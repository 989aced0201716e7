// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The default backend's ML-KEM against another implementation, byte for byte: keys, ciphertexts,
//! secrets and implicit rejections.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use ml_kem::kem::{Decapsulate, KeyExport};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use waxwing_crypto::Secret;
use waxwing_crypto::backend::{Backend, ParameterSet, PureRust};

const ROUNDS: usize = 200;

macro_rules! compare {
    ($test:ident, $set:ident, $other:ident) => {
        /// [SES-2].
        #[test]
        fn $test() {
            let set = ParameterSet::$set;
            let rng = &mut ChaCha20Rng::from_seed([0x5a; 32]);
            for _ in 0..ROUNDS {
                let (mut seed, mut randomness) = ([0; 64], [0; 32]);
                rng.fill_bytes(&mut seed);
                rng.fill_bytes(&mut randomness);
                let ours = PureRust.kem_key(set, &Secret::copy_of(&seed));
                let theirs = ml_kem::$other::DecapsulationKey::from_seed(seed.into());
                let key = ours.encapsulation_key();
                assert_eq!(key, theirs.encapsulation_key().to_bytes().as_slice());

                let made = PureRust.kem_encapsulate(set, &key, &Secret::copy_of(&randomness));
                let (mut ciphertext, shared) = made.unwrap();
                let public = theirs.encapsulation_key();
                let (expected, secret) = public.encapsulate_deterministic(&randomness.into());
                assert_eq!(ciphertext, expected.as_slice());
                assert_eq!(shared.expose(), secret.as_slice());
                assert_eq!(
                    ours.decapsulate(&ciphertext).unwrap().expose(),
                    secret.as_slice()
                );

                let place = usize::from(seed[0]) * 4;
                ciphertext[place] ^= 1 << (seed[1] % 8);
                let forged = ciphertext.as_slice().try_into().unwrap();
                let rejected = ours.decapsulate(&ciphertext).unwrap();
                assert_eq!(rejected.expose(), theirs.decapsulate(&forged).as_slice());
                assert!(!rejected.equals(&shared));
            }
        }
    };
}

compare!(ml_kem_768_is_that_of_another, MlKem768, ml_kem_768);
compare!(ml_kem_1024_is_that_of_another, MlKem1024, ml_kem_1024);
