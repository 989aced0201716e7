// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What belongs to which side of a KEM epoch: its owner has a key and takes an answer, the other side
//! takes a key and has an answer, and no row or unit of the one is taken by the other.

use super::epoch_rules::{push, ready, talk, units};
use super::world::{Party, acquainted};
use crate::session::kem::Epochs;
use crate::{Envelope, EpochPhase, KemRowId, RatchetError, Session};

/// [SES-91], [SES-93]: nobody answers a key that was never sent. What the part has not is an error all
/// the same.
#[test]
fn an_owner_without_a_key_takes_no_units() {
    let (mut a, mut b) = ready();
    let mixed = b.send(&mut a, b"mixed");
    a.receive(&mixed).unwrap();
    // The second epoch is A's, and A has said nothing in it.
    for first in [0, 34] {
        push(&mut b, &mut a, &units(2, first, 1, 7)).unwrap();
        assert_eq!(a.active().epoch_phase(), EpochPhase::Idle);
        assert!(a.kem.is_empty());
    }
    // An answer has 35 units, a key 37.
    let refused = push(&mut b, &mut a, &units(2, 35, 1, 7));
    assert_eq!(refused, Err(RatchetError::Malformed("epoch units")));
    talk(&mut a, &mut b, |a, b| {
        a.active().epochs_mixed() == 2 && b.active().epochs_mixed() == 2
    });
}

/// What a side says twice that it holds, it holds.
#[test]
fn the_map_of_units_is_a_set() {
    let none = Epochs::first().held_by_peer;
    let some = none.with(3).with(36);
    assert_eq!(some.with(3), some);
    assert_eq!(some.union(some), some);
    assert_eq!(some.union(none.with(3).with(4)), some.with(4));
    // A unit that no part has is none.
    assert_eq!(some.with(64), some);
    assert!(!some.has(64) && some.has(36));
}

/// The stored rows of a party's epoch, with their names.
fn stored(party: &Party) -> Vec<(KemRowId, Vec<u8>)> {
    let rows = party.kem.iter();
    rows.map(|((_, id), row)| (*id, row.clone())).collect()
}

fn restore(party: &Party, rows: &[(KemRowId, Vec<u8>)]) -> Result<EpochPhase, RatchetError> {
    let rows = rows.iter().map(|(id, row)| (*id, row.as_slice()));
    let session = Session::restore(&party.active().hot_row(), None, rows);
    session.map(|session| session.epoch_phase())
}

/// B owns the first epoch and offers its key, of which A holds units.
#[test]
fn rows_that_a_side_cannot_have_are_refused() {
    let (a, b) = acquainted();
    let (offer, run) = (stored(&b), stored(&a));
    assert_eq!(offer.len(), 1);
    assert_eq!(offer[0].0.to_byte(), 0);
    assert_eq!(run.len(), 1);
    assert_eq!(run[0].0.to_byte(), 1);
    assert_eq!(restore(&b, &offer), Ok(EpochPhase::Offering));
    assert_eq!(restore(&a, &run), Ok(EpochPhase::Collecting));
    assert_eq!(restore(&a, &[]), Ok(EpochPhase::Idle));
    // Who does not own the epoch has made no key for it.
    assert_eq!(restore(&a, &offer), Err(RatchetError::Corrupt));
    // Units of an answer arrive for a key only: its row has been lost.
    assert_eq!(restore(&b, &run), Err(RatchetError::Corrupt));
    let both = [offer, run].concat();
    assert_eq!(restore(&b, &both), Ok(EpochPhase::Offering));
    assert_eq!(restore(&a, &both), Err(RatchetError::Corrupt));
}

/// Most messages change no row of an epoch: units leave without one, and only what arrives is stored.
#[test]
fn a_message_says_whether_rows_change() {
    let (mut a, mut b) = acquainted();
    let text = b"in a chain that goes on";
    assert!(a.active().encrypt(text, &mut a.rng).unwrap().kem.is_empty());
    let envelope = b.send(&mut a, text);
    let parsed = Envelope::parse(&envelope).unwrap();
    let opened = a.active().decrypt(&parsed, None, a.now).unwrap();
    assert!(!opened.kem.is_empty());
}
