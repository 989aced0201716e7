// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules for clients' stores.

use bytes::Bytes;

use super::ClientPlace;
use crate::StoreError;
use crate::client::{ClientStore, ROW_KEY_SIZE_MAX, RowKey, RowWrite};

fn at(table: u8, key: &[u8]) -> RowKey {
    RowKey {
        table,
        key: Bytes::copy_from_slice(key),
    }
}

fn put(table: u8, key: &[u8], value: &[u8]) -> RowWrite {
    RowWrite::Put {
        at: at(table, key),
        value: Bytes::copy_from_slice(value),
    }
}

fn delete(table: u8, key: &[u8]) -> RowWrite {
    RowWrite::Delete { at: at(table, key) }
}

async fn crash<P: ClientPlace>(place: &P, store: P::Store) -> P::Store {
    drop(store);
    place.crash();
    place.open().await.unwrap()
}

fn value<S: ClientStore>(store: &S, table: u8, key: &[u8]) -> Option<Bytes> {
    store.get(&[at(table, key)]).unwrap().remove(0)
}

/// Every table and key its own row.
pub async fn rows_come_back_as_they_were_written<P: ClientPlace>(place: P) {
    let store = place.open().await.unwrap();
    let batch = vec![
        put(0, b"", b"first"),
        put(255, b"", b"last"),
        put(3, b"a", b""),
        put(3, b"b", b"one"),
        put(3, b"b", b"two"),
        delete(3, b"c"),
        put(4, b"d", b"x"),
        delete(4, b"d"),
    ];
    store.apply(batch).await.unwrap();
    let store = crash(&place, store).await;
    let keys = [
        at(0, b""),
        at(255, b""),
        at(3, b"a"),
        at(3, b"b"),
        at(3, b"c"),
        at(4, b"d"),
    ];
    let values = store.get(&keys).unwrap();
    let values: Vec<_> = values.iter().map(Option::as_deref).collect();
    let expected: [Option<&[u8]>; 6] = [
        Some(b"first"),
        Some(b"last"),
        Some(b""),
        Some(b"two"),
        None,
        None,
    ];
    assert_eq!(values, expected);
}

/// Batches in the order of the calls, polled or not.
pub async fn a_batch_is_seen_before_it_is_durable_and_there_after_a_crash<P: ClientPlace>(
    place: P,
) {
    let mut store = place.open().await.unwrap();
    for round in 0..5_u8 {
        let first = store.apply(vec![put(1, b"k", &[round, 1])]);
        let second = store.apply(vec![put(1, b"k", &[round, 2]), put(1, &[round], b"x")]);
        assert_eq!(value(&store, 1, b"k").unwrap().as_ref(), [round, 2]);
        assert_eq!(
            store.scan(1, &[], None, 100).unwrap().len(),
            usize::from(round) + 2
        );
        drop(first);
        second.await.unwrap();
        store = crash(&place, store).await;
        assert_eq!(value(&store, 1, b"k").unwrap().as_ref(), [round, 2]);
        assert_eq!(
            store.scan(1, &[], None, 100).unwrap().len(),
            usize::from(round) + 2
        );
    }
}

/// Ranges by prefix, place and limit, forwards and backwards.
pub async fn scans_go_both_ways_and_stay_in_their_table<P: ClientPlace>(place: P) {
    let store = place.open().await.unwrap();
    let mut batch = Vec::new();
    for table in [6, 7, 8] {
        for number in 0..10 {
            batch.push(put(table, &[1, number], &[table, number]));
        }
        batch.push(put(table, &[0xff, 0xff], b"end"));
    }
    store.apply(batch).await.unwrap();
    // Some of it is not durable while it is scanned.
    let pending = store.apply(vec![delete(7, &[1, 4]), put(7, &[1, 20], &[7, 20])]);
    let numbers =
        |rows: Vec<crate::client::Row>| -> Vec<u8> { rows.iter().map(|row| row.key[1]).collect() };
    let all = [0, 1, 2, 3, 5, 6, 7, 8, 9, 20];
    assert_eq!(numbers(store.scan(7, &[1], None, 100).unwrap()), all);
    let back: Vec<_> = all.into_iter().rev().collect();
    assert_eq!(numbers(store.scan_back(7, &[1], None, 100).unwrap()), back);
    let after = store.scan(7, &[1], Some(&[1, 2]), 3).unwrap();
    assert_eq!(numbers(after), [3, 5, 6]);
    let before = store.scan_back(7, &[1], Some(&[1, 6]), 3).unwrap();
    assert_eq!(numbers(before), [5, 3, 2]);
    assert!(
        store
            .scan_back(7, &[1], Some(&[1, 0]), 9)
            .unwrap()
            .is_empty()
    );
    assert!(store.scan(7, &[1], Some(&[1, 20]), 9).unwrap().is_empty());
    assert_eq!(store.scan(7, &[], None, 100).unwrap().len(), 11);
    assert_eq!(numbers(store.scan_back(7, &[], None, 1).unwrap()), [0xff]);
    assert!(store.scan(9, &[], None, 100).unwrap().is_empty());
    pending.await.unwrap();
    assert_eq!(numbers(store.scan(7, &[1], None, 100).unwrap()), all);
}

/// Values over the size of a part.
pub async fn large_values_shrink_grow_and_go<P: ClientPlace>(place: P) {
    let mut store = place.open().await.unwrap();
    for size in [100_000_usize, 5_000, 0, 250_000, 65_536, 12] {
        let body: Vec<u8> = (0..=250).cycle().take(size).collect();
        store.apply(vec![put(2, b"big", &body)]).await.unwrap();
        assert_eq!(value(&store, 2, b"big").unwrap(), body);
        store = crash(&place, store).await;
        let rows = store.scan(2, b"b", None, 10).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].value, body);
    }
    store
        .apply(vec![put(2, b"big", &[1; 50_000])])
        .await
        .unwrap();
    store.apply(vec![delete(2, b"big")]).await.unwrap();
    assert_eq!(value(&store, 2, b"big"), None);
}

/// Limits, after which the store goes on.
pub async fn what_is_too_large_is_refused_and_changes_nothing<P: ClientPlace>(place: P) {
    let store = place.open().await.unwrap();
    let half = vec![0; waxwing_proto::limits::STORE_BATCH_SIZE_MAX / 2];
    let batch = vec![put(1, b"a", &half), put(1, b"b", &half)];
    let refused = store.apply(batch).await;
    assert_eq!(refused, Err(StoreError::Limit { what: "batch" }));
    let key = [0; ROW_KEY_SIZE_MAX + 1];
    let refused = store
        .apply(vec![put(1, b"a", b"x"), put(1, &key, b"x")])
        .await;
    assert_eq!(refused, Err(StoreError::Limit { what: "key" }));
    assert_eq!(value(&store, 1, b"a"), None);
    store.apply(vec![put(1, &key[1..], b"x")]).await.unwrap();
    assert_eq!(value(&store, 1, &key[1..]).unwrap().as_ref(), b"x");
}
