// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sealed store over the memory store.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use waxwing_crypto::sealing::MasterKey;
use waxwing_engine::{BatchId, RowWrite};
use waxwing_storage::embedded::EmbeddedClientStore;
use waxwing_storage::embedded::memory::{Immediate, MemoryDisk, MemoryKeyValue};

use super::*;

type Store = SealedStore<EmbeddedClientStore<MemoryKeyValue>>;

fn keys(seed: u64) -> StoreKeys {
    StoreKeys::derive(&MasterKey::generate(&mut ChaCha20Rng::seed_from_u64(seed)))
}

async fn open(disk: &MemoryDisk, seed: u64) -> Store {
    let memory = disk.open(Arc::new(Immediate)).unwrap();
    SealedStore::new(EmbeddedClientStore::open(memory).await.unwrap(), keys(seed))
}

fn key(table: Table, scope: &[u8], order: u64) -> RowKey {
    RowKey {
        table,
        scope: scope.to_vec(),
        order,
    }
}

async fn write(store: &Store, writes: Vec<(RowKey, Option<&[u8]>)>) {
    let writes = writes
        .into_iter()
        .map(|(key, value)| RowWrite {
            key,
            value: value.map(|value| Zeroizing::new(value.to_vec())),
        })
        .collect();
    let batch = Batch {
        id: BatchId(1),
        writes,
    };
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    store.apply(&batch, &mut rng).unwrap().await.unwrap();
}

fn orders(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.key.order).collect()
}

#[tokio::test]
async fn rows_come_back_with_their_scope_and_order() {
    let disk = MemoryDisk::new();
    let store = open(&disk, 1).await;
    let (one, two) = (
        key(Table::Contacts, b"alice", 1),
        key(Table::Contacts, b"", u64::MAX),
    );
    write(
        &store,
        vec![(one.clone(), Some(b"a")), (two.clone(), Some(b""))],
    )
    .await;
    let rows = store
        .load(&RowRange::Keys(vec![two.clone(), one.clone()]))
        .unwrap();
    assert_eq!(rows[0].key, two);
    assert_eq!(rows[1].key, one);
    assert_eq!(rows[1].value.as_slice(), b"a");
    assert_eq!(
        store
            .snapshot(&[Table::Contacts, Table::Outbox])
            .unwrap()
            .len(),
        2
    );
    write(&store, vec![(one.clone(), None)]).await;
    assert!(store.load(&RowRange::Keys(vec![one])).unwrap().is_empty());
}

/// Neither what is said nor with whom is in any byte that the store sees.
#[tokio::test]
async fn the_store_learns_neither_values_nor_scopes() {
    let disk = MemoryDisk::new();
    let store = open(&disk, 1).await;
    let row = key(Table::Messages, b"the scope that nobody may see", 3);
    write(&store, vec![(row, Some(b"the text that nobody may read"))]).await;
    assert!(!disk.contains(b"nobody may see"));
    assert!(!disk.contains(b"nobody may read"));
    assert!(!disk.contains(b"alice"));
}

#[tokio::test]
async fn another_key_opens_nothing_and_exchanged_values_are_found_out() {
    let disk = MemoryDisk::new();
    let store = open(&disk, 1).await;
    let (one, two) = (key(Table::Outbox, b"", 1), key(Table::Outbox, b"", 2));
    write(
        &store,
        vec![(one.clone(), Some(b"1")), (two.clone(), Some(b"2"))],
    )
    .await;

    let (place_one, place_two) = (store.place(&one), store.place(&two));
    let values = store
        .store
        .get(&[place_one.clone(), place_two.clone()])
        .unwrap();
    let swapped = [
        (place_one, values[1].clone()),
        (place_two, values[0].clone()),
    ]
    .into_iter()
    .map(|(at, value)| client::RowWrite::Put {
        at,
        value: value.unwrap(),
    })
    .collect();
    store.store.apply(swapped).await.unwrap();
    let error = store.load(&RowRange::Keys(vec![one])).err();
    assert_eq!(error, Some(SealedStoreError::Corrupt));
    drop(store);

    // Under another key the scope has another name: nothing is found by name, nothing opens.
    let other = open(&disk, 2).await;
    assert!(other.load(&RowRange::Keys(vec![two])).unwrap().is_empty());
    let error = other.snapshot(&[Table::Outbox]).err();
    assert_eq!(error, Some(SealedStoreError::Corrupt));
}

#[tokio::test]
async fn a_scope_over_the_bound_is_refused() {
    let store = open(&MemoryDisk::new(), 1).await;
    let row = RowWrite {
        key: key(Table::Outbox, &[0; 65], 1),
        value: Some(Zeroizing::new(vec![])),
    };
    let batch = Batch {
        id: BatchId(1),
        writes: vec![row],
    };
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    assert!(matches!(
        store.apply(&batch, &mut rng).err(),
        Some(SealedStoreError::Bug(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Ranges against a sorted map, with dense and sparse orders up to both ends.
    #[test]
    fn ranges_are_those_of_a_sorted_map(
        present in proptest::collection::btree_set(
            prop_oneof![0..40_u64, any::<u64>(), Just(u64::MAX)], 0..60),
        bound in prop_oneof![0..45_u64, any::<u64>(), Just(u64::MAX)],
        limit in 0..20_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = open(&MemoryDisk::new(), 1).await;
            let rows = present.iter().map(|order| (key(Table::Messages, b"a", *order), Some(&b"x"[..])));
            // Rows of another scope and another table must not show.
            let other = (key(Table::Messages, b"b", bound), Some(&b"y"[..]));
            let table = (key(Table::Unread, b"a", bound), Some(&b"z"[..]));
            write(&store, rows.chain([other, table]).collect()).await;
            let model: BTreeMap<u64, ()> = present.iter().map(|order| (*order, ())).collect();

            let scope = b"a".to_vec();
            let range = RowRange::Before { table: Table::Messages, scope: scope.clone(), before: bound, limit };
            let expected: Vec<u64> = model.range(..bound).rev().take(limit).map(|(o, ())| *o).collect();
            assert_eq!(orders(&store.load(&range).unwrap()), expected);

            let range = RowRange::After { table: Table::Messages, scope, after: bound, limit };
            let expected: Vec<u64> =
                model.keys().copied().filter(|order| *order > bound).take(limit).collect();
            assert_eq!(orders(&store.load(&range).unwrap()), expected);
        });
    }
}
