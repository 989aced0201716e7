// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules for bounds: quotas, remembered envelopes, retention.

use super::ServerPlace;
use super::world::{
    TODAY, account, contact_id, crash, device, envelope_id, limits, mailbox, open_with, own_id,
    public_id, register_with_contact, rows_of, send, sending,
};
use crate::embedded::ServerLimits;
use crate::server::{AppendRefusal, DeliveryIdStore, ExpiredCount, MailboxStore, Position};

/// [BOX-12], [BOX-72]: full by count and full by bytes; both refuse, and nothing that is held goes.
pub async fn a_full_mailbox_refuses_and_keeps_what_it_holds<P: ServerPlace>(place: P) {
    let store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    let id = contact_id(1, 1);
    for number in 0..14 {
        send(&store, sending(id, &[1], number, b"x")).await.unwrap();
    }
    let full = Err(AppendRefusal::MailboxFull);
    assert_eq!(send(&store, sending(id, &[1], 14, b"x")).await, full);
    // A duplicate is a success even then.
    assert!(
        send(&store, sending(id, &[1], 3, b"x"))
            .await
            .unwrap()
            .stored
            .is_empty()
    );
    assert_eq!(mailbox(&store, 1, 1).await.len(), 14);
    // 350,000 of 400,000 bytes are for others than the account's own devices.
    for number in 0..3 {
        send(&store, sending(id, &[2], number, &[0; 90_000]))
            .await
            .unwrap();
    }
    assert_eq!(send(&store, sending(id, &[2], 3, &[0; 90_000])).await, full);
    send(&store, sending(id, &[2], 4, &[0; 80_000]))
        .await
        .unwrap();
    assert_eq!(send(&store, sending(id, &[2], 5, b"x")).await, full);
    // Room comes back with an acknowledgement.
    store
        .acknowledge(account(1), device(2), vec![Position(2)])
        .await
        .unwrap();
    send(&store, sending(id, &[2], 3, &[0; 90_000]))
        .await
        .unwrap();
}

/// [BOX-13], [BOX-72]: who may use which part of a mailbox.
pub async fn strangers_share_little_and_own_devices_have_a_reserve<P: ServerPlace>(place: P) {
    let store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1]).await;
    let full = Err(AppendRefusal::MailboxFull);
    let mut number = 0;
    let mut fill = async |id, count| {
        for _ in 0..count {
            number += 1;
            send(&store, sending(id, &[1], number, b"x")).await.unwrap();
        }
        number += 1;
        send(&store, sending(id, &[1], number, b"x")).await
    };
    assert_eq!(fill(public_id(1), 3).await, full);
    // 14 of 16 for everybody else, the strangers' 3 among them.
    assert_eq!(fill(contact_id(1, 1), 11).await, full);
    assert_eq!(fill(public_id(1), 0).await, full);
    assert_eq!(fill(own_id(1), 2).await, full);
    assert_eq!(mailbox(&store, 1, 1).await.len(), 16);
    // A stranger's envelope goes, a stranger's place is free.
    store
        .acknowledge(account(1), device(1), vec![Position(1)])
        .await
        .unwrap();
    assert_eq!(fill(public_id(1), 1).await, full);
}

/// [BOX-70], [BOX-71]: one contact cannot use what is for the others, by count or by bytes.
pub async fn each_delivery_id_has_a_share_of_its_own<P: ServerPlace>(place: P) {
    let limits = ServerLimits {
        mailbox_contact_envelopes_max: 4,
        mailbox_contact_bytes_max: 100_000,
        ..limits()
    };
    let store = open_with(&place, limits).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    let ids = vec![contact_id(1, 2), contact_id(1, 3)];
    let created = store.create_delivery_ids(account(1), ids).await;
    created.unwrap().unwrap();
    let full = Err(AppendRefusal::MailboxFull);
    for contact in 1..=3 {
        let id = contact_id(1, contact);
        for number in 0..4 {
            send(&store, sending(id, &[1], number, b"x")).await.unwrap();
        }
        assert_eq!(send(&store, sending(id, &[1], 4, b"x")).await, full);
        // A duplicate is none too many.
        let again = send(&store, sending(id, &[1], 3, b"x")).await.unwrap();
        assert!(again.stored.is_empty());
        // The share is one of each mailbox; a sending to both is refused whole.
        assert_eq!(send(&store, sending(id, &[1, 2], 5, b"x")).await, full);
        assert!(mailbox(&store, 1, 2).await.is_empty());
    }
    send(&store, sending(public_id(1), &[1], 1, b"x"))
        .await
        .unwrap();
    send(&store, sending(own_id(1), &[1], 1, b"x"))
        .await
        .unwrap();
    // By bytes.
    let id = contact_id(1, 2);
    send(&store, sending(id, &[2], 10, &[0; 60_000]))
        .await
        .unwrap();
    let large = sending(id, &[2], 11, &[0; 60_000]);
    assert_eq!(send(&store, large.clone()).await, full);
    let store = {
        drop(store);
        place.crash();
        open_with(&place, limits).await
    };
    // The shares outlive a crash, and come back with an acknowledgement.
    assert_eq!(send(&store, large.clone()).await, full);
    store
        .acknowledge(account(1), device(2), vec![Position(1)])
        .await
        .unwrap();
    send(&store, large).await.unwrap();
    let late = send(&store, sending(contact_id(1, 1), &[1], 20, b"x")).await;
    assert_eq!(late, full);
    let mut strangers = sending(public_id(1), &[2], 30, &[0; 90_000]);
    send(&store, strangers.clone()).await.unwrap();
    strangers.envelopes[0].envelope_id = envelope_id(31);
    assert_eq!(send(&store, strangers).await, full);
}

/// [BOX-11]: the newest are remembered, the oldest forgotten.
pub async fn remembered_envelopes_are_bounded<P: ServerPlace>(place: P) {
    let store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1]).await;
    let id = contact_id(1, 1);
    for number in 0..8_u32 {
        let sent = send(&store, sending(id, &[1], number, b"x")).await.unwrap();
        store
            .acknowledge(account(1), device(1), vec![sent.stored[0].1])
            .await
            .unwrap();
    }
    for (number, is_new) in [(7, false), (4, false), (3, true), (0, true)] {
        let sent = send(&store, sending(id, &[1], number, b"x")).await.unwrap();
        assert_eq!(!sent.stored.is_empty(), is_new, "envelope {number}");
    }
}

/// [BOX-22], [BOX-40]: retention.
pub async fn what_is_too_old_is_deleted_and_counted<P: ServerPlace>(place: P) {
    let store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    let id = contact_id(1, 1);
    for number in 0..9_u32 {
        let mut append = sending(id, &[1], number, &[5; 7000]);
        append.today = TODAY.plus(number / 3);
        send(&store, append).await.unwrap();
    }
    assert_eq!(store.expire(TODAY.plus(45)).await.unwrap(), 0);
    assert_eq!(store.expire(TODAY.plus(47)).await.unwrap(), 6);
    let store = {
        drop(store);
        place.crash();
        open_with(&place, limits()).await
    };
    let positions: Vec<_> = mailbox(&store, 1, 1)
        .await
        .iter()
        .map(|one| one.position.0)
        .collect();
    assert_eq!(positions, [7, 8, 9]);
    let counts = store.expired_counts(account(1), device(1)).await.unwrap();
    let count = |days, count| ExpiredCount {
        day: TODAY.plus(days),
        count,
    };
    assert_eq!(counts, [count(0, 3), count(1, 3)]);
    // Told until the device has them: looking takes nothing, and neither does what does not fit.
    let store = crash(&place, store).await;
    let wrong = vec![count(0, 2), count(9, 3)];
    store
        .acknowledge_expired(account(1), device(1), wrong)
        .await
        .unwrap();
    assert_eq!(
        store.expired_counts(account(1), device(1)).await.unwrap(),
        counts
    );
    store
        .acknowledge_expired(account(1), device(1), vec![count(0, 3)])
        .await
        .unwrap();
    let store = crash(&place, store).await;
    assert_eq!(
        store.expired_counts(account(1), device(1)).await.unwrap(),
        [count(1, 3)]
    );
    // A retry changes nothing, and other devices have counts of their own.
    store
        .acknowledge_expired(account(1), device(1), counts.clone())
        .await
        .unwrap();
    let left = store.expired_counts(account(1), device(1)).await.unwrap();
    assert!(left.is_empty());
    let other = store.expired_counts(account(1), device(2)).await.unwrap();
    assert!(other.is_empty());
    assert_eq!(rows_of(&store, 1).await.get("envelopes"), Some(&3));
}

/// [BOX-11]: the daily run forgets nothing that went less than a day before, and what went before that in time.
/// Two runs on days that follow each other may be minutes apart.
pub async fn remembered_envelopes_are_forgotten_after_a_day<P: ServerPlace>(place: P) {
    let mut store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1]).await;
    let append = |number| sending(contact_id(1, 1), &[1], number, b"x");
    for number in 1..=2 {
        send(&store, append(number)).await.unwrap();
    }
    let gone = |position| {
        let positions = vec![Position(position)];
        (account(1), device(1), positions)
    };
    let (account, device, positions) = gone(1);
    store.acknowledge(account, device, positions).await.unwrap();
    for days in [0, 0, 1, 1] {
        store.expire(TODAY.plus(days)).await.unwrap();
        let sent = send(&store, append(1)).await.unwrap();
        assert!(sent.stored.is_empty(), "day {days}");
        // A run of an earlier process counts.
        drop(store);
        place.crash();
        store = open_with(&place, limits()).await;
    }
    // In the night from the second day to the third.
    let (account, device, positions) = gone(2);
    store.acknowledge(account, device, positions).await.unwrap();
    store.expire(TODAY.plus(2)).await.unwrap();
    store.expire(TODAY.plus(3)).await.unwrap();
    let sent = send(&store, append(2)).await.unwrap();
    assert!(sent.stored.is_empty());
    assert_eq!(send(&store, append(1)).await.unwrap().stored.len(), 1);
    store.expire(TODAY.plus(4)).await.unwrap();
    assert_eq!(send(&store, append(2)).await.unwrap().stored.len(), 1);
    // A server that did not run for long has seen one day in between.
    let (account, device, positions) = gone(3);
    store.acknowledge(account, device, positions).await.unwrap();
    store.expire(TODAY.plus(20)).await.unwrap();
    assert!(send(&store, append(1)).await.unwrap().stored.is_empty());
}
