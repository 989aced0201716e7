// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Stored rows: bounded, versioned, strict, and never a reason to panic.

use proptest::prelude::*;
use waxwing_proto::limits::SESSION_STATE_SIZE_MAX;

use super::world::{NOW, acquainted, strangers};
use crate::{PrekeySecret, RatchetError, Session, SessionSet, SkippedId, SkippedRow};

#[test]
fn a_hot_row_is_small_and_survives() {
    let (mut a, mut b) = acquainted();
    for _ in 0..20 {
        let envelope = a.send(&mut b, b"x");
        b.receive(&envelope).unwrap();
        for party in [&a, &b] {
            let row = party.active().hot_row();
            assert!(row.len() <= SESSION_STATE_SIZE_MAX * 3 / 4, "{}", row.len());
            assert_eq!(party.hot[&party.active().id()], *row);
        }
        let envelope = b.send(&mut a, b"y");
        a.receive(&envelope).unwrap();
    }
}

#[test]
fn a_session_says_when_it_was_made_and_how_far_it_can_go() {
    let (mut a, mut b) = strangers();
    for sent in 1..=3 {
        a.send(&mut b, b"x");
        assert_eq!(a.active().envelopes_left(), 1000 - sent);
    }
    assert_eq!(a.active().created_at(), NOW);
}

#[test]
fn damaged_rows_are_refused() {
    let (mut a, mut b) = strangers();
    a.send(&mut b, b"x");
    let session = a.active();
    let row = session.hot_row();
    let prefix = session.prefix_row();
    assert!(Session::restore(&row, prefix, []).is_ok());
    assert!(matches!(
        Session::restore(&row, None, []),
        Err(RatchetError::Corrupt)
    ));
    for length in 0..row.len() {
        assert!(Session::restore(&row[..length], prefix, []).is_err());
    }
    let mut longer = row.to_vec();
    longer.push(0);
    assert!(Session::restore(&longer, prefix, []).is_err());
    let mut newer = row.to_vec();
    newer[0] = 5;
    assert!(matches!(
        Session::restore(&newer, prefix, []),
        Err(RatchetError::UnsupportedFormat(5))
    ));
}

/// Where the fields stand: flags are the second byte, and the epochs the last 14.
#[test]
fn hot_rows_that_contradict_themselves_are_refused() {
    let (mut a, mut b) = strangers();
    a.send(&mut b, b"x");
    let session = a.active();
    let row = session.hot_row();
    let refused = |change: &dyn Fn(&mut [u8])| {
        let mut changed = row.to_vec();
        change(&mut changed);
        let restored = Session::restore(&changed, session.prefix_row(), []);
        restored.map(drop) == Err(RatchetError::Corrupt)
    };
    assert!(!refused(&|_| ()));
    for unknown in [1 << 6, 1 << 7] {
        assert!(refused(&|row| row[1] |= unknown));
    }
    // The newest envelope opened of a chain that is not there.
    assert!(refused(&|row| row[1] |= 1 << 2));
    // A third role.
    assert!(refused(&|row| row[2] = 2));
    // Epochs are numbered from 1, and failed or not.
    let epochs = row.len() - 14;
    assert_eq!(row[epochs..epochs + 4], [0, 0, 0, 1]);
    assert!(refused(&|row| row[epochs + 3] = 0));
    assert!(!refused(&|row| row[epochs] = 1));
    assert!(refused(&|row| row[epochs + 5] = 2));
}

#[test]
fn prekey_rows_survive_and_damaged_ones_are_refused() {
    let (_, b) = strangers();
    let signed = &b.signed.0;
    let one_time = PrekeySecret::generate_one_time(&b.local(), 9, NOW, &mut b.rng.clone());
    for secret in [signed, &one_time.unwrap().0] {
        let row = secret.encode();
        let again = PrekeySecret::decode(&row).unwrap();
        assert_eq!(again.encode().as_slice(), row.as_slice());
        assert_eq!((again.id(), again.head()), (secret.id(), secret.head()));
        for length in (0..row.len()).step_by(13) {
            assert!(PrekeySecret::decode(&row[..length]).is_err());
        }
    }
}

#[test]
fn skipped_ids_sort_by_age() {
    let old = SkippedId { step: 1, n: 900 };
    let new = SkippedId { step: 3, n: 0 };
    assert!(old < new && old.to_bytes() < new.to_bytes());
    assert_eq!(SkippedId::from_bytes(new.to_bytes()), new);
}

proptest! {
    #[test]
    fn no_row_makes_a_decoder_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..1100),
        flags: u8,
        format in 0_u8..5,
    ) {
        let mut versioned = vec![format, flags];
        versioned.extend_from_slice(&bytes);
        for row in [&bytes, &versioned] {
            let _ = Session::restore(row, None, []);
            let _ = SessionSet::decode(row);
            let _ = PrekeySecret::decode(row);
            let _ = SkippedRow::decode(SkippedId { step: 1, n: 1 }, row);
        }
    }
}
