// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What mailboxes remember, on the disk.

use super::*;

/// Remembered at once, by each of two mailboxes.
const REMEMBERED: u64 = 64;

fn taken(folder: &MemoryFolder) -> usize {
    let names = folder.list().unwrap();
    let files = names.iter().filter(|name| name.ends_with("remembered"));
    files.map(|name| folder.bytes(name).unwrap().len()).sum()
}

fn remembers(log: &DeliveryLog, to: u8, number: u32) -> bool {
    let prepared = log.prepare(mailbox(to), &arrival(number, 4));
    knows(&mut log.turn().unwrap(), &prepared)
}

/// Within one day any number of envelopes goes: on the disk are twice those that are remembered, what the
/// checkpoint before needs, and two files.
#[test]
fn what_is_remembered_takes_bounded_room_on_the_disk() {
    let folder = MemoryFolder::new();
    let mut log = open(&folder);
    let mut most = 0;
    for number in 0..1500_u32 {
        for to in [1, 2] {
            send(&log, to, number, 4);
            acknowledge(&log, to, &[u64::from(number) + 1]);
        }
        if number % 20 == 0 {
            log.tidy_up().unwrap();
            most = most.max(taken(&folder));
        }
        if number % 500 == 77 {
            drop(log);
            log = open(&folder);
        }
    }
    let all = 2 * (8 * usize::try_from(REMEMBERED).unwrap() + 58);
    let file = usize::try_from(SEGMENT).unwrap() / 4;
    assert!(most <= 2 * (2 * all + 2 * file) + file, "{most} bytes");
    log.tidy_up().unwrap();
    let cut = open(&folder.after_power_cut(Loss::All));
    for to in [1, 2] {
        let known = (0..1500).filter(|number| remembers(&cut, to, *number));
        assert!(known.eq(1500 - u32::try_from(REMEMBERED).unwrap()..1500));
    }
}

/// What was to be written anew and found no room is remembered all the same.
#[test]
fn what_is_remembered_survives_a_disk_that_fills_while_it_is_written_anew() {
    for calls in 0..12 {
        let folder = MemoryFolder::new();
        let log = open(&folder);
        let mut failed = 0;
        for number in 0..400_u32 {
            send(&log, 1, number, 4);
            acknowledge(&log, 1, &[u64::from(number) + 1]);
            if number % 20 == 0 {
                // The next segment is prepared.
                log.tidy_up().unwrap();
                folder.set_trouble(Some((calls, Trouble::DiskFull)));
                failed += u32::from(log.tidy_up().is_err());
                folder.set_trouble(None);
            }
        }
        drop(log);
        let log = open(&folder.after_power_cut(Loss::All));
        let known = (0..400).filter(|number| remembers(&log, 1, *number));
        assert!(
            known.eq(336..400),
            "after {calls} calls, {failed} times full"
        );
    }
}
