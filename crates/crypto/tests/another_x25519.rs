// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The default backend's agreement against another implementation, byte for byte, for secrets and
//! public keys in any form: unclamped, with the highest bit set, not reduced, of low order.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use waxwing_crypto::backend::{Backend, PureRust};
use waxwing_crypto::{CryptoError, Secret};
use x25519_dalek::{PublicKey, StaticSecret};

const ROUNDS: usize = 2000;

fn compare(secret: [u8; 32], public: [u8; 32]) {
    let key = PureRust.x25519_key(&Secret::copy_of(&secret));
    let other = StaticSecret::from(secret);
    assert_eq!(key.public(), PublicKey::from(&other).to_bytes());
    let theirs = other.diffie_hellman(&PublicKey::from(public));
    match key.agree(&public) {
        Ok(shared) => assert_eq!(shared.expose(), theirs.as_bytes()),
        Err(error) => {
            assert_eq!(error, CryptoError::NonContributory);
            assert!(!theirs.was_contributory());
        }
    }
}

/// [SES-1].
#[test]
fn x25519_is_that_of_another() {
    let rng = &mut ChaCha20Rng::from_seed([0x25; 32]);
    for _ in 0..ROUNDS {
        let (mut secret, mut public) = ([0; 32], [0; 32]);
        rng.fill_bytes(&mut secret);
        rng.fill_bytes(&mut public);
        compare(secret, public);
    }
}

/// [SES-1].
#[test]
fn edges_are_those_of_another() {
    // p is 2^255 - 19: around 0, around p and around 2^256.
    let around = |low: u8, rest: u8, high: u8, by: i16| {
        let mut bytes = [rest; 32];
        bytes[0] = low;
        bytes[31] = high;
        let mut carry = by;
        for byte in &mut bytes {
            let sum = i16::from(*byte).saturating_add(carry);
            *byte = u8::try_from(sum.rem_euclid(256)).unwrap();
            carry = sum.div_euclid(256);
        }
        bytes
    };
    let mut edges = Vec::new();
    for by in -20..=20 {
        edges.push(around(0, 0, 0, by));
        edges.push(around(0xed, 0xff, 0x7f, by));
        edges.push(around(0xed, 0xff, 0xff, by));
    }
    for secret in edges.iter().copied().chain([[0x42; 32]]) {
        for public in &edges {
            compare(secret, *public);
        }
    }
}
