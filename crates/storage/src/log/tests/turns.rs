// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Groups that are committed with one turn.

use std::collections::BTreeSet;

use super::*;

/// Stages groups of three envelopes.
fn stage(log: &DeliveryLog, turn: &mut Turn<'_>, groups: u32) -> Vec<Position> {
    let mut positions = Vec::new();
    let mut numbers = 1..;
    for _ in 0..groups {
        let envelopes = numbers.by_ref().take(3).map(|number| arrival(number, 1000));
        let prepared = envelopes.map(|one| log.prepare(mailbox(1), &one));
        let mut group: Vec<Change> = prepared.map(Change::Deliver).collect();
        turn.stage(&mut group, &mut positions).unwrap();
        assert!(group.is_empty());
    }
    positions
}

/// Together they may be larger than a segment, and one that is too large alone leaves the others alone.
#[test]
fn groups_of_one_turn_fill_segments() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    send(&log, 1, 0, 500);
    let mut turn = log.turn().unwrap();
    let mut positions = stage(&log, &mut turn, 20);
    let too_large = log.prepare(mailbox(1), &arrival(99, 1 << 20));
    let refused = turn.stage(&mut vec![Change::Deliver(too_large)], &mut positions);
    assert_eq!(refused, Err(StoreError::Limit { what: "group" }));
    assert_eq!(positions, (2..62).map(Position).collect::<Vec<_>>());
    wait(turn.finish().unwrap().durable()).unwrap();
    let expected: Contents = (1..62).zip(0..).collect();
    assert_eq!(contents(&log, 1), expected);
    let cut = folder.after_power_cut(Loss::All);
    assert_eq!(contents(&open(&cut), 1), expected);
}

/// Of a power cut each group of a turn comes out whole or not at all.
#[test]
fn groups_of_one_turn_are_apart() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    send(&log, 1, 0, 500);
    // The keeper has nothing to sync any more.
    log.tidy_up().unwrap();
    folder.set_trouble(Some((0, Trouble::SyncFails)));
    let mut turn = log.turn().unwrap();
    stage(&log, &mut turn, 2);
    wait(turn.finish().unwrap().durable()).unwrap_err();
    let left = (0..200).map(|seed| {
        let cut = folder.after_power_cut(Loss::Cut(seed));
        contents(&open(&cut), 1).len()
    });
    let left: BTreeSet<usize> = left.collect();
    assert_eq!(left, [1, 4, 7].into());
}

/// What was staged in a turn that ends without a word is in the log all the same: it has taken effect.
#[test]
fn what_was_staged_is_committed_with_the_turn_however_it_ends() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    let mut turn = log.turn().unwrap();
    let prepared = log.prepare(mailbox(1), &arrival(0, 100));
    let staged = turn.stage(&mut vec![Change::Deliver(prepared)], &mut Vec::new());
    staged.unwrap();
    drop(turn);
    send(&log, 1, 1, 100);
    assert_eq!(contents(&log, 1), [(1, 0), (2, 1)]);
    let cut = folder.after_power_cut(Loss::All);
    assert_eq!(contents(&open(&cut), 1), [(1, 0), (2, 1)]);
}
