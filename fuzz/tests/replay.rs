// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The corpus of every target, and small changes of its seeds, on the stable toolchain.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use waxwing_fuzz::{TARGETS, Target, corpus_folder, golden};

/// Changes of each seed. More are tried by `cargo xtask fuzz`.
const CHANGES: usize = 60;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = corpus_folder(target.name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|_| panic!("{} has no corpus", target.name))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let golden = target.seeds.iter().flat_map(|beginning| golden(beginning));
    golden.map(<[u8]>::to_vec).collect()
}

#[test]
fn every_target_survives_its_corpus() {
    for target in TARGETS {
        let inputs = corpus(target);
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for input in inputs {
            (target.run)(&input);
        }
    }
}

#[test]
fn every_target_survives_changed_seeds() {
    for target in TARGETS {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        for seed in seeds(target).into_iter().chain(corpus(target)) {
            (target.run)(&seed);
            for _ in 0..CHANGES {
                let mut input = seed.clone();
                change(&mut input, &mut rng);
                (target.run)(&input);
            }
        }
    }
}

/// Cuts, lengthens, or overwrites up to four bytes, preferring values at the edges of fields.
fn change(input: &mut Vec<u8>, rng: &mut ChaCha20Rng) {
    let mut below = |bound: usize| rng.next_u32() as usize % bound.max(1);
    match below(8) {
        0 => input.truncate(below(input.len() + 1)),
        1 => input.extend(std::iter::repeat_n(0xff, below(40))),
        2 => {
            let from = below(input.len() + 1);
            let piece = input[from..].to_vec();
            input.extend(piece);
        }
        _ => {
            for _ in 0..=below(4) {
                if input.is_empty() {
                    return;
                }
                let at = below(input.len());
                input[at] = [0, 1, 0x7f, 0x80, 0xff, input[at] ^ (1 << below(8))][below(6)];
            }
        }
    }
}

#[test]
fn targets_are_in_the_order_of_their_names() {
    assert!(TARGETS.is_sorted_by_key(|target| target.name));
}
