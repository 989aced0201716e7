// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One operation on one secret, for `cargo xtask constant-time`: whoever records which instructions run
//! and which addresses are read and written sees the same for every secret.
//!
//! `secret_paths OPERATION`, with 64 secret bytes on standard input. Nothing here decides anything by
//! them, and what is public (lengths, peers' keys, randomness) is the same each time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a program for whoever works on the protocol"
)]

use std::hint::black_box;
use std::io::Read;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use waxwing_crypto::backend::{Backend as _, ParameterSet, PureRust};
use waxwing_crypto::kdf::{HmacKey, expand};
use waxwing_crypto::labels;
use waxwing_crypto::prf::BlockPrf;
use waxwing_crypto::{DeviceSigningSecret, DhSecret, KemSecret768, KemSecret1024, Secret, aead};

fn main() {
    let operation = std::env::args().nth(1).unwrap();
    let mut secret = [0; 64];
    std::io::stdin().read_exact(&mut secret).unwrap();
    operate(&operation, &secret);
    finished();
}

/// Where the traces end that are compared.
#[inline(never)]
fn finished() {
    black_box(());
}

/// Where they begin: what a process does before differs by itself.
#[inline(never)]
fn operate(operation: &str, secret: &[u8; 64]) {
    let half = Secret::copy_of(secret.first_chunk::<32>().unwrap());
    match operation {
        "x25519" => {
            let peer = DhSecret::from_secret(Secret::copy_of(&[9; 32]));
            let own = DhSecret::from_secret(half);
            black_box(own.agree(peer.public()).unwrap());
        }
        "compare" => {
            black_box(half.equals(&Secret::copy_of(&[7; 32])));
        }
        "hmac" => {
            black_box(HmacKey::new(half.expose()).mac(&[b"public"]));
        }
        "hkdf" => {
            black_box(expand::<64>(&half, labels::HEADER, b""));
        }
        "tags" => {
            black_box(BlockPrf::new(&half).block([3; 16]));
        }
        "seal" => {
            let mut content = *secret;
            let sealed = aead::seal_in_place(&half, &[1; 12], b"public", &mut content);
            black_box((sealed.is_ok(), content));
        }
        "open-forged" => {
            black_box(aead::open(&half, &[1; 12], b"public", &[5; 80]).is_err());
        }
        "sign" => {
            let message = [waxwing_identity::labels::GENERATION, b"public"].concat();
            let signing = DeviceSigningSecret::generate(&mut Fixed(*secret));
            black_box(signing.sign(&message).unwrap());
        }
        "decapsulate-768" => decapsulate_768(secret),
        "decapsulate-1024" => decapsulate_1024(secret),
        // What `cargo xtask constant-time` has to find.
        "planted-branch" => {
            let same = half.expose().iter().zip([7; 32]).all(|(a, b)| *a == b);
            black_box(same);
        }
        "planted-table" => {
            let table: Vec<u64> = (0..256).collect();
            black_box(table[usize::from(half.expose()[0])]);
        }
        other => panic!("no operation {other}"),
    }
}

/// A ciphertext that fits where the secret is zero, and one that does not otherwise: the answer must not
/// show which, FIPS 203 section 7.3.
fn decapsulate_768(secret: &[u8; 64]) {
    let own = KemSecret768::generate(&mut ChaCha20Rng::from_seed([1; 32]));
    let ciphertext = spoiled(ParameterSet::MlKem768, &own.encapsulation_key(), secret);
    black_box(own.decapsulate(&ciphertext).unwrap());
}

fn decapsulate_1024(secret: &[u8; 64]) {
    let own = KemSecret1024::generate(&mut ChaCha20Rng::from_seed([2; 32]));
    let ciphertext = spoiled(ParameterSet::MlKem1024, &own.encapsulation_key(), secret);
    black_box(own.decapsulate(&ciphertext).unwrap());
}

/// Made by the backend that takes its randomness, so that it is the same in every run.
fn spoiled(set: ParameterSet, key: &[u8], secret: &[u8; 64]) -> Vec<u8> {
    let randomness = Secret::copy_of(&[4; 32]);
    let (mut ciphertext, _) = PureRust.kem_encapsulate(set, key, &randomness).unwrap();
    for (byte, secret) in ciphertext.iter_mut().zip(secret) {
        *byte ^= secret;
    }
    ciphertext
}

/// Gives out the secret as if it were random.
struct Fixed([u8; 64]);

impl rand_core::TryRng for Fixed {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_le_bytes(*self.0.first_chunk().unwrap()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_le_bytes(*self.0.first_chunk().unwrap()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let length = bytes.len();
        bytes.copy_from_slice(&self.0[..length]);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Fixed {}
