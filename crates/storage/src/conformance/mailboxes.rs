// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules for mailboxes: order, deduplication, durability.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use super::ServerPlace;
use super::world::{
    account, contact_id, crash, device, envelope_id, limits, mailbox, manifest, open, open_with,
    public_id, register_with_contact, send, sending,
};
use crate::server::{AccountStore, AppendRefusal, MailboxStore, Position};

/// [BOX-16]: in, read in order, out.
pub async fn envelopes_are_read_in_order_until_acknowledged<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register_with_contact(&store, 1, &[1]).await;
    for number in 0..6_u32 {
        let body = vec![u8::try_from(number).unwrap(); 30_000];
        let sent = send(&store, sending(contact_id(1, 1), &[1], number, &body))
            .await
            .unwrap();
        assert_eq!(sent.account, account(1));
        assert_eq!(sent.stored, [(device(1), Position(u64::from(number) + 1))]);
    }
    let held = mailbox(&store, 1, 1).await;
    let positions: Vec<_> = held.iter().map(|one| one.position.0).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6]);
    assert!(held.iter().all(|one| one.delivery_id == contact_id(1, 1)));
    assert!(held[2].envelope.iter().all(|byte| *byte == 2));
    assert_eq!(
        (held[2].envelope_id, held[2].envelope.len()),
        (envelope_id(2), 30_000)
    );
    // Not in order, twice, and one that never was.
    let gone = [4, 1, 1, 99].map(Position).to_vec();
    store
        .acknowledge(account(1), device(1), gone)
        .await
        .unwrap();
    let store = crash(&place, store).await;
    let positions: Vec<_> = mailbox(&store, 1, 1)
        .await
        .iter()
        .map(|one| one.position.0)
        .collect();
    assert_eq!(positions, [2, 3, 5, 6]);
    let rest = store
        .read(account(1), device(1), Position(3), 1, usize::MAX)
        .await
        .unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].position, Position(5));
    // Positions are never used again, not even when the mailbox was empty and the store was lost.
    let all = [2, 3, 5, 6].map(Position).to_vec();
    store.acknowledge(account(1), device(1), all).await.unwrap();
    let store = crash(&place, store).await;
    let sent = send(&store, sending(contact_id(1, 1), &[1], 50, b"x"))
        .await
        .unwrap();
    assert_eq!(sent.stored, [(device(1), Position(7))]);
    assert!(mailbox(&store, 1, 2).await.is_empty());
}

/// [BOX-10]: retries, while it is stored, after it was acknowledged, after a crash, and at once.
pub async fn an_envelope_is_stored_once_however_often_it_is_sent<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    let first = sending(contact_id(1, 1), &[1, 2], 7, b"once");
    assert_eq!(send(&store, first.clone()).await.unwrap().stored.len(), 2);
    assert!(send(&store, first.clone()).await.unwrap().stored.is_empty());
    // The same id under another delivery id is another envelope.
    let other = send(&store, sending(public_id(1), &[1], 7, b"other"))
        .await
        .unwrap();
    assert_eq!(other.stored.len(), 1);
    store
        .acknowledge(account(1), device(1), vec![Position(1)])
        .await
        .unwrap();
    let store = crash(&place, store).await;
    assert!(send(&store, first.clone()).await.unwrap().stored.is_empty());
    assert_eq!(mailbox(&store, 1, 1).await.len(), 1);
    assert_eq!(mailbox(&store, 1, 2).await.len(), 1);

    let store = Arc::new(store);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { send(&*store, sending(contact_id(1, 1), &[1], 8, b"x")).await });
    }
    let answers = tasks.join_all().await;
    let stored: usize = answers
        .into_iter()
        .map(|sent| sent.unwrap().stored.len())
        .sum();
    assert_eq!(stored, 1);
    assert_eq!(mailbox(&*store, 1, 1).await.len(), 2);
}

/// [BOX-9]: one device that is unknown, or one mailbox that is full, and nothing is stored anywhere.
pub async fn a_sending_is_stored_for_all_devices_or_for_none<P: ServerPlace>(place: P) {
    let store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    let stale = Err(AppendRefusal::StaleDevices {
        manifest: manifest(1, &[1, 2]).bytes,
    });
    let unknown = send(&store, sending(contact_id(1, 1), &[1, 3], 1, b"x")).await;
    assert_eq!(unknown, stale);
    let mut old = sending(contact_id(1, 1), &[1], 1, b"x");
    old.manifest_version = 0;
    assert_eq!(send(&store, old.clone()).await, stale);
    assert!(mailbox(&store, 1, 1).await.is_empty());

    for number in 0..14 {
        send(&store, sending(contact_id(1, 1), &[2], number, b"x"))
            .await
            .unwrap();
    }
    let both = sending(contact_id(1, 1), &[1, 2], 99, b"x");
    assert_eq!(
        send(&store, both.clone()).await,
        Err(AppendRefusal::MailboxFull)
    );
    assert!(mailbox(&store, 1, 1).await.is_empty());
    store
        .acknowledge(account(1), device(2), vec![Position(1)])
        .await
        .unwrap();
    assert_eq!(send(&store, both).await.unwrap().stored.len(), 2);

    let next = manifest(2, &[1]);
    let replaced = store.replace_manifest(account(1), manifest(1, &[1, 2]).head, next.clone());
    replaced.await.unwrap().unwrap();
    let late = send(&store, sending(contact_id(1, 1), &[1], 100, b"x")).await;
    assert_eq!(
        late,
        Err(AppendRefusal::StaleDevices {
            manifest: next.bytes
        })
    );
    old.delivery_id = contact_id(1, 9);
    assert_eq!(send(&store, old).await, Err(AppendRefusal::DeliveryIdGone));
}

/// Writers, and a reader that goes on from the last position that it saw: it misses nothing.
pub async fn a_position_is_never_shown_before_the_ones_below_it<P: ServerPlace>(place: P) {
    const WRITERS: u32 = 6;
    const EACH: u32 = 40;
    let store = Arc::new(open(&place).await);
    register_with_contact(&*store, 1, &[1]).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (store, is_done) = (Arc::clone(&store), Arc::clone(&is_done));
        async move {
            let mut after = Position::START;
            loop {
                let was_done = is_done.load(Ordering::SeqCst);
                let read = store.read(account(1), device(1), after, 7, usize::MAX);
                let read = read.await.unwrap();
                for envelope in &read {
                    assert_eq!(
                        envelope.position.0,
                        after.0 + 1,
                        "a position was passed over"
                    );
                    after = envelope.position;
                }
                if was_done && read.is_empty() {
                    return after;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0..EACH {
                let id = writer * EACH + number;
                let sent = send(&*store, sending(contact_id(1, 1), &[1], id, &[7; 6000])).await;
                let position = sent.unwrap().stored[0].1;
                // What was answered can be read at once.
                let before = Position(position.0 - 1);
                let read = store
                    .read(account(1), device(1), before, 1, usize::MAX)
                    .await;
                assert_eq!(read.unwrap()[0].position, position);
            }
        });
    }
    tasks.join_all().await;
    is_done.store(true, Ordering::SeqCst);
    assert_eq!(reader.await.unwrap(), Position(u64::from(WRITERS * EACH)));
}

/// [TRN-18]: concurrent sendings and acknowledgements, then the store is lost.
pub async fn what_was_answered_survives_a_crash<P: ServerPlace>(place: P) {
    let mut store = open(&place).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    let mut expected = BTreeSet::new();
    for round in 0..4_u32 {
        let shared = Arc::new(store);
        let mut tasks = JoinSet::new();
        for number in 0..12 {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                let id = round * 100 + number;
                let sent = send(&*shared, sending(contact_id(1, 1), &[1, 2], id, &[1; 9000]));
                let position = sent.await.unwrap().stored[0].1;
                if number % 3 == 0 {
                    let gone = shared.acknowledge(account(1), device(1), vec![position]);
                    gone.await.unwrap();
                    return None;
                }
                Some(envelope_id(id))
            });
        }
        expected.extend(tasks.join_all().await.into_iter().flatten());
        store = crash(&place, Arc::into_inner(shared).unwrap()).await;
        let held = mailbox(&store, 1, 1).await;
        let found: BTreeSet<_> = held.iter().map(|one| one.envelope_id).collect();
        assert_eq!(found, expected);
        assert_eq!(held.len(), expected.len());
        assert_eq!(mailbox(&store, 1, 2).await.len(), (round as usize + 1) * 12);
    }
}

/// Writers of many mailboxes, readers that acknowledge, and a loss in between: every mailbox is
/// read in order, without a gap, and nothing comes twice.
pub async fn many_writers_share_many_mailboxes<P: ServerPlace>(place: P) {
    const MAILBOXES: u8 = 4;
    const ROUNDS: u32 = 3;
    const EACH: u32 = 20;
    let mut store = open(&place).await;
    for number in 1..=MAILBOXES {
        register_with_contact(&store, number, &[1]).await;
    }
    let mut seen = vec![0_u64; usize::from(MAILBOXES)];
    for round in 0..ROUNDS {
        let shared = Arc::new(store);
        let mut tasks = JoinSet::new();
        for number in 1..=MAILBOXES {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                for of in 0..EACH {
                    let id = contact_id(number, 1);
                    let sent = send(&*shared, sending(id, &[1], round * EACH + of, &[2; 3000]));
                    assert_eq!(sent.await.unwrap().stored.len(), 1);
                }
            });
        }
        tasks.join_all().await;
        for (number, seen) in (1..=MAILBOXES).zip(&mut seen) {
            let held = mailbox(&*shared, number, 1).await;
            let (first, second) = held.split_at(held.len() / 2);
            assert_eq!(held.first().unwrap().position.0, *seen + 1);
            for pair in held.windows(2) {
                assert_eq!(pair[1].position.0, pair[0].position.0 + 1);
            }
            let positions = first.iter().map(|one| one.position).collect();
            let gone = shared.acknowledge(account(number), device(1), positions);
            gone.await.unwrap();
            *seen = first.last().unwrap().position.0;
            assert!(!second.is_empty());
        }
        store = crash(&place, Arc::into_inner(shared).unwrap()).await;
        for (number, seen) in (1..=MAILBOXES).zip(&seen) {
            let held = mailbox(&store, number, 1).await;
            assert_eq!(held.first().unwrap().position.0, *seen + 1);
            assert_eq!(
                held.last().unwrap().position.0,
                u64::from((round + 1) * EACH)
            );
        }
    }
}

/// A reading takes the first envelope however large it is.
pub async fn a_reading_is_bounded_but_never_stuck<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register_with_contact(&store, 1, &[1]).await;
    for number in 0..4 {
        let body = [3; waxwing_proto::limits::ENVELOPE_SIZE_MAX];
        send(&store, sending(contact_id(1, 1), &[1], number, &body))
            .await
            .unwrap();
    }
    let read = |count, bytes| store.read(account(1), device(1), Position::START, count, bytes);
    assert_eq!(read(10, 1).await.unwrap().len(), 1);
    assert_eq!(read(10, 200_000).await.unwrap().len(), 2);
    assert_eq!(read(3, usize::MAX).await.unwrap().len(), 3);
    assert_eq!(read(0, usize::MAX).await.unwrap().len(), 0);
    let all = read(10, usize::MAX).await.unwrap();
    assert!(all.iter().all(|one| one.envelope.len() == 98_304));
}
