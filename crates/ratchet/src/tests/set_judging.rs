// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Handshakes that name a session which has gone, judged by what is remembered of it.

use super::set_rows::{Gone, Row, id};
use super::world::{NOW, Party, acquainted, strangers};
use crate::{Claim, ContinuityId, Envelope, RatchetError, SessionId, SessionSet};

fn judge(set: &SessionSet, claim: &Claim<'_>, now: u64) -> Option<RatchetError> {
    set.judge(claim, |_| None, now).err()
}

/// A set of which every session that a handshake could continue has gone.
fn with(root: SessionId, gone: &[Gone]) -> SessionSet {
    let row = Row {
        root: Some(root),
        gone: gone.to_vec(),
        ..Row::default()
    };
    row.set()
}

/// B, and A's next handshake, which continues the session of both.
fn continued() -> (Party, Vec<u8>) {
    let (mut a, mut b) = acquainted();
    a.initiate(&mut b);
    let envelope = a.send(&mut b, b"next");
    (b, envelope)
}

/// [SES-58]: a greater one than that which won is the alarm, any other is dropped: a smaller one, the
/// winner itself when it comes again, and all where the session was beside the path.
#[test]
fn a_handshake_is_compared_with_what_won_its_place() {
    let (b, envelope) = continued();
    let envelope = Envelope::parse(&envelope).unwrap();
    let claim = b.claim(&envelope).unwrap();
    let (named, secret) = claim.predecessor().unwrap();
    let order = (claim.attempt(), claim.session());
    for (winner, expected) in [
        (Some((0, id(0))), RatchetError::PeerDiverged),
        (Some(order), RatchetError::Superseded),
        (Some((0, id(0xff))), RatchetError::Superseded),
        (Some((1, id(0))), RatchetError::Superseded),
        (None, RatchetError::Superseded),
    ] {
        let gone = Gone {
            id: Some(named),
            names: vec![ContinuityId::new([7; 8]), secret],
            winner,
            at: NOW,
        };
        assert_eq!(judge(&with(named, &[gone]), &claim, NOW), Some(expected));
    }
}

/// [SES-56], [SES-58]: a session and a secret of it, both: one alone is the alarm, whatever the order.
#[test]
fn a_gone_session_is_known_by_its_name_and_its_secret() {
    let (b, envelope) = continued();
    let envelope = Envelope::parse(&envelope).unwrap();
    let claim = b.claim(&envelope).unwrap();
    let (named, secret) = claim.predecessor().unwrap();
    let gone = |session: SessionId, names: &[ContinuityId]| Gone {
        id: Some(session),
        names: names.to_vec(),
        winner: None,
        at: NOW,
    };
    let other = ContinuityId::new([7; 8]);
    let unknown = Some(RatchetError::ContinuityUnknown);
    assert!(RatchetError::ContinuityUnknown.is_alarm());
    for remembered in [
        &[gone(named, &[other])][..],
        &[gone(named, &[])],
        &[gone(id(9), &[secret])],
        &[gone(named, &[other]), gone(id(9), &[secret])],
        &[],
    ] {
        assert_eq!(judge(&with(named, remembered), &claim, NOW), unknown);
    }
    let set = with(named, &[gone(id(9), &[]), gone(named, &[secret])]);
    assert_eq!(judge(&set, &claim, NOW), Some(RatchetError::Superseded));
}

/// [SES-58]: 45 days, and not a second longer.
#[test]
fn what_has_gone_is_remembered_as_long_as_its_handshakes_may_come() {
    let (b, envelope) = continued();
    let envelope = Envelope::parse(&envelope).unwrap();
    let claim = b.claim(&envelope).unwrap();
    let (named, secret) = claim.predecessor().unwrap();
    let gone = Gone {
        id: Some(named),
        names: vec![secret],
        winner: None,
        at: NOW,
    };
    let mut set = with(named, &[gone]);
    let retention = 45 * 86_400;
    for (now, expected) in [
        (NOW + retention, RatchetError::Superseded),
        (NOW + retention + 1, RatchetError::ContinuityUnknown),
    ] {
        assert_eq!(set.expire(|_| None, now), []);
        assert_eq!(judge(&set, &claim, now), Some(expected));
    }
}

/// [SES-58]: likewise the first session, for handshakes that continue nothing. What is remembered of
/// others is no matter for them.
#[test]
fn a_handshake_that_continues_nothing_is_compared_with_the_first_session() {
    let (mut a, mut b) = strangers();
    let envelope = a.send(&mut b, b"first");
    let envelope = Envelope::parse(&envelope).unwrap();
    let claim = b.claim(&envelope).unwrap();
    assert_eq!(claim.predecessor(), None);
    let missing = Some(RatchetError::ContinuityMissing);
    let gone = |session: Option<SessionId>, winner| Gone {
        id: session,
        names: Vec::new(),
        winner,
        at: NOW,
    };
    let beside = gone(Some(id(9)), None);
    for (winner, expected) in [
        (id(0), missing),
        (claim.session(), Some(RatchetError::Superseded)),
        (id(0xff), Some(RatchetError::Superseded)),
    ] {
        let first = gone(None, Some((0, winner)));
        let set = with(id(9), &[beside.clone(), first]);
        assert_eq!(judge(&set, &claim, NOW), expected);
    }
    // After 45 days nothing is remembered of it.
    assert_eq!(judge(&with(id(9), &[beside]), &claim, NOW), missing);
    assert_eq!(judge(&SessionSet::new(), &claim, NOW), None);
}
