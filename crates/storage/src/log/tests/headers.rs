// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk that damages the header of a segment. What lies behind it says by itself where it belongs.

use super::*;

const FIRST: u32 = 64;
/// Of a body of 1000 bytes. Seven fill a segment.
const RECORD: u32 = 32 + 88 + 1000;
/// Of two ranges of positions.
const ACKNOWLEDGEMENT: u32 = 32 + 48 + 2 * 12;

/// With segments that are so large that no checkpoint is due.
pub(super) fn opened(folder: &MemoryFolder) -> Opened {
    let options = LogOptions {
        segment_size: 4 * SEGMENT,
        ..options()
    };
    DeliveryLog::open(Arc::new(folder.clone()), &options).unwrap()
}

pub(super) fn open(folder: &MemoryFolder) -> DeliveryLog {
    let opened = opened(folder);
    assert_eq!(opened.damage, [], "no damage");
    opened.log
}

/// A log of three segments, as a power cut leaves it: no checkpoint since.
pub(super) fn image() -> MemoryFolder {
    let mut folder = MemoryFolder::new();
    for part in [0..7, 7..10, 10..15] {
        let log = open(&folder);
        if part.start == 10 {
            acknowledge(&log, 1, &[1, 2, 9]);
        }
        for number in part {
            send(&log, 1, number, 1000);
        }
        let image = folder.after_power_cut(Loss::All);
        drop(log);
        folder = image;
    }
    folder
}

/// The segments that have begun, the oldest first.
pub(super) fn begun(folder: &MemoryFolder) -> Vec<String> {
    let names = folder.list().unwrap();
    let segments = names.into_iter().filter(|name| name.ends_with("segment"));
    let mut begun: Vec<String> = segments.collect();
    begun.retain(|name| folder.bytes(name).unwrap()[..8] == *b"WXLOGSEG");
    begun
}

pub(super) fn number(name: &str) -> u32 {
    segments::number_in(name, "segment").unwrap()
}

/// Its header, as it is reported.
pub(super) fn header(name: &str) -> Damage {
    Damage {
        segment: number(name),
        offset: 0,
        length: FIRST,
    }
}

/// Opens it and checks that everything is there and goes on.
fn check(folder: &MemoryFolder, expected: &[u32], damage: &[Damage], what: &str) {
    for _ in 0..2 {
        let mut reopened = opened(folder);
        // Those of table records are found last, wherever they are.
        reopened
            .damage
            .sort_by_key(|damage| (damage.segment, damage.offset));
        assert_eq!(reopened.damage, damage, "{what}");
        let found: Vec<u32> = contents(&reopened.log, 1).iter().map(|one| one.1).collect();
        assert_eq!(found, expected, "{what}");
        let image = folder.after_power_cut(Loss::Nothing);
        drop(reopened);
        let log = opened(&image).log;
        send(&log, 1, 99, 1000);
        let found = contents(&log, 1);
        assert_eq!(
            found.last(),
            Some(&(16, 99)),
            "{what}: no position is used twice"
        );
        let image = image.after_power_cut(Loss::All);
        drop(log);
        assert_eq!(contents(&opened(&image).log, 1), found, "{what}");
    }
}

const ALL: [u32; 12] = [2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14];

#[test]
fn a_damaged_header_is_reported_and_what_lies_behind_it_is_there() {
    for which in 0..3 {
        for at in [2, 33, 41, 61] {
            let folder = image();
            let name = &begun(&folder)[which];
            folder.damage(name, at, &[0x5a]);
            let what = format!("{name}, byte {at}");
            check(&folder, &ALL, &[header(name)], &what);
        }
    }
}

/// As zeros, or as the header of another segment, which a file that is used again may begin with.
#[test]
fn a_header_that_seems_never_written_is_missed_where_records_are() {
    for is_used_again in [false, true] {
        for which in 0..3 {
            let folder = image();
            let name = &begun(&folder)[which];
            let mut bytes = [0; 64];
            if is_used_again {
                let other = &begun(&folder)[(which + 1) % 3];
                bytes.copy_from_slice(&folder.bytes(other).unwrap()[..64]);
            }
            folder.damage(name, 0, &bytes);
            check(&folder, &ALL, &[header(name)], name);
        }
    }
}

/// What follows the lost page says that it was durable, or the segment after it does.
#[test]
fn a_lost_first_page_is_damage_and_the_rest_is_there() {
    for (which, expected, end) in [
        (
            0,
            [4, 5, 6, 7, 9, 10, 11, 12, 13, 14].as_slice(),
            FIRST + 4 * RECORD,
        ),
        (1, &[2, 3, 4, 5, 6, 10, 11, 12, 13, 14], FIRST + 3 * RECORD),
        (
            2,
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14],
            FIRST + ACKNOWLEDGEMENT + 4 * RECORD,
        ),
    ] {
        let folder = image();
        let name = &begun(&folder)[which];
        folder.damage(name, 0, &[0; 4096]);
        let records = Damage {
            segment: number(name),
            offset: FIRST,
            length: end - FIRST,
        };
        check(&folder, expected, &[header(name), records], name);
    }
}

/// A first batch that a power cut tore was never acknowledged, whatever is left of it.
#[test]
fn a_first_batch_without_its_first_page_is_no_damage() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    send(&log, 1, 0, 1000);
    let folder = folder.after_power_cut(Loss::All);
    drop(log);
    let log = open(&folder);
    let before = begun(&folder);
    let group = (1..6)
        .map(|number| Change::Deliver(log.prepare(mailbox(1), &arrival(number, 1000))))
        .collect();
    wait(log.turn().unwrap().commit(group).unwrap().durable()).unwrap();
    let folder = folder.after_power_cut(Loss::All);
    drop(log);
    let new = begun(&folder)
        .into_iter()
        .find(|name| !before.contains(name));
    folder.damage(&new.unwrap(), 0, &[0; 4096]);
    for _ in 0..2 {
        let log = open(&folder);
        assert_eq!(contents(&log, 1), [(1, 0)]);
    }
}

/// Rows that nobody has kept yet are read from before the checkpoint.
#[test]
fn table_records_behind_a_damaged_header_come_back() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..20_u8 {
        let group = vec![Change::Tables(Bytes::from(vec![number; 600]))];
        wait(log.turn().unwrap().commit(group).unwrap().durable()).unwrap();
    }
    log.tidy_up().unwrap();
    drop(log);
    let name = &begun(&folder)[0];
    folder.damage(name, 40, &[0x5a]);
    let reopened = opened(&folder);
    assert_eq!(reopened.damage, [header(name)]);
    let rows = reopened.tables.iter().map(|(_, rows)| rows[0]);
    assert!(rows.eq(0..20));
}
