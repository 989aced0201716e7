// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device that does not read some of its sectors. [BOX-77]: what lies there is damaged, and everything else is
//! served; nothing stops, however often it is asked for.

use super::*;

const FIRST: usize = 64;
/// Of a body of 1000 bytes.
const RECORD: usize = 32 + 88 + 1000;

fn verified(folder: &MemoryFolder) -> Verified {
    verify(folder).unwrap()
}

#[test]
fn an_envelope_that_cannot_be_read_is_passed_over_each_time() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..5 {
        send(&log, 1, number, 1000);
    }
    let third = FIRST + 2 * RECORD;
    folder.set_unreadable("00000001.segment", third..third + 8);
    for count in 1..=3 {
        let left: Vec<u32> = contents(&log, 1).iter().map(|one| one.1).collect();
        assert_eq!(left, [0, 1, 3, 4]);
        assert_eq!(log.damaged_count(), count);
    }
    let arrivals = log.arrivals(&mailbox(1), Position(1), 3).unwrap();
    let whole: Vec<bool> = arrivals.iter().map(|one| one.1.is_some()).collect();
    assert_eq!(whole, [true, false, true]);
    // Where nothing else is wanted there is nothing.
    let read = log.read(&mailbox(1), Position(2), 1, usize::MAX).unwrap();
    assert_eq!(read[0].position, Position(4));
    send(&log, 1, 5, 1000);
    assert_eq!(contents(&log, 1).len(), 5);
}

#[test]
fn copying_forward_goes_on_around_what_cannot_be_read() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    let mut other = 0;
    for number in 0..20_u32 {
        send(&log, 1, number, 200);
        folder.set_unreadable("00000001.segment", FIRST..FIRST + 8);
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
    assert_eq!(log.damaged_count(), 1, "said once, not in each round");
    let left: Vec<u32> = contents(&log, 1).iter().map(|one| one.1).collect();
    assert_eq!(left, (1..20).collect::<Vec<_>>());
    // It may still be read some day: nothing has given its segment back.
    folder.set_unreadable("00000001.segment", 0..0);
    assert_eq!(contents(&log, 1).len(), 20);
    send(&log, 1, 99, 200);
}

#[test]
fn a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..30 {
        send(&log, 1, number, 400);
        if number % 10 == 9 {
            acknowledge(&log, 1, &[u64::from(number)]);
            log.tidy_up().unwrap();
        }
    }
    let expected = contents(&log, 1);
    drop(log);
    let names = folder.list().unwrap();
    let checkpoints: Vec<_> = names.iter().filter(|n| n.ends_with("checkpoint")).collect();
    folder.set_unreadable(checkpoints[1], 100..101);
    let found = verified(&folder);
    assert_eq!((found.checkpoints, found.damaged_checkpoints), (1, 1));
    let log = open(&folder);
    assert_eq!(contents(&log, 1), expected);
    send(&log, 1, 99, 400);
    log.tidy_up().unwrap();
}

#[test]
fn a_segment_that_cannot_be_read_as_a_whole_is_replayed_in_pieces() {
    let folder = MemoryFolder::new();
    let log = headers::open(&folder);
    // No checkpoint is due.
    for number in 0..7 {
        send(&log, 1, number, 1000);
    }
    let image = folder.after_power_cut(Loss::All);
    drop(log);
    let log = headers::open(&image);
    for number in 7..12 {
        send(&log, 1, number, 1000);
    }
    let folder = image.after_power_cut(Loss::All);
    drop(log);
    // The second page of the first segment holds all or part of the fourth to the seventh one.
    folder.set_unreadable("00000001.segment", 5000..5001);
    let found = verified(&folder);
    assert_eq!((found.not_read, found.is_whole()), (4096, false));
    let reopened = headers::opened(&folder);
    let damage = Damage {
        segment: 1,
        offset: u32::try_from(FIRST + 3 * RECORD).unwrap(),
        length: u32::try_from(4 * RECORD).unwrap(),
    };
    assert_eq!(reopened.damage, [damage]);
    let log = reopened.log;
    let left: Vec<u32> = contents(&log, 1).iter().map(|one| one.1).collect();
    assert_eq!(left, [0, 1, 2, 7, 8, 9, 10, 11]);
    send(&log, 1, 12, 1000);
    assert_eq!(contents(&log, 1).last(), Some(&(13, 12)));
}

/// What is written again at an opening lies between sectors that cannot be read.
#[test]
fn the_end_of_a_log_is_made_durable_around_what_cannot_be_read() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..3 {
        send(&log, 1, number, 1000);
    }
    // One batch: what nobody knew to be durable when its records were made.
    let group = (3..6)
        .map(|number| Change::Deliver(log.prepare(mailbox(1), &arrival(number, 1000))))
        .collect();
    wait(log.turn().unwrap().commit(group).unwrap().durable()).unwrap();
    let folder = folder.after_power_cut(Loss::Nothing);
    drop(log);
    folder.set_unreadable("00000001.segment", 8191..8192);
    let log = opened(&folder).log;
    let expected = contents(&log, 1);
    send(&log, 1, 9, 1000);
    drop(log);
    let log = opened(&folder.after_power_cut(Loss::All)).log;
    assert_eq!(contents(&log, 1)[..expected.len()], expected);
}
