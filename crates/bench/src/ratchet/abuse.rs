// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What others can make this device compute: forged envelopes, headers that fit nothing, jumps, and
//! forged handshakes.

use std::hint::black_box;

use anyhow::{Result, ensure};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_core::Rng;
use waxwing_crypto::{Secret, aead};
use waxwing_ratchet::{Envelope, Found, Session, Tag, TagTable, find};

use super::ours::{Meeting, NOW, Pair};
use crate::pairs::{alternate, cpu_us_each};
use crate::report::Figure;

/// Sessions whose windows are more than 50,000 live tags.
const SESSIONS: usize = 1_600;
const LIVE_TAGS: usize = 50_000;
const FORGED: u32 = 200_000;
const BATCH: usize = 16;
/// Trials of a header against every session.
const TRIALS: u32 = 50;
const JUMPS: u32 = 20;
const HANDSHAKES: u32 = 30;

pub(super) fn figures() -> Result<Vec<Figure>> {
    let meeting = Meeting::new(5)?;
    let sessions = meeting.sessions(SESSIONS)?;
    let mut tags = TagTable::new();
    for session in &sessions {
        tags.insert_session(session);
    }
    ensure!(tags.len() >= LIVE_TAGS, "{} live tags", tags.len());
    Ok(vec![
        forged(&tags)?,
        live_tag()?,
        trial(&sessions)?,
        jump()?,
        handshake(&meeting)?,
    ])
}

fn random_tags() -> Vec<[u8; 16]> {
    let rng = &mut ChaCha20Rng::from_seed([6; 32]);
    let tag = |_| {
        let mut tag = [0; 16];
        rng.fill_bytes(&mut tag);
        tag
    };
    (0..FORGED).map(tag).collect()
}

/// An envelope of nobody: taken apart, looked up and dropped, against the look-up alone. Before
/// each sample somebody has sent forged jumps to the end of a chain, which leave nothing behind.
fn forged(tags: &TagTable) -> Result<Figure> {
    let forged = random_tags();
    let names: Vec<Tag> = forged.iter().map(|tag| Tag::new(*tag)).collect();
    let samples = alternate(
        || {
            forge_jumps()?;
            // A batch is written before it is read, as what arrives is: what reads a byte that was
            // written just before waits for the write.
            let mut envelopes = [[0; 622]; BATCH];
            cpu_us_each(FORGED, || {
                forged.chunks(BATCH).try_for_each(|batch| {
                    for (envelope, tag) in envelopes.iter_mut().zip(batch) {
                        envelope[0] = 1;
                        if let Some(place) = envelope.get_mut(2..18) {
                            place.copy_from_slice(tag);
                        }
                    }
                    black_box(&envelopes)
                        .iter()
                        .zip(batch)
                        .try_for_each(|(envelope, _)| refuse(tags, envelope))
                })
            })
        },
        || {
            cpu_us_each(FORGED, || {
                names.iter().try_for_each(|tag| {
                    ensure!(tags.lookup(black_box(tag)).is_none(), "found a random tag");
                    Ok(())
                })
            })
        },
    )?;
    let against = "one look-up in the same table of 50,000 tags";
    let figure = Figure::from_pairs("ratchet.reject_forged", "us", against, samples);
    Ok(figure.with_bar(2.0).with_goal(1.0))
}

fn refuse(tags: &TagTable, envelope: &[u8]) -> Result<()> {
    let parsed = Envelope::parse(black_box(envelope))?;
    let found = find(tags, &parsed, core::iter::empty::<&Session>(), |_| None);
    ensure!(found == Found::Unknown, "found a forged envelope");
    Ok(())
}

/// Envelopes under a live tag whose headers claim the end of the chain: none opens, and the session
/// is as it was.
fn forge_jumps() -> Result<()> {
    let mut pair = Pair::talking(7)?;
    let before = pair.bob.session.hot_row();
    let honest = pair.alice_seals(1)?;
    for bit in 0..200_u8 {
        let mut jump = honest.clone();
        if let Some(byte) = jump.get_mut(34 + usize::from(bit % 60)) {
            *byte ^= 1 << (bit % 8);
        }
        let parsed = Envelope::parse(&jump)?;
        let refused = pair.bob.session.decrypt(&parsed, None, NOW).is_err();
        ensure!(refused, "opened a forged header");
    }
    ensure!(
        *pair.bob.session.hot_row() == *before,
        "a forged jump left something behind"
    );
    pair.bob_opens(&honest)
}

/// A changed copy of a genuine envelope, whose tag is found: two header openings, against one
/// opening of so many bytes by itself.
fn live_tag() -> Result<Figure> {
    let mut pair = Pair::talking(8)?;
    let mut forged = pair.alice_seals(1)?;
    if let Some(byte) = forged.get_mut(40) {
        *byte ^= 1;
    }
    let samples = alternate(
        || {
            cpu_us_each(FORGED / 10, || {
                (0..FORGED / 10).try_for_each(|_| {
                    let parsed = Envelope::parse(black_box(&forged))?;
                    let refused = pair.bob.session.decrypt(&parsed, None, NOW).is_err();
                    ensure!(refused, "opened a forged header");
                    Ok(())
                })
            })
        },
        one_opening,
    )?;
    let against = "AES-256-GCM refusing 44 bytes once, key schedule included";
    Ok(Figure::from_pairs("ratchet.reject_under_live_tag", "us", against, samples).with_goal(1.0))
}

fn one_opening() -> Result<f64> {
    let key = Secret::<32>::copy_of(&[1; 32]);
    cpu_us_each(FORGED / 10, || {
        (0..FORGED / 10).try_for_each(|_| {
            let mut body = [2; 44];
            let cipher = aead::Cipher::new(black_box(key.expose()));
            let refused = cipher
                .open(&[3; 12], &[4; 34], &mut body, &[5; 16])
                .is_err();
            ensure!(refused, "opened noise");
            Ok(())
        })
    })
}

/// A header that fits nothing, tried with both header keys of every session: the cost of one key.
fn trial(sessions: &[Session]) -> Result<Figure> {
    let mut pair = Pair::talking(9)?;
    let stranger = pair.alice_seals(1)?;
    let tags = TagTable::new();
    let keys = u32::try_from(sessions.len())? * 2;
    let samples = alternate(
        || {
            let each = cpu_us_each(TRIALS, || {
                (0..TRIALS).try_for_each(|_| {
                    let parsed = Envelope::parse(black_box(&stranger))?;
                    let found = find(&tags, &parsed, sessions, |_| None);
                    ensure!(found == Found::Unknown, "found a stranger's envelope");
                    Ok(())
                })
            })?;
            Ok(each / f64::from(keys))
        },
        one_opening,
    )?;
    let against = "AES-256-GCM refusing 44 bytes once, key schedule included";
    let figure = Figure::from_pairs("ratchet.trial_per_header_key", "us", against, samples);
    Ok(figure.with_bar(2.0).with_goal(1.0))
}

/// A genuine jump to the end of a chain, against one to its middle, for each skipped key.
fn jump() -> Result<Figure> {
    let mut pair = Pair::talking(10)?;
    let sealed: Vec<_> = (0..900)
        .map(|_| pair.alice_seals(1))
        .collect::<Result<_>>()?;
    let each = |at: u32| {
        let bytes = sealed.get(usize::try_from(at)?).map(Vec::as_slice);
        let parsed = Envelope::parse(bytes.unwrap_or_default())?;
        let whole = cpu_us_each(JUMPS, || {
            (0..JUMPS).try_for_each(|_| {
                let opened = pair.bob.session.decrypt(&parsed, None, NOW)?;
                ensure!(
                    opened.skipped_added.len() >= usize::try_from(at)?,
                    "no jump"
                );
                Ok(())
            })
        })?;
        Ok(whole / f64::from(at))
    };
    let samples = alternate(|| each(899), || each(449))?;
    let against = "a jump of half that length";
    let figure = Figure::from_pairs("ratchet.jump_per_skipped_key", "us", against, samples);
    Ok(figure.with_bar(1.2))
}

/// The most costly forgery of a handshake, whose confirmation alone is wrong, against a genuine one.
fn handshake(meeting: &Meeting) -> Result<Figure> {
    let genuine = meeting.first_envelope()?;
    let mut forged = genuine.clone();
    // Version and kind of the envelope stand before the prefix, whose last bytes are `conf`.
    let prefix = Envelope::parse(&genuine)?;
    let prefix = prefix.prefix().map_or(0, |prefix| prefix.as_bytes().len());
    if let Some(byte) = forged.get_mut(prefix + 1) {
        *byte ^= 1;
    }
    let judge = |bytes: &[u8], accepted: bool| {
        cpu_us_each(HANDSHAKES, || {
            (0..HANDSHAKES).try_for_each(|_| {
                ensure!(meeting.accepts(bytes)? == accepted, "misjudged a handshake");
                Ok(())
            })
        })
    };
    let samples = alternate(|| judge(&forged, false), || judge(&genuine, true))?;
    let against = "accepting a genuine handshake";
    let figure = Figure::from_pairs("ratchet.reject_forged_handshake", "us", against, samples);
    Ok(figure.with_bar(1.0))
}
