// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Encrypting, decrypting, turns and establishing, beside vodozemac.

use anyhow::Result;

use super::instructions::{Work, counted};
use super::{AGAINST, CONTENT_SIZE, ours, theirs};
use crate::pairs::{alternate_slices, cpu_us_each};
use crate::report::Figure;

/// Runs that each sample is the mean of.
const SLICES: u32 = 20;
const ONE_WAY: u32 = 100;
/// Ten thousand over the slices of five pairs.
const TURNS: u32 = 100;
const SESSIONS: u32 = 5;

/// The bars depend on the backend: an own step and an establishment are public-key arithmetic.
const FAST: bool = cfg!(feature = "fast");

pub(super) fn figures() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if !FAST {
        figures.push(one_way_encrypt()?.with_instructions(counted(Work::Encrypt)));
        figures.push(one_way_decrypt()?.with_instructions(counted(Work::Decrypt)));
    }
    figures.push(turn()?.with_instructions(counted(Work::Turn)));
    figures.push(establish()?.with_instructions(counted(Work::Establish)));
    Ok(figures)
}

fn one_way_encrypt() -> Result<Figure> {
    let samples = alternate_slices(
        SLICES,
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
    let samples = alternate_slices(
        SLICES,
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
    let mut ours = ours::Pair::talking(3)?;
    let mut theirs = theirs::Pair::talking()?;
    let samples = alternate_slices(
        SLICES,
        || {
            cpu_us_each(TURNS, || {
                (0..TURNS).try_for_each(|_| ours.turn(CONTENT_SIZE))
            })
        },
        || {
            cpu_us_each(TURNS, || {
                (0..TURNS).try_for_each(|_| theirs.turn(CONTENT_SIZE))
            })
        },
    )?;
    let (name, bar) = if FAST {
        ("ratchet.turn_100.fast", 1.0 / 1.6)
    } else {
        ("ratchet.turn_100", 1.1)
    };
    Ok(Figure::from_pairs(name, "us", AGAINST, samples).with_bar(bar))
}

fn establish() -> Result<Figure> {
    let samples = alternate_slices(
        SLICES,
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
    let (name, bar) = if FAST {
        ("ratchet.establish_both_sides.fast", 2.0)
    } else {
        ("ratchet.establish_both_sides", 4.0)
    };
    Ok(Figure::from_pairs(name, "us", AGAINST, samples).with_bar(bar))
}
