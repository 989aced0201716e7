// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A journal gives back what it was given, and never less without saying so.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::embedded::memory::{Immediate, MemoryDisk, MemoryKeyValue};
use crate::log::memory::{Loss, MemoryFolder};

const LOG: [u8; 16] = [7; 16];

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The batch that ends at a position: one row more, and the one before the last gone.
fn batch(number: u64) -> Batch {
    let mut batch = Batch::from([(key(number), Some(Bytes::from(vec![1; 40])))]);
    if number.is_multiple_of(3) {
        batch.insert(key(number - 2), None);
    }
    batch
}

fn position(number: u64) -> LogPosition {
    LogPosition(number * 100)
}

async fn rows(count: u64) -> MemoryKeyValue {
    let rows = MemoryDisk::new().open(Arc::new(Immediate)).unwrap();
    for number in 1..=count {
        rows.apply(batch(number)).await.unwrap();
    }
    let at = Bytes::from_static(POSITION_KEY);
    let row = Batch::from([(at, Some(Bytes::from_static(&[0; 8])))]);
    rows.apply(row).await.unwrap();
    rows
}

fn all(folder: &MemoryFolder) -> Result<(Batch, LogPosition), StoreError> {
    let mut found = Batch::new();
    let reached = restore(folder, &mut |batch| {
        for (key, value) in batch {
            match value {
                Some(value) => found.insert(key, Some(value)),
                None => found.remove(&key),
            };
        }
        Ok(())
    })?;
    Ok((found, reached.unwrap()))
}

fn expected(count: u64) -> Batch {
    let mut expected = Batch::new();
    for number in 1..=count {
        for (key, value) in batch(number) {
            match value {
                Some(value) => expected.insert(key, Some(value)),
                None => expected.remove(&key),
            };
        }
    }
    expected
}

fn shared(folder: &MemoryFolder) -> Arc<dyn LogFolder> {
    Arc::new(folder.clone())
}

/// Five rows, then batches up to the tenth in three writes.
async fn filled() -> MemoryFolder {
    let folder = MemoryFolder::new();
    let mut journal = Journal::create(&shared(&folder), LOG, position(5), &rows(5).await).unwrap();
    for numbers in [vec![6], vec![7, 8, 9], vec![10]] {
        append(&mut journal, &numbers);
    }
    folder
}

fn append(journal: &mut Journal, numbers: &[u64]) {
    let batches: Vec<_> = numbers
        .iter()
        .map(|number| (position(*number), batch(*number)))
        .collect();
    journal
        .append(batches.iter().map(|(end, batch)| (*end, batch)))
        .unwrap();
}

#[tokio::test]
async fn rows_and_batches_come_back_and_the_position_of_the_log_does_not() {
    let folder = filled().await;
    assert_eq!(all(&folder), Ok((expected(10), position(10))));
    let found = check(&folder).unwrap().unwrap();
    assert_eq!((found.rows, found.batches, found.damaged), (4, 5, 0));
    assert_eq!(start(&folder), Ok(Some(position(5))));
    assert_eq!(start(&MemoryFolder::new()), Ok(None));
    assert_eq!(check(&MemoryFolder::new()), Ok(None));
}

#[tokio::test]
async fn a_journal_that_is_opened_goes_on_and_gives_what_comes_after_a_position() {
    let folder = filled().await;
    let (mut journal, tail) = Journal::open(&shared(&folder), LOG, position(8))
        .unwrap()
        .unwrap();
    assert!(tail.gaps.is_empty());
    let got: Vec<_> = tail.batches.iter().map(|(end, _)| *end).collect();
    assert_eq!(got, [position(9), position(10)]);
    assert_eq!(journal.position(), position(10));
    append(&mut journal, &[11]);
    assert_eq!(all(&folder), Ok((expected(11), position(11))));
    assert!(Journal::open(&shared(&folder), [8; 16], position(8)).is_err());
}

#[tokio::test]
async fn a_new_file_takes_the_place_of_the_old_one_and_forgets_what_was_deleted() {
    let folder = filled().await;
    let (mut journal, _) = Journal::open(&shared(&folder), LOG, position(10))
        .unwrap()
        .unwrap();
    assert!(journal.has_batches() && !journal.is_due());
    journal.rewrite(&rows(10).await).unwrap();
    assert!(!journal.has_batches());
    assert_eq!(folder.list().unwrap(), ["rows-0000000002"]);
    assert_eq!(all(&folder), Ok((expected(10), position(10))));
    let bytes = folder.bytes("rows-0000000002").unwrap();
    let gone = key(4);
    assert!(!bytes.windows(8).any(|some| some == &gone[..]));
    append(&mut journal, &[11]);
    assert_eq!(all(&folder), Ok((expected(11), position(11))));
}

#[tokio::test]
async fn a_journal_is_due_when_its_batches_have_grown() {
    let folder = MemoryFolder::new();
    let mut journal = Journal::create(&shared(&folder), LOG, position(5), &rows(5).await).unwrap();
    let large = Batch::from([(key(1), Some(Bytes::from(vec![0; 4 * 1024 * 1024])))]);
    for number in 6..10 {
        assert!(!journal.is_due());
        journal.append([(position(number), &large)]).unwrap();
    }
    assert!(journal.is_due());
}

/// What a journal with damage comes to: all, an error, or less with its gap or its position to say so.
fn judge(folder: &MemoryFolder, what: &str) {
    let restored = all(folder);
    let opened = Journal::open(&shared(folder), LOG, position(5));
    match (restored, opened) {
        (Ok((found, reached)), Ok(Some((journal, tail)))) => {
            let count = reached.0 / 100;
            assert_eq!(found, expected(count), "{what}");
            if tail.gaps.is_empty() {
                assert_eq!(journal.position(), reached, "{what}");
            } else {
                assert_eq!(tail.gaps[0].after, reached, "{what}");
                let missing: u64 = tail.gaps.iter().map(|gap| gap.missing).sum();
                let there = u64::try_from(tail.batches.len()).unwrap();
                assert_eq!(there + missing, journal.batch, "{what}");
            }
            let is_told = check(folder).unwrap().unwrap().damaged > 0;
            assert_eq!(is_told, !tail.gaps.is_empty(), "{what}");
        }
        // The rows are damaged: the batches may be read, and nothing is made anew.
        (Err(StoreError::Corrupt { .. }), _) => {
            assert!(check(folder).unwrap().unwrap().damaged > 0, "{what}");
        }
        (restored, _) => panic!("{what}: {restored:?}"),
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_noticed() {
    let whole = filled().await;
    let name = "rows-0000000001";
    let bytes = whole.bytes(name).unwrap();
    // The last entry says that the one before it is there, and nothing says that of itself.
    let last = bytes.len() - super::super::entry::HEADER;
    for at in 0..bytes.len() {
        let folder = whole.after_power_cut(Loss::All);
        folder.damage(name, at, &[bytes[at] ^ (1 << (at % 8))]);
        judge(&folder, &format!("byte {at}"));
        let is_whole = all(&folder) == Ok((expected(10), position(10)));
        assert!(
            !is_whole || at >= last || is_between(&bytes, at),
            "byte {at}"
        );
    }
}

/// Whether a byte is in an entry that only says that what comes before it is there.
fn is_between(bytes: &[u8], at: usize) -> bool {
    let mut offset = HEAD;
    while offset < bytes.len() {
        let length = u32::from_le_bytes(bytes[offset + 4..offset + 8].try_into().unwrap());
        let end = offset + super::super::entry::HEADER + usize::try_from(length).unwrap();
        if at < end {
            return bytes[offset + 12] == 3;
        }
        offset = end;
    }
    false
}

#[tokio::test]
async fn a_journal_that_is_cut_reaches_less_and_says_how_far() {
    let whole = filled().await;
    let name = "rows-0000000001";
    let length = whole.bytes(name).unwrap().len();
    let mut reached = std::collections::BTreeSet::new();
    for at in HEAD..length {
        let folder = whole.after_power_cut(Loss::All);
        folder
            .open(name)
            .unwrap()
            .truncate(u64::try_from(at).unwrap())
            .unwrap();
        judge(&folder, &format!("cut at {at}"));
        if let Ok((_, position)) = all(&folder) {
            reached.insert(position.0 / 100);
        }
    }
    assert_eq!(reached.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
}

/// [BOX-75]. What a failed sync took for clean is read, and would be lost when the power is cut.
#[tokio::test]
async fn what_an_opening_gives_after_a_lost_sync_is_durable() {
    for calls in 0..8 {
        let folder = filled().await;
        let opened = Journal::open(&shared(&folder), LOG, position(0)).unwrap();
        let (mut journal, _) = opened.unwrap();
        folder.set_trouble(Some((calls, crate::log::memory::Trouble::SyncLoses)));
        for number in 11..15 {
            let batch = batch(number);
            if journal.append([(position(number), &batch)]).is_err() {
                break;
            }
        }
        folder.set_trouble(None);
        let (opened, tail) = Journal::open(&shared(&folder), LOG, position(0))
            .unwrap()
            .unwrap();
        let cut = folder.after_power_cut(Loss::All);
        let (_, kept) = Journal::open(&shared(&cut), LOG, position(0))
            .unwrap()
            .unwrap();
        assert_eq!(kept, tail, "after {calls} calls");
        assert_eq!(all(&cut).unwrap().1, opened.position());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Power is cut at any call; whatever of the unsynced writes is kept, what was appended is there.
    #[test]
    fn a_power_cut_takes_nothing_that_was_appended(
        calls in 0_u64..60,
        kept in 0_u64..1000,
        how in 0_u8..4,
        rewrite_at in 0_u64..12,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = MemoryFolder::new();
        let mut journal = Journal::create(
            &shared(&folder), LOG, position(2), &runtime.block_on(rows(2)),
        ).unwrap();
        folder.set_trouble(Some((folder.call_count() + calls, crate::log::memory::Trouble::Dead)));
        let mut durable = 2;
        for number in 3..12 {
            let batch = batch(number);
            if journal.append([(position(number), &batch)]).is_err() {
                break;
            }
            durable = number;
            if number == rewrite_at && journal.rewrite(&runtime.block_on(rows(number))).is_err() {
                break;
            }
        }
        let loss = match how {
            0 => Loss::All,
            1 => Loss::Cut(kept),
            2 => Loss::Pages(kept),
            _ => Loss::Nothing,
        };
        let after = folder.after_power_cut(loss);
        let (found, reached) = all(&after).unwrap();
        let count = reached.0 / 100;
        prop_assert!(count >= durable);
        prop_assert_eq!(found, expected(count));
        let (mut journal, _) = Journal::open(&shared(&after), LOG, position(0)).unwrap().unwrap();
        // What was torn is not taken for what is written over it.
        append(&mut journal, &[count + 1]);
        prop_assert_eq!(all(&after), Ok((expected(count + 1), position(count + 1))));
    }
}
