// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sessions that continue one another: honest devices always find each other again, copies do not.

use super::world::{Party, acquainted, strangers};
use crate::{Envelope, Placement, RatchetError, SessionId, SessionSet};

const HOUR: u64 = 3600;

/// Both talk until the session is the active one on both sides and its prefix has ended.
fn settle(a: &mut Party, b: &mut Party) {
    for _ in 0..2 {
        let envelope = a.send(b, b"to b");
        b.receive(&envelope).unwrap();
        let envelope = b.send(a, b"to a");
        a.receive(&envelope).unwrap();
    }
    assert_eq!(a.set.active(), b.set.active());
    assert!(a.set.is_settled() && b.set.is_settled());
}

fn later(parties: [&mut Party; 2], hours: u64) {
    for party in parties {
        party.now += hours * HOUR;
        party.drain();
    }
}

#[test]
fn a_session_continues_the_one_before_and_takes_its_place() {
    let (mut a, mut b) = acquainted();
    let mut before = a.set.active().unwrap();
    for round in 0..4 {
        let (from, to) = if round % 2 == 0 {
            (&mut a, &mut b)
        } else {
            (&mut b, &mut a)
        };
        let new = from.initiate(to);
        assert_eq!(from.active().predecessor(), before.as_bytes());
        assert_eq!(from.active().attempt(), 0);
        let envelope = from.send(to, b"opens");
        assert_eq!(to.receive(&envelope).unwrap(), b"opens");
        assert_eq!(to.set.active(), Some(new));
        settle(&mut a, &mut b);
        later([&mut a, &mut b], 48);
        assert_eq!(a.set.iter().collect::<Vec<_>>(), [new]);
        assert_eq!(b.set.iter().collect::<Vec<_>>(), [new]);
        before = new;
    }
}

/// [SES-52]: whatever was lost of seven alternating messages, either side can continue the session.
#[test]
fn continuity_holds_whatever_was_lost() {
    let start = acquainted();
    for lost in 0_u32..128 {
        for by_a in [true, false] {
            let (mut a, mut b) = (start.0.copy(1, 3), start.1.copy(2, 3));
            for turn in 0..7 {
                let (from, to) = if turn % 2 == 0 {
                    (&mut b, &mut a)
                } else {
                    (&mut a, &mut b)
                };
                let envelope = from.send(to, b"turn");
                if lost >> turn & 1 == 0 {
                    to.receive(&envelope).unwrap();
                }
            }
            let (from, to) = if by_a {
                (&mut a, &mut b)
            } else {
                (&mut b, &mut a)
            };
            let new = from.initiate(to);
            let envelope = from.send(to, b"again");
            assert_eq!(
                to.receive(&envelope).unwrap(),
                b"again",
                "lost {lost:b}, {by_a}"
            );
            assert_eq!(to.set.active(), Some(new));
        }
    }
}

/// Who has only the long-term keys of a device cannot continue its session. A smaller handshake is a
/// late loser for two days, which receives only, and is dropped for ever after.
#[test]
fn long_term_keys_alone_open_nothing_once_the_door_is_closed() {
    let (mut a, mut b) = acquainted();
    let mut thief = Party::new(1, 0);
    let mut smaller = None;
    for seed in 0..40 {
        thief = Party::new(1, 0);
        thief.rng = rand_core::SeedableRng::seed_from_u64(seed);
        thief.initiate(&mut b);
        if thief.set.active() < b.set.active() {
            smaller = thief.set.active();
            break;
        }
    }
    assert!(smaller.is_some());
    let inside = thief.send(&mut b, b"within two days");
    let active = b.set.active();
    assert_eq!(
        b.accept(&Envelope::parse(&inside).unwrap())
            .unwrap()
            .initiator
            .account,
        *a.manifest.account()
    );
    later([&mut a, &mut b], 48);
    let before = b.snapshot();
    assert_eq!(b.receive(&inside), Err(RatchetError::Superseded));
    assert!(!RatchetError::Superseded.is_alarm());
    thief.initiate(&mut b);
    let greater = thief.send(&mut b, b"greater");
    assert_eq!(b.receive(&greater), Err(RatchetError::ContinuityMissing));
    assert_eq!((b.snapshot(), b.set.active()), (before, active));
    // Also when that first session is long gone.
    a.initiate(&mut b);
    settle(&mut a, &mut b);
    later([&mut a, &mut b], 48);
    assert_eq!(b.receive(&inside), Err(RatchetError::Superseded));
    assert_eq!(b.receive(&greater), Err(RatchetError::ContinuityMissing));
}

/// A restored store opens a session with an old continuity secret: the alarm, and nothing else.
#[test]
fn a_restored_store_cannot_continue() {
    let (mut a, mut b) = acquainted();
    let mut old = a.copy(1, 3);
    for _ in 0..2 {
        let envelope = b.send(&mut a, b"turn");
        a.receive(&envelope).unwrap();
        let envelope = a.send(&mut b, b"turn");
        b.receive(&envelope).unwrap();
    }
    old.initiate(&mut b);
    let envelope = old.send(&mut b, b"it is me");
    let before = b.snapshot();
    let error = b.receive(&envelope).unwrap_err();
    assert_eq!(error, RatchetError::ContinuityUnknown);
    assert!(error.is_alarm());
    assert_eq!(b.snapshot(), before);
    let envelope = a.send(&mut b, b"still here");
    assert_eq!(b.receive(&envelope).unwrap(), b"still here");
}

/// The copy seals with keys that the device used before: no two contents get one key and nonce.
#[test]
fn a_restored_store_uses_no_key_twice() {
    let (mut a, mut b) = acquainted();
    let mut old = a.copy(1, 3);
    old.rng = a.rng.clone();
    let first = a.send(&mut b, b"before the restoring");
    let again = old.send(&mut b, b"after it");
    let salt = |envelope: &[u8]| envelope[18..34].to_vec();
    assert_eq!(
        first[2..18],
        again[2..18],
        "the same number of the same chain"
    );
    assert_ne!(salt(&first), salt(&again));
    b.receive(&first).unwrap();
    assert!(b.receive(&again).is_err());
}

/// [SES-55]: a handshake of the peer that names a session ends its prefix, also for who has made it.
#[test]
fn to_be_named_ends_a_prefix() {
    let (mut a, mut b) = strangers();
    let first = a.send(&mut b, b"1");
    b.receive(&first).unwrap();
    let unanswered = a.set.active().unwrap();
    // B continues the session before it has said anything in it.
    let next = b.initiate(&mut a);
    assert_eq!(b.active().predecessor(), unanswered.as_bytes());
    let envelope = b.send(&mut a, b"2");
    a.receive(&envelope).unwrap();
    assert_eq!(a.set.active(), Some(next));
    let envelope = a.send(&mut b, b"3");
    b.receive(&envelope).unwrap();
    let mut thief = Party::new(2, 0);
    thief.initiate(&mut a);
    thief.initiate(&mut a);
    let greater = thief.send(&mut a, b"instead of the first session");
    assert_eq!(a.receive(&greater), Err(RatchetError::ContinuityMissing));
    settle(&mut a, &mut b);
    later([&mut a, &mut b], 48);
    assert_eq!(a.set.iter().collect::<Vec<_>>(), [next]);
}

/// Handshakes that name a session which is gone: a smaller one is dropped, a greater one the alarm,
/// and a wrong secret is the alarm whatever the order.
#[test]
fn the_names_of_gone_sessions_are_remembered() {
    let (mut a, mut b) = acquainted();
    let root = b.set.active().unwrap();
    let mut twin = a.copy(1, 3);
    let winner = a.initiate(&mut b);
    let mut envelopes = [None, None];
    // Either kind may be rare: the winner's place is by chance where the backend draws for itself.
    for seed in 0..100_000 {
        if envelopes.iter().all(Option::is_some) {
            break;
        }
        let mut other = twin.copy(1, 3);
        other.rng = rand_core::SeedableRng::seed_from_u64(seed);
        let id = other.initiate(&mut b);
        let envelope = other.send(&mut b, b"late");
        envelopes[usize::from(id > winner)].get_or_insert(envelope);
    }
    let [smaller, greater] = envelopes.map(Option::unwrap);
    settle(&mut a, &mut b);
    assert_eq!(
        b.accept(&Envelope::parse(&smaller).unwrap())
            .unwrap()
            .opened
            .content
            .as_slice(),
        b"late"
    );
    assert_eq!(b.receive(&greater), Err(RatchetError::PeerDiverged));
    later([&mut a, &mut b], 48);
    assert!(!b.hot.contains_key(&root));
    assert_eq!(b.receive(&smaller), Err(RatchetError::Superseded));
    assert_eq!(b.receive(&greater), Err(RatchetError::PeerDiverged));
    // After the retention nothing is remembered: no honest handshake is under way any more.
    later([&mut a, &mut b], 46 * 24);
    assert_eq!(b.receive(&smaller), Err(RatchetError::ContinuityUnknown));
    let envelope = twin.send(&mut b, b"the copy in the old session");
    assert!(b.receive(&envelope).is_err());
}

/// [SES-53]: the responder of an unanswered session continues it, and that is all: three on the path.
#[test]
fn the_path_has_at_most_three() {
    let (mut a, mut b) = acquainted();
    a.initiate(&mut b);
    let envelope = a.send(&mut b, b"x");
    b.receive(&envelope).unwrap();
    let unanswered = b.initiate(&mut a);
    assert_eq!(b.set.iter().count(), 3);
    // Further attempts name the same predecessor.
    for attempt in 1..5 {
        let retry = b.initiate(&mut a);
        assert_eq!(b.active().attempt(), attempt);
        assert_eq!(b.set.iter().count(), 4);
        assert_eq!(b.set.active(), Some(retry));
        assert!(attempt < 2 || !b.hot.contains_key(&unanswered));
    }
    let envelope = b.send(&mut a, b"found");
    assert_eq!(a.receive(&envelope).unwrap(), b"found");
    assert_eq!(a.set.active(), b.set.active());
}

/// A dead one-time pair: the server hands out what was used up already. The next attempt wins.
#[test]
fn a_dead_one_time_pair_costs_one_attempt() {
    let (mut a, mut b) = strangers();
    let mut c = Party::new(3, 0);
    let taken = b.one_time()[0].0.id();
    let by_c = c.send(&mut b, b"takes the pair");
    let mut restored = b.copy(2, 3);
    restored.hand_back();
    let dead = a.send(&mut restored, b"dead");
    let parsed = Envelope::parse(&dead).unwrap();
    assert_eq!(parsed.prefix().unwrap().one_time_prekey(), Some(taken));
    b.receive(&by_c).unwrap();
    b.set = SessionSet::new();
    assert_eq!(b.receive(&dead), Err(RatchetError::PrekeyUnknown));
    a.initiate(&mut b);
    assert_eq!(a.active().attempt(), 1);
    let envelope = a.send(&mut b, b"alive");
    assert_eq!(b.receive(&envelope).unwrap(), b"alive");
    settle(&mut a, &mut b);
}

#[test]
fn a_replayed_prefix_opens_nothing_again() {
    let (mut a, mut b) = strangers();
    let first = a.send(&mut b, b"first");
    b.receive(&first).unwrap();
    settle(&mut a, &mut b);
    assert!(b.receive(&first).is_err());
    a.initiate(&mut b);
    settle(&mut a, &mut b);
    later([&mut a, &mut b], 48);
    let before = b.snapshot();
    assert_eq!(b.receive(&first), Err(RatchetError::Replay));
    assert_eq!(b.snapshot(), before);
}

#[test]
fn a_claim_is_accepted_with_its_own_judgement_only() {
    let (mut a, mut b) = acquainted();
    a.initiate(&mut b);
    let one = a.send(&mut b, b"one");
    a.initiate(&mut b);
    let two = a.send(&mut b, b"two");
    let (one, two) = (
        Envelope::parse(&one).unwrap(),
        Envelope::parse(&two).unwrap(),
    );
    let sessions = b.sessions();
    let claim = b.claim(&one).unwrap();
    let judged = b.set.judge(&claim, |id| sessions.get(&id), b.now).unwrap();
    let other = b.claim(&two).unwrap();
    assert!(matches!(
        other.accept(&judged, b.now),
        Err(RatchetError::SessionUnknown)
    ));
    let accepted = claim.accept(&judged, b.now).unwrap();
    let placed = b
        .set
        .place(&accepted.opened.session, |id| sessions.get(&id), b.now);
    assert_eq!(placed.unwrap().placement, Placement::Active);
    // What continues a session is not taken for a first one.
    let plain = crate::accept(
        &b.local(),
        &one,
        &crate::ResponderKeys {
            signed: &b.signed.0,
            one_time: b.one_time().first().map(|(secret, _)| secret),
        },
        b.now,
    );
    assert!(matches!(plain, Err(RatchetError::ContinuityUnknown)));
}

#[test]
fn a_set_survives_its_row() {
    let (mut a, mut b) = acquainted();
    for _ in 0..12 {
        a.initiate(&mut b);
        settle(&mut a, &mut b);
        later([&mut a, &mut b], 48);
    }
    let row = b.set.encode();
    assert!(row.len() < 2048, "{}", row.len());
    for length in 0..row.len() {
        assert!(SessionSet::decode(&row[..length]).is_err());
    }
    assert_eq!(b.set.iter().collect::<Vec<SessionId>>().len(), 1);
}
