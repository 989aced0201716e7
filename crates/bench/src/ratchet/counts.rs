// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is counted and not timed: messages for a KEM epoch and for healing, bytes on the wire and
//! in the store. And that a full store of skipped keys costs nothing.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use waxwing_ratchet::EpochPhase;

use super::{CONTENT_SIZE, ours, theirs};
use crate::pairs::{alternate_slices, cpu_us_each};
use crate::report::Figure;

const EPOCHS: usize = 40;
/// An envelope of the smallest bucket.
const ENVELOPE: usize = 622;
const ONE_WAY: u32 = 400;
/// Runs that each sample is the mean of.
const SLICES: u32 = 5;

pub(super) fn figures() -> Result<Vec<Figure>> {
    let mut figures = epochs()?;
    figures.push(epochs_with_loss()?);
    figures.extend(bytes()?);
    figures.push(full_store()?);
    Ok(figures)
}

/// When an epoch's key was made and when its secret was mixed, in messages.
#[derive(Clone, Copy)]
struct Epoch {
    made: usize,
    mixed: usize,
}

/// Talks in turns until so many epochs are mixed. `lost` says which messages are.
fn talk(pair: &mut ours::Pair, mut lost: impl FnMut(usize) -> bool) -> Result<Vec<Epoch>> {
    let (mut epochs, mut made, mut longest) = (Vec::new(), None, 0);
    let mixed = |pair: &ours::Pair| {
        let sides = [&pair.alice, &pair.bob];
        sides
            .map(|side| side.session.epochs_mixed())
            .into_iter()
            .max()
    };
    for message in 1.. {
        let before = mixed(pair);
        let sender_is_idle = pair.next().session.epoch_phase() == EpochPhase::Idle;
        let envelope = pair.turn_or_loss(CONTENT_SIZE, lost(message))?;
        longest = envelope.len().max(longest);
        // The side that has sent is the next but one.
        let sides = [&pair.alice, &pair.bob];
        let offers = |side: &&ours::End| side.session.epoch_phase() == EpochPhase::Offering;
        if sender_is_idle && made.is_none() && sides.iter().any(offers) {
            made = Some(message);
        }
        if mixed(pair) != before {
            epochs.extend(made.take().map(|made| Epoch {
                made,
                mixed: message,
            }));
        }
        if epochs.len() >= EPOCHS {
            break;
        }
        ensure!(message < 100 * EPOCHS, "the epochs do not end");
    }
    ensure!(longest == ENVELOPE, "an envelope of {longest} bytes");
    Ok(epochs)
}

/// Messages between the mixings of epochs.
fn period(epochs: &[Epoch]) -> f64 {
    let first = epochs.first().map_or(0, |epoch| epoch.mixed);
    let last = epochs.last().map_or(0, |epoch| epoch.mixed);
    as_f64(last - first) / as_f64(epochs.len() - 1)
}

/// Messages from a compromise after each message until an epoch is mixed that was begun after it.
fn healing(epochs: &[Epoch]) -> Vec<usize> {
    let end = epochs.iter().rev().nth(1).map_or(0, |epoch| epoch.made);
    let start = epochs.first().map_or(0, |epoch| epoch.made);
    let healed = |at: usize| {
        let next = epochs.iter().find(|epoch| epoch.made > at)?;
        Some(next.mixed - at)
    };
    (start..end).filter_map(healed).collect()
}

fn epochs() -> Result<Vec<Figure>> {
    let mut pair = ours::Pair::talking(11)?;
    let epochs = talk(&mut pair, |_| false)?;
    let healed = healing(&epochs);
    let mean = as_f64(healed.iter().sum()) / as_f64(healed.len());
    let longest = as_f64(healed.iter().copied().max().unwrap_or(usize::MAX));
    let rows: Vec<usize> = [&pair.alice, &pair.bob]
        .into_iter()
        .flat_map(|side| side.written.iter().copied())
        .collect();
    let written = as_f64(rows.iter().sum()) / as_f64(rows.len());
    let hot = [&pair.alice, &pair.bob].map(|side| side.session.hot_row().len());
    let counted = Figure::counted;
    Ok(vec![
        counted("ratchet.epoch", "messages", "bound", period(&epochs), 15.0),
        counted("ratchet.healing_mean", "messages", "bound", mean, 22.0),
        counted(
            "ratchet.healing_longest",
            "messages",
            "bound",
            longest,
            29.0,
        ),
        counted(
            "ratchet.rows_per_message",
            "bytes",
            "bound, KEM rows and hashes included",
            written,
            1024.0,
        ),
        counted(
            "ratchet.hot_row",
            "bytes",
            "bound",
            as_f64(hot.into_iter().max().unwrap_or(usize::MAX)),
            1024.0,
        ),
    ])
}

/// Three messages of ten are lost.
fn epochs_with_loss() -> Result<Figure> {
    let mut pair = ours::Pair::talking(12)?;
    let mut seed = 1_u32;
    let epochs = talk(&mut pair, |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % 10 < 3
    })?;
    let name = "ratchet.epoch_with_loss_30";
    Ok(Figure::counted(
        name,
        "messages",
        "bound",
        period(&epochs),
        30.0,
    ))
}

fn bytes() -> Result<Vec<Figure>> {
    let mut pair = ours::Pair::talking(13)?;
    let lengths: BTreeSet<usize> = (1..=300)
        .map(|size| Ok(pair.alice_seals(size)?.len()))
        .collect::<Result<_>>()?;
    let whole = as_f64(pair.alice_seals(CONTENT_SIZE)?.len());
    let olm = as_f64(theirs::Pair::talking()?.message_length(CONTENT_SIZE)?);
    Ok(vec![
        Figure::from_pairs(
            "ratchet.envelope_100",
            "bytes",
            "vodozemac, whose lengths follow the content's",
            vec![(whole, olm)],
        ),
        Figure::counted(
            "ratchet.lengths_of_1_to_300",
            "lengths",
            "bound",
            as_f64(lengths.len()),
            1.0,
        ),
    ])
}

/// Encrypting and decrypting when every skipped key that may be kept is kept, against the same
/// conversation without them.
fn full_store() -> Result<Figure> {
    let sample = |full: bool| {
        let mut pair = ours::Pair::talking(14)?;
        // Each chain is opened at its end only, until the store has been over its limit.
        for _ in 0..3 {
            for _ in 0..498 {
                pair.alice_seals(1)?;
            }
            let last = pair.alice_seals(1)?;
            pair.bob_opens(&last)?;
            pair.bob_answers()?;
        }
        ensure!(pair.bob.skipped() == 1000, "{} keys", pair.bob.skipped());
        if !full {
            pair.bob.forget_skipped();
        }
        cpu_us_each(ONE_WAY, || {
            (0..ONE_WAY).try_for_each(|_| {
                let envelope = pair.alice_seals(CONTENT_SIZE)?;
                pair.bob_opens(&envelope)
            })
        })
    };
    let samples = alternate_slices(SLICES, || sample(true), || sample(false))?;
    let against = "the same after its skipped keys were forgotten";
    Ok(Figure::from_pairs("ratchet.full_skipped_store", "us", against, samples).with_bar(1.1))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "counts of messages and bytes are far below 2^52"
)]
fn as_f64(count: usize) -> f64 {
    count as f64
}
