// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two devices talk over a network that loses, delays and doubles what it carries, and end with the same
//! conversation: everything that a program needs of this crate, and nothing else of Waxwing's.
//!
//! `cargo run -p waxwing-ratchet --example two_devices [CONTENTS]`
//!
//! Each device is put together from its rows for every message, as after a restart. A real one keeps
//! its sessions in memory, seals its rows before they reach a disk, and sends again what was not answered.
#![allow(
    clippy::print_stdout,
    reason = "this program exists to print to the person who runs it"
)]

mod device;
mod rows;

use std::error::Error;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use device::{Device, Received};

/// Some day in 2024, in seconds since the Unix epoch.
const NOW: u64 = 20_000 * 86_400;

fn main() -> Result<(), Box<dyn Error>> {
    let contents = std::env::args()
        .nth(1)
        .map_or(Ok(60), |text| text.parse())?;
    let talk = talk(contents, 1)?;
    println!(
        "{} contents, {} envelopes carried, {} lost and sent again, {} doubled; both sides read the same",
        talk.contents, talk.carried, talk.lost, talk.doubled
    );
    println!(
        "{} post-quantum epochs mixed; {} bytes of rows at the end",
        talk.epochs, talk.stored
    );
    Ok(())
}

/// What a talk came to.
struct Talk {
    contents: u32,
    carried: u32,
    lost: u32,
    doubled: u32,
    epochs: u32,
    stored: usize,
}

fn talk(contents: u32, seed: u64) -> Result<Talk, Box<dyn Error>> {
    // A real program draws from the operating system.
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut alice = Device::new(1, NOW, &mut rng)?;
    let mut bob = Device::new(2, NOW, &mut rng)?;
    // Each reads the other's manifest and a bundle of its prekeys from its server, and checks both.
    let bundle = bob.publishes(NOW, &mut rng)?;
    alice.knows(bob.manifest(), &bundle)?;
    let bundle = alice.publishes(NOW, &mut rng)?;
    bob.knows(alice.manifest(), &bundle)?;

    let mut talk = Talk {
        contents,
        carried: 0,
        lost: 0,
        doubled: 0,
        epochs: 0,
        stored: 0,
    };
    let mut late: Vec<(bool, Vec<u8>)> = Vec::new();
    for number in 0..contents {
        let is_alices = rng.next_u32() % 2 == 0;
        let text = format!("content {number}");
        loop {
            let from = if is_alices { &mut alice } else { &mut bob };
            let envelope = from.send(text.as_bytes(), NOW, &mut rng)?;
            talk.carried = talk.carried.saturating_add(1);
            match rng.next_u32() % 8 {
                // Lost, or so late that it was given up. The same text in another envelope is another
                // envelope: who receives both knows it by a number in the text.
                0 => late.push((is_alices, envelope)),
                1 => talk.lost = talk.lost.saturating_add(1),
                fate => {
                    let to = if is_alices { &mut bob } else { &mut alice };
                    to.receive(&envelope, NOW)?;
                    if fate == 2 {
                        talk.doubled = talk.doubled.saturating_add(1);
                        let again = to.receive(&envelope, NOW)?;
                        assert_eq!(again, Received::NotNeeded);
                    }
                    break;
                }
            }
        }
        if rng.next_u32() % 4 == 0 && !late.is_empty() {
            let (is_alices, envelope) = late.remove(0);
            let to = if is_alices { &mut bob } else { &mut alice };
            to.receive(&envelope, NOW)?;
        }
    }
    let both = alice.read_and_written();
    assert_eq!(both, bob.read_and_written(), "the two sides differ");
    talk.epochs = alice.epochs()?;
    talk.stored = alice.stored();
    Ok(talk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_read_the_same() {
        for seed in 0..8 {
            let talk = talk(80, seed).unwrap();
            assert!(talk.lost > 0 && talk.doubled > 0 && talk.epochs > 0);
        }
    }
}
