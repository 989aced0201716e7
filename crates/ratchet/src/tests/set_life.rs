// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which sessions of a set go, and when.

use super::set_rows::{Kept, Row, id};
use super::world::strangers;
use crate::{Placement, RatchetError, Role, Session, SessionId, SessionSet};

/// 48 hours.
const LIFE: u64 = 48 * 3600;

/// A session that nothing was opened in, with a name and a place of the test's choice.
pub(super) struct Sessions(Session);

impl Sessions {
    pub(super) fn new() -> Self {
        let (mut a, mut b) = strangers();
        a.initiate(&mut b);
        Self(a.active())
    }

    pub(super) fn named(&self, name: u8, predecessor: Option<u8>, attempt: u32) -> Session {
        let mut state = self.0.state().duplicate();
        state.id = id(name);
        state.predecessor = predecessor.map_or([0; 32], |byte| [byte; 32]);
        state.attempt = attempt;
        assert_eq!(state.role, Role::Initiator);
        Session::new(state, None)
    }
}

fn kept(id: u8, predecessor: Option<u8>, placed_at: u64, ended_at: Option<u64>) -> Kept {
    Kept {
        id,
        predecessor,
        attempt: 0,
        placed_at,
        ended_at,
        own: false,
    }
}

fn own(session: Kept) -> Kept {
    Kept {
        own: true,
        ..session
    }
}

fn of(kept: &[Kept]) -> SessionSet {
    let row = Row {
        kept: kept.to_vec(),
        ..Row::default()
    };
    row.set()
}

/// What goes when `session` comes.
fn evicted_by(set: &SessionSet, session: &Session) -> (SessionSet, Vec<SessionId>) {
    let placed = set.place(session, |_| None, 1000).unwrap();
    assert_eq!(placed.placement, Placement::Active);
    assert_eq!(placed.set.iter().count(), 4);
    (placed.set, placed.evicted)
}

/// [SES-59]: who knows that the peer has a session keeps it longer. Own sessions are unconfirmed until
/// their prefix has ended; those that the peer made are not.
#[test]
fn unconfirmed_sessions_go_first() {
    let sessions = Sessions::new();
    let set = of(&[
        kept(9, None, 1, Some(2)),
        kept(1, None, 3, None),
        own(kept(2, None, 4, Some(5))),
        own(kept(3, None, 6, None)),
    ]);
    assert_eq!(set.active(), Some(id(9)));
    let (set, gone) = evicted_by(&set, &sessions.named(10, Some(9), 0));
    assert_eq!(gone, [id(3)]);
    // Then the oldest, whoever made it.
    let (set, gone) = evicted_by(&set, &sessions.named(11, Some(10), 0));
    assert_eq!(gone, [id(1)]);
    let (set, gone) = evicted_by(&set, &sessions.named(12, Some(11), 0));
    assert_eq!(gone, [id(2)]);
    assert_eq!(set.path_ids(), [9, 10, 11, 12].map(id));
}

#[test]
fn of_two_unconfirmed_sessions_the_older_goes_first() {
    let sessions = Sessions::new();
    let set = of(&[
        kept(9, None, 1, Some(2)),
        own(kept(3, None, 8, None)),
        own(kept(2, None, 7, None)),
        own(kept(1, None, 7, None)),
    ]);
    let (set, gone) = evicted_by(&set, &sessions.named(10, Some(9), 0));
    assert_eq!(gone, [id(1)], "of those of one time the smaller");
    let (set, gone) = evicted_by(&set, &sessions.named(11, Some(10), 0));
    assert_eq!(gone, [id(2)]);
    let (_, gone) = evicted_by(&set, &sessions.named(12, Some(11), 0));
    assert_eq!(gone, [id(3)]);
}

/// [SES-59]: of the path only what is before the last session whose prefix has ended may go, and the
/// first of it first.
#[test]
fn the_path_is_kept_from_its_last_ended_session_on() {
    let sessions = Sessions::new();
    let set = |first: Option<u64>, second: Option<u64>| {
        of(&[
            kept(9, None, 1, first),
            kept(10, Some(9), 2, second),
            kept(1, None, 5, None),
            kept(2, None, 6, None),
        ])
    };
    let third = sessions.named(11, Some(10), 0);
    let (after, gone) = evicted_by(&set(Some(3), Some(4)), &third);
    assert_eq!(gone, [id(9)]);
    // Its place is remembered: the path begins behind it.
    assert_eq!(after.path_ids(), [id(10), id(11)]);
    for (first, second) in [(Some(3), None), (None, None)] {
        let (after, gone) = evicted_by(&set(first, second), &third);
        assert_eq!(gone, [id(1)], "the oldest beside the path");
        assert_eq!(after.path_ids(), [id(9), id(10), id(11)]);
    }
}

/// A set with a path of three, a session that lost against each of them, and one that continues a
/// loser.
fn tree() -> Row {
    Row {
        drained_at: 10_000,
        kept: vec![
            kept(9, None, 0, Some(100)),
            kept(8, None, 50, None),
            kept(10, Some(9), 500, Some(1000)),
            kept(7, Some(9), 600, None),
        ],
        ..Row::default()
    }
}

fn expire(set: &mut SessionSet, now: u64) -> Vec<SessionId> {
    set.expire(|_| None, now)
}

/// [SES-42]: each goes 48 hours after the prefix of what took its own place has ended.
#[test]
fn a_session_goes_when_that_is_over_which_took_its_place() {
    let mut set = tree().set();
    assert_eq!(expire(&mut set, 100 + LIFE - 1), []);
    assert_eq!(expire(&mut set, 100 + LIFE), [id(8)]);
    assert_eq!(expire(&mut set, 1000 + LIFE - 1), []);
    // The first of the path, and what lost against the second.
    assert_eq!(expire(&mut set, 1000 + LIFE), [id(9), id(7)]);
    // The active session has none above it.
    assert_eq!(expire(&mut set, u64::MAX), []);
    assert_eq!(set.path_ids(), [id(10)]);
}

/// A branch has lost against what took the place of its root.
#[test]
fn a_branch_goes_with_the_place_that_it_branched_from() {
    let mut row = tree();
    row.kept[1] = kept(6, Some(7), 700, None);
    let mut set = row.set();
    assert_eq!(expire(&mut set, 1000 + LIFE - 1), []);
    assert_eq!(expire(&mut set, 1000 + LIFE), [id(9), id(6), id(7)]);
    // What it branched from may be gone before it: whatever stands first has won.
    let mut row = tree();
    row.kept[1] = kept(6, Some(7), 700, None);
    row.kept.remove(3);
    let mut set = row.set();
    assert_eq!(expire(&mut set, 700 + LIFE - 1), []);
    assert_eq!(expire(&mut set, 700 + LIFE), [id(6)]);
}

/// [SES-42]: a clock that went back between them makes the second of the path ready before the first,
/// and it waits.
#[test]
fn of_the_path_the_first_goes_first() {
    let row = Row {
        drained_at: 10_000,
        kept: vec![
            kept(9, None, 5000, Some(5001)),
            kept(10, Some(9), 20, Some(30)),
            kept(11, Some(10), 40, Some(50)),
        ],
        ..Row::default()
    };
    let mut set = row.set();
    assert_eq!(expire(&mut set, 5000 + LIFE - 1), []);
    assert_eq!(expire(&mut set, 5000 + LIFE), [id(9), id(10)]);
}

/// [SES-57]: what continues a session that lost has lost, too, however great it is: it receives only,
/// until that is over, and is dropped then.
#[test]
fn what_continues_a_loser_has_lost() {
    let sessions = Sessions::new();
    let row = Row {
        drained_at: 200,
        kept: vec![kept(9, None, 1, Some(100)), kept(8, None, 2, None)],
        ..Row::default()
    };
    let (set, great) = (row.set(), sessions.named(0xff, Some(8), 1000));
    let placed = set.place(&great, |_| None, 100 + LIFE - 1).unwrap();
    assert_eq!(placed.placement, Placement::ReceiveOnly);
    let over = set.place(&great, |_| None, 100 + LIFE);
    assert!(matches!(over, Err(RatchetError::Superseded)));
    // In the place of the winner it would be the alarm.
    let instead = set.place(&sessions.named(0xff, None, 0), |_| None, 300);
    assert!(matches!(instead, Err(RatchetError::ContinuityMissing)));
}
