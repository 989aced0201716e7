// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log against a simple model, over a folder that loses what was not synced.

mod again;
mod full;
mod headers;
mod model;
mod reading;
mod remembered;
mod syncs;
mod turns;
mod unreadable;
mod verifying;

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeviceId};

use super::memory::{Loss, MemoryFolder, Trouble};
use super::*;
use crate::Day;
use crate::server::{DeliveryIdKind, Position};

const SEGMENT: u32 = 8 * 1024;

fn options() -> LogOptions {
    LogOptions {
        segment_size: SEGMENT,
        remembered_max: 64,
        entropy: [7; 32],
        tables_from: LogPosition(0),
    }
}

fn mailbox(number: u8) -> MailboxKey {
    MailboxKey {
        account: AccountKey::new([number / 2; 32]),
        device: DeviceId::new([number; 16]),
    }
}

fn arrival(number: u32, size: usize) -> Arrival {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let mut body = number.to_be_bytes().to_vec();
    body.resize(size.max(4), 0xa5);
    Arrival {
        envelope_id: EnvelopeId::new(id),
        delivery_id: DeliveryId::new([u8::try_from(number % 5).unwrap(); 16]),
        kind: [
            DeliveryIdKind::Public,
            DeliveryIdKind::Own,
            DeliveryIdKind::Contact,
        ][number as usize % 3],
        day: Day(20_000),
        body: Bytes::from(body),
    }
}

fn opened(folder: &MemoryFolder) -> Opened {
    DeliveryLog::open(Arc::new(folder.clone()), &options()).unwrap()
}

fn open(folder: &MemoryFolder) -> DeliveryLog {
    let opened = opened(folder);
    assert_eq!(opened.damage, [], "no damage");
    opened.log
}

/// Whether the mailbox of an envelope holds or remembers it.
fn knows(turn: &mut Turn<'_>, envelope: &Prepared) -> bool {
    let held = turn.mailbox(envelope.mailbox()).unwrap();
    held.is_some_and(|held| held.knows(envelope))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn deliver(log: &DeliveryLog, to: u8, number: u32, size: usize) -> Result<Committed, StoreError> {
    let prepared = log.prepare(mailbox(to), &arrival(number, size));
    log.turn()?.commit(vec![Change::Deliver(prepared)])
}

fn send(log: &DeliveryLog, to: u8, number: u32, size: usize) {
    wait(deliver(log, to, number, size).unwrap().durable()).unwrap();
}

fn acknowledge(log: &DeliveryLog, from: u8, positions: &[u64]) {
    let positions = positions.iter().copied().map(Position).collect();
    let group = vec![Change::Acknowledge(mailbox(from), positions)];
    wait(log.turn().unwrap().commit(group).unwrap().durable()).unwrap();
}

type Contents = Vec<(u64, u32)>;

fn contents(log: &DeliveryLog, of: u8) -> Contents {
    let read = log.read(&mailbox(of), Position::START, usize::MAX, usize::MAX);
    read.unwrap()
        .iter()
        .map(|one| {
            let number = u32::from_be_bytes(one.envelope[..4].try_into().unwrap());
            assert_eq!(one.envelope_id, arrival(number, 4).envelope_id);
            assert!(one.envelope[4..].iter().all(|byte| *byte == 0xa5));
            (one.position.0, number)
        })
        .collect()
}

#[test]
fn what_was_committed_is_there_after_a_power_cut_and_after_a_closing() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..100 {
        send(&log, 1, number, 500);
    }
    acknowledge(&log, 1, &[1, 2, 3, 50, 400]);
    let expected: Contents = (1..=100)
        .filter(|position| ![1, 2, 3, 50].contains(position))
        .map(|position| (position, u32::try_from(position).unwrap() - 1))
        .collect();
    assert_eq!(contents(&log, 1), expected);
    let cut = folder.after_power_cut(Loss::All);
    drop(log);
    for folder in [cut, folder] {
        let log = open(&folder);
        assert_eq!(contents(&log, 1), expected);
        send(&log, 1, 1000, 10);
        assert_eq!(contents(&log, 1).last(), Some(&(101, 1000)));
        let known = log.prepare(mailbox(1), &arrival(1, 4));
        let mut turn = log.turn().unwrap();
        assert!(knows(&mut turn, &known), "what is gone is remembered");
        assert_eq!(
            turn.mailbox(&mailbox(1)).unwrap().unwrap().held().envelopes,
            97
        );
    }
}

#[test]
fn a_reading_is_bounded_and_shows_only_what_is_durable() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..10 {
        send(&log, 1, number, 1000);
    }
    let read = |after, count, bytes| {
        let read = log
            .read(&mailbox(1), Position(after), count, bytes)
            .unwrap();
        read.iter().map(|one| one.position.0).collect::<Vec<_>>()
    };
    assert_eq!(read(3, 2, usize::MAX), [4, 5]);
    assert_eq!(read(0, 9, 1), [1]);
    assert_eq!(read(0, 9, 2500), [1, 2]);
    assert!(read(0, 0, 100).is_empty());
    assert!(read(10, 9, 100).is_empty());
    // The keeper has nothing to sync any more.
    log.tidy_up().unwrap();
    folder.set_trouble(Some((0, Trouble::SyncFails)));
    let lost = deliver(&log, 1, 77, 10).unwrap();
    assert!(wait(lost.durable()).is_err());
    folder.set_trouble(None);
    // For good: a later sync that succeeds proves nothing.
    assert!(matches!(deliver(&log, 1, 78, 10), Err(StoreError::Stopped)));
    let stopped = log.read(&mailbox(1), Position::START, 1, 1);
    assert_eq!(stopped, Err(StoreError::Stopped));
}

/// Waits until the keeper has prepared the second segment, and has nothing more to do.
fn settle(folder: &MemoryFolder) {
    let prepared = "00000002.segment".to_owned();
    while !folder.list().unwrap().contains(&prepared) {
        std::thread::yield_now();
    }
}

#[test]
fn a_batch_is_one_write_and_one_sync() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    send(&log, 1, 0, 10);
    settle(&folder);
    let (writes, syncs) = (folder.write_count(), folder.sync_count());
    for number in 1..=4 {
        send(&log, 1, number, 10);
    }
    assert_eq!(folder.write_count() - writes, 4);
    assert_eq!(folder.sync_count() - syncs, 4);
    let waiting: Vec<_> = (10..60)
        .map(|number| deliver(&log, 1, number, 10).unwrap())
        .collect();
    for one in waiting {
        wait(one.durable()).unwrap();
    }
    assert!(folder.sync_count() - syncs - 4 <= 50);
    assert_eq!(folder.write_count() - writes, folder.sync_count() - syncs);
}

#[test]
fn a_group_that_is_too_large_changes_nothing() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    let refused = deliver(&log, 1, 1, SEGMENT as usize);
    assert!(matches!(refused, Err(StoreError::Limit { what: "group" })));
    assert!(log.turn().unwrap().mailbox(&mailbox(1)).unwrap().is_none());
    send(&log, 1, 2, 100);
    assert_eq!(contents(&log, 1), [(1, 2)]);
}

/// Segments come and go, and what waits for long moves; nothing is lost and room is given back.
#[test]
fn room_is_given_back_and_what_waits_stays() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    let mut position = 0;
    for round in 0..60_u32 {
        // One mailbox in two is never read.
        send(&log, 1, round, 300);
        for number in 0..8 {
            send(&log, 2, 1000 + round * 8 + number, 900);
            position += 1;
            acknowledge(&log, 2, &[position]);
        }
        if round % 10 == 9 {
            log.tidy_up().unwrap();
        }
    }
    log.tidy_up().unwrap();
    log.tidy_up().unwrap();
    let expected: Contents = (0..60).map(|n| (u64::from(n) + 1, n)).collect();
    assert_eq!(contents(&log, 1), expected);
    assert!(contents(&log, 2).is_empty());
    let segments = || {
        let names = folder.list().unwrap();
        names
            .iter()
            .filter(|name| name.ends_with("segment"))
            .count()
    };
    // 60 envelopes of 424 bytes are 25 KiB, four segments.
    assert!(segments() <= 9, "{:?}", folder.list().unwrap());
    let cut = folder.after_power_cut(Loss::All);
    drop(log);
    let log = open(&cut);
    assert_eq!(contents(&log, 1), expected);
    assert!(contents(&log, 2).is_empty());
    let all: Vec<u64> = (1..=60).collect();
    acknowledge(&log, 1, &all);
    log.tidy_up().unwrap();
    log.tidy_up().unwrap();
    let names = cut.list().unwrap();
    let left = names.iter().filter(|name| name.ends_with("segment"));
    assert!(left.count() <= 3, "{names:?}");
    assert_eq!(log.held(), Held::default());
}

#[test]
fn a_removed_mailbox_and_account_begin_anew() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for to in [2, 3, 4] {
        send(&log, to, u32::from(to), 50);
    }
    let group = vec![
        Change::RemoveMailbox(mailbox(4)),
        Change::RemoveAccount(mailbox(2).account),
    ];
    wait(log.turn().unwrap().commit(group).unwrap().durable()).unwrap();
    send(&log, 3, 9, 50);
    let cut = folder.after_power_cut(Loss::All);
    drop(log);
    for folder in [cut, folder] {
        let log = open(&folder);
        assert_eq!(log.mailboxes_after(None, 10), [mailbox(3)]);
        assert_eq!(contents(&log, 3), [(1, 9)]);
        let again = log.prepare(mailbox(2), &arrival(2, 50));
        assert!(!knows(&mut log.turn().unwrap(), &again));
    }
}

#[test]
fn remembered_envelopes_outlive_checkpoints_and_are_forgotten_in_time() {
    let folder = MemoryFolder::new();
    let mut log = open(&folder);
    for number in 0..10 {
        send(&log, 1, number, 50);
    }
    acknowledge(&log, 1, &[1, 2, 3]);
    let knows = |log: &DeliveryLog, number| {
        let prepared = log.prepare(mailbox(1), &arrival(number, 50));
        knows(&mut log.turn().unwrap(), &prepared)
    };
    let pass = |log: &DeliveryLog, day| {
        let group = vec![Change::Forget(Day(day))];
        wait(log.turn().unwrap().commit(group).unwrap().durable()).unwrap();
    };
    for day in [5, 5] {
        pass(&log, day);
        log.tidy_up().unwrap();
        drop(log);
        log = open(&folder);
        assert!(knows(&log, 0) && knows(&log, 2) && knows(&log, 5) && !knows(&log, 77));
    }
    acknowledge(&log, 1, &[4]);
    pass(&log, 6);
    drop(log);
    let log = open(&folder);
    assert!(!knows(&log, 0) && !knows(&log, 2) && knows(&log, 3) && knows(&log, 5));
    pass(&log, 7);
    log.tidy_up().unwrap();
    drop(log);
    let log = open(&folder.after_power_cut(Loss::All));
    assert!(!knows(&log, 3) && knows(&log, 5));
}

#[test]
fn table_records_come_back_until_somebody_keeps_them() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    let mut ends = Vec::new();
    for number in 0..20_u8 {
        let group = vec![Change::Tables(Bytes::from(vec![number; 600]))];
        let committed = log.turn().unwrap().commit(group).unwrap();
        ends.push(committed.end);
        wait(committed.durable()).unwrap();
        log.tidy_up().unwrap();
    }
    drop(log);
    let reopened = opened(&folder);
    assert_eq!(reopened.tables.len(), 20);
    drop(reopened);
    let from = LogOptions {
        tables_from: ends[16],
        ..options()
    };
    let reopened = DeliveryLog::open(Arc::new(folder.clone()), &from).unwrap();
    let rows: Vec<u8> = reopened.tables.iter().map(|(_, rows)| rows[0]).collect();
    assert_eq!(rows, [17, 18, 19]);
    reopened.log.keep_tables_from(ends[19]);
    for _ in 0..3 {
        reopened.log.tidy_up().unwrap();
    }
    let names = folder.list().unwrap();
    // One of them is prepared for what comes next.
    let left = names.iter().filter(|name| name.ends_with("segment"));
    assert!(left.count() <= 3, "{names:?}");
}

/// [BOX-77].
#[test]
fn damage_before_the_end_is_reported_and_the_rest_is_read() {
    for closed in [false, true] {
        let folder = MemoryFolder::new();
        let log = open(&folder);
        // Less than a segment: no checkpoint is due.
        for number in 0..7 {
            send(&log, 1, number, 1000);
        }
        let image = folder.after_power_cut(Loss::All);
        drop(log);
        let folder = if closed { folder } else { image };
        assert!(verify(&folder).unwrap().is_whole());
        // Within the third record's body: 64 + 2 * 1120.
        folder.damage("00000001.segment", 64 + 2 * 1120 + 400, &[0]);
        let reopened = opened(&folder);
        if !closed {
            let damage = Damage {
                segment: 1,
                offset: 64 + 2 * 1120,
                length: 1120,
            };
            assert_eq!(reopened.damage, [damage]);
        }
        let left: Vec<u32> = contents(&reopened.log, 1).iter().map(|one| one.1).collect();
        assert_eq!(left, [0, 1, 3, 4, 5, 6]);
        assert_eq!(reopened.log.damaged_count(), u64::from(closed));
        drop(reopened);
        let verified = verify(&folder).unwrap();
        assert_eq!(verified.damage.len(), 1);
        assert_eq!(verified.unreadable, u64::from(closed));
        assert!(!verified.is_whole());
    }
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
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
    assert_eq!(checkpoints.len(), 2);
    folder.damage(checkpoints[1], 100, &[0xff, 0xff]);
    assert_eq!(verify(&folder).unwrap().damaged_checkpoints, 1);
    let log = open(&folder);
    assert_eq!(contents(&log, 1), expected);
    drop(log);
    for name in folder.list().unwrap() {
        if name.ends_with("checkpoint") {
            folder.damage(&name, 100, &[0xee, 0xee]);
        }
    }
    let refused = DeliveryLog::open(Arc::new(folder), &options());
    let what = "log checkpoint";
    assert_eq!(refused.err(), Some(StoreError::Corrupt { what }));
}

/// The planted fault does what it is for: the suite would see a sync that is left out.
#[test]
fn a_lying_sync_loses_what_was_acknowledged() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    send(&log, 1, 1, 100);
    folder.set_trouble(Some((0, Trouble::SyncLies)));
    send(&log, 1, 2, 100);
    let cut = folder.after_power_cut(Loss::All);
    assert_eq!(contents(&open(&cut), 1), [(1, 1)]);
}
