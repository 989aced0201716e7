// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Contents that fill their padded length to the byte: nothing travels beside them, and nothing comes of
//! that but that the epochs wait.

use super::world::{Party, acquainted, strangers};
use crate::Acknowledgement;
use crate::session::kem::Phase;

/// The padded lengths of [ENV-5] up to the first one of Padmé, without the two bytes of the length.
const FULL: [usize; 5] = [510, 1022, 2046, 4094, 4350];
/// Bytes of an envelope without a prefix that are not padded content.
const OVERHEAD: usize = 110;

/// One content of `length` bytes each way, B first. Returns the envelopes' lengths.
fn turn(a: &mut Party, b: &mut Party, length: usize) -> [usize; 2] {
    let content = vec![0xff; length];
    let by_b = b.send(a, &content);
    assert_eq!(a.receive(&by_b).unwrap(), content);
    let by_a = a.send(b, &content);
    assert_eq!(b.receive(&by_a).unwrap(), content);
    [by_b.len(), by_a.len()]
}

/// Where the epochs are: the number, what is held of each part, and the rows that are stored for them.
fn epochs(party: &Party) -> (u32, u8, u64, impl PartialEq + core::fmt::Debug + use<>) {
    let session = party.active();
    let epochs = &session.state().epochs;
    (
        epochs.number,
        epochs.cursor,
        epochs.held_by_peer.bits(),
        party.kem.clone(),
    )
}

/// Bytes of everything that a party stores for the session.
fn stored(party: &Party) -> usize {
    let rows = party.hot.values().chain(party.kem.values());
    let rows = rows.chain(party.skipped.values());
    rows.chain(party.sent_rows.values()).map(Vec::len).sum()
}

/// [ENV-3], [ENV-4], [ENV-5]: "an item never makes it larger". [SES-40], [SES-91], [SES-92]: what does not
/// fit is not sent, and nothing is made that cannot leave.
#[test]
fn a_full_content_carries_nothing_and_is_no_longer_for_it() {
    let (mut a, mut b) = acquainted();
    // B has offered its key, and A collects it.
    assert!(matches!(
        b.active().state().epochs.phase,
        Phase::Offering(..)
    ));
    for length in FULL {
        let before = (epochs(&a), epochs(&b));
        let acknowledged = (a.acknowledged.len(), b.acknowledged.len());
        assert_eq!(turn(&mut a, &mut b, length), [length + 2 + OVERHEAD; 2]);
        assert_eq!((epochs(&a), epochs(&b)), before, "{length}");
        let after = (a.acknowledged.len(), b.acknowledged.len());
        assert_eq!(after, acknowledged, "{length}");
    }
    // One byte less has room for nothing either, but is of the same length.
    let before = (epochs(&a), epochs(&b));
    assert_eq!(turn(&mut a, &mut b, 509), [622; 2]);
    assert_eq!((epochs(&a), epochs(&b)), before);
}

/// [SES-91]: a session that has nothing but full contents begins no epoch.
#[test]
fn full_contents_alone_begin_no_epoch() {
    let (mut a, mut b) = strangers();
    // Together with the prefix of 2684 bytes the first content is 4096 long.
    let content = vec![0xff; 4096 - 2684 - 2];
    let first = a.send(&mut b, &content);
    assert_eq!(first.len(), 4096 + OVERHEAD);
    assert_eq!(b.receive(&first).unwrap(), content);
    let answer = b.send(&mut a, &[0xff; FULL[0]]);
    a.receive(&answer).unwrap();
    let second = a.send(&mut b, &[0xff; FULL[0]]);
    b.receive(&second).unwrap();
    for length in FULL.repeat(4) {
        turn(&mut a, &mut b, length);
    }
    for party in [&a, &b] {
        assert!(matches!(party.active().state().epochs.phase, Phase::Idle));
        assert!(party.kem.is_empty() && party.acknowledged.is_empty());
    }
}

/// [SES-95]: nothing is lost and nothing grows while the epochs wait, for however long and at whatever
/// point of an epoch, and with the next content that has slack they go on where they were.
#[test]
fn full_contents_halt_the_epochs_and_slack_lets_them_go_on() {
    let (mut a, mut b) = acquainted();
    let mut mixed = 0;
    // From each message of two epochs of 13.
    for moment in 0..26 {
        turn(&mut a, &mut b, FULL[0]);
        let before = (epochs(&a), epochs(&b), stored(&a), stored(&b));
        for length in FULL.repeat(3) {
            turn(&mut a, &mut b, length);
        }
        let after = (epochs(&a), epochs(&b), stored(&a), stored(&b));
        assert_eq!(after, before, "{moment}");
        turn(&mut a, &mut b, 100);
        for party in [&a, &b] {
            assert_eq!(party.epochs_failed, 0);
            assert!(party.skipped.is_empty());
            mixed = mixed.max(party.active().epochs_mixed());
        }
    }
    assert!(mixed >= 3, "{mixed}");
    let ours = |judged: &Acknowledgement| *judged == Acknowledgement::Ours;
    assert!(!a.judged.is_empty() && a.judged.iter().all(ours));
    assert!(!b.judged.is_empty() && b.judged.iter().all(ours));
}
