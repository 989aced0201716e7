// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk that fills at any point of a segment's life.

use super::*;

/// Envelopes that fill a good half of three segments.
const FIRST: u32 = 20;
const SIZE: usize = 900;

fn filled() -> (MemoryFolder, DeliveryLog) {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..FIRST {
        send(&log, 1, number, SIZE);
        // The next segment is prepared before this one is full.
        log.tidy_up().unwrap();
    }
    (folder, log)
}

fn expected(numbers: impl IntoIterator<Item = u32>) -> Contents {
    numbers
        .into_iter()
        .map(|number| (u64::from(number) + 1, number))
        .collect()
}

fn remembers(log: &DeliveryLog, number: u32) -> bool {
    let prepared = log.prepare(mailbox(1), &arrival(number, SIZE));
    knows(&mut log.turn().unwrap(), &prepared)
}

/// What needs another segment is refused before anything of it is done, with a time; nothing stops, what is
/// acknowledged meanwhile holds, and with room everything goes on.
#[test]
fn on_a_full_disk_what_needs_another_segment_is_refused_and_the_log_goes_on() {
    // BOX-74.
    let (folder, log) = filled();
    folder.set_trouble(Some((0, Trouble::DiskFull)));
    let mut next = FIRST;
    let refused = loop {
        // Nothing that the keeper makes finds room, and nobody waits for it.
        assert!(matches!(log.tidy_up(), Ok(()) | Err(StoreError::DiskFull)));
        match deliver(&log, 1, next, SIZE) {
            Ok(committed) => wait(committed.durable()).unwrap(),
            Err(refused) => break refused,
        }
        next += 1;
        assert!(next < 100, "the disk is full");
    };
    assert!(matches!(refused, StoreError::Busy { retry_after_ms } if retry_after_ms >= 1_000));
    assert!(!refused.is_fatal());
    assert_eq!(contents(&log, 1), expected(0..next));
    let rows = vec![Change::Tables(Bytes::from(vec![1; 2 * SIZE]))];
    let refused = log.turn().unwrap().commit(rows);
    assert!(matches!(refused, Err(StoreError::Busy { .. })));

    // What makes room is taken, and remembered although nothing can be saved.
    acknowledge(&log, 1, &[1, 2, 3]);
    assert_eq!(log.tidy_up(), Err(StoreError::DiskFull));
    assert_eq!(contents(&log, 1), expected(3..next));
    let cut = open(&folder.after_power_cut(Loss::All));
    assert_eq!(contents(&cut, 1), expected(3..next));
    assert!(remembers(&cut, 0) && remembers(&cut, 2));

    folder.set_trouble(None);
    log.tidy_up().unwrap();
    send(&log, 1, next, SIZE);
    assert_eq!(contents(&log, 1), expected(3..=next));
    drop(log);
    let log = open(&folder);
    assert_eq!(contents(&log, 1), expected(3..=next));
    assert!(remembers(&log, 0) && remembers(&log, 2) && !remembers(&log, next + 1));
}

/// As on a disk that fills later: refused with a time, and nothing stops.
#[test]
fn a_log_that_is_opened_on_a_full_disk_refuses_and_goes_on_when_there_is_room() {
    // BOX-74.
    for trouble in [Trouble::DiskFull, Trouble::SyncFull] {
        let folder = MemoryFolder::new();
        drop(open(&folder));
        // Nothing was left over.
        for name in folder.list().unwrap() {
            if name.ends_with("segment") || name.ends_with("spare") {
                folder.remove(&name).unwrap();
            }
        }
        folder.set_trouble(Some((0, trouble)));
        let log = open(&folder);
        for number in 0..3 {
            let refused = deliver(&log, 1, number, SIZE);
            assert!(
                matches!(refused, Err(StoreError::Busy { retry_after_ms }) if retry_after_ms >= 1_000)
            );
        }
        assert_eq!(log.tidy_up(), Err(StoreError::DiskFull));
        assert!(contents(&log, 1).is_empty());
        folder.set_trouble(None);
        log.tidy_up().unwrap();
        send(&log, 1, 3, SIZE);
        assert_eq!(contents(&log, 1), [(1, 3)], "{trouble:?}");
        let cut = open(&folder.after_power_cut(Loss::All));
        assert_eq!(contents(&cut, 1), [(1, 3)], "{trouble:?}");
    }
}

/// What the process before had prepared is used, however that one ended, and costs no writes.
#[test]
fn a_full_disk_does_no_harm_where_a_segment_was_prepared_before() {
    for closed in [false, true] {
        let (folder, log) = filled();
        let image = folder.after_power_cut(Loss::All);
        drop(log);
        let folder = if closed { folder } else { image };
        folder.set_trouble(Some((0, Trouble::DiskFull)));
        let writes = folder.write_count();
        let log = open(&folder);
        // The last records are written again.
        assert!(
            folder.write_count() <= writes + 1,
            "nothing more was written"
        );
        send(&log, 1, FIRST, SIZE);
        acknowledge(&log, 1, &[1]);
        assert_eq!(contents(&log, 1), expected(1..=FIRST));
        drop(log);
        folder.set_trouble(None);
        assert_eq!(contents(&open(&folder), 1), expected(1..=FIRST));
    }
}

/// Files whose making failed half way take no room and are in nobody's way.
#[test]
fn what_could_not_be_made_is_removed() {
    for trouble in [Trouble::DiskFull, Trouble::SyncFull] {
        for calls in 0..40 {
            let (folder, log) = filled();
            acknowledge(&log, 1, &[1, 2, 3]);
            folder.set_trouble(Some((calls, trouble)));
            for _ in 0..3 {
                let tidied = log.tidy_up();
                assert!(
                    matches!(tidied, Ok(()) | Err(StoreError::DiskFull)),
                    "{tidied:?}"
                );
            }
            let left = folder.list().unwrap();
            assert!(!left.iter().any(|name| name.ends_with("new")), "{left:?}");
            folder.set_trouble(None);
            log.tidy_up().unwrap();
            send(&log, 1, FIRST, SIZE);
            let log = open(&folder.after_power_cut(Loss::All));
            assert_eq!(
                contents(&log, 1),
                expected(3..=FIRST),
                "{trouble:?} {calls}"
            );
            assert!(remembers(&log, 0) && remembers(&log, 2));
            // Without what the keeper had saved before its files were cut off from it.
            assert_eq!(verify(&folder).unwrap().damaged_remembered, 0);
        }
    }
}

/// From any call on: an acknowledgement holds, and a log that has stopped is whole when it is opened.
#[test]
fn a_disk_that_fills_at_any_call_loses_nothing_that_was_acknowledged() {
    for trouble in [Trouble::DiskFull, Trouble::SyncFull] {
        for calls in 0..60 {
            let folder = MemoryFolder::new();
            let mut log = open(&folder);
            folder.set_trouble(Some((calls, trouble)));
            let mut stored = Vec::new();
            let mut stops = 0;
            for number in 0..40 {
                let sent =
                    deliver(&log, 1, number, SIZE).and_then(|committed| wait(committed.durable()));
                match sent {
                    Ok(()) => {
                        stored.push(number);
                        continue;
                    }
                    Err(StoreError::Busy { .. }) => {
                        folder.set_trouble(None);
                        log.tidy_up().unwrap();
                    }
                    Err(error) => {
                        assert!(error.is_fatal(), "{error:?}");
                        // BOX-75: not before it is opened anew, whatever room there is.
                        folder.set_trouble(None);
                        let again = deliver(&log, 1, number, SIZE);
                        assert!(matches!(again, Err(StoreError::Stopped)));
                        stops += 1;
                        drop(log);
                        log = open(&folder);
                    }
                }
                // What was refused may be there where the log stopped, and is sent again.
                if !remembers(&log, number) {
                    send(&log, 1, number, SIZE);
                }
                stored.push(number);
            }
            assert!(stops <= 1);
            let numbers = |log: &DeliveryLog| -> Vec<u32> {
                contents(log, 1).iter().map(|one| one.1).collect()
            };
            assert_eq!(numbers(&log), stored, "{trouble:?} {calls}");
            let cut = folder.after_power_cut(Loss::All);
            drop(log);
            for folder in [cut, folder] {
                assert_eq!(numbers(&open(&folder)), stored, "{trouble:?} {calls}");
            }
        }
    }
}
