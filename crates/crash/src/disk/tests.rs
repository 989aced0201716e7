// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The model against hand-made records.

use bytes::Bytes;

use super::*;

fn open(inode: u64, path: &str) -> Event {
    Event::Open {
        created: true,
        is_folder: false,
        truncated: false,
        inode,
        path: path.to_owned(),
    }
}

fn write(inode: u64, offset: u64, bytes: &'static [u8]) -> Event {
    Event::Write {
        inode,
        offset,
        bytes: Bytes::from_static(bytes),
    }
}

fn sync(inode: u64, number: u64, kind: SyncKind) -> [Event; 2] {
    let begin = Event::SyncBegin {
        inode,
        kind,
        number,
    };
    [begin, Event::SyncEnd { number }]
}

fn root() -> Event {
    Event::Open {
        created: false,
        is_folder: true,
        truncated: false,
        inode: 1,
        path: "/f".to_owned(),
    }
}

fn disk(events: impl IntoIterator<Item = Event>) -> Disk {
    let mut disk = Disk::new("/f");
    for event in events {
        disk.apply(&event).unwrap();
    }
    disk
}

fn file(disk: &Disk, kept: Kept, path: &str) -> Option<Vec<u8>> {
    disk.image(kept, &mut Choice::new(1, 1))
        .files
        .get(path)
        .cloned()
}

#[test]
fn a_file_is_there_when_it_and_its_folder_were_synced() {
    let mut events = vec![root(), open(2, "/f/a"), write(2, 0, b"abc")];
    let is_there = |events: &[Event]| {
        let disk = disk(events.to_vec());
        file(&disk, Kept::Nothing, "a")
    };
    events.extend(sync(2, 1, SyncKind::Whole));
    assert_eq!(is_there(&events), None);
    events.extend(sync(1, 2, SyncKind::Whole));
    assert_eq!(is_there(&events), Some(b"abc".to_vec()));
}

#[test]
fn a_sync_covers_what_came_before_it_began() {
    let begin = Event::SyncBegin {
        inode: 2,
        kind: SyncKind::Data,
        number: 9,
    };
    let mut events = vec![root(), open(2, "/f/a")];
    events.extend(sync(1, 1, SyncKind::Whole));
    events.extend([write(2, 0, b"ab"), begin, write(2, 2, b"cd")]);
    assert_eq!(
        file(&disk(events.clone()), Kept::Nothing, "a"),
        Some(vec![])
    );
    events.push(Event::SyncEnd { number: 9 });
    let disk = disk(events);
    assert_eq!(file(&disk, Kept::Nothing, "a"), Some(b"ab".to_vec()));
    assert_eq!(file(&disk, Kept::Everything, "a"), Some(b"abcd".to_vec()));
    assert_eq!(disk.live().files["a"], b"abcd");
}

#[test]
fn a_range_sync_covers_nothing_and_a_process_that_ended_syncs_nothing() {
    let mut events = vec![root(), open(2, "/f/a")];
    events.extend(sync(1, 1, SyncKind::Whole));
    events.push(write(2, 0, b"ab"));
    events.extend(sync(2, 2, SyncKind::Range));
    let [begin, end] = sync(2, 3, SyncKind::Data);
    events.extend([begin, Event::Start, end]);
    assert_eq!(file(&disk(events), Kept::Nothing, "a"), Some(vec![]));
}

#[test]
fn a_cut_keeps_a_prefix_and_pages_may_be_missing_in_the_middle() {
    let big: &'static [u8] = &[7; 5 * 4096];
    let mut events = vec![root(), open(2, "/f/a")];
    events.extend(sync(1, 1, SyncKind::Whole));
    events.push(write(2, 0, big));
    let disk = disk(events);
    let images = |kept| {
        (0..200)
            .map(move |number| (kept, number))
            .map(|(kept, number)| {
                let image = disk.image(kept, &mut Choice::new(3, number));
                image.files["a"].clone()
            })
    };
    assert!(images(Kept::Prefix).all(|file| file.iter().all(|byte| *byte == 7)));
    assert!(images(Kept::Prefix).any(|file| file.len() % 4096 != 0));
    let has_hole = |file: &Vec<u8>| file.starts_with(&[0]) && file.ends_with(&[7]);
    assert!(images(Kept::Pages).any(|file| has_hole(&file)));
    assert!(images(Kept::Pages).all(|file| file.len() % 4096 == 0));
}

#[test]
fn names_of_a_folder_go_in_their_order_and_a_rename_moves_all_that_is_below() {
    let made = |path: &str| Event::MakeFolder(path.to_owned());
    let renamed = |from: &str, to: &str| Event::Rename {
        from: from.to_owned(),
        to: to.to_owned(),
    };
    let events = vec![
        root(),
        made("/f/x"),
        open(2, "/f/x/a"),
        open(3, "/f/b"),
        renamed("/f/x", "/f/y"),
        Event::Unlink("/f/b".to_owned()),
    ];
    let disk = disk(events);
    let whole = disk.image(Kept::Everything, &mut Choice::new(1, 1));
    assert_eq!(whole, disk.live());
    assert_eq!(whole.files.keys().collect::<Vec<_>>(), ["y/a"]);
    for number in 0..100 {
        let image = disk.image(Kept::Pages, &mut Choice::new(5, number));
        // `b` was removed after `x` was renamed.
        assert!(!image.folders.contains("x") || !image.folders.contains("y"));
        if image.folders.is_empty() {
            assert!(image.files.is_empty());
        }
    }
}

#[test]
fn a_record_with_holes_is_refused() {
    let mut disk = disk([root()]);
    assert!(disk.apply(&write(9, 0, b"x")).is_err());
    assert!(disk.apply(&Event::Unlink("/f/none".to_owned())).is_err());
    assert!(disk.apply(&open(4, "/elsewhere/a")).is_err());
    let unknown = Event::Unsupported("a shared mapping".to_owned());
    assert!(disk.apply(&unknown).is_err());
}
