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

/// A seed `d || z` is looked for by both its halves: `z` is a part of the expanded key, too.
fn found_seed(masked: &[u8; 64]) -> usize {
    found(masked).max(found(&masked[32..]))
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
