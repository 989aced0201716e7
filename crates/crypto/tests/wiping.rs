// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All memory of the process that can be written is searched for a secret, while it lives and after it
//! was dropped.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a test that fails panics"
)]

mod memory;

use memory::{MASK, found};
use waxwing_crypto::backend::{Backend as _, ParameterSet, PureRust};
use waxwing_crypto::{DhSecret, KemSecret768, KemSecret1024, Scratch, Secret, SecretBytes};

/// Bytes that nothing else in the process has, masked.
fn masked<const N: usize>(seed: u8) -> [u8; N] {
    let mut state = u64::from(seed) << 32 | 0x9e37_79b9;
    core::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
}

fn secret<const N: usize>(masked: &[u8; N]) -> Secret<N> {
    Secret::fill_with(|out| {
        for (to, from) in out.iter_mut().zip(masked) {
            *to = from ^ MASK;
        }
    })
}

#[test]
fn a_dropped_secret_is_nowhere() {
    let masked = masked::<32>(1);
    assert_eq!(found(&masked), 0);
    let held = secret(&masked);
    let alone = found(&masked);
    assert!(alone >= 1, "the search finds what is there");
    let copy = held.duplicate();
    assert_eq!(found(&masked), alone, "a second owner, and no second copy");
    drop(held);
    assert!(found(&masked) >= 1);
    drop(copy);
    assert_eq!(found(&masked), 0);
}

#[test]
fn a_dropped_key_of_an_agreement_is_nowhere() {
    let masked = masked::<32>(2);
    let held = DhSecret::from_secret(secret(&masked));
    let peer = DhSecret::from_secret(Secret::copy_of(&[9; 32]));
    held.agree(peer.public()).unwrap();
    assert!(found(&masked) >= 1);
    drop(held);
    assert_eq!(found(&masked), 0);
}

/// A seed `d || z` is looked for by both its halves, and by those of `z`, which is a part of the expanded
/// key, too.
fn found_seed(masked: &[u8; 64]) -> usize {
    found(masked).max(found(&masked[32..]))
}

/// What `masked(7)` and the public key of nines agree on, masked.
const AGREED_MASKED: [u8; 32] = [
    0x38, 0x4a, 0x43, 0x8e, 0xb6, 0x24, 0x87, 0x43, 0x2b, 0x5a, 0x42, 0x02, 0xea, 0xcc, 0x04, 0x00,
    0x58, 0xb4, 0x7d, 0xd5, 0x8f, 0x27, 0x7e, 0x98, 0xc3, 0x3a, 0x67, 0x1a, 0xe0, 0x05, 0x93, 0x77,
];

/// The same as the library computes with it, in limbs of 51 bits.
const LIMBS_MASKED: [u8; 40] = [
    0x38, 0x4a, 0x43, 0x8e, 0xb6, 0x24, 0x5f, 0x5a, 0x61, 0x79, 0x54, 0x5a, 0x59, 0x51, 0x5c, 0x5a,
    0x00, 0x20, 0x33, 0x53, 0xe2, 0xc5, 0x5e, 0x5a, 0x9d, 0xb0, 0x64, 0x48, 0xbb, 0x16, 0x5a, 0x5a,
    0x8c, 0x59, 0xfe, 0xa1, 0xcf, 0x86, 0x58, 0x5a,
];

/// As [`found`], after something was done in a thread that then does nothing: where the search itself
/// used that stack, it would overwrite what it looks for.
fn found_after(done: impl FnOnce() + Send, masked: &[u8]) -> usize {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let (end, ended) = std::sync::mpsc::sync_channel::<()>(1);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            deep(done);
            tell.send(()).unwrap();
            let _ = ended.recv();
        });
        told.recv().unwrap();
        let count = found(masked);
        drop(end);
        count
    })
}

/// Far below what telling and waiting use of the stack.
#[inline(never)]
fn deep(done: impl FnOnce()) {
    let above = core::hint::black_box([0_u8; 16 * 1024]);
    done();
    core::hint::black_box(&above);
}

/// The default backend whichever is in use, as its libraries wipe nothing: what they leave on the stack is
/// overwritten.
#[test]
fn the_default_backend_leaves_nothing_on_the_stack() {
    let key = masked::<32>(7);
    let agree = || {
        let held = PureRust.x25519_key(&secret(&key));
        held.agree(&[9; 32]).unwrap();
    };
    assert_eq!(found_after(agree, &key), 0, "an X25519 key");
    assert_eq!(found_after(agree, &AGREED_MASKED), 0, "what was agreed on");
    assert_eq!(
        found_after(agree, &LIMBS_MASKED),
        0,
        "what was agreed on, in limbs"
    );
    let agreed = PureRust.x25519_key(&secret(&key)).agree(&[9; 32]).unwrap();
    assert!(found(&AGREED_MASKED) >= 1, "it is what is looked for");
    drop(agreed);

    for (set, number) in [(ParameterSet::MlKem768, 8), (ParameterSet::MlKem1024, 9)] {
        let seed = masked::<64>(number);
        let held = PureRust.kem_key(set, &secret(&seed));
        assert!(found(&seed[32..]) >= 1, "the expanded key holds z");
        assert!(held.decapsulate(&vec![7; set.ciphertext_length()]).is_ok());
        let public = held.encapsulation_key();
        drop(held);
        assert_eq!(found_seed(&seed), 0, "a seed of {set:?}");

        let randomness = masked::<32>(number + 2);
        let given = secret(&randomness);
        PureRust.kem_encapsulate(set, &public, &given).unwrap();
        drop(given);
        assert_eq!(found(&randomness), 0, "what {set:?} took at random");
    }
}

#[test]
fn a_dropped_key_of_an_encapsulation_is_nowhere() {
    let masked = masked::<64>(3);
    let held = KemSecret768::from_seed(secret(&masked));
    assert_eq!(held.encapsulation_key().len(), 1184);
    assert!(held.decapsulate(&[7; 1088]).is_ok());
    assert!(found_seed(&masked) >= 1);
    drop(held);
    assert_eq!(found_seed(&masked), 0);
}

#[test]
fn an_expanded_key_is_nowhere_after_its_use() {
    let masked = masked::<64>(4);
    let held = KemSecret1024::from_seed(secret(&masked));
    let expanded = held.prepare();
    drop(held);
    assert!(found(&masked[32..]) >= 1, "the expanded key holds z");
    assert!(expanded.decapsulate(&[7; 1568]).is_ok());
    drop(expanded);
    assert_eq!(found_seed(&masked), 0);
}

#[test]
fn dropped_bytes_are_nowhere() {
    let masked = masked::<32>(6);
    let filled = || {
        let mut held = SecretBytes::with_capacity(64);
        for from in &masked {
            held.extend_from_slice(&[from ^ MASK]);
        }
        held
    };
    let held = filled();
    assert!(found(&masked) >= 1);
    drop(held);
    assert_eq!(found(&masked), 0);
    // What is not kept goes at once.
    let mut held = filled();
    held.keep(20..32);
    assert_eq!((found(&masked), held.len()), (0, 12));
}

#[test]
fn dropped_scratch_is_nowhere() {
    let masked = masked::<32>(5);
    let mut held = Box::new(Scratch::<32>::zeros());
    for (to, from) in held.iter_mut().zip(&masked) {
        *to = from ^ MASK;
    }
    assert!(found(&masked) >= 1);
    drop(held);
    assert_eq!(found(&masked), 0);
}
