// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk that stands still: what waits for it is bounded, and what is refused is not stored.

use std::sync::{Condvar, PoisonError};

use futures_util::FutureExt as _;
use waxwing_proto::limits::LOG_QUEUE_RETRY_MS;

use super::*;
use crate::conformance::world::{device, envelope_id};
use crate::embedded::server::ServerLimits;
use crate::server::{DeliveryIdStore as _, Position};

const BUSY: StoreError = StoreError::Busy {
    retry_after_ms: LOG_QUEUE_RETRY_MS,
};

/// So many that their mailboxes hold three times what may wait.
const DEVICES: [u8; 6] = [1, 2, 3, 4, 5, 6];

/// A disk whose syncs end only while it is open.
#[derive(Default)]
struct Gate {
    is_closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set_closed(&self, is_closed: bool) {
        *self
            .is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = is_closed;
        self.changed.notify_all();
    }
}

impl Syncer for Gate {
    fn sync(&self, file: &File) -> io::Result<()> {
        let is_closed = self
            .is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let closed = self.changed.wait_while(is_closed, |is_closed| *is_closed);
        drop(closed);
        file.sync_data()
    }
}

/// Opens the gate however a test ends: a store that is dropped waits for its disk.
struct Opening(Arc<Gate>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.set_closed(false);
    }
}

async fn open(place: &Place) -> EmbeddedStore<LoggedKeyValue> {
    let options = ServerOptions {
        limits: ServerLimits::default(),
        new_name_key: [1; 32],
    };
    ServerPlace::open(place, options).await.unwrap()
}

/// [BOX-74]: bytes that wait to be written to the log.
#[tokio::test]
async fn what_waits_for_the_log_is_bounded() {
    let gate = Arc::new(Gate::default());
    let mut place = Place::default();
    place.files.log_syncer = Arc::<Gate>::clone(&gate);
    let store = open(&place).await;
    register_with_contact(&store, 1, &DEVICES).await;
    let opening = Opening(Arc::clone(&gate));
    gate.set_closed(true);
    let append = |number| sending(contact_id(1, 1), &DEVICES, number, &[7; 60_000]);
    let mut waiting = Vec::new();
    let mut number = 0;
    let refused = loop {
        let mut sent = Box::pin(store.append(append(number)));
        match sent.as_mut().now_or_never() {
            None => waiting.push(sent),
            Some(answer) => break answer,
        }
        number += 1;
        // Both threads of the log may have taken a full queue each before their disk stood still.
        assert!(number < 200, "the queue has an end");
    };
    assert_eq!(refused, Err(BUSY));
    // Steps that change rows wait for the same disk.
    let ids = vec![contact_id(1, 2)];
    let step = store.create_delivery_ids(account(1), ids.clone());
    assert_eq!(step.now_or_never(), Some(Err(BUSY)));
    assert!(mailbox(&store, 1, 1).await.is_empty(), "nothing is durable");
    drop(opening);
    for sent in waiting {
        assert_eq!(sent.await.unwrap().unwrap().stored.len(), DEVICES.len());
    }
    for of in DEVICES {
        let stored = mailbox(&store, 1, of).await;
        let ids = stored.iter().map(|one| one.envelope_id);
        assert!(ids.eq((0..number).map(envelope_id)));
    }
    // Nothing of what was refused was stored, and it is taken now.
    assert!(store.recipient(contact_id(1, 2)).await.unwrap().is_none());
    let sent = send(&store, append(number)).await.unwrap();
    assert_eq!(sent.stored.len(), DEVICES.len());
    let made = store.create_delivery_ids(account(1), ids).await;
    made.unwrap().unwrap();
}

/// [BOX-74]: batches of rows that are durable in the log and wait for journal and engine.
#[tokio::test]
async fn what_waits_for_the_tables_is_bounded() {
    let gate = Arc::new(Gate::default());
    let mut place = Place::default();
    let store = open(&place).await;
    register_with_contact(&store, 1, &[1]).await;
    let append = |number| sending(contact_id(1, 1), &[1], number, b"x");
    send(&store, append(1)).await.unwrap();
    // Closed, so that nothing of this is still on its way.
    drop(store);
    place.files.syncer = Arc::<Gate>::clone(&gate);
    let store = open(&place).await;
    let opening = Opening(Arc::clone(&gate));
    gate.set_closed(true);
    let key = |number: u8| Bytes::from(vec![0xf0, number]);
    let mut number = 0;
    let refused = loop {
        if let Err(refused) = store.key_value.admit() {
            break refused;
        }
        let value = Bytes::from(vec![number; 5000]);
        let batch =
            (0..150).map(|part| (Bytes::from(vec![0xf0, number, part]), Some(value.clone())));
        let batch: Batch = batch.chain([(key(number), Some(Bytes::new()))]).collect();
        store.key_value.apply(batch).await.unwrap();
        number += 1;
        assert!(number < 200, "the queue has an end");
    };
    assert_eq!(refused, BUSY);
    assert_eq!(store.append(append(2)).await, Err(BUSY));
    let ids = vec![contact_id(1, 2)];
    let step = store.create_delivery_ids(account(1), ids).await;
    assert_eq!(step, Err(BUSY));
    // What makes room in a mailbox waits for the log alone.
    let gone = vec![Position(1)];
    store
        .acknowledge(account(1), device(1), gone)
        .await
        .unwrap();
    drop(opening);
    drop(store);
    let store = open(&place).await;
    assert!(mailbox(&store, 1, 1).await.is_empty());
    assert!(store.recipient(contact_id(1, 2)).await.unwrap().is_none());
    for number in 0..number {
        let found = store.key_value.get(&key(number)).unwrap();
        assert!(found.value.is_some());
    }
    assert_eq!(send(&store, append(2)).await.unwrap().stored.len(), 1);
}
