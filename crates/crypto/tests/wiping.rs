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

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use waxwing_crypto::{DhSecret, KemSecret768, KemSecret1024, Scratch, Secret, SecretBytes};

/// What is searched for is nowhere in memory but in the secret: it is kept under this.
const MASK: u8 = 0x5a;
const CHUNK: usize = 4096;

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

/// How often the first half of what is masked lies in memory. The buffer is masked as it is read, and
/// passed over itself.
fn found(masked: &[u8]) -> usize {
    let needle = &masked[..masked.len() / 2];
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0_u8; CHUNK + needle.len()];
    let own = buffer.as_ptr() as u64;
    let own_end = own + buffer.len() as u64;
    let mut count = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        let mut at = from;
        while at < to {
            if (own..own_end).contains(&at) {
                at = own_end;
                continue;
            }
            // Each chunk goes a needle beyond its end, so that none is missed between two.
            let mut end = to.min(at + buffer.len() as u64);
            if at < own && end > own {
                end = own;
            }
            let length = usize::try_from(end - at).unwrap();
            let read = memory.read_at(&mut buffer[..length], at).unwrap_or(0);
            for byte in &mut buffer[..read] {
                *byte ^= MASK;
            }
            count += buffer[..read]
                .windows(needle.len())
                .take(CHUNK)
                .filter(|window| *window == needle)
                .count();
            at = end.min(at + CHUNK as u64);
        }
    }
    buffer.fill(0);
    count
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
