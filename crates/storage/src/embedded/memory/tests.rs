// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The conformance suite in memory, and what memory adds: crashes, faults, delays.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::conformance::world::{
    TODAY, account, contact_id, device, envelope_id, limits, mailbox, open_with,
    register_with_contact, rows_of, send, sending,
};
use crate::conformance::{ClientPlace, ServerPlace};
use crate::embedded::{EmbeddedClientStore, EmbeddedStore, ServerOptions};
use crate::server::{AccountStore, MailboxStore};

/// A sync that takes between none and seven turns of the scheduler.
fn uneven() -> Arc<dyn SyncLatency> {
    let count = AtomicU32::new(0);
    Arc::new(move || -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let turns = count.fetch_add(5, Ordering::Relaxed) % 8;
        Box::pin(async move {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        })
    })
}

#[derive(Default)]
struct Place(MemoryDisk);

impl ServerPlace for Place {
    type Store = EmbeddedStore<MemoryKeyValue>;

    async fn open(&self, options: ServerOptions) -> Result<Self::Store, StoreError> {
        EmbeddedStore::open(self.0.open(uneven())?, options).await
    }

    fn crash(&self) {
        self.0.crash(0);
    }
}

impl ClientPlace for Place {
    type Store = EmbeddedClientStore<MemoryKeyValue>;

    async fn open(&self) -> Result<Self::Store, StoreError> {
        EmbeddedClientStore::open(self.0.open(uneven())?).await
    }

    fn crash(&self) {
        self.0.crash(0);
    }
}

mod server {
    crate::server_conformance!(super::Place::default());
}

mod client {
    crate::client_conformance!(super::Place::default());
}

fn batch(key: &'static [u8], value: &'static [u8]) -> Batch {
    Batch::from([(Bytes::from_static(key), Some(Bytes::from_static(value)))])
}

#[tokio::test]
async fn a_crash_keeps_a_prefix_of_what_was_not_synced() {
    for kept in 0..4 {
        let disk = MemoryDisk::new();
        let store = disk.open(Arc::new(Immediate)).unwrap();
        store.apply(batch(b"a", b"0")).await.unwrap();
        let unsynced = [
            store.apply(batch(b"a", b"1")),
            store.apply(batch(b"b", b"2")),
            store.apply(batch(b"c", b"3")),
        ];
        assert_eq!(disk.unsynced_count(), 3);
        assert!(store.get(b"b").unwrap().pending);
        assert_eq!(disk.crash(kept), 3 - kept);
        for late in unsynced {
            assert_eq!(late.await, Err(StoreError::Stopped));
        }
        assert_eq!(store.get(b"a"), Err(StoreError::Stopped));
        let store = disk.open(Arc::new(Immediate)).unwrap();
        let value = |key: &[u8]| store.get(key).unwrap().value;
        assert_eq!(value(b"a").unwrap(), if kept > 0 { "1" } else { "0" });
        assert_eq!(value(b"b").is_some(), kept > 1);
        assert_eq!(value(b"c").is_some(), kept > 2);
    }
}

#[tokio::test]
async fn the_death_of_the_process_alone_loses_nothing() {
    let disk = MemoryDisk::new();
    let store = disk.open(Arc::new(Immediate)).unwrap();
    assert!(matches!(
        disk.open(Arc::new(Immediate)),
        Err(StoreError::StoreInUse)
    ));
    drop(store.apply(batch(b"a", b"1")));
    drop(store);
    let store = disk.open(Arc::new(Immediate)).unwrap();
    assert!(store.get(b"a").unwrap().value.is_some());
    assert_eq!(disk.crash(usize::MAX), 0);
}

#[tokio::test]
async fn one_sync_makes_all_before_it_durable_and_an_idle_barrier_costs_none() {
    let disk = MemoryDisk::new();
    let store = disk.open(Arc::new(Immediate)).unwrap();
    let first = store.apply(batch(b"a", b"1"));
    let second = store.apply(batch(b"b", b"1"));
    store.apply(Batch::new()).await.unwrap();
    assert_eq!((disk.sync_count(), disk.unsynced_count()), (1, 0));
    first.await.unwrap();
    second.await.unwrap();
    store.apply(Batch::new()).await.unwrap();
    assert_eq!(disk.sync_count(), 1);
}

#[tokio::test]
async fn after_a_fault_nothing_is_acknowledged_any_more() {
    for (fault, error) in [
        (Fault::DiskFull, StoreError::DiskFull),
        (
            Fault::SyncFails,
            StoreError::Io {
                kind: std::io::ErrorKind::Other,
            },
        ),
    ] {
        let place = Place::default();
        let store = open_with(&place, limits()).await;
        register_with_contact(&store, 1, &[1]).await;
        place.0.set_fault(Some(fault));
        let lost = store.append(sending(contact_id(1, 1), &[1], 1, b"x")).await;
        assert_eq!(lost, Err(error));
        place.0.set_fault(None);
        let late = store.append(sending(contact_id(1, 1), &[1], 2, b"x")).await;
        assert_eq!(late, Err(StoreError::Stopped));
        drop(store);
        place.0.crash(0);
        let store = open_with(&place, limits()).await;
        assert!(mailbox(&store, 1, 1).await.is_empty());
        send(&store, sending(contact_id(1, 1), &[1], 1, b"x"))
            .await
            .unwrap();
    }
}

/// The planted fault does what it is for: what was acknowledged is gone after a crash.
#[tokio::test]
async fn a_lying_sync_loses_what_was_acknowledged() {
    let place = Place::default();
    let store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1]).await;
    place.0.set_fault(Some(Fault::SyncLies));
    send(&store, sending(contact_id(1, 1), &[1], 1, b"x"))
        .await
        .unwrap();
    drop(store);
    place.0.crash(0);
    place.0.set_fault(None);
    let store = open_with(&place, limits()).await;
    assert!(mailbox(&store, 1, 1).await.is_empty());
}

/// Wherever a closing is cut, the account is there wholly or gone wholly.
#[tokio::test]
async fn a_removal_that_was_cut_is_finished_at_the_next_opening() {
    let mut lost = 1;
    for kept in 0.. {
        let place = Place::default();
        let store = open_with(&place, limits()).await;
        register_with_contact(&store, 1, &[1, 2]).await;
        for number in 0..10 {
            let append = sending(contact_id(1, 1), &[1, 2], number, &[1; 20_000]);
            send(&store, append).await.unwrap();
        }
        let before = rows_of(&store, 1).await;
        let mut cut = Box::pin(store.close_account(account(1), TODAY));
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        while place.0.unsynced_count() == 0 {
            assert!(cut.as_mut().poll(&mut context).is_pending());
        }
        drop(cut);
        if lost == 0 {
            break;
        }
        lost = place.0.crash(kept);
        drop(store);
        let store = open_with(&place, limits()).await;
        let after = rows_of(&store, 1).await;
        assert!(
            if kept == 0 {
                after == before
            } else {
                after.is_empty()
            },
            "{kept}: {after:?}"
        );
        assert_eq!(
            store.account(account(1)).await.unwrap().is_some(),
            kept == 0
        );
    }
    assert_eq!(lost, 0);
}

/// The answer to a retry waits for the first attempt, which is not durable yet.
#[tokio::test]
async fn a_duplicate_is_answered_when_the_first_is_durable() {
    let place = Place::default();
    let store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1]).await;
    let append = sending(contact_id(1, 1), &[1], 1, b"x");
    // Decided, and dropped before it is durable.
    let mut first = Box::pin(store.append(append.clone()));
    place.0.set_fault(Some(Fault::SyncFails));
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    while place.0.unsynced_count() == 0 {
        assert!(first.as_mut().poll(&mut context).is_pending());
    }
    drop(first);
    assert!(
        mailbox(&store, 1, 1).await.is_empty(),
        "shown before it was durable"
    );
    assert!(store.append(append).await.is_err());
}

#[tokio::test]
async fn bytes_on_the_disk_can_be_searched() {
    let place = Place::default();
    let store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1]).await;
    assert!(place.0.contains(b"user-1"));
    assert!(!place.0.contains(b"canary"));
    send(
        &store,
        sending(contact_id(1, 1), &[1], 1, b"the canary sings"),
    )
    .await
    .unwrap();
    assert!(place.0.contains(b"canary"));
}

#[derive(Debug, Clone)]
enum Action {
    Send(u32),
    Acknowledge(usize),
    /// Begin a sending and crash before it is durable, keeping so many batches.
    Crash(u32, usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0_u32..30).prop_map(Action::Send),
        3 => (0_usize..8).prop_map(Action::Acknowledge),
        2 => ((0_u32..30), 0_usize..2).prop_map(|(number, kept)| Action::Crash(number, kept)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a model: nothing accepted is lost, nothing acknowledged comes back, nothing is
    /// there twice, whatever crashes.
    #[test]
    fn no_envelope_is_lost_or_doubled(actions in proptest::collection::vec(action(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let place = Place::default();
            let options = crate::embedded::ServerLimits {
                remembered_envelope_ids_max: 64,
                mailbox_envelopes_max: 1000,
                mailbox_contact_envelopes_max: 1000,
                ..limits()
            };
            let mut store = open_with(&place, options).await;
            register_with_contact(&store, 1, &[1]).await;
            // Envelopes that must be there, and those that must never be there again.
            let mut held = BTreeMap::new();
            let mut gone = BTreeMap::new();
            for action in actions {
                match action {
                    Action::Send(number) => {
                        let body = vec![1; 7000];
                        send(&store, sending(contact_id(1, 1), &[1], number, &body)).await.unwrap();
                        if !gone.contains_key(&envelope_id(number)) {
                            held.insert(envelope_id(number), ());
                        }
                    }
                    Action::Acknowledge(index) => {
                        let now = mailbox(&store, 1, 1).await;
                        if let Some(one) = now.get(index) {
                            let positions = vec![one.position];
                            store.acknowledge(account(1), device(1), positions).await.unwrap();
                            held.remove(&one.envelope_id);
                            gone.insert(one.envelope_id, ());
                        }
                    }
                    Action::Crash(number, kept) => {
                        let append = sending(contact_id(1, 1), &[1], number, b"cut");
                        let mut cut = Box::pin(store.append(append));
                        let mut context =
                            core::task::Context::from_waker(core::task::Waker::noop());
                        let polled = cut.as_mut().poll(&mut context);
                        drop(cut);
                        let was_kept = polled.is_ready() || kept > 0;
                        place.0.crash(kept);
                        drop(store);
                        store = open_with(&place, options).await;
                        if was_kept && !gone.contains_key(&envelope_id(number)) {
                            held.insert(envelope_id(number), ());
                        }
                    }
                }
                let now = mailbox(&store, 1, 1).await;
                let ids: Vec<_> = now.iter().map(|one| one.envelope_id).collect();
                let mut sorted = ids.clone();
                sorted.sort();
                let expected: Vec<_> = held.keys().copied().collect();
                assert_eq!(sorted, expected);
            }
        });
    }
}
