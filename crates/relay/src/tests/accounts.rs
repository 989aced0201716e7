// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Registration, manifests, authentication, generations, delivery ids, names, closing.

use bytes::Bytes;
use waxwing_identity::authentication::close_account_signable;
use waxwing_identity::{ManifestDraft, Signatory};
use waxwing_proto::v1::fetch_manifests_request::Account;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{DeliveryId, InviteToken, limits};
use waxwing_storage::Minute;
use waxwing_storage::embedded::ServerLimits;
use waxwing_storage::server::InviteStore as _;
use waxwing_transport::CloseCode;

use super::people::{Person, TestDevice, sign, wire};
use super::world::{Client, WALL_START_MS, World};
use crate::Settings;

fn register(person: &Person, token: &[u8]) -> Call {
    Call::Register(v1::RegisterRequest {
        invite_token: Bytes::copy_from_slice(token),
        ..person.register_request()
    })
}

/// [TRN-20].
#[tokio::test(start_paused = true)]
async fn registration_needs_a_good_invite() {
    let world = World::new(Settings::default(), ServerLimits::default()).await;
    let store = world.relay.store();
    let now = Minute::from_unix_seconds(WALL_START_MS / 1000);
    let (good, old) = (InviteToken::new([1; 16]), InviteToken::new([2; 16]));
    store.create_invite(good, 1, None).await.unwrap();
    store.create_invite(old, 1, Some(now)).await.unwrap();
    let client = world.connect("alice").await;
    let alice = Person::new("alice", 10);
    let refused = |answer: Result<Answer, ErrorCode>| answer.unwrap_err();

    assert_eq!(
        refused(client.call(register(&alice, &[])).await),
        ErrorCode::InviteRequired
    );
    assert_eq!(
        refused(client.call(register(&alice, &[9; 16])).await),
        ErrorCode::InviteUnknown
    );
    assert_eq!(
        refused(client.call(register(&alice, &[2; 16])).await),
        ErrorCode::InviteExpired
    );
    assert_eq!(
        refused(client.call(register(&alice, &[1; 5])).await),
        ErrorCode::Malformed
    );
    client.call(register(&alice, &[1; 16])).await.unwrap();
    // A retry after a lost answer succeeds, and uses nothing.
    client.call(register(&alice, &[1; 16])).await.unwrap();
    let bob = Person::new("bob", 20);
    assert_eq!(
        refused(client.call(register(&bob, &[1; 16])).await),
        ErrorCode::InviteUsed
    );
}

/// [IDN-32].
#[tokio::test(start_paused = true)]
async fn registration_refuses_what_is_taken_or_forged() {
    let world = World::open().await;
    let client = world.connect("alice").await;
    let alice = Person::new("alice", 10);
    client
        .call(Call::Register(alice.register_request()))
        .await
        .unwrap();

    let mut twin = Person::new("alice", 20);
    let refused = client.call(Call::Register(twin.register_request())).await;
    assert_eq!(refused.unwrap_err(), ErrorCode::NameTaken);
    let mut again = alice.register_request();
    again.name = "alice2".to_owned();
    assert_eq!(
        client.call(Call::Register(again)).await.unwrap_err(),
        ErrorCode::AccountExists
    );
    let mut bad_name = twin.register_request();
    bad_name.name = "No Name".to_owned();
    assert_eq!(
        client.call(Call::Register(bad_name)).await.unwrap_err(),
        ErrorCode::NameInvalid
    );
    let mut forged = twin.register_request();
    forged.name = "mallory".to_owned();
    let mut bytes = forged.manifest.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    forged.manifest = bytes.into();
    assert_eq!(
        client.call(Call::Register(forged)).await.unwrap_err(),
        ErrorCode::ManifestInvalid
    );
    let mut same_ids = twin.register_request();
    same_ids.name = "carol".to_owned();
    same_ids.own_delivery_id = same_ids.public_delivery_id.clone();
    assert_eq!(
        client.call(Call::Register(same_ids)).await.unwrap_err(),
        ErrorCode::Malformed
    );
    // A later version cannot begin an account.
    twin.link_device(25);
    let mut later = twin.register_request();
    later.name = "dave".to_owned();
    assert_eq!(
        client.call(Call::Register(later)).await.unwrap_err(),
        ErrorCode::ManifestInvalid
    );
}

/// [TRN-14].
#[tokio::test(start_paused = true)]
async fn a_device_authenticates_for_its_own_connection_only() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("phone").await;
    let answer = client.authenticate(&alice, 0).await.unwrap();
    assert_eq!((answer.manifest_version, answer.generation), (1, 0));
    assert_eq!(answer.name, "alice");
    assert_eq!(answer.public_delivery_id, alice.public_id.to_wire());
    assert_eq!(answer.own_delivery_id, alice.own_id.to_wire());

    let other = world.connect("thief").await;
    let stolen = alice.authenticate_request(0, client.exporter());
    let refused = other.call(Call::Authenticate(stolen)).await.unwrap_err();
    assert_eq!(refused, ErrorCode::Unauthenticated);
    let mut unlisted = Person::new("alice", 10);
    unlisted.devices[0] = TestDevice::new(99);
    let refused = other.authenticate(&unlisted, 0).await.unwrap_err();
    assert_eq!(refused, ErrorCode::DeviceNotListed);
    let stranger = Person::new("nobody", 40);
    let refused = other.authenticate(&stranger, 0).await.unwrap_err();
    assert_eq!(refused, ErrorCode::DeviceNotListed);
    // A refusal leaves the connection as it was.
    other.authenticate(&alice, 0).await.unwrap();
}

/// [IDN-31].
#[tokio::test(start_paused = true)]
async fn a_manifest_is_replaced_by_its_direct_successor() {
    let world = World::open().await;
    let mut alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("alice").await;
    let first = alice.manifest.clone();
    alice.link_device(12);
    let second = alice.manifest.clone();
    alice.link_device(13);
    let replace = |manifest: &waxwing_identity::DeviceManifest| {
        Call::ReplaceManifest(v1::ReplaceManifestRequest {
            manifest: manifest.as_bytes().clone(),
        })
    };
    let refused = client.call(replace(&alice.manifest)).await.unwrap_err();
    assert_eq!(refused, ErrorCode::ManifestConflict);
    client.call(replace(&second)).await.unwrap();
    client.call(replace(&second)).await.unwrap();
    let refused = client.call(replace(&first)).await.unwrap_err();
    assert_eq!(refused, ErrorCode::ManifestConflict);
    client.call(replace(&alice.manifest)).await.unwrap();
    let nobody = Person::new("nobody", 40);
    assert_eq!(
        client.call(replace(&nobody.manifest)).await.unwrap_err(),
        ErrorCode::NotFound
    );
    let garbage = Call::ReplaceManifest(v1::ReplaceManifestRequest {
        manifest: Bytes::from_static(b"x"),
    });
    assert_eq!(
        client.call(garbage).await.unwrap_err(),
        ErrorCode::ManifestInvalid
    );

    // The account key overrides from the first version on.
    let draft = ManifestDraft::overriding(&first, 3)
        .unwrap()
        .revoke_all()
        .unwrap();
    let fresh = TestDevice::new(17);
    let entry = fresh.admitted(alice.account(), Signatory::Account, &alice.secret);
    let draft = draft.list(entry).unwrap();
    let signature = sign(&alice.secret, &draft.signable().unwrap());
    let recovered = draft.finish(signature).unwrap();
    client.call(replace(&recovered)).await.unwrap();

    let fetch = |after_version| {
        Call::FetchManifests(v1::FetchManifestsRequest {
            account: Some(Account::AccountKey(alice.account().to_wire())),
            after_version,
        })
    };
    let anonymous = world.connect("bob").await;
    let Answer::FetchManifests(all) = anonymous.call(fetch(0)).await.unwrap() else {
        panic!()
    };
    assert_eq!(all.manifests.len(), 4);
    assert_eq!(all.manifests[0], *first.as_bytes());
    assert_eq!(all.manifests[3], *recovered.as_bytes());
    assert!(!all.more);
    let Answer::FetchManifests(last) = anonymous.call(fetch(3)).await.unwrap() else {
        panic!()
    };
    assert_eq!(last.manifests, [recovered.as_bytes().clone()]);
}

#[tokio::test(start_paused = true)]
async fn long_chains_come_in_parts() {
    let world = World::open().await;
    let mut alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("alice").await;
    for round in 0..9 {
        for step in 0..2 {
            if step == 0 {
                alice.link_device(100 + round);
            } else {
                alice.remove_last_device();
            }
            let manifest = alice.manifest.as_bytes().clone();
            let call = Call::ReplaceManifest(v1::ReplaceManifestRequest { manifest });
            client.call(call).await.unwrap();
        }
    }
    let fetch = |after_version| {
        Call::FetchManifests(v1::FetchManifestsRequest {
            account: Some(Account::DeliveryId(alice.public_id.to_wire())),
            after_version,
        })
    };
    let anonymous = world.connect("bob").await;
    let Answer::FetchManifests(part) = anonymous.call(fetch(0)).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        (part.manifests.len(), part.more),
        (limits::MANIFESTS_PER_ANSWER_MAX, true)
    );
    let Answer::FetchManifests(rest) = anonymous.call(fetch(16)).await.unwrap() else {
        panic!()
    };
    assert_eq!((rest.manifests.len(), rest.more), (3, false));
    let missing = |account| {
        Call::FetchManifests(v1::FetchManifestsRequest {
            account,
            after_version: 0,
        })
    };
    let unknown = Some(Account::DeliveryId(Bytes::from_static(&[0; 16])));
    assert_eq!(
        anonymous.call(missing(unknown)).await.unwrap_err(),
        ErrorCode::DeliveryIdGone
    );
    let unknown = Some(Account::AccountKey(Bytes::from_static(&[0; 32])));
    assert_eq!(
        anonymous.call(missing(unknown)).await.unwrap_err(),
        ErrorCode::NotFound
    );
    assert_eq!(
        anonymous.call(missing(None)).await.unwrap_err(),
        ErrorCode::Malformed
    );
}

#[tokio::test(start_paused = true)]
async fn a_removed_device_is_cut_off() {
    let world = World::open().await;
    let mut alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let first = world.connect_as(&alice, 0).await;
    alice.link_device(12);
    replace(&first, &alice).await;
    let second = world.connect_as(&alice, 1).await;
    let mut subscription = second.subscribe().await;
    subscription.drained().await;
    alice.remove_last_device();
    replace(&first, &alice).await;
    let reason = second.0.link().closed().await;
    assert_eq!(
        reason,
        waxwing_transport::CloseReason::Peer {
            code: CloseCode::Revoked,
            retry_after_ms: None
        }
    );
    assert!(first.0.link().close_reason().is_none());
}

async fn replace(client: &Client, person: &Person) {
    let manifest = person.manifest.as_bytes().clone();
    let call = Call::ReplaceManifest(v1::ReplaceManifestRequest { manifest });
    client.call(call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_generation_never_goes_back() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    let advance = |generation| Call::AdvanceGeneration(alice.generation_request(0, generation));
    client.call(advance(5)).await.unwrap();
    client.call(advance(5)).await.unwrap();
    let refused = client.call(advance(4)).await.unwrap_err();
    assert_eq!(refused, ErrorCode::GenerationRolledBack);
    let mut forged = alice.generation_request(0, 6);
    forged.generation = 7;
    let refused = client
        .call(Call::AdvanceGeneration(forged))
        .await
        .unwrap_err();
    assert_eq!(refused, ErrorCode::Unauthenticated);
    let again = world
        .connect("alice")
        .await
        .authenticate(&alice, 0)
        .await
        .unwrap();
    assert_eq!(again.generation, 5);
}

/// [BOX-1], [BOX-4].
#[tokio::test(start_paused = true)]
async fn delivery_ids_come_and_go() {
    let world = World::open().await;
    let (alice, bob) = (Person::new("alice", 10), Person::new("bob", 20));
    world.settle(&alice).await;
    world.settle(&bob).await;
    let client = world.connect_as(&alice, 0).await;
    let id = DeliveryId::new([77; 16]);
    let create = |ids: Vec<Bytes>| {
        Call::CreateDeliveryIds(v1::CreateDeliveryIdsRequest { delivery_ids: ids })
    };
    client.call(create(vec![id.to_wire()])).await.unwrap();
    client.call(create(vec![id.to_wire()])).await.unwrap();
    let bobs = world.connect_as(&bob, 0).await;
    assert_eq!(
        bobs.call(create(vec![id.to_wire()])).await.unwrap_err(),
        ErrorCode::Malformed
    );
    assert_eq!(
        client.call(create(vec![])).await.unwrap_err(),
        ErrorCode::Malformed
    );
    let many = vec![id.to_wire(); limits::DELIVERY_IDS_PER_CALL_MAX + 1];
    assert_eq!(
        client.call(create(many)).await.unwrap_err(),
        ErrorCode::Malformed
    );
    assert_eq!(
        client
            .call(create(vec![Bytes::from_static(b"short")]))
            .await
            .unwrap_err(),
        ErrorCode::Malformed
    );

    let sender = world.connect("sender").await;
    sender.send(alice.send_request(id, 1)).await.unwrap();
    let revoke = Call::RevokeDeliveryIds(v1::RevokeDeliveryIdsRequest {
        delivery_ids: vec![id.to_wire(), alice.public_id.to_wire()],
    });
    client.call(revoke).await.unwrap();
    let refused = sender.send(alice.send_request(id, 2)).await.unwrap_err();
    assert_eq!(refused, ErrorCode::DeliveryIdGone);
    sender
        .send(alice.send_request(alice.public_id, 3))
        .await
        .unwrap();
}

/// [TRN-19], [TRN-25].
#[tokio::test(start_paused = true)]
async fn names_are_resolved_at_a_bounded_rate() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("bob").await;
    let resolve = |name: &str| {
        Call::ResolveName(v1::ResolveNameRequest {
            name: name.to_owned(),
        })
    };
    let Answer::ResolveName(found) = client.call(resolve("alice")).await.unwrap() else {
        panic!()
    };
    assert_eq!(found.account_key, alice.account().to_wire());
    assert_eq!(found.public_delivery_id, alice.public_id.to_wire());
    assert_eq!(
        client.call(resolve("carol")).await.unwrap_err(),
        ErrorCode::NotFound
    );
    assert_eq!(
        client.call(resolve("N O")).await.unwrap_err(),
        ErrorCode::NameInvalid
    );
    for _ in 3..limits::NAME_LOOKUPS_PER_MINUTE_MAX {
        client.call(resolve("alice")).await.unwrap();
    }
    let error = client.call_within(resolve("alice"), 0).await.unwrap_err();
    assert!(
        error.is_transient() && error.retry_after_ms().is_some(),
        "{error}"
    );
    assert_eq!(
        client.call(resolve("alice")).await.unwrap_err(),
        ErrorCode::RateLimited
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_account_is_gone_and_its_name_is_held() {
    let world = World::open().await;
    let (alice, twin) = (Person::new("alice", 10), Person::new("alice", 20));
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    let forged = v1::CloseAccountRequest {
        signature: Bytes::from_static(&[1; 64]),
    };
    let refused = client.call(Call::CloseAccount(forged)).await.unwrap_err();
    assert_eq!(refused, ErrorCode::Unauthenticated);
    let signable = close_account_signable(&client.exporter(), &alice.account());
    // A thief of the device must not be able to end the account.
    let signature = wire(&sign(&alice.devices[0].secret, &signable));
    let by_device = v1::CloseAccountRequest { signature };
    let refused = client
        .call(Call::CloseAccount(by_device))
        .await
        .unwrap_err();
    assert_eq!(refused, ErrorCode::Unauthenticated);
    let signature = wire(&sign(&alice.secret, &signable));
    client
        .call(Call::CloseAccount(v1::CloseAccountRequest { signature }))
        .await
        .unwrap();
    let sender = world.connect("sender").await;
    let refused = sender
        .send(alice.send_request(alice.public_id, 1))
        .await
        .unwrap_err();
    assert_eq!(refused, ErrorCode::DeliveryIdGone);
    let refused = client
        .call(Call::Register(twin.register_request()))
        .await
        .unwrap_err();
    assert_eq!(refused, ErrorCode::NameHeld);
}

/// Making ids and taking them back costs the server a write each time; a device cannot do it without end.
#[tokio::test(start_paused = true)]
async fn delivery_ids_are_not_made_and_revoked_without_end() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    let delivery_ids = vec![DeliveryId::new([77; 16]).to_wire()];
    let mut taken = 0;
    // Time goes on with every call, and the limit with it.
    let refused = loop {
        let delivery_ids = delivery_ids.clone();
        let call = if taken % 2 == 0 {
            Call::CreateDeliveryIds(v1::CreateDeliveryIdsRequest { delivery_ids })
        } else {
            Call::RevokeDeliveryIds(v1::RevokeDeliveryIdsRequest { delivery_ids })
        };
        match client.call(call).await {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
        assert!(taken < 10 * limits::DELIVERY_ID_CALLS_PER_MINUTE_MAX);
    };
    assert_eq!(refused, ErrorCode::RateLimited);
    assert!(taken >= limits::DELIVERY_ID_CALLS_PER_MINUTE_MAX);
}
