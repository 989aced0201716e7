// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules for accounts, invites and delivery ids.

use std::sync::Arc;

use tokio::task::JoinSet;
use waxwing_proto::{DeliveryId, InviteToken, limits};

use super::ServerPlace;
use super::world::{
    TODAY, account, contact_id, crash, device, invited, limits as small, mailbox, manifest, open,
    open_with, own_id, public_id, publication, register, register_with_contact, registration,
    rows_of, send, sending,
};
use crate::Minute;
use crate::server::{
    AccountRecord, AccountStore, CreateDeliveryIdsRefusal, DeliveryIdKind, DeliveryIdStore,
    GenerationRefusal, InviteId, InviteStore, PrekeyStatus, PrekeyStore, Recipient,
    RegisterRefusal, ReplaceRefusal, Store,
};

/// Where a delivery id leads, by both steps that say so, the one that may remember asked twice.
async fn leads_to<S: Store>(store: &S, id: DeliveryId) -> Option<(AccountRecord, DeliveryIdKind)> {
    let found = store.account_by_delivery_id(id).await.unwrap();
    let expected = found.as_ref().map(|(record, kind)| Recipient {
        account: record.account,
        kind: *kind,
        manifest_version: record.head.version,
        devices: record.devices.iter().map(|one| one.device).collect(),
    });
    for _ in 0..2 {
        assert_eq!(store.recipient(id).await.unwrap(), expected);
    }
    found
}

const TOKEN: InviteToken = InviteToken::new([9; 16]);

/// [BOX-1]: an account is found in every way, and only its own.
pub async fn accounts_are_found_by_key_name_and_delivery_id<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    let store = crash(&place, store).await;
    let found = store.account(account(1)).await.unwrap().unwrap();
    assert_eq!(found.name.as_str(), "user-1");
    assert_eq!(found.manifest, manifest(1, &[1, 2]).bytes);
    assert_eq!(found.head, manifest(1, &[1, 2]).head);
    assert_eq!(found.public_delivery_id, public_id(1));
    let devices: Vec<_> = found.devices.iter().map(|one| one.device).collect();
    assert_eq!(devices, [device(1), device(2)]);
    let by_name = store.account_by_name("user-1".parse().unwrap()).await;
    assert_eq!(by_name.unwrap().unwrap(), found);
    for (id, kind) in [
        (public_id(1), DeliveryIdKind::Public),
        (own_id(1), DeliveryIdKind::Own),
        (contact_id(1, 1), DeliveryIdKind::Contact),
    ] {
        let by_id = leads_to(&store, id).await;
        assert_eq!(by_id, Some((found.clone(), kind)));
    }
    assert_eq!(store.account(account(2)).await.unwrap(), None);
    assert_eq!(leads_to(&store, contact_id(1, 2)).await, None);
    let by_name = store.account_by_name("user-2".parse().unwrap()).await;
    assert_eq!(by_name.unwrap(), None);
    assert_eq!(store.account_count().await.unwrap(), 1);
}

/// Every reason for refusing a registration.
pub async fn registrations_are_refused_with_a_reason_and_change_nothing<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register(&store, 1, &[1]).await;
    let end = Minute(Minute::from(TODAY).0 + 5);
    store.create_invite(TOKEN, 1, Some(end)).await.unwrap();

    let mut without = invited(2, TOKEN);
    without.invite = None;
    let mut late = invited(2, TOKEN);
    late.now = end;
    let unknown = invited(2, InviteToken::new([8; 16]));
    let mut same_name = invited(2, TOKEN);
    same_name.name = "user-1".parse().unwrap();
    let mut same_account = invited(2, TOKEN);
    same_account.account = account(1);
    let mut same_public = invited(2, TOKEN);
    same_public.public_delivery_id = own_id(1);
    let mut one_id = invited(2, TOKEN);
    one_id.own_delivery_id = public_id(2);
    for (attempt, refusal) in [
        (without, RegisterRefusal::InviteMissing),
        (late, RegisterRefusal::InviteExpired),
        (unknown, RegisterRefusal::InviteUnknown),
        (same_name, RegisterRefusal::NameTaken),
        (same_account, RegisterRefusal::AccountExists),
        (same_public, RegisterRefusal::DeliveryIdTaken),
        (one_id, RegisterRefusal::DeliveryIdTaken),
    ] {
        assert_eq!(store.register(attempt).await.unwrap(), Err(refusal));
    }
    assert!(rows_of(&store, 2).await.is_empty());
    // None of them used the invite.
    assert_eq!(store.register(invited(2, TOKEN)).await.unwrap(), Ok(()));
    let used = store.register(invited(3, TOKEN)).await.unwrap();
    assert_eq!(used, Err(RegisterRefusal::InviteUsed));
}

/// A client that lost the answer asks again.
pub async fn a_registration_again_is_a_retry<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    store.create_invite(TOKEN, 2, None).await.unwrap();
    for _ in 0..3 {
        assert_eq!(store.register(invited(1, TOKEN)).await.unwrap(), Ok(()));
    }
    let store = crash(&place, store).await;
    assert_eq!(store.register(invited(1, TOKEN)).await.unwrap(), Ok(()));
    assert_eq!(store.invites().await.unwrap()[0].uses_left, 1);
}

/// Ten registrations at once with an invite for four.
pub async fn an_invite_is_used_as_often_as_it_allows_and_no_more<P: ServerPlace>(place: P) {
    let store = Arc::new(open(&place).await);
    store.create_invite(TOKEN, 4, None).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 1..=10 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.register(invited(number, TOKEN)).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    let registered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(registered, 4);
    let used = Err(RegisterRefusal::InviteUsed);
    assert_eq!(answers.iter().filter(|answer| **answer == used).count(), 6);
    assert_eq!(store.account_count().await.unwrap(), 4);
}

/// Invites by their hashes.
pub async fn invites_are_listed_and_revoked<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    let id = store
        .create_invite(TOKEN, 2, Some(Minute(7)))
        .await
        .unwrap();
    assert_eq!(id, InviteId::of(&TOKEN));
    let store = crash(&place, store).await;
    let listed = store.invites().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, listed[0].uses_left), (id, 2));
    assert_eq!(listed[0].expires, Some(Minute(7)));
    assert!(store.revoke_invite(id).await.unwrap());
    assert!(!store.revoke_invite(id).await.unwrap());
    assert!(store.invites().await.unwrap().is_empty());
    let refused = store.register(invited(1, TOKEN)).await.unwrap();
    assert_eq!(refused, Err(RegisterRefusal::InviteUnknown));
}

/// [IDN-31]: compare and set.
pub async fn of_concurrent_manifests_one_wins<P: ServerPlace>(place: P) {
    let store = Arc::new(open(&place).await);
    register(&*store, 1, &[1]).await;
    let expected = manifest(1, &[1]).head;
    let mut tasks = JoinSet::new();
    for added in 2..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let next = manifest(2, &[1, added]);
            let answer = store.replace_manifest(account(1), expected, next.clone());
            (answer.await.unwrap(), next)
        });
    }
    let answers = tasks.join_all().await;
    let winners: Vec<_> = answers
        .iter()
        .filter(|(answer, _)| answer.is_ok())
        .collect();
    assert_eq!(winners.len(), 1);
    let winner = winners[0].1.clone();
    let current = winner.head;
    for (answer, next) in &answers {
        if *next != winner {
            assert_eq!(*answer, Err(ReplaceRefusal::HeadMoved { current }));
        }
    }
    let again = store.replace_manifest(account(1), expected, winner.clone());
    assert_eq!(again.await.unwrap(), Ok(()));
    let store = crash(&place, Arc::into_inner(store).unwrap()).await;
    let chain = store.manifests(account(1), 0, 10).await.unwrap();
    assert_eq!(chain, [manifest(1, &[1]).bytes, winner.bytes.clone()]);
    let rest = store.manifests(account(1), 1, 10).await.unwrap();
    assert_eq!(rest, [winner.bytes]);
    assert_eq!(store.manifests(account(1), 0, 1).await.unwrap().len(), 1);
    assert!(store.manifests(account(2), 0, 10).await.unwrap().is_empty());
    let unknown = store.replace_manifest(account(2), expected, manifest(2, &[1]));
    assert_eq!(unknown.await.unwrap(), Err(ReplaceRefusal::UnknownAccount));
    let many = manifest(limits::MANIFEST_VERSIONS_MAX + 1, &[1]);
    let refused = store.replace_manifest(account(1), current, many).await;
    assert_eq!(refused.unwrap(), Err(ReplaceRefusal::TooManyVersions));
}

/// The account key overrides the chain.
pub async fn an_account_signed_manifest_can_void_later_ones<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register(&store, 1, &[1]).await;
    let chain = [
        manifest(1, &[1]),
        manifest(2, &[1, 2]),
        manifest(3, &[1, 2, 3]),
    ];
    for pair in chain.windows(2) {
        let next = store.replace_manifest(account(1), pair[0].head, pair[1].clone());
        next.await.unwrap().unwrap();
    }
    let recovery = manifest(2, &[9]);
    let replaced = store.replace_manifest(account(1), chain[2].head, recovery.clone());
    replaced.await.unwrap().unwrap();
    let kept = store.manifests(account(1), 0, 10).await.unwrap();
    assert_eq!(kept, [chain[0].bytes.clone(), recovery.bytes]);
    let found = store.account(account(1)).await.unwrap().unwrap();
    assert_eq!(found.head, recovery.head);
}

/// [BOX-22]: mailbox, prekeys and generation go with the device, in the same step; the others' stay.
pub async fn a_removed_device_leaves_nothing<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    for number in 1..=2 {
        let published = store.publish_prekeys(account(1), device(number), publication(1, 4));
        published.await.unwrap().unwrap();
        let advanced = store.advance_generation(account(1), device(number), 5);
        advanced.await.unwrap().unwrap();
    }
    let large = vec![1; 20_000];
    for number in 0..5 {
        send(&store, sending(contact_id(1, 1), &[1, 2], number, &large))
            .await
            .unwrap();
    }
    let first = manifest(1, &[1, 2]);
    let second = manifest(2, &[2]);
    let replaced = store.replace_manifest(account(1), first.head, second.clone());
    replaced.await.unwrap().unwrap();
    let store = crash(&place, store).await;
    assert!(mailbox(&store, 1, 1).await.is_empty());
    assert_eq!(mailbox(&store, 1, 2).await.len(), 5);
    let status = store.prekey_status(account(1), device(1)).await.unwrap();
    assert_eq!(status, PrekeyStatus::default());
    assert_eq!(rows_of(&store, 1).await.get("envelopes"), Some(&5));
    assert_eq!(rows_of(&store, 1).await.get("removals"), None);
    // The same id, listed again, starts with nothing.
    let third = manifest(3, &[2, 1]);
    let replaced = store.replace_manifest(account(1), second.head, third);
    replaced.await.unwrap().unwrap();
    let found = store.account(account(1)).await.unwrap().unwrap();
    let generations: Vec<_> = found.devices.iter().map(|one| one.generation).collect();
    assert_eq!(generations, [5, 0]);
    assert!(mailbox(&store, 1, 1).await.is_empty());
}

/// A restored store shows itself.
pub async fn generations_never_go_back<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register(&store, 1, &[1]).await;
    for generation in [1, 4, 4] {
        let advanced = store.advance_generation(account(1), device(1), generation);
        assert_eq!(advanced.await.unwrap(), Ok(()));
    }
    let store = crash(&place, store).await;
    let lower = store.advance_generation(account(1), device(1), 3).await;
    assert_eq!(lower.unwrap(), Err(GenerationRefusal::Lower { stored: 4 }));
    for (of, number) in [(1, 2), (2, 1)] {
        let unknown = store
            .advance_generation(account(of), device(number), 9)
            .await;
        assert_eq!(unknown.unwrap(), Err(GenerationRefusal::UnknownDevice));
    }
}

/// [IDN-32]: closing removes everything but the name's hash.
pub async fn a_closed_account_leaves_a_held_name_and_nothing_else<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    register_with_contact(&store, 2, &[1]).await;
    let published = store.publish_prekeys(account(1), device(1), publication(1, 4));
    published.await.unwrap().unwrap();
    send(&store, sending(public_id(1), &[1, 2], 1, b"x"))
        .await
        .unwrap();
    send(&store, sending(public_id(2), &[1], 1, b"x"))
        .await
        .unwrap();
    let others = rows_of(&store, 2).await;
    assert!(
        store
            .close_account(account(1), TODAY)
            .await
            .unwrap()
            .is_ok()
    );
    assert!(
        store
            .close_account(account(1), TODAY)
            .await
            .unwrap()
            .is_err()
    );
    let store = crash(&place, store).await;
    assert!(rows_of(&store, 1).await.is_empty());
    assert_eq!(rows_of(&store, 2).await, others);
    for id in [public_id(1), own_id(1), contact_id(1, 1)] {
        assert_eq!(leads_to(&store, id).await, None);
    }
    let mut again = registration(1, &[1]);
    for days in [0, limits::NAME_HOLD_DAYS - 1] {
        again.now = Minute::from(TODAY.plus(days));
        let refused = store.register(again.clone()).await.unwrap();
        assert_eq!(refused, Err(RegisterRefusal::NameHeld));
    }
    again.now = Minute::from(TODAY.plus(limits::NAME_HOLD_DAYS));
    assert_eq!(store.register(again).await.unwrap(), Ok(()));
    assert!(mailbox(&store, 1, 1).await.is_empty());
}

/// [BOX-2]: contact ids come and go; public and own ids stay.
pub async fn delivery_ids_are_created_and_revoked<P: ServerPlace>(place: P) {
    let store = open_with(&place, small()).await;
    register(&store, 1, &[1]).await;
    register(&store, 2, &[1]).await;
    let create = |number, ids| store.create_delivery_ids(account(number), ids);
    let two = vec![contact_id(1, 1), contact_id(1, 2)];
    assert_eq!(create(1, two.clone()).await.unwrap(), Ok(()));
    assert_eq!(create(1, two.clone()).await.unwrap(), Ok(()));
    let taken = Err(CreateDeliveryIdsRefusal::Taken);
    assert_eq!(create(2, two).await.unwrap(), taken);
    assert_eq!(create(1, vec![own_id(1)]).await.unwrap(), taken);
    let many = vec![contact_id(1, 3), contact_id(1, 4)];
    let refused = create(1, many).await.unwrap();
    assert_eq!(refused, Err(CreateDeliveryIdsRefusal::TooMany));
    let unknown = create(3, vec![contact_id(3, 1)]).await.unwrap();
    assert_eq!(unknown, Err(CreateDeliveryIdsRefusal::UnknownAccount));

    let revoked = vec![contact_id(1, 1), public_id(1), own_id(1), public_id(2)];
    store
        .revoke_delivery_ids(account(1), revoked)
        .await
        .unwrap();
    let store = crash(&place, store).await;
    for (id, is_valid) in [
        (contact_id(1, 1), false),
        (contact_id(1, 2), true),
        (contact_id(1, 3), false),
        (public_id(1), true),
        (own_id(1), true),
        (public_id(2), true),
    ] {
        let found = leads_to(&store, id).await;
        assert_eq!(found.is_some(), is_valid, "{}", id.to_hex());
    }
}

/// All contact ids of one account go at once, and there is room for as many again.
pub async fn all_contact_ids_of_an_account_are_revoked<P: ServerPlace>(place: P) {
    let store = open_with(&place, small()).await;
    register(&store, 1, &[1]).await;
    register(&store, 2, &[1]).await;
    let ids = |number| (1..=3).map(|contact| contact_id(number, contact)).collect();
    for number in [1, 2] {
        let created = store
            .create_delivery_ids(account(number), ids(number))
            .await;
        assert_eq!(created.unwrap(), Ok(()));
    }
    store.revoke_contact_ids(account(1)).await.unwrap();
    store.revoke_contact_ids(account(1)).await.unwrap();
    store.revoke_contact_ids(account(3)).await.unwrap();
    let store = crash(&place, store).await;
    for (id, is_valid) in [
        (contact_id(1, 1), false),
        (contact_id(1, 3), false),
        (public_id(1), true),
        (own_id(1), true),
        (contact_id(2, 1), true),
    ] {
        let found = leads_to(&store, id).await;
        assert_eq!(found.is_some(), is_valid, "{}", id.to_hex());
    }
    let created = store.create_delivery_ids(account(1), ids(1)).await;
    assert_eq!(created.unwrap(), Ok(()));
}
