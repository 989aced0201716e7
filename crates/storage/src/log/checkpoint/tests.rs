// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checkpoints of both versions, whole and damaged; and that what is packed is what was there.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "numbers of tests, some thousands"
)]

use std::sync::Arc;

use proptest::prelude::*;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, EnvelopeId};

use super::*;
use crate::log::index::{Entry, Fingerprint, Held, Mailbox};
use crate::log::memory::MemoryFolder;
use crate::log::record::MailboxKey;
use crate::log::segments::remembered_name;
use crate::log::{DeliveryLog, LogOptions};
use crate::server::{DeliveryIdKind, Position};

const REMEMBERED_MAX: usize = 6;
const START: Place = Place {
    segment: 1,
    offset: 64,
};

#[test]
fn numbers_of_every_size_come_back() {
    for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
        let mut bytes = Vec::new();
        write_number(&mut bytes, number);
        let mut reader = Reader(&bytes);
        assert_eq!(read_number(&mut reader), Some(number));
        assert!(reader.0.is_empty());
        assert_eq!(read_number(&mut Reader(&bytes[..bytes.len() - 1])), None);
    }
    assert_eq!(read_number(&mut Reader(&[0xff; 11])), None);
}

fn key(number: u8) -> MailboxKey {
    MailboxKey {
        account: AccountKey::new([number / 2; 32]),
        device: DeviceId::new([number; 16]),
    }
}

fn head(remembered: Vec<RememberedFile>) -> Head {
    Head {
        log: [3; 16],
        fingerprint_key: [4; 16],
        number: 7,
        start: START,
        durable: START,
        forgotten: Some(Day(20_000)),
        generation: 2,
        remembered,
    }
}

/// What happens to an index.
#[derive(Debug, Clone)]
enum Step {
    Add { to: u8, id: u8, length: u32 },
    Acknowledge { from: u8, first: u64, count: u64 },
    Remove(u8),
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..4_u8, 0..5_u8, 88..70_000_u32).prop_map(|(to, id, length)| Step::Add { to, id, length }),
        4 => (0..4_u8, 1..40_u64, 1..9_u64)
            .prop_map(|(from, first, count)| Step::Acknowledge { from, first, count }),
        1 => (0..4_u8).prop_map(Step::Remove),
        1 => Just(Step::Forget),
    ];
    prop::collection::vec(step, 0..60)
}

fn empty() -> Index {
    Index {
        remembered_max: REMEMBERED_MAX,
        ..Index::default()
    }
}

/// Takes the steps; `number` counts places.
fn take(index: &mut Index, steps: &[Step], number: &mut u32) {
    for step in steps {
        *number = number.saturating_add(1);
        match *step {
            Step::Add { to, id, length } => {
                let kinds = [
                    DeliveryIdKind::Public,
                    DeliveryIdKind::Own,
                    DeliveryIdKind::Contact,
                ];
                let entry = Entry {
                    position: 0,
                    fingerprint: u64::from(*number).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                    place: Place {
                        segment: 2 + *number / 16,
                        offset: 64 + *number * 8,
                    },
                    length,
                    share: 0,
                };
                let kind = kinds[usize::from(id) % 3];
                index.add_next(key(to), DeliveryId::new([id; 16]), kind, entry);
            }
            Step::Acknowledge { from, first, count } => {
                index.unpack(&key(from)).unwrap();
                index.acknowledge(&key(from), first..first + count);
            }
            Step::Remove(from) => {
                index.unpack(&key(from)).unwrap();
                index.remove_mailbox(&key(from));
            }
            Step::Forget => {
                index.turn_day(Day(index.generation));
                index.mailboxes.values_mut().for_each(Mailbox::forget_older);
            }
        }
    }
}

/// The bytes of a checkpoint, and the block of what is remembered.
fn written(index: &Index) -> (Vec<u8>, Vec<u8>) {
    let (mut mailboxes, mut remembered) = (Vec::new(), Vec::new());
    for (key, held) in &index.mailboxes {
        write_mailbox(&mut mailboxes, key, held, START);
        let first = held.remembered.len() - held.remembered.len().min(held.unsaved);
        assert_eq!(first, 0, "nothing was saved yet");
        write_remembered(&mut remembered, key, held);
    }
    let file = [block(&remembered).as_slice(), &remembered].concat();
    let listed = RememberedFile {
        number: 1,
        length: file.len().try_into().unwrap(),
        generation: 2,
    };
    let mut bytes = head(vec![listed]).encode();
    bytes.append(&mut mailboxes);
    finish(&mut bytes);
    (bytes, file)
}

fn folder(checkpoint: &[u8], remembered: &[u8]) -> MemoryFolder {
    let folder = MemoryFolder::default();
    store(&folder, 7, checkpoint).unwrap();
    let file = folder.create(&remembered_name(1)).unwrap();
    file.write_vectored_at(&[IoSlice::new(remembered)], 0)
        .unwrap();
    folder
}

fn read(checkpoint: &[u8], remembered: &[u8]) -> Option<Loaded> {
    load(&folder(checkpoint, remembered), 7, REMEMBERED_MAX).unwrap()
}

/// Everything that can be asked of a mailbox.
type Said = (u64, [Held; 3], Vec<Entry>, Vec<u64>, usize, Vec<Held>);

fn said(index: &Index) -> Vec<(MailboxKey, Said)> {
    let one = |held: &Mailbox| {
        let entries: Vec<Entry> = held.entries.iter().copied().collect();
        let remembered: Vec<u64> = held.remembered().collect();
        for known in entries.iter().map(|entry| entry.fingerprint) {
            assert!(held.has_seen(Fingerprint(known)));
        }
        for known in &remembered {
            assert!(held.has_seen(Fingerprint(*known)));
        }
        assert!(!held.has_seen(Fingerprint(1)));
        let all = [held.held(), held.held_own(), held.held_strangers()];
        let shares = (0..5).map(|id| held.held_under(&DeliveryId::new([id; 16])));
        let (last, older) = (held.last_position, held.older);
        (last, all, entries, remembered, older, shares.collect())
    };
    let mailboxes = index.mailboxes.iter();
    mailboxes.map(|(key, held)| (*key, one(held))).collect()
}

fn counts(index: &Index) -> (u64, u64, Option<Day>, u32) {
    let Index {
        entries,
        live_bytes,
        forgotten,
        generation,
        ..
    } = *index;
    (entries, live_bytes, forgotten, generation)
}

proptest! {
    /// Whatever happens to an index that was packed happens to one that never was.
    #[test]
    fn a_packed_index_says_what_an_unpacked_one_says(before in steps(), after in steps()) {
        let mut index = empty();
        let mut number = 0;
        take(&mut index, &before, &mut number);
        let (bytes, remembered) = written(&index);
        let mut packed = read(&bytes, &remembered).unwrap().index;
        packed.forgotten = index.forgotten;
        packed.generation = index.generation;
        prop_assert_eq!(packed.packed, index.mailboxes.len());
        prop_assert_eq!(counts(&packed), counts(&index));
        let mut again = number;
        take(&mut index, &after, &mut number);
        take(&mut packed, &after, &mut again);
        prop_assert_eq!(counts(&packed), counts(&index));
        let mut pieces = None;
        loop {
            pieces = packed.unpack_some(pieces, 8).unwrap();
            if pieces.is_none() {
                break;
            }
        }
        prop_assert_eq!(packed.packed, 0);
        prop_assert_eq!(counts(&packed), counts(&index));
        prop_assert_eq!(&packed.live, &index.live);
        prop_assert_eq!(said(&packed), said(&index));
        // And so it is with the next checkpoint.
        for held in packed.mailboxes.values_mut().chain(index.mailboxes.values_mut()) {
            held.unsaved = held.remembered.len();
        }
        prop_assert_eq!(written(&packed), written(&index));
    }

    /// A checksum that holds over bytes that are none of ours.
    #[test]
    fn whatever_a_checkpoint_says_nothing_panics(
        steps in steps(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut index = empty();
        take(&mut index, &steps, &mut 0);
        let (bytes, remembered) = written(&index);
        let at = 12 + at.index(bytes.len() - 16);
        let mut changed = bytes[..bytes.len() - 4].to_vec();
        if cut {
            changed.truncate(at);
        } else {
            changed[at] = byte;
        }
        look_into(&mut changed, &remembered);
    }
}

/// Reads a checkpoint whose checksum is made to hold, and unpacks it: it is refused as a whole or in
/// some mailboxes, or it says something else.
fn look_into(changed: &mut Vec<u8>, remembered: &[u8]) {
    let checksum = crc32fast::hash(changed);
    changed.extend_from_slice(&checksum.to_le_bytes());
    let Some(mut loaded) = read(changed, remembered) else {
        return;
    };
    let keys: Vec<MailboxKey> = loaded.index.mailboxes.keys().copied().collect();
    for key in keys {
        let before = loaded.index.packed;
        match loaded.index.unpack(&key) {
            Ok(()) => assert_eq!(loaded.index.packed, before - 1),
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt { .. }));
                assert_eq!(loaded.index.packed, before, "and it stays packed");
                assert!(loaded.index.unpack(&key).is_err(), "for good");
            }
        }
    }
}

fn some() -> (Vec<u8>, Vec<u8>) {
    let mut index = empty();
    let add = |number: u32| Step::Add {
        to: (number % 3).try_into().unwrap(),
        id: (number % 5).try_into().unwrap(),
        length: 100 + 300 * number,
    };
    let mut steps: Vec<Step> = (0..40).map(add).collect();
    steps.push(Step::Acknowledge {
        from: 1,
        first: 2,
        count: 3,
    });
    take(&mut index, &steps, &mut 0);
    written(&index)
}

/// Every byte, in several ways, and every length.
#[test]
fn no_byte_of_a_checkpoint_makes_it_panic() {
    let (bytes, remembered) = some();
    let whole = &bytes[..bytes.len() - 4];
    for at in 12..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, whole[at] ^ 1, whole[at] ^ 0x80] {
            let mut changed = whole.to_vec();
            changed[at] = byte;
            look_into(&mut changed, &remembered);
        }
        look_into(&mut whole[..at].to_vec(), &remembered);
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(read(&damaged, &remembered).is_none(), "byte {at}");
        assert!(read(&bytes[..at], &remembered).is_none(), "length {at}");
    }
}

#[test]
fn a_newer_version_is_refused() {
    let (bytes, remembered) = some();
    let mut newer = bytes[..bytes.len() - 4].to_vec();
    newer[8] = 3;
    let checksum = crc32fast::hash(&newer);
    newer.extend_from_slice(&checksum.to_le_bytes());
    let refused = load(&folder(&newer, &remembered), 7, REMEMBERED_MAX).err();
    assert_eq!(
        refused,
        Some(StoreError::NewerFormat { found: 3, known: 2 })
    );
}

/// A checkpoint that says of a mailbox what cannot be: whoever needs that mailbox is told so, and the
/// log stops, and says so again when it is opened again.
#[test]
fn a_mailbox_that_cannot_be_unpacked_stops_the_log() {
    let mut index = empty();
    let add = |to| Step::Add {
        to,
        id: 1,
        length: 100,
    };
    take(&mut index, &[add(1), add(2)], &mut 0);
    let held = index.mailboxes.get_mut(&key(2)).unwrap();
    held.entries[0].share = 9;
    let (bytes, remembered) = written(&index);
    let folder = Arc::new(folder(&bytes, &remembered));
    for _ in 0..2 {
        let mut options = LogOptions::new([7; 32]);
        options.segment_size = 8192;
        let log = DeliveryLog::open(Arc::clone(&folder) as Arc<dyn LogFolder>, &options);
        let log = log.unwrap().log;
        let read = log.read(&key(2), Position::START, 1, 1);
        assert!(matches!(
            read,
            Err(StoreError::Corrupt { .. } | StoreError::Stopped)
        ));
        while log.turn().is_ok() {
            std::thread::yield_now();
        }
        assert!(log.tidy_up().is_err());
    }
}

/// What the program that wrote version 1 wrote: in turn to three mailboxes, and then some were acknowledged.
#[test]
fn version_1_is_read() {
    let checkpoint = include_bytes!("golden/version-1.checkpoint");
    let remembered = include_bytes!("golden/version-1.remembered");
    let folder = MemoryFolder::default();
    store(&folder, 3, checkpoint).unwrap();
    let file = folder.create(&remembered_name(1)).unwrap();
    file.write_vectored_at(&[IoSlice::new(remembered)], 0)
        .unwrap();
    let Loaded {
        head,
        mut index,
        damaged_remembered,
    } = load(&folder, 3, 64).unwrap().unwrap();
    assert_eq!((head.number, damaged_remembered), (3, 0));
    assert_eq!(head.forgotten, Some(Day(20_000)));
    assert_eq!((index.packed, index.entries), (3, 16));
    let live_bytes = index.live_bytes;
    index.unpack_all().unwrap();
    assert_eq!(index.live.values().sum::<u64>(), live_bytes);
    let fingerprint = |number: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let delivery = DeliveryId::new([(number % 5).try_into().unwrap(); 16]);
        Fingerprint::new(&head.fingerprint_key, &delivery, &EnvelopeId::new(id)).0
    };
    let gone: [&[u64]; 3] = [&[1, 2, 5, 4], &[], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]];
    for (to, gone) in (0..3_u32).zip(gone) {
        let held = &index.mailboxes[&key(to.try_into().unwrap())];
        let number = |position: u64| u32::try_from(position - 1).unwrap() * 3 + to;
        let is_there = |position: &u64| !gone.contains(position);
        let expected: Vec<_> = (1..=10)
            .filter(is_there)
            .map(|position| (position, fingerprint(number(position))))
            .collect();
        let entries = held.entries.iter();
        let found: Vec<_> = entries
            .map(|entry| (entry.position, entry.fingerprint))
            .collect();
        assert_eq!(found, expected);
        let remembered: Vec<_> = gone.iter().map(|one| fingerprint(number(*one))).collect();
        assert_eq!(held.remembered().collect::<Vec<_>>(), remembered);
        assert_eq!(held.older, if to == 0 { 3 } else { 0 });
        assert_eq!(held.last_position, 10);
        let bytes = (1..=10).filter(is_there);
        let bytes = bytes.map(|position| 100 + 37 * u64::from(number(position)));
        assert_eq!(held.held().bytes, bytes.sum::<u64>());
    }
    let all: Vec<Held> = index.mailboxes.values().map(Mailbox::held).collect();
    assert_eq!(all.iter().map(|held| held.envelopes).sum::<u64>(), 16);
}
