// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Copies of a device: what they can still do, until when, and what tells.

use super::world::{Party, acquainted};
use crate::RatchetError;

fn talk(from: &mut Party, to: &mut Party, content: &[u8]) -> Vec<u8> {
    let envelope = from.send(to, content);
    assert_eq!(to.receive(&envelope).unwrap(), content);
    envelope
}

/// A conversation of some turns, B's last, and a copy of A made then.
fn copied(turns: u32) -> (Party, Party, Party) {
    let (mut a, mut b) = acquainted();
    for _ in 0..turns {
        talk(&mut b, &mut a, b"b");
        talk(&mut a, &mut b, b"a");
    }
    talk(&mut b, &mut a, b"b");
    let copy = a.copy(1, 3);
    (a, b, copy)
}

/// A copy that is only read from is shut out of the session once B has answered a step that A made
/// after the copy, and of new sessions once B has opened A's next step after that.
#[test]
fn a_copy_that_waits_is_shut_out() {
    for turns in 0..4 {
        let (mut a, mut b, mut copy) = copied(turns);
        // B goes on in the chain that the copy knows: it can read along.
        let known = b.send(&mut a, b"b goes on");
        assert_eq!(copy.copy(1, 3).receive(&known).unwrap(), b"b goes on");
        a.receive(&known).unwrap();

        talk(&mut a, &mut b, b"a step after the copy");
        let answer = b.send(&mut a, b"answer");
        assert!(copy.copy(1, 3).receive(&answer).is_err());
        let active = b.set.active();
        let mut acting = copy.copy(1, 3);
        let forged = acting.send(&mut b, b"the copy");
        assert!(b.receive(&forged).is_err());
        // Not yet shut out of new sessions: B still holds what the copy knows.
        let mut early = copy.copy(1, 3);
        early.initiate(&mut b);
        let opening = early.send(&mut b, b"just in time");
        assert!(b.accept(&crate::Envelope::parse(&opening).unwrap()).is_ok());

        a.receive(&answer).unwrap();
        talk(&mut a, &mut b, b"the next step");
        copy.initiate(&mut b);
        let late = copy.send(&mut b, b"too late");
        let before = b.snapshot();
        assert_eq!(b.receive(&late), Err(RatchetError::ContinuityUnknown));
        assert_eq!(b.receive(&opening), Err(RatchetError::ContinuityUnknown));
        assert_eq!((b.snapshot(), b.set.active()), (before, active));
        talk(&mut a, &mut b, b"undisturbed");
    }
}

/// Where the copy acts first, A's own step is what tells B; where it opens a session, A's next
/// handshake does, at the latest with its second attempt.
#[test]
fn a_copy_that_acts_first_is_told_by_what_the_device_does_next() {
    let (mut a, mut b, mut copy) = copied(1);
    talk(&mut copy, &mut b, b"the copy makes the step");
    let honest = a.send(&mut b, b"the device makes it too");
    assert_eq!(b.receive(&honest), Err(RatchetError::PeerDiverged));

    let (mut a, mut b, mut copy) = copied(1);
    copy.initiate(&mut b);
    talk(&mut copy, &mut b, b"the copy opens a session");
    talk(&mut b, &mut copy, b"b believes it");
    talk(&mut copy, &mut b, b"and the prefix ends");
    let mut alarms = 0;
    for _ in 0..2 {
        a.initiate(&mut b);
        let envelope = a.send(&mut b, b"the device opens one, too");
        match b.receive(&envelope) {
            Err(error) => {
                assert_eq!(error, RatchetError::PeerDiverged);
                assert!(error.is_alarm());
                alarms += 1;
            }
            // Smaller than the copy's: a late loser, and A is not answered in it.
            Ok(_) => assert_ne!(b.set.active(), a.set.active()),
        }
    }
    assert!(alarms > 0);
}

/// What was opened does not open again with everything that is stored, at any point of a talk.
#[test]
fn nothing_that_was_opened_opens_with_what_is_stored() {
    let (mut a, mut b) = acquainted();
    let mut opened = Vec::new();
    for turn in 0..6 {
        let skipped = a.send(&mut b, b"skipped");
        opened.push(talk(&mut a, &mut b, b"a"));
        if turn % 2 == 0 {
            b.receive(&skipped).unwrap();
            opened.push(skipped);
        }
        talk(&mut b, &mut a, b"b");
        if turn == 3 {
            a.initiate(&mut b);
        }
        for envelope in &opened {
            let mut thief = b.copy(2, 3);
            assert!(thief.receive(envelope).is_err());
        }
    }
    assert!(opened.len() >= 9);
}
