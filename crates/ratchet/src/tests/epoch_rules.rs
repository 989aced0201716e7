// SPDX-License-Identifier: Apache-2.0 OR MIT
//! KEM epochs between parties that may lose, repeat and disorder everything, and parties that say
//! wrong things: both sides always mix the same secrets in the same order, or report a failure.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::malice::{lie, refused};
use super::world::{Party, acquainted};
use crate::session::kem::Phase;
use crate::session::padding;
use crate::{Envelope, RatchetError};

/// Sends and delivers until `done`, in turns, B first.
pub(super) fn talk(a: &mut Party, b: &mut Party, mut done: impl FnMut(&Party, &Party) -> bool) {
    for _ in 0..100 {
        let envelope = b.send(a, &[0; 100]);
        a.receive(&envelope).unwrap();
        if done(a, b) {
            return;
        }
        let envelope = a.send(b, &[0; 100]);
        b.receive(&envelope).unwrap();
        if done(a, b) {
            return;
        }
    }
    panic!("an epoch does not end");
}

fn is_ready(party: &Party) -> bool {
    matches!(party.active().state().epochs.phase, Phase::Ready(_))
}

fn is_answering(party: &Party) -> bool {
    matches!(party.active().state().epochs.phase, Phase::Answering(_))
}

/// B owns the first epoch and has checked A's answer.
pub(super) fn ready() -> (Party, Party) {
    let (mut a, mut b) = acquainted();
    talk(&mut a, &mut b, |_, b| is_ready(b));
    assert!(is_answering(&a));
    (a, b)
}

/// [SES-97], [SES-98]: every header of the chain names the epoch, so any envelope of it will do.
#[test]
fn any_envelope_of_the_mixing_chain_mixes() {
    for lost in [0, 1, 70] {
        let (mut a, mut b) = ready();
        let envelopes: Vec<_> = (0..=lost).map(|_| b.send(&mut a, b"mixed")).collect();
        assert_eq!(b.active().epochs_mixed(), 1);
        assert!(b.kem.is_empty());
        a.receive(&envelopes[lost]).unwrap();
        assert_eq!(a.active().epochs_mixed(), 1);
        assert!(a.kem.is_empty());
        for envelope in &envelopes[..lost] {
            assert_eq!(a.receive(envelope).unwrap(), b"mixed");
        }
        talk(&mut a, &mut b, |a, b| {
            a.active().epochs_mixed() == 3 && b.active().epochs_mixed() == 3
        });
    }
}

/// [SES-97]: an answer that is whole in the midst of the owner's chain is mixed by its next step and
/// not in the chain.
#[test]
fn the_owner_mixes_at_its_next_step_only() {
    let (mut a, mut b) = acquainted();
    talk(&mut a, &mut b, |a, _| is_answering(a));
    // The whole answer in one chain of A, while B stays in its chain.
    let answers: Vec<_> = (0..4).map(|_| a.send(&mut b, &[0; 100])).collect();
    let step = b.send(&mut a, b"b makes a step");
    for answer in &answers {
        b.receive(answer).unwrap();
    }
    assert!(is_ready(&b));
    a.receive(&step).unwrap();
    assert_eq!(
        (a.active().epochs_mixed(), b.active().epochs_mixed()),
        (0, 0)
    );
    let same = b.send(&mut a, b"in the same chain");
    a.receive(&same).unwrap();
    assert_eq!(
        (a.active().epochs_mixed(), b.active().epochs_mixed()),
        (0, 0)
    );
    let turn = a.send(&mut b, b"a makes a step");
    b.receive(&turn).unwrap();
    assert_eq!(
        (a.active().epochs_mixed(), b.active().epochs_mixed()),
        (0, 0)
    );
    let mixed = b.send(&mut a, b"and b mixes in its next");
    assert_eq!(b.active().epochs_mixed(), 1);
    a.receive(&mixed).unwrap();
    assert_eq!(a.active().epochs_mixed(), 1);
}

/// Review of the design, H1, first trace: both sides know of two epochs, and each mixes another
/// one. Here a second epoch cannot begin before the first is mixed, whoever talks how much.
#[test]
fn there_is_one_epoch_at_a_time() {
    let (mut a, mut b) = ready();
    for _ in 0..20 {
        let envelope = a.send(&mut b, &[0; 100]);
        b.receive(&envelope).unwrap();
    }
    assert!(is_ready(&b) && is_answering(&a));
    let epochs = |party: &Party| party.active().state().epochs.number;
    assert_eq!((epochs(&a), epochs(&b)), (1, 1));
    // B has mixed, and its envelope is on the way: A is still in the first epoch and begins none.
    let mixed = b.send(&mut a, b"mixed");
    let late = a.send(&mut b, &[0; 100]);
    assert_eq!((epochs(&a), epochs(&b)), (1, 2));
    b.receive(&late).unwrap();
    assert!(matches!(b.active().state().epochs.phase, Phase::Idle));
    a.receive(&mixed).unwrap();
    let key = a.send(&mut b, &[0; 100]);
    b.receive(&key).unwrap();
    assert!(matches!(
        b.active().state().epochs.phase,
        Phase::Collecting(_)
    ));
}

/// Review of the design, H1, second trace: what arrived is lost before it was durable. State and
/// rows are committed together or not at all, so the envelope is opened again to the same effect.
#[test]
fn a_crash_between_arrival_and_commit_loses_no_epoch() {
    let (mut a, mut b) = acquainted();
    let mut last = Vec::new();
    while !is_ready(&b) {
        let envelope = b.send(&mut a, &[0; 100]);
        a.receive(&envelope).unwrap();
        last = a.send(&mut b, &[0; 100]);
        let parsed = Envelope::parse(&last).unwrap();
        // Opened and not committed.
        let session = b.active();
        let opened = session.decrypt(&parsed, None, super::world::NOW).unwrap();
        drop(opened);
        b.receive(&last).unwrap();
    }
    assert!(b.receive(&last).is_err());
    let mixed = b.send(&mut a, b"mixed");
    a.receive(&mixed).unwrap();
    assert_eq!(a.active().epochs_mixed(), 1);
}

/// [SES-26], [SES-98]: an epoch that the receiver did not answer, or that the chain's step did not
/// mix, cannot be named.
#[test]
fn a_header_cannot_name_another_epoch() {
    let (mut a, mut b) = ready();
    let padded = padding::pad(b"lie", 0).unwrap();
    // In the chain of a step that mixed nothing.
    let envelope = a.send(&mut b, b"a chain");
    b.receive(&envelope).unwrap();
    let session = a.active();
    let n = session.state().sending.as_ref().unwrap().n;
    let envelope = lie(&session, n, &padded, &mut a.rng, |header| header.mix = 1);
    let error = refused(&mut b, &envelope);
    assert_eq!(error, RatchetError::Malformed("epoch"));
    // At a step: nothing, another number, and the right one twice.
    b.send(&mut a, b"makes the step that mixes");
    let session = b.active();
    for mix in [2, 3, u32::MAX] {
        let envelope = lie(&session, 1, &padded, &mut b.rng, |header| header.mix = mix);
        let error = refused(&mut a, &envelope);
        assert_eq!(error, RatchetError::Malformed("epoch"), "{mix}");
    }
    // The step was made with the secret: without it the content does not open.
    let envelope = lie(&session, 1, &padded, &mut b.rng, |header| header.mix = 0);
    assert_eq!(refused(&mut a, &envelope), RatchetError::AuthFailed);
    let envelope = lie(&session, 1, &padded, &mut b.rng, |_| ());
    assert_eq!(a.receive(&envelope).unwrap(), b"lie");
    assert_eq!(a.active().epochs_mixed(), 1);
    // Another number in the chain that it begins.
    for mix in [0, 2] {
        let envelope = lie(&session, 2, &padded, &mut b.rng, |header| {
            (header.n, header.mix) = (2, mix);
        });
        let error = refused(&mut a, &envelope);
        assert_eq!(error, RatchetError::Malformed("epoch"), "{mix}");
    }
}

/// A content with items of the peer's choice.
fn with_items(items: &[u8]) -> Vec<u8> {
    let mut padded = padding::pad(b"x", 0).unwrap();
    padded[3..3 + items.len()].copy_from_slice(items);
    padded
}

/// Items of type 2 with `units` units of `byte` from `first` on.
pub(super) fn units(epoch: u32, first: u8, units: u8, byte: u8) -> Vec<u8> {
    let length = 5 + u16::from(units) * 32;
    let mut item = vec![2];
    item.extend_from_slice(&length.to_be_bytes());
    item.extend_from_slice(&epoch.to_be_bytes());
    item.push(first);
    item.extend(std::iter::repeat_n(byte, usize::from(units) * 32));
    item
}

/// Sends contents with items from `from` to `to`, whatever `from` would have sent.
pub(super) fn push(from: &mut Party, to: &mut Party, items: &[u8]) -> Result<(), RatchetError> {
    from.send(to, b"makes a step where one is due");
    let session = from.active();
    let n = session.state().sending.as_ref().unwrap().n;
    let envelope = lie(&session, n, &with_items(items), &mut from.rng, |_| ());
    let result = to.receive(&envelope).map(drop);
    from.send(to, b"the number that was used");
    result
}

/// [SES-94], [SES-100]: a key with a coefficient of 3329 or more is refused as soon as it is whole.
#[test]
fn a_bad_key_ends_the_epochs_and_is_reported() {
    let (mut a, mut b) = acquainted();
    for first in [0, 12, 24, 25] {
        push(&mut b, &mut a, &units(1, first, 12, 0xff)).unwrap();
    }
    assert_eq!(a.epochs_failed, 1);
    assert!(a.active().epochs_failed());
    assert!(a.kem.is_empty());
    // Contents go on, and nothing of an epoch leaves or is taken.
    for _ in 0..20 {
        let envelope = a.send(&mut b, &[0; 100]);
        b.receive(&envelope).unwrap();
        let envelope = b.send(&mut a, &[0; 100]);
        a.receive(&envelope).unwrap();
    }
    assert_eq!((a.epochs_failed, a.active().epochs_mixed()), (1, 0));
    assert!(a.kem.is_empty());
}

/// [SES-96], [SES-100]: an answer that does not confirm is never mixed.
#[test]
fn a_bad_answer_ends_the_epochs_and_is_reported() {
    let (mut a, mut b) = acquainted();
    talk(&mut a, &mut b, |a, _| is_answering(a));
    for first in [0, 12, 23] {
        push(&mut a, &mut b, &units(1, first, 12, 0x55)).unwrap();
    }
    assert_eq!(b.epochs_failed, 1);
    assert!(b.active().epochs_failed());
    assert!(b.kem.is_empty());
    for _ in 0..20 {
        let envelope = b.send(&mut a, &[0; 100]);
        a.receive(&envelope).unwrap();
        let envelope = a.send(&mut b, &[0; 100]);
        b.receive(&envelope).unwrap();
    }
    assert_eq!((b.epochs_failed, b.active().epochs_mixed()), (1, 0));
}

/// [SES-93], [ENV-60], [ENV-61]: units that the part does not have are refused; those of another epoch are
/// late and stepped over.
#[test]
fn bad_items_are_refused_and_late_ones_stepped_over() {
    let (mut a, mut b) = acquainted();
    for items in [units(1, 37, 1, 1), units(1, 30, 8, 1), units(1, 255, 2, 1)] {
        let before = a.snapshot();
        let refused = push(&mut b, &mut a, &items);
        assert_eq!(refused, Err(RatchetError::Malformed("epoch units")));
        assert_eq!(a.snapshot(), before);
    }
    let mut short = units(1, 0, 1, 1);
    short[2] -= 1;
    let refused = push(&mut b, &mut a, &short);
    assert_eq!(refused, Err(RatchetError::Malformed("padding")));
    let held = a.kem.clone();
    for items in [
        units(0, 3, 1, 1),
        units(2, 3, 1, 1),
        units(u32::MAX, 3, 1, 1),
    ] {
        push(&mut b, &mut a, &items).unwrap();
    }
    assert_eq!(a.kem, held);
    // The first to come of a unit counts.
    push(&mut b, &mut a, &units(1, 35, 2, 1)).unwrap();
    push(&mut b, &mut a, &units(1, 34, 3, 2)).unwrap();
    let session = a.active();
    let Phase::Collecting(units) = &session.state().epochs.phase else {
        panic!("no units");
    };
    assert_eq!(
        units.bytes()[34 * 32..],
        [[2; 32], [1; 32], [1; 32]].concat()
    );
}

/// The rows of an epoch that are damaged are refused, and never make anything panic.
#[test]
fn damaged_kem_rows_are_refused() {
    let (mut a, mut b) = ready();
    let row = |party: &Party| {
        party
            .kem
            .first_key_value()
            .map(|(_, row)| row.clone())
            .unwrap()
    };
    let (answer, secret) = (row(&a), row(&b));
    let restore = |party: &Party, bytes: &[u8], id: u8| {
        let session = party.active();
        let rows = [(crate::KemRowId::from_byte(id), bytes)];
        crate::Session::restore(&session.hot_row(), None, rows).map(drop)
    };
    for (party, whole) in [(&a, &answer), (&b, &secret)] {
        assert!(restore(party, whole, 0).is_ok());
        assert_eq!(restore(party, whole, 1), Err(RatchetError::Corrupt));
        for length in (0..whole.len()).step_by(7) {
            assert!(restore(party, &whole[..length], 0).is_err());
        }
        for at in 0..6 {
            let mut other = whole.clone();
            other[at] ^= 0x40;
            assert!(restore(party, &other, 0).is_err(), "byte {at}");
        }
    }
    // Each side's row is none for the other.
    assert_eq!(restore(&a, &secret, 0), Err(RatchetError::Corrupt));
    assert_eq!(restore(&b, &answer, 0), Err(RatchetError::Corrupt));
    let envelope = b.send(&mut a, b"still whole");
    a.receive(&envelope).unwrap();
}

/// The secret that a party mixed in each epoch.
type Mixed = BTreeMap<u32, [u8; 32]>;

/// The secret that the next step may mix, own or the peer's.
fn pending(party: &Party) -> Option<(u32, [u8; 32])> {
    let session = party.active();
    let epochs = &session.state().epochs;
    let secret = match &epochs.phase {
        Phase::Ready(secret) => secret,
        Phase::Answering(answer) => &answer.secret,
        _ => return None,
    };
    Some((epochs.number, *secret.shared.expose()))
}

/// Does something, and notes what was mixed by it.
fn noting<T>(party: &mut Party, mixed: &mut Mixed, act: impl FnOnce(&mut Party) -> T) -> T {
    let before = party.active().epochs_mixed();
    let secret = pending(party);
    let result = act(party);
    match party.active().epochs_mixed() - before {
        0 => {}
        1 => {
            let (epoch, secret) = secret.unwrap();
            assert_eq!(epoch, before + 1);
            assert!(mixed.insert(epoch, secret).is_none());
        }
        more => panic!("{more} epochs at once"),
    }
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is lost, repeated and overtaken: the same secrets in the same order, and when
    /// envelopes arrive again the epochs go on.
    #[test]
    fn both_sides_mix_the_same(
        acts in proptest::collection::vec((any::<bool>(), 0_u8..10, any::<prop::sample::Index>()), 50..400),
        size in 0_usize..600,
    ) {
        let (a, b) = acquainted();
        let mut parties = [a, b];
        let mut mixed = [Mixed::new(), Mixed::new()];
        let mut roads: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
        for (side, act, at) in acts {
            let from = usize::from(side);
            let [a, b] = &mut parties;
            let (own, peer) = if side { (b, a) } else { (a, b) };
            let road = &mut roads[1 - from];
            match act {
                // The chain may be at its end.
                0..=4 => {
                    let envelope = noting(own, &mut mixed[from], |own| own.send(peer, &vec![0; size]));
                    road.push(envelope);
                }
                5 if !road.is_empty() => drop(road.remove(at.index(road.len()))),
                _ => {
                    let road = &mut roads[from];
                    if road.is_empty() { continue; }
                    let at = if act < 8 { 0 } else { at.index(road.len()) };
                    let envelope = if act == 9 { road[at].clone() } else { road.remove(at) };
                    let opened = noting(own, &mut mixed[from], |own| own.receive(&envelope));
                    if let Err(error) = opened {
                        prop_assert!(!error.is_alarm());
                    }
                }
            }
        }
        let before = parties.each_ref().map(|party| party.active().epochs_mixed());
        for _ in 0..60 {
            for from in [0, 1] {
                let [a, b] = &mut parties;
                let (own, peer) = if from == 0 { (a, b) } else { (b, a) };
                let envelope = noting(own, &mut mixed[from], |own| own.send(peer, &[0; 100]));
                noting(peer, &mut mixed[1 - from], |peer| peer.receive(&envelope)).unwrap();
            }
        }
        let [by_a, by_b] = mixed;
        for (epoch, secret) in &by_a {
            if let Some(other) = by_b.get(epoch) {
                prop_assert_eq!(secret, other);
            }
        }
        prop_assert!(by_a.len().abs_diff(by_b.len()) <= 1);
        for (party, before) in parties.iter().zip(before) {
            prop_assert!(party.active().epochs_mixed() >= before + 8);
            prop_assert_eq!(party.epochs_failed, 0);
        }
    }
}
