// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `bench ratchet`: the pairwise protocol against vodozemac's Olm, in thread CPU time.
//!
//! Ours writes and reads the hot row with every message and includes the tag look-up, the header
//! and the padding to 512 bytes; vodozemac's figures are its in-memory session alone.

mod ours;
mod theirs;

use anyhow::Result;

use crate::pairs::{alternate, cpu_us_each};
use crate::report::Figure;

const AGAINST: &str = "vodozemac 0.11, Olm session version 1";
/// The content of every message, in bytes.
const CONTENT_SIZE: usize = 100;
const ONE_WAY: u32 = 900;
const TURNS: u32 = 1_000;
const SESSIONS: u32 = 50;

/// Measures and compares.
///
/// # Errors
/// One of the two protocols failed.
pub(crate) fn run() -> Result<Vec<Figure>> {
    Ok(vec![
        one_way_encrypt()?,
        one_way_decrypt()?,
        turn()?,
        establish()?,
    ])
}

fn one_way_encrypt() -> Result<Figure> {
    let samples = alternate(
        || {
            let mut pair = ours::Pair::talking(1)?;
            cpu_us_each(ONE_WAY, || {
                (0..ONE_WAY).try_for_each(|_| pair.alice_seals(CONTENT_SIZE).map(drop))
            })
        },
        || {
            let mut pair = theirs::Pair::talking()?;
            cpu_us_each(ONE_WAY, || {
                (0..ONE_WAY).try_for_each(|_| pair.alice_seals(CONTENT_SIZE).map(drop))
            })
        },
    )?;
    let figure = Figure::from_pairs("ratchet.encrypt_100", "us", AGAINST, samples);
    Ok(figure.with_bar(0.2).with_goal(3.0))
}

fn one_way_decrypt() -> Result<Figure> {
    let samples = alternate(
        || {
            let mut pair = ours::Pair::talking(2)?;
            let envelopes: Vec<_> = (0..ONE_WAY)
                .map(|_| pair.alice_seals(CONTENT_SIZE))
                .collect::<Result<_>>()?;
            cpu_us_each(ONE_WAY, || {
                envelopes
                    .iter()
                    .try_for_each(|envelope| pair.bob_opens(envelope))
            })
        },
        || {
            let mut pair = theirs::Pair::talking()?;
            let messages: Vec<_> = (0..ONE_WAY)
                .map(|_| pair.alice_seals(CONTENT_SIZE))
                .collect::<Result<_>>()?;
            cpu_us_each(ONE_WAY, || {
                messages
                    .iter()
                    .try_for_each(|message| pair.bob_opens(message))
            })
        },
    )?;
    let figure = Figure::from_pairs("ratchet.decrypt_100", "us", AGAINST, samples);
    Ok(figure.with_bar(1.5).with_goal(3.0))
}

fn turn() -> Result<Figure> {
    let samples = alternate(
        || {
            let mut pair = ours::Pair::talking(3)?;
            cpu_us_each(TURNS, || {
                (0..TURNS).try_for_each(|_| pair.turn(CONTENT_SIZE))
            })
        },
        || {
            let mut pair = theirs::Pair::talking()?;
            cpu_us_each(TURNS, || {
                (0..TURNS).try_for_each(|_| pair.turn(CONTENT_SIZE))
            })
        },
    )?;
    Ok(Figure::from_pairs("ratchet.turn_100", "us", AGAINST, samples).with_bar(1.1))
}

fn establish() -> Result<Figure> {
    let samples = alternate(
        || {
            let meeting = ours::Meeting::new(4)?;
            cpu_us_each(SESSIONS, || {
                (0..SESSIONS).try_for_each(|_| meeting.establish())
            })
        },
        || {
            let mut meeting = theirs::Meeting::new(SESSIONS)?;
            cpu_us_each(SESSIONS, || {
                (0..SESSIONS).try_for_each(|_| meeting.establish())
            })
        },
    )?;
    let figure = Figure::from_pairs("ratchet.establish_both_sides", "us", AGAINST, samples);
    Ok(figure.with_bar(4.0))
}
