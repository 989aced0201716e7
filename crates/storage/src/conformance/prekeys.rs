// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules for prekeys.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::ServerPlace;
use super::world::{
    account, crash, device, limits, manifest, open, open_with, publication, register,
};
use crate::server::{PrekeyStatus, PrekeyStore, PublishRefusal, TakeRefusal};

/// Forty takers of thirty pairs.
pub async fn a_pair_is_taken_exactly_once<P: ServerPlace>(place: P) {
    let store = Arc::new(open(&place).await);
    register(&*store, 1, &[1]).await;
    let published = store.publish_prekeys(account(1), device(1), publication(1, 31));
    published.await.unwrap().unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.take_prekeys(account(1), Vec::new()).await.unwrap() });
    }
    let mut seen = BTreeSet::new();
    let mut last_resorts = 0;
    for taken in tasks.join_all().await {
        let taken = taken.unwrap();
        assert_eq!(taken.manifest, manifest(1, &[1]).bytes);
        assert_eq!(taken.bundles.len(), 1);
        match taken.bundles.into_iter().next().unwrap().one_time_pair {
            Some(pair) => assert!(seen.insert(pair), "handed out twice"),
            None => last_resorts += 1,
        }
    }
    assert_eq!((seen.len(), last_resorts), (30, 10));
}

/// Takers that are dropped at any moment, and the store lost: a pair is handed out once at most.
pub async fn takers_that_are_cut_off_get_nothing_twice<P: ServerPlace>(place: P) {
    let mut store = open(&place).await;
    register(&store, 1, &[1]).await;
    let published = store.publish_prekeys(account(1), device(1), publication(1, 61));
    published.await.unwrap().unwrap();
    let mut seen = BTreeSet::new();
    for round in 0..5 {
        let shared = Arc::new(store);
        let mut tasks = JoinSet::new();
        for taker in 0..8_u32 {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                let take = shared.take_prekeys(account(1), Vec::new());
                if taker % 2 == round % 2 {
                    return Some(take.await.unwrap().unwrap());
                }
                // Decided at the first look, and nobody hears the answer.
                tokio::select! {
                    biased;
                    taken = take => Some(taken.unwrap().unwrap()),
                    () = tokio::task::yield_now() => None,
                }
            });
        }
        for taken in tasks.join_all().await.into_iter().flatten() {
            let pair = taken.bundles.into_iter().next().unwrap().one_time_pair;
            assert!(seen.insert(pair.unwrap()), "handed out twice");
        }
        store = crash(&place, Arc::into_inner(shared).unwrap()).await;
    }
    assert!(seen.len() >= 20);
}

/// [PRE-10], [PRE-11]: what was handed out is never handed out again.
pub async fn a_taken_pair_stays_taken_across_crash_and_retry<P: ServerPlace>(place: P) {
    let mut store = open(&place).await;
    register(&store, 1, &[1, 2, 3]).await;
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        for number in 1..=2 {
            // The same publication again is a retry, also after a pair was taken.
            let published = store.publish_prekeys(account(1), device(number), publication(1, 4));
            published.await.unwrap().unwrap();
        }
        let taken = store
            .take_prekeys(account(1), Vec::new())
            .await
            .unwrap()
            .unwrap();
        let devices: Vec<_> = taken.bundles.iter().map(|bundle| bundle.device).collect();
        assert_eq!(
            devices,
            [device(1), device(2)],
            "device 3 has published nothing"
        );
        for bundle in taken.bundles {
            let pair = bundle.one_time_pair.unwrap();
            assert!(seen.insert((bundle.device, pair)), "handed out twice");
        }
        store = crash(&place, store).await;
    }
    let one = store
        .take_prekeys(account(1), vec![device(2)])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(one.bundles.len(), 1);
    assert_eq!(one.bundles[0].device, device(2));
    assert_eq!(one.bundles[0].one_time_pair, None);
    assert_eq!(one.bundles[0].signed_pair.as_ref(), b"signed");
    let unknown = store.take_prekeys(account(9), Vec::new()).await.unwrap();
    assert_eq!(unknown, Err(TakeRefusal::UnknownAccount));
}

/// Bounds, counts and replaced signed pairs.
pub async fn publications_are_bounded_and_counted<P: ServerPlace>(place: P) {
    let store = open_with(&place, limits()).await;
    register(&store, 1, &[1]).await;
    let none = store.prekey_status(account(1), device(1)).await.unwrap();
    assert_eq!(none, PrekeyStatus::default());
    let published = store.publish_prekeys(account(1), device(1), publication(1, 61));
    let status = published.await.unwrap().unwrap();
    assert_eq!((status.one_time_remaining, status.signed_pair_id), (60, 1));
    let mut more = publication(61, 66);
    more.signed_pair.as_mut().unwrap().id = 2;
    let refused = store
        .publish_prekeys(account(1), device(1), more.clone())
        .await;
    assert_eq!(refused.unwrap(), Err(PublishRefusal::TooMany));
    more.one_time_pairs.pop();
    let accepted = store.publish_prekeys(account(1), device(1), more).await;
    let status = accepted.unwrap().unwrap();
    assert_eq!((status.one_time_remaining, status.signed_pair_id), (64, 2));
    let store = crash(&place, store).await;
    let kept = store.prekey_status(account(1), device(1)).await.unwrap();
    assert_eq!(kept, status);
    for (of, number) in [(1, 2), (2, 1)] {
        let unknown = store.publish_prekeys(account(of), device(number), publication(1, 2));
        assert_eq!(unknown.await.unwrap(), Err(PublishRefusal::UnknownDevice));
    }
}
