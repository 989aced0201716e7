// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The row of a set of sessions, written byte by byte: what is read, up to its bounds, and what is not.

use crate::{ContinuityId, RatchetError, SessionId, SessionSet};

/// A session's name.
pub(super) const fn id(byte: u8) -> SessionId {
    SessionId::new([byte; 32])
}

/// A session that is kept.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub(super) id: u8,
    pub(super) predecessor: Option<u8>,
    pub(super) attempt: u32,
    pub(super) placed_at: u64,
    pub(super) ended_at: Option<u64>,
    pub(super) own: bool,
}

/// A session that has gone.
#[derive(Clone)]
pub(super) struct Gone {
    pub(super) id: Option<SessionId>,
    pub(super) names: Vec<ContinuityId>,
    pub(super) winner: Option<(u32, SessionId)>,
    pub(super) at: u64,
}

/// A whole set.
#[derive(Clone, Default)]
pub(super) struct Row {
    pub(super) drained_at: u64,
    pub(super) root: Option<SessionId>,
    pub(super) kept: Vec<Kept>,
    pub(super) gone: Vec<Gone>,
}

impl Row {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let bytes_of = |id: Option<SessionId>| id.map_or([0; 32], |id| *id.as_bytes());
        let count = |length: usize| u8::try_from(length).unwrap();
        let mut row = vec![2, count(self.kept.len()), count(self.gone.len())];
        row.extend_from_slice(&self.drained_at.to_be_bytes());
        row.push(u8::from(self.root.is_some()));
        row.extend_from_slice(&bytes_of(self.root));
        for kept in &self.kept {
            let continues = u8::from(kept.predecessor.is_some());
            let (ended, own) = (u8::from(kept.ended_at.is_some()), u8::from(kept.own));
            row.push(continues + 2 * ended + 4 * own);
            row.extend_from_slice(&[kept.id; 32]);
            row.extend_from_slice(&bytes_of(kept.predecessor.map(id)));
            row.extend_from_slice(&kept.attempt.to_be_bytes());
            row.extend_from_slice(&kept.placed_at.to_be_bytes());
            row.extend_from_slice(&kept.ended_at.unwrap_or(0).to_be_bytes());
        }
        for gone in &self.gone {
            row.push(u8::from(gone.id.is_some()) + 2 * u8::from(gone.winner.is_some()));
            row.extend_from_slice(&bytes_of(gone.id));
            row.push(count(gone.names.len()));
            for name in &gone.names {
                row.extend_from_slice(name.as_bytes());
            }
            let (attempt, winner) = gone.winner.unzip();
            row.extend_from_slice(&attempt.unwrap_or(0).to_be_bytes());
            row.extend_from_slice(&bytes_of(winner));
            row.extend_from_slice(&gone.at.to_be_bytes());
        }
        row
    }

    /// The set, which is written as it was read.
    pub(super) fn set(&self) -> SessionSet {
        let bytes = self.bytes();
        let set = SessionSet::decode(&bytes).unwrap();
        assert_eq!(set.encode(), bytes);
        set
    }
}

/// A session of each kind, and one that has gone of each.
fn full() -> Row {
    let kept = |id, predecessor, ended_at, own| Kept {
        id,
        predecessor,
        attempt: u32::from(id),
        placed_at: 70,
        ended_at,
        own,
    };
    let gone = |byte: Option<u8>, names: u8, winner| Gone {
        id: byte.map(id),
        names: (0..names)
            .map(|name| ContinuityId::new([name; 8]))
            .collect(),
        winner,
        at: 60,
    };
    let mut row = Row {
        drained_at: 50,
        root: Some(id(9)),
        kept: vec![
            kept(1, Some(9), Some(80), true),
            kept(2, Some(9), Some(0), false),
            kept(3, Some(1), None, true),
            kept(4, None, None, false),
        ],
        gone: vec![
            gone(None, 0, Some((7, id(9)))),
            gone(Some(9), 2, Some((0, id(1)))),
            gone(Some(8), 1, None),
            gone(None, 0, None),
        ],
    };
    row.gone = row.gone.iter().cycle().take(16).cloned().collect();
    row
}

fn refused(row: &[u8]) -> bool {
    SessionSet::decode(row) == Err(RatchetError::Corrupt)
}

/// [SES-58], [SES-59]: 4 sessions and the names of 16 more.
#[test]
fn a_set_is_read_up_to_its_bounds() {
    let row = full();
    let set = row.set();
    assert_eq!(set.iter().collect::<Vec<_>>(), [id(1), id(2), id(3), id(4)]);
    assert_eq!(set.path_ids(), [id(2)]);
    let mut more = row.clone();
    more.kept.push(more.kept[0]);
    assert!(refused(&more.bytes()));
    more.gone.clear();
    assert!(refused(&more.bytes()));
    let mut more = row.clone();
    more.gone.push(more.gone[0].clone());
    assert!(refused(&more.bytes()));
    more.kept.clear();
    assert!(refused(&more.bytes()));
    let mut more = row;
    more.gone[1].names.push(ContinuityId::new([3; 8]));
    assert!(refused(&more.bytes()));
}

/// Where nothing is said to be, there is nothing; and nobody says what is not known.
#[test]
fn rows_that_contradict_themselves_are_refused() {
    const ROOT: usize = 11;
    const KEPT: usize = ROOT + 33;
    const GONE: usize = KEPT + 4 * 85;
    let row = full().bytes();
    let changed = |at: usize, byte: u8| {
        let mut changed = row.clone();
        assert_ne!(changed[at], byte);
        changed[at] = byte;
        refused(&changed)
    };
    // A root of a third kind, and none that has a name.
    assert!(changed(ROOT, 2) && changed(ROOT, 0));
    // The third session continues one, and its prefix has not ended.
    let third = KEPT + 2 * 85;
    assert_eq!(row[third], 5);
    for unknown in [8, 16, 32, 64, 128] {
        assert!(changed(third, 5 | unknown) && changed(GONE, 2 | unknown));
    }
    assert!(changed(third, 4), "a name and no predecessor");
    assert!(changed(third + 84, 1), "a time and no end");
    assert!(!changed(third, 7), "that it ended at 0");
    // The first that has gone is the place before all; it has a winner.
    assert_eq!(row[GONE], 2);
    assert!(changed(GONE, 0), "a winner where none is said to be");
    assert!(changed(GONE + 5, 1), "a name where none is said to be");
    // The fourth has neither.
    let fourth = GONE + 78 + 94 + 86;
    assert_eq!(row[fourth..fourth + 70], [0; 70]);
    assert!(changed(fourth + 37, 1), "an attempt of nobody");
    let mut longer = row.clone();
    longer.push(0);
    assert!(refused(&longer));
}

/// Sessions of the first format: an id, attempt, time, flags (ended, superseded, drained), and the time
/// at which it was superseded.
fn first_format(sessions: &[(u8, u8, u64)]) -> Vec<u8> {
    let mut row = vec![1, u8::try_from(sessions.len()).unwrap()];
    for (id, flags, superseded_at) in sessions {
        row.extend_from_slice(&[*id; 32]);
        row.extend_from_slice(&u32::from(*id).to_be_bytes());
        row.extend_from_slice(&70_u64.to_be_bytes());
        row.push(*flags);
        row.extend_from_slice(&superseded_at.to_be_bytes());
    }
    row
}

/// What the first format knew becomes the second: whose prefix has not ended counts as unconfirmed.
#[test]
fn the_first_format_is_read_up_to_its_bounds() {
    let sessions = [(1, 0, 0), (2, 1, 0), (3, 2, 5), (4, 7, 6)];
    let set = SessionSet::decode(&first_format(&sessions)).unwrap();
    let kept = |id, ended: bool| Kept {
        id,
        predecessor: None,
        attempt: u32::from(id),
        placed_at: 70,
        ended_at: ended.then_some(70),
        own: !ended,
    };
    let expected = Row {
        kept: vec![kept(1, false), kept(2, true), kept(3, false), kept(4, true)],
        ..Row::default()
    };
    assert_eq!(set, expected.set());
    let five = [&sessions[..], &[(5, 0, 0)]].concat();
    assert!(refused(&first_format(&five)));
    for good in [(1, 3, 0), (1, 4, 0), (1, 6, 9)] {
        assert!(!refused(&first_format(&[good])), "{good:?}");
    }
    // A flag that it did not have, and a time without its flag.
    for bad in [(1, 8, 0), (1, 9, 0), (1, 128, 0), (1, 0, 9), (1, 5, 9)] {
        assert!(refused(&first_format(&[bad])), "{bad:?}");
    }
    let mut longer = first_format(&sessions);
    longer.push(0);
    assert!(refused(&longer));
}

/// A row that nobody wrote, in which sessions continue each other in a ring, is walked round once.
#[test]
fn a_ring_of_sessions_has_an_end() {
    let kept = |id, predecessor| Kept {
        id,
        predecessor: Some(predecessor),
        attempt: 0,
        placed_at: 1,
        ended_at: None,
        own: true,
    };
    let mut row = Row {
        root: Some(id(1)),
        kept: vec![kept(2, 1), kept(1, 2)],
        ..Row::default()
    };
    assert_eq!(row.set().path_ids(), [id(2), id(1)]);
    row.kept = vec![kept(1, 1)];
    assert_eq!(row.set().path_ids(), [id(1)]);
}
