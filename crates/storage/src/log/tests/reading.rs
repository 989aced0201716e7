// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What lies near each other is read with one call, and each of it is still looked at by itself.

use super::*;

/// The bytes of a record with a body of this size.
const fn record(size: usize) -> usize {
    size.saturating_add(32 + 88).next_multiple_of(8)
}

/// Where the records of the first segment begin.
const FIRST: usize = 64;

/// What a reading of a mailbox shows, and with how many calls.
fn counted(folder: &MemoryFolder, log: &DeliveryLog, of: u8) -> (Contents, u64) {
    let before = folder.read_count();
    let contents = contents(log, of);
    (contents, folder.read_count().saturating_sub(before))
}

fn expected(numbers: impl IntoIterator<Item = u32>) -> Contents {
    numbers
        .into_iter()
        .map(|number| (u64::from(number) + 1, number))
        .collect()
}

#[test]
fn neighbours_are_read_with_one_call() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..7 {
        send(&log, 1, number, 1000);
    }
    assert_eq!(counted(&folder, &log, 1), (expected(0..7), 1));
    // Seven fill a segment.
    send(&log, 1, 7, 1000);
    assert_eq!(counted(&folder, &log, 1), (expected(0..8), 2));
    let arrivals = log.arrivals(&mailbox(1), Position(1), 3).unwrap();
    let positions: Vec<u64> = arrivals.iter().map(|(position, _)| position.0).collect();
    assert_eq!(positions, [2, 3, 4]);
    assert!(arrivals.iter().all(|(_, arrival)| arrival.is_some()));
}

/// A small gap is read over, a large one is not.
#[test]
fn what_lies_far_apart_is_read_by_itself() {
    for (gap, calls) in [(4096, 1), (4104, 2)] {
        let folder = MemoryFolder::new();
        let log = open(&folder);
        // No padding after these; the record of another mailbox takes the gap.
        send(&log, 1, 0, 104);
        send(&log, 2, 1, gap - record(0));
        send(&log, 1, 2, 104);
        let (found, made) = counted(&folder, &log, 1);
        assert_eq!(found, [(1, 0), (2, 2)]);
        assert_eq!(made, calls, "a gap of {gap}");
    }
}

#[test]
fn the_buffer_of_one_call_is_bounded() {
    let folder = MemoryFolder::new();
    let large = LogOptions {
        segment_size: 1024 * 1024,
        ..options()
    };
    let log = DeliveryLog::open(Arc::new(folder.clone()), &large).unwrap();
    let log = log.log;
    for number in 0..100 {
        send(&log, 1, number, 8 * 1024);
    }
    // 31 records of 8 KiB and a little are 256 KiB at most.
    assert_eq!(counted(&folder, &log, 1), (expected(0..100), 4));
    // One that is larger than that is read nevertheless.
    send(&log, 2, 500, 300 * 1024);
    assert_eq!(counted(&folder, &log, 2), (vec![(1, 500)], 1));
}

/// [BOX-77].
#[test]
fn a_damaged_one_between_two_others_is_passed_over_alone() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..5 {
        send(&log, 1, number, 500);
    }
    for at in [16, 400] {
        // In the header of the third one, then in the body of the fourth one.
        let third = FIRST + (2 + usize::from(at == 400)) * record(500);
        folder.damage("00000001.segment", third + at, &[0x5a]);
    }
    assert_eq!(counted(&folder, &log, 1), (expected([0, 1, 4]), 1));
    assert_eq!(log.damaged_count(), 2);
    let arrivals = log.arrivals(&mailbox(1), Position::START, 9).unwrap();
    let whole: Vec<bool> = arrivals.iter().map(|one| one.1.is_some()).collect();
    assert_eq!(whole, [true, true, false, false, true]);
}

/// Records of other mailboxes lie between those that are asked for.
#[test]
fn a_neighbour_of_another_mailbox_is_not_shown() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..12 {
        send(&log, 1 + u8::try_from(number % 2).unwrap(), number, 300);
    }
    let own = |of: u32| -> Contents { (0..6).map(|n| (u64::from(n) + 1, 2 * n + of)).collect() };
    assert_eq!(counted(&folder, &log, 1), (own(0), 1));
    assert_eq!(counted(&folder, &log, 2), (own(1), 1));
    acknowledge(&log, 1, &[2, 3]);
    assert_eq!(
        counted(&folder, &log, 1).0,
        [(1, 0), (4, 6), (5, 8), (6, 10)]
    );
}

#[test]
fn what_was_cut_off_is_passed_over_alone() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..3 {
        send(&log, 1, number, 500);
    }
    let file = folder.open("00000001.segment").unwrap();
    let end = FIRST + 2 * record(500) + 300;
    file.truncate(u64::try_from(end).unwrap()).unwrap();
    assert_eq!(counted(&folder, &log, 1), (expected(0..2), 1));
    assert_eq!(log.damaged_count(), 1);
}

/// A place that the device does not read, and that nobody asked for, is in nobody's way.
#[test]
fn what_cannot_be_read_between_two_envelopes_does_no_harm() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..3 {
        send(&log, 1 + u8::try_from(number % 2).unwrap(), number, 500);
    }
    let second = FIRST + record(500);
    folder.set_unreadable("00000001.segment", second..second + 8);
    let (found, calls) = counted(&folder, &log, 1);
    assert_eq!((found, calls), (vec![(1, 0), (2, 2)], 3));
    assert_eq!(log.damaged_count(), 0);
    assert_eq!(contents(&log, 2), [], "the one that cannot be read");
    assert_eq!(log.damaged_count(), 1);
}

/// What was copied forward and what was not, in the order of their positions.
#[test]
fn cold_and_hot_ones_keep_their_order() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    let mut other = 0;
    for number in 0..20_u32 {
        send(&log, 1, number, 200);
        for noise in 0..6 {
            send(&log, 2, 1000 + number * 6 + noise, 900);
            other += 1;
            acknowledge(&log, 2, &[other]);
        }
    }
    log.tidy_up().unwrap();
    log.tidy_up().unwrap();
    let names = folder.list().unwrap();
    assert!(names.iter().any(|name| name.starts_with('8')), "{names:?}");
    for number in 20..25 {
        send(&log, 1, number, 200);
    }
    let (found, calls) = counted(&folder, &log, 1);
    assert_eq!(found, expected(0..25));
    assert!(calls < 8, "{calls} calls");
}
