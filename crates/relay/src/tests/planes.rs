// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which call belongs on which plane.

use bytes::Bytes;
use waxwing_proto::KeyPin;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_storage::embedded::ServerLimits;
use waxwing_transport::CallError;

use super::people::Person;
use super::world::World;
use crate::Settings;

fn anonymous_calls() -> Vec<Call> {
    vec![
        Call::ResolveName(v1::ResolveNameRequest::default()),
        Call::FetchManifests(v1::FetchManifestsRequest::default()),
        Call::TakePrekeys(v1::TakePrekeysRequest::default()),
        Call::Send(v1::SendRequest::default()),
        Call::OpenSending(v1::OpenSendingRequest {}),
        Call::PutRendezvous(v1::PutRendezvousRequest::default()),
        Call::FetchRendezvous(v1::FetchRendezvousRequest::default()),
    ]
}

fn account_calls() -> Vec<Call> {
    vec![
        Call::PublishPrekeys(v1::PublishPrekeysRequest::default()),
        Call::PrekeyStatus(v1::PrekeyStatusRequest {}),
        Call::CreateDeliveryIds(v1::CreateDeliveryIdsRequest::default()),
        Call::RevokeDeliveryIds(v1::RevokeDeliveryIdsRequest::default()),
        Call::AdvanceGeneration(v1::AdvanceGenerationRequest::default()),
        Call::CloseAccount(v1::CloseAccountRequest {
            signature: Bytes::new(),
        }),
    ]
}

/// [TRN-92]: whoever has a name is told, and nobody else.
#[tokio::test(start_paused = true)]
async fn a_login_is_answered_with_the_keys_of_the_server() {
    let (present, next) = (KeyPin([1; 32]), KeyPin([2; 32]));
    for key_pins in [vec![], vec![present], vec![present, next]] {
        let settings = Settings {
            open_registration: true,
            key_pins: key_pins.clone(),
            ..Settings::default()
        };
        let world = World::new(settings, ServerLimits::default()).await;
        let alice = Person::new("alice", 10);
        world.settle(&alice).await;
        let client = world.connect("alice").await;
        let answer = client.authenticate(&alice, 0).await.unwrap();
        let told: Vec<Bytes> = key_pins.iter().map(|pin| pin.to_wire()).collect();
        assert_eq!(answer.key_pins, told);
    }
}

/// [TRN-15].
#[tokio::test(start_paused = true)]
async fn an_authenticated_connection_names_nobody_else() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    for call in anonymous_calls() {
        let refused = client.call(call.clone()).await.unwrap_err();
        assert_eq!(refused, ErrorCode::WrongPlane, "{call:?}");
    }
    // It is still an account connection.
    client
        .call(Call::PrekeyStatus(v1::PrekeyStatusRequest {}))
        .await
        .unwrap();
}

/// TRN-84. Who has recorded such a call can make it again, and nothing is another one then.
#[tokio::test(start_paused = true)]
async fn calls_that_may_come_early_change_nothing() {
    use v1::fetch_manifests_request::Account;
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("nobody").await;
    let fetch = |account| {
        Call::FetchManifests(v1::FetchManifestsRequest {
            account: Some(account),
            ..v1::FetchManifestsRequest::default()
        })
    };
    let calls = [
        Call::ResolveName(v1::ResolveNameRequest {
            name: alice.name.to_owned(),
        }),
        fetch(Account::AccountKey(alice.account().to_wire())),
        fetch(Account::DeliveryId(alice.public_id.to_wire())),
    ];
    let stored = || (world.disk.rows(), world.disk.sync_count());
    let before = stored();
    for call in calls {
        assert!(call.may_come_early());
        client.call(call).await.unwrap();
        assert!(stored() == before);
    }
    // The others could be seen.
    let send = alice.send_request(alice.public_id, 1);
    assert!(!Call::Send(send.clone()).may_come_early());
    client.send(send).await.unwrap();
    assert!(stored() != before);
}

/// [TRN-26]: what later versions prove is said by nothing in this one.
#[tokio::test(start_paused = true)]
async fn answers_about_others_hold_no_proof() {
    use v1::fetch_manifests_request::Account;
    use v1::response::Result as Reply;
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("nobody").await;
    let calls = [
        Call::ResolveName(v1::ResolveNameRequest {
            name: alice.name.to_owned(),
        }),
        Call::FetchManifests(v1::FetchManifestsRequest {
            account: Some(Account::AccountKey(alice.account().to_wire())),
            ..v1::FetchManifestsRequest::default()
        }),
        Call::TakePrekeys(v1::TakePrekeysRequest {
            delivery_id: alice.public_id.to_wire(),
            ..v1::TakePrekeysRequest::default()
        }),
    ];
    for call in calls {
        let proof = match client.call(call).await.unwrap() {
            Reply::ResolveName(reply) => reply.proof,
            Reply::FetchManifests(reply) => reply.proof,
            Reply::TakePrekeys(reply) => reply.proof,
            other => panic!("{other:?}"),
        };
        assert!(proof.is_empty());
    }
}

/// [TRN-16].
#[tokio::test(start_paused = true)]
async fn an_unauthenticated_connection_manages_no_account() {
    let world = World::open().await;
    let client = world.connect("nobody").await;
    for call in account_calls() {
        let refused = client.call(call.clone()).await.unwrap_err();
        assert_eq!(refused, ErrorCode::Unauthenticated, "{call:?}");
    }
    match client.0.subscribe(0).await {
        Err(CallError::Refused { code, .. }) => assert_eq!(code, ErrorCode::Unauthenticated),
        other => panic!("{:?}", other.map(drop)),
    }
}

/// [TRN-15].
#[tokio::test(start_paused = true)]
async fn a_connection_that_named_somebody_never_authenticates() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let resolve = Call::ResolveName(v1::ResolveNameRequest {
        name: "alice".to_owned(),
    });
    for call in [resolve, Call::OpenSending(v1::OpenSendingRequest {})] {
        let client = world.connect("alice").await;
        client.call(call).await.unwrap();
        assert_eq!(
            client.authenticate(&alice, 0).await.unwrap_err(),
            ErrorCode::WrongPlane
        );
    }
}

#[tokio::test(start_paused = true)]
async fn two_devices_do_not_share_a_connection() {
    let world = World::open().await;
    let (alice, bob) = (Person::new("alice", 10), Person::new("bob", 20));
    world.settle(&alice).await;
    world.settle(&bob).await;
    let client = world.connect_as(&alice, 0).await;
    client.authenticate(&alice, 0).await.unwrap();
    assert_eq!(
        client.authenticate(&bob, 0).await.unwrap_err(),
        ErrorCode::WrongPlane
    );
}
