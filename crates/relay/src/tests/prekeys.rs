// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prekeys: published by their device only, handed out once.

use bytes::Bytes;
use waxwing_identity::PrekeyKind;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{DeliveryId, limits};

use super::people::Person;
use super::world::{Client, World};

async fn take(client: &Client, id: DeliveryId) -> Result<v1::TakePrekeysResponse, ErrorCode> {
    let request = v1::TakePrekeysRequest {
        delivery_id: id.to_wire(),
        ..Default::default()
    };
    match client.call(Call::TakePrekeys(request)).await? {
        Answer::TakePrekeys(taken) => Ok(taken),
        other => panic!("{other:?}"),
    }
}

/// [PRE-11], [PRE-13].
#[tokio::test(start_paused = true)]
async fn one_time_pairs_are_handed_out_once_then_the_last_resort() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("bob").await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let taken = take(&client, alice.public_id).await.unwrap();
        assert_eq!(taken.manifest, *alice.manifest.as_bytes());
        let [bundle] = taken.bundles.as_slice() else {
            panic!("{taken:?}")
        };
        assert_eq!(bundle.device_id, alice.devices[0].id().to_wire());
        assert!(!bundle.one_time_pair.is_empty() && !seen.contains(&bundle.one_time_pair));
        seen.push(bundle.one_time_pair.clone());
    }
    let last = take(&client, alice.public_id).await.unwrap();
    assert!(last.bundles[0].one_time_pair.is_empty());
    assert!(!last.bundles[0].signed_pair.is_empty());

    let owner = world.connect_as(&alice, 0).await;
    let Answer::PrekeyStatus(status) = owner
        .call(Call::PrekeyStatus(v1::PrekeyStatusRequest {}))
        .await
        .unwrap()
    else {
        panic!()
    };
    assert_eq!((status.one_time_remaining, status.signed_pair_id), (0, 1));
    let refused = take(&client, DeliveryId::new([250; 16])).await.unwrap_err();
    assert_eq!(refused, ErrorCode::DeliveryIdGone);
}

/// [PRE-9].
#[tokio::test(start_paused = true)]
async fn only_pairs_of_the_calling_device_are_stored() {
    let world = World::open().await;
    let (alice, bob) = (Person::new("alice", 10), Person::new("bob", 20));
    world.settle(&alice).await;
    world.settle(&bob).await;
    let client = world.connect_as(&alice, 0).await;
    let publish = |signed_pair: Bytes, one_time_pairs: Vec<Bytes>| {
        Call::PublishPrekeys(v1::PublishPrekeysRequest {
            signed_pair,
            one_time_pairs,
        })
    };
    let one_time =
        |person: &Person, id| person.prekey(0, PrekeyKind::OneTime, id).as_bytes().clone();
    let invalid = |answer: Result<Answer, ErrorCode>| answer.unwrap_err();

    let foreign = publish(Bytes::new(), vec![one_time(&bob, 9)]);
    assert_eq!(
        invalid(client.call(foreign).await),
        ErrorCode::PrekeyInvalid
    );
    let wrong_kind = publish(one_time(&alice, 9), vec![]);
    assert_eq!(
        invalid(client.call(wrong_kind).await),
        ErrorCode::PrekeyInvalid
    );
    let mut forged = one_time(&alice, 9).to_vec();
    forged[100] ^= 1;
    let forged = publish(Bytes::new(), vec![forged.into()]);
    assert_eq!(invalid(client.call(forged).await), ErrorCode::PrekeyInvalid);
    assert_eq!(
        invalid(client.call(publish(Bytes::new(), vec![])).await),
        ErrorCode::Malformed
    );
    let many = vec![one_time(&alice, 9); limits::PREKEYS_PER_PUBLICATION_MAX + 1];
    assert_eq!(
        invalid(client.call(publish(Bytes::new(), many)).await),
        ErrorCode::TooLarge
    );

    let Answer::PublishPrekeys(published) = client
        .call(publish(Bytes::new(), vec![one_time(&alice, 9)]))
        .await
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(published.one_time_remaining, 3);
    let mut next = 10;
    while next < 10 + 75 {
        let ids = next..next + 25;
        let pairs = ids.map(|id| one_time(&alice, id)).collect();
        client.call(publish(Bytes::new(), pairs)).await.unwrap();
        next += 25;
    }
    let over = (next..next + 25).map(|id| one_time(&alice, id)).collect();
    assert_eq!(
        invalid(client.call(publish(Bytes::new(), over)).await),
        ErrorCode::LimitReached
    );
}

/// [PRE-15].
#[tokio::test(start_paused = true)]
async fn bundles_are_handed_out_at_a_bounded_rate() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("bob").await;
    for _ in 0..limits::PREKEY_FETCHES_PER_HOUR_MAX {
        take(&client, alice.public_id).await.unwrap();
    }
    let refused = take(&client, alice.public_id).await.unwrap_err();
    assert_eq!(refused, ErrorCode::RateLimited);
}
