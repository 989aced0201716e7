// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guards around sled, by the system calls of a process that works on the real store: an update
//! of sled, or of ours, cannot remove them unseen.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests, with functions that they share"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use waxwing_crash::choice::Choice;
use waxwing_crash::disk::Disk;
use waxwing_crash::image::Kept;
use waxwing_crash::recording::{Kind, Place, Recorder};
use waxwing_crash::trace::{Event, SyncKind, acknowledged_after_failed_sync};
use waxwing_crash::work::{Plant, Task};

/// Built with the workspace, as the programs are that other tests start.
fn preload() -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_waxwing-crash"))
        .parent()
        .unwrap();
    let library = programs.join("libwaxwing_preload.so");
    assert!(
        library.exists(),
        "{} is missing: cargo build -p waxwing-preload",
        library.display()
    );
    library
}

fn recorder() -> Recorder {
    Recorder {
        program: env!("CARGO_BIN_EXE_waxwing-crash").into(),
        preload: preload(),
    }
}

const TASK: Task = Task {
    seed: 3,
    process: 0,
    steps: 30,
    workers: 1,
    plant: None,
};

/// What one process did, one step after the other.
fn events(kind: Kind, plant: Option<Plant>) -> (tempfile::TempDir, Place, Vec<Event>) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&folder.path().join("recording"));
    place.clear().unwrap();
    let task = Task { plant, ..TASK };
    let output = recorder().command(&place, kind, task).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let events = place.events().unwrap();
    (folder, place, events)
}

/// The inodes of the files that were opened, by name.
fn inodes(events: &[Event]) -> BTreeMap<String, u64> {
    let opened = events.iter().filter_map(|event| match event {
        Event::Open { inode, path, .. } => Some((path.clone(), *inode)),
        _ => None,
    });
    opened.collect()
}

fn ends_in(events: &[Event], end: &str) -> Vec<u64> {
    let found = inodes(events).into_iter();
    found
        .filter(|(path, _)| path.ends_with(end))
        .map(|(_, inode)| inode)
        .collect()
}

/// Syncs of a file that cover it, as the places of their begin and their end.
fn syncs(events: &[Event], inode: u64) -> Vec<(usize, usize)> {
    let mut begun = BTreeMap::new();
    let mut done = Vec::new();
    for (place, event) in events.iter().enumerate() {
        match event {
            Event::SyncBegin {
                inode: of,
                kind: SyncKind::Data | SyncKind::Whole,
                number,
            } if *of == inode => {
                begun.insert(*number, place);
            }
            Event::SyncEnd { number } => {
                if let Some(begin) = begun.remove(number) {
                    done.push((begin, place));
                }
            }
            _ => {}
        }
    }
    done
}

/// The places of the lines that start with a word.
fn said(events: &[Event], word: &str) -> Vec<usize> {
    let places = events.iter().enumerate();
    places
        .filter(|(_, event)| matches!(event, Event::Mark(line) if line.starts_with(word)))
        .map(|(place, _)| place)
        .collect()
}

/// A server's steps wait for the delivery log, a client's for sled's file.
#[test]
fn g1_between_every_request_and_its_answer_the_file_is_synced() {
    for (kind, place, asked, answered) in [
        (Kind::Server, "/log/", "put? ", "put "),
        (Kind::Client, "/sled/db", "use? ", "use "),
    ] {
        let (_folder, _, events) = events(kind, None);
        let files: Vec<u64> = inodes(&events)
            .into_iter()
            .filter(|(path, _)| path.contains(place))
            .map(|(_, inode)| inode)
            .collect();
        assert!(!files.is_empty(), "{kind:?} has no {place}");
        let (tried, answered) = (said(&events, asked), said(&events, answered));
        assert!(answered.len() >= 8, "{kind:?}: {}", answered.len());
        for (from, to) in tried.iter().zip(&answered) {
            let is_synced = files.iter().any(|file| {
                let first = (*from..*to).find(
                    |place| matches!(&events[*place], Event::Write { inode, .. } if inode == file),
                );
                let covers = |(begin, end): &(usize, usize)| {
                    first.is_some_and(|first| *begin > first) && end < to
                };
                syncs(&events, *file).iter().any(covers)
            });
            assert!(is_synced, "{kind:?}: the step at {from} was not synced");
        }
    }
}

/// What the guard is for. Where this fails, sled syncs by itself, and the guard may go.
#[test]
fn g1_sled_alone_answers_before_the_file_is_synced() {
    let (_folder, _, events) = events(Kind::Server, Some(Plant::Unguarded));
    let [db] = ends_in(&events, "/sled/db")[..] else {
        panic!("sled has one file");
    };
    let ranges = events.iter().filter(
        |event| matches!(event, Event::SyncBegin { kind: SyncKind::Range, inode, .. } if *inode == db),
    );
    let answered = said(&events, "put ").len();
    assert!(ranges.count() >= answered);
    assert!(syncs(&events, db).len() < answered);
}

#[test]
fn g2_when_a_store_is_open_its_files_and_their_names_are_durable() {
    for kind in [Kind::Server, Kind::Client] {
        let (_folder, place, events) = events(kind, None);
        let mut disk = Disk::new(place.store().to_str().unwrap());
        let open = said(&events, "open")[0];
        for event in &events[..=open] {
            disk.apply(event).unwrap();
        }
        let certain = disk.image(Kept::Nothing, &mut Choice::new(1, 1));
        let live = disk.live();
        for file in ["made", "sled/conf"] {
            assert_eq!(certain.files.get(file), Some(&live.files[file]), "{file}");
        }
        assert!(certain.files.contains_key("sled/db"));
        assert!(certain.folders.contains("sled/blobs"));
    }
}

#[test]
fn g3_and_g4_a_process_killed_at_any_moment_of_opening_leaves_a_store_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&folder.path().join("recording"));
    place.clear().unwrap();
    let recorder = recorder();
    let work = |process: u32, die_after: Option<u32>| {
        let task = Task {
            process,
            steps: 20,
            ..TASK
        };
        let mut command = recorder.command(&place, Kind::Client, task);
        if let Some(events) = die_after {
            command.env("WAXWING_TRACE_DIE_AFTER", events.to_string());
        }
        command.output().unwrap()
    };
    assert!(work(0, None).status.success());
    let mut was_cut = false;
    for number in 1..60 {
        let output = work(number, Some(number));
        assert_eq!(
            output.status.code(),
            None,
            "it was to be killed: {output:?}"
        );
        let folder = std::fs::read_dir(place.store().join("sled")).unwrap();
        was_cut |= folder
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .any(|name| name.ends_with(".generating"));
    }
    assert!(was_cut, "no snapshot was cut");
    let output = work(60, None);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn g5_sled_puts_nothing_beside_its_file() {
    for kind in [Kind::Server, Kind::Client] {
        let (_folder, _, events) = events(kind, None);
        let blobs: Vec<_> = inodes(&events)
            .into_keys()
            .filter(|path| path.contains("/blobs/"))
            .collect();
        assert_eq!(blobs, Vec::<String>::new());
    }
}

#[test]
fn g6_after_a_failed_sync_nothing_is_acknowledged() {
    let mut hit = 0;
    for after in [5, 20, 60, 100] {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("recording"));
        place.clear().unwrap();
        let output = recorder()
            .command(&place, Kind::Server, TASK)
            .env("WAXWING_FAULT", "sync-error")
            .env("WAXWING_FAULT_AFTER", after.to_string())
            .output()
            .unwrap();
        let events = place.events().unwrap();
        if !events.iter().any(|event| matches!(event, Event::Fault(_))) {
            continue;
        }
        hit += 1;
        let code = output.status.code();
        let fault = events
            .iter()
            .position(|event| matches!(event, Event::Fault(_)));
        let went_on = said(&events, "")
            .into_iter()
            .any(|place| Some(place) > fault);
        // With 2, or with the panic of sled's own last flush, which the broken disk fails as well. A
        // disk that breaks while the store is closed behind the last answer takes nothing back.
        let ended = matches!(code, Some(2 | 101)) || (code == Some(0) && !went_on);
        assert!(ended, "{after}: {code:?}");
        let late = acknowledged_after_failed_sync(&events);
        assert_eq!(late, [""; 0], "after the fault at {after}");
    }
    assert!(hit >= 2, "{hit} faults were reached");
}
