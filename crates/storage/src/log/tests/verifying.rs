// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `verify` finds is what an opening would.

use super::headers::{begun, header, image, number};
use super::*;

fn damage(folder: &MemoryFolder) -> Vec<Damage> {
    let verified = verify(folder).unwrap();
    assert_eq!(verified.is_whole(), verified.damage.is_empty());
    verified.damage
}

#[test]
fn a_damaged_header_is_found() {
    let folder = image();
    assert_eq!(damage(&folder), []);
    for name in begun(&folder) {
        let whole = folder.bytes(&name).unwrap();
        folder.damage(&name, 40, &[0x5a]);
        assert_eq!(damage(&folder), [header(&name)]);
        folder.damage(&name, 0, &whole[..64]);
    }
    // A file that is gone is known by the one after it.
    let names = begun(&folder);
    folder.remove(&names[1]).unwrap();
    assert_eq!(damage(&folder)[0].segment, number(&names[1]));
    assert_eq!(damage(&folder), opened(&folder).damage);
}

/// Nothing whole comes after it, and yet it is known where the segment had ended.
#[test]
fn damage_at_the_end_of_a_segment_is_found_where_another_one_follows() {
    let folder = image();
    let name = &begun(&folder)[0];
    let last = 64 + 6 * 1120;
    folder.damage(name, last + 200, &[0x5a]);
    let expected = Damage {
        segment: number(name),
        offset: u32::try_from(last).unwrap(),
        length: 1120,
    };
    assert_eq!(damage(&folder), [expected]);
    assert_eq!(opened(&folder).damage, [expected]);
}

/// In the newest one the checkpoint says it.
#[test]
fn damage_before_the_end_of_the_checkpoint_is_found() {
    let folder = image();
    let log = open(&folder);
    log.tidy_up().unwrap();
    drop(log);
    let name = &begun(&folder)[2];
    let bytes = folder.bytes(name).unwrap();
    let end = bytes.iter().rposition(|byte| *byte == 0xa5).unwrap();
    folder.damage(name, end, &[0x5a]);
    let verified = verify(&folder).unwrap();
    assert_eq!((verified.damage.len(), verified.unreadable), (1, 1));
}

/// Also where the file had been used before, and holds whole records of the same number.
#[test]
fn what_no_checkpoint_has_in_a_cold_segment_is_no_damage() {
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
    drop(log);
    assert_eq!(damage(&folder), []);
    let names = folder.list().unwrap();
    let cold = names.iter().rfind(|name| name.starts_with('8')).unwrap();
    let bytes = folder.bytes(cold).unwrap();
    let end = bytes.iter().rposition(|byte| *byte == 0xa5).unwrap();
    let end = (end + 1).next_multiple_of(8);
    let mut old = record::forget(Day(1));
    let place = Place {
        segment: number(cold),
        offset: u32::try_from(end + 64).unwrap(),
    };
    let head = verify_head(&folder);
    Sealer::new(&head).seal(&mut old, place, 0);
    folder.damage(cold, end + 64, &old);
    assert_eq!(damage(&folder), []);
    // Its header is known to have been there by what is in it.
    folder.damage(cold, 40, &[0x5a]);
    assert_eq!(damage(&folder), [header(cold)]);
    assert_eq!(verify(&folder).unwrap().unreadable, 0);
}

fn verify_head(folder: &MemoryFolder) -> LogId {
    let log = open(folder);
    log.facts().log
}

#[test]
fn a_log_without_any_checkpoint_is_lost() {
    let folder = image();
    for name in folder.list().unwrap() {
        if name.ends_with("checkpoint") {
            folder.remove(&name).unwrap();
        }
    }
    let verified = verify(&folder).unwrap();
    assert!(verified.is_lost && !verified.is_whole());
    let what = "log checkpoint";
    let refused = DeliveryLog::open(Arc::new(folder), &options());
    assert_eq!(refused.err(), Some(StoreError::Corrupt { what }));
    assert!(verify(&MemoryFolder::new()).unwrap().is_whole());
}
