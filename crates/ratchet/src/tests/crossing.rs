// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two devices that write to each other first at the same time, and attempts without an answer.

use waxwing_proto::limits::{ATTEMPT_JUMP_MAX, SESSIONS_PER_DEVICE_MAX};

use super::world::{NOW, acquainted, strangers};
use crate::{Envelope, RatchetError, SessionSet};

const HOUR: u64 = 3600;

#[test]
fn crossing_first_messages_end_in_one_session() {
    let (mut a, mut b) = strangers();
    let from_a: Vec<_> = (0..3).map(|n| a.send(&mut b, &[n])).collect();
    let from_b: Vec<_> = (0..3).map(|n| b.send(&mut a, &[n])).collect();
    for n in 0..3 {
        a.receive(&from_b[n]).unwrap();
        b.receive(&from_a[n]).unwrap();
    }
    assert_eq!(a.set.active(), b.set.active());
    assert_eq!(a.hot.len(), 2);
    for turn in 0..4_u8 {
        let envelope = a.send(&mut b, &[turn]);
        assert_eq!(b.receive(&envelope).unwrap(), [turn]);
        let envelope = b.send(&mut a, &[turn]);
        assert_eq!(a.receive(&envelope).unwrap(), [turn]);
    }
}

/// The smaller handshake arrives only after the greater one has been answered and the answer
/// opened: a late loser, which is received and never an alarm.
#[test]
fn a_late_loser_is_received() {
    let (mut a, mut b) = strangers();
    let first = (a.initiate(&mut b), b.initiate(&mut a));
    let (winner, loser) = if first.0 > first.1 {
        (&mut a, &mut b)
    } else {
        (&mut b, &mut a)
    };
    let late = loser.send(winner, b"late");
    let won = winner.send(loser, b"won");
    loser.receive(&won).unwrap();
    let answer = loser.send(winner, b"answer");
    winner.receive(&answer).unwrap();
    assert!(winner.active().prefix_ended());
    assert_eq!(winner.receive(&late).unwrap(), b"late");
    assert_eq!(winner.set.active(), loser.set.active());
}

/// [SES-53].
#[test]
fn a_retry_beats_the_attempt_before_it() {
    let (mut a, mut b) = strangers();
    let old = a.send(&mut b, b"old");
    a.initiate(&mut b);
    assert_eq!(a.active().attempt(), 1);
    let new = a.send(&mut b, b"new");
    b.receive(&new).unwrap();
    assert_eq!(b.receive(&old).unwrap(), b"old");
    assert_eq!(a.set.active(), b.set.active());
    assert_eq!(b.active().attempt(), 1);
}

/// [SES-21].
#[test]
fn a_greater_handshake_after_the_prefix_has_ended_is_an_alarm() {
    let (mut a, mut b) = acquainted();
    let active = b.set.active();
    // A clone of A that knows nothing of the session.
    let mut clone = super::world::Party::new(1, 0);
    let mut greater = None;
    for _ in 0..40 {
        clone.initiate(&mut b);
        let envelope = clone.send(&mut b, b"it is me");
        let order = |p: &super::world::Party| (p.active().attempt(), p.active().id());
        if order(&clone) > order(&b) {
            greater = Some(envelope);
            break;
        }
    }
    let before = b.snapshot();
    let error = b.receive(&greater.unwrap()).unwrap_err();
    assert_eq!(error, RatchetError::ContinuityMissing);
    assert!(error.is_alarm());
    assert_eq!(b.snapshot(), before);
    assert_eq!(b.set.active(), active);
    let envelope = a.send(&mut b, b"still here");
    assert_eq!(b.receive(&envelope).unwrap(), b"still here");
}

#[test]
fn an_attempt_may_not_run_away() {
    let (a, mut b) = strangers();
    let bundle = b.bundle();
    let far = crate::initiate(&a.local(), &bundle, ATTEMPT_JUMP_MAX + 1, NOW, &mut b.rng);
    let set = SessionSet::new();
    assert!(matches!(
        set.place(&far.unwrap(), |_| None, NOW),
        Err(RatchetError::AttemptTooHigh)
    ));
    let near = crate::initiate(&a.local(), &bundle, ATTEMPT_JUMP_MAX, NOW, &mut b.rng);
    assert!(set.place(&near.unwrap(), |_| None, NOW).is_ok());
}

/// [SES-22]: who is asked refuses it before anything of the session is derived.
#[test]
fn the_attempt_of_a_claim_is_judged() {
    let (mut a, mut b) = strangers();
    for (attempt, expected) in [
        (ATTEMPT_JUMP_MAX, None),
        (ATTEMPT_JUMP_MAX + 1, Some(RatchetError::AttemptTooHigh)),
    ] {
        let bundle = b.bundle();
        let session = crate::initiate(&a.local(), &bundle, attempt, NOW, &mut b.rng).unwrap();
        let envelope = session.encrypt(b"x", &mut a.rng).unwrap().envelope;
        let parsed = Envelope::parse(&envelope).unwrap();
        let claim = b.claim(&parsed).unwrap();
        assert_eq!(claim.attempt(), attempt);
        let judged = SessionSet::new().judge(&claim, |_| None, NOW);
        assert_eq!(judged.err(), expected);
    }
}

#[test]
fn sessions_of_one_device_are_bounded_and_the_oldest_idle_one_goes() {
    let (mut a, mut b) = strangers();
    let ids: Vec<_> = (0..6).map(|_| a.initiate(&mut b)).collect();
    assert_eq!(a.set.iter().count(), SESSIONS_PER_DEVICE_MAX);
    assert_eq!(a.set.active(), Some(ids[5]));
    assert!(!a.hot.contains_key(&ids[0]) && !a.hot.contains_key(&ids[1]));
    let again = a.session(ids[5]);
    assert!(matches!(
        a.set.place(&again, |_| None, NOW),
        Err(RatchetError::DuplicateSession)
    ));
}

/// Two days are counted from when the prefix of the winner has ended, and a drain must have begun
/// since; before that nothing goes, however long it takes.
#[test]
fn a_superseded_session_goes_after_its_time_a_drain_and_the_end_of_the_prefix() {
    let (mut a, mut b) = strangers();
    let old = a.initiate(&mut b);
    a.now += HOUR;
    let envelope = a.send(&mut b, b"never opened");
    a.initiate(&mut b);
    let new = a.send(&mut b, b"opened");
    for _ in 0..30 {
        a.now += 24 * HOUR;
        assert_eq!(a.drain(), []);
    }
    b.now = a.now;
    b.receive(&new).unwrap();
    let answer = b.send(&mut a, b"answer");
    a.receive(&answer).unwrap();
    assert_eq!(a.drain(), []);
    a.now += 48 * HOUR - 1;
    assert_eq!(a.drain(), []);
    a.now += 1;
    assert_eq!(a.drain(), [old]);
    // At the other side the loser was never seen; it is dropped without an alarm once all is over.
    let next = a.send(&mut b, b"the third step");
    b.receive(&next).unwrap();
    b.now += 48 * HOUR;
    b.drain();
    assert_eq!(b.receive(&envelope), Err(RatchetError::Superseded));
}

#[test]
fn a_drain_that_began_before_the_end_of_the_prefix_does_not_count() {
    let (mut a, mut b) = strangers();
    a.initiate(&mut b);
    a.initiate(&mut b);
    let new = a.send(&mut b, b"opened");
    b.receive(&new).unwrap();
    let answer = b.send(&mut a, b"answer");
    a.set.record_drained(NOW - 1);
    a.receive(&answer).unwrap();
    let sessions = a.sessions();
    let mut set = a.set.clone();
    let later = NOW + 1000 * HOUR;
    assert_eq!(set.expire(|id| sessions.get(&id), later), []);
    set.record_drained(NOW);
    assert_eq!(set.expire(|id| sessions.get(&id), later).len(), 1);
}

/// A set says whether it holds something, and whether its active session's prefix has ended: with the
/// first answer on the side that asked.
#[test]
fn a_set_is_settled_when_both_have_the_session() {
    let (mut a, mut b) = strangers();
    assert!(a.set.is_empty() && !a.set.is_settled());
    let hello = a.send(&mut b, b"hello");
    assert!(!a.set.is_empty() && !a.set.is_settled());
    b.receive(&hello).unwrap();
    assert!(!b.set.is_empty());
    let answer = b.send(&mut a, b"answer");
    a.receive(&answer).unwrap();
    assert!(a.set.is_settled());
    let session = a.session(a.set.active().unwrap());
    assert_eq!(session.created_at(), NOW);
    let left = session.envelopes_left();
    a.send(&mut b, b"one more");
    let session = a.session(a.set.active().unwrap());
    assert_eq!(
        (session.envelopes_left(), session.epochs_failed()),
        (left - 1, false)
    );
}
