// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sending: all devices or none, once, and refused before it is accepted.

use bytes::Bytes;
use waxwing_proto::limits;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_storage::embedded::ServerLimits;
use waxwing_storage::embedded::memory::Fault;

use super::people::Person;
use super::world::{Sent, World};
use crate::Settings;

/// [BOX-10], [TRN-20].
#[tokio::test(start_paused = true)]
async fn a_retry_is_accepted_and_stored_once() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    let request = alice.send_request(alice.public_id, 1);
    assert_eq!(sender.send(request.clone()).await.unwrap(), Sent::Accepted);
    assert_eq!(sender.send(request.clone()).await.unwrap(), Sent::Accepted);

    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    let envelope = subscription.envelope().await;
    assert_eq!(envelope.envelope, request.envelopes[0].envelope);
    assert_eq!(envelope.envelope_id, request.envelopes[0].envelope_id);
    assert_eq!(envelope.delivery_id, request.delivery_id);
    subscription.drained().await;
    subscription.acknowledge(vec![envelope.position]).await;
    // Also after it is gone.
    assert_eq!(sender.send(request).await.unwrap(), Sent::Accepted);
    assert!(subscription.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_fit_stores_nothing() {
    let world = World::open().await;
    let mut alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let owner = world.connect_as(&alice, 0).await;
    let before = alice.send_request(alice.public_id, 1);
    alice.link_device(12);
    let manifest = alice.manifest.as_bytes().clone();
    let replace = v1::ReplaceManifestRequest {
        manifest: manifest.clone(),
    };
    owner.call(Call::ReplaceManifest(replace)).await.unwrap();
    let sender = world.connect("bob").await;
    let stale = Sent::Stale(manifest);
    // An old version.
    assert_eq!(sender.send(before).await.unwrap(), stale);
    // A device that is not listed.
    let mut unknown = alice.send_request(alice.public_id, 2);
    unknown.envelopes[1].device_id = Bytes::from_static(&[250; 16]);
    assert_eq!(sender.send(unknown).await.unwrap(), stale);
    // The new device cannot be written to before it has published.
    let mut one = alice.send_request(alice.public_id, 3);
    one.envelopes.pop();
    assert_eq!(sender.send(one).await.unwrap(), Sent::Accepted);
    let second = world.connect_as(&alice, 1).await;
    second
        .call(Call::PublishPrekeys(alice.publication(1, 1..=1)))
        .await
        .unwrap();
    let mut one = alice.send_request(alice.public_id, 4);
    one.envelopes.pop();
    assert_eq!(sender.send(one.clone()).await.unwrap(), stale);
    // Under the own id the sending device is missing.
    one.delivery_id = alice.own_id.to_wire();
    assert_eq!(sender.send(one).await.unwrap(), Sent::Accepted);
    assert_eq!(
        sender
            .send(alice.send_request(alice.public_id, 5))
            .await
            .unwrap(),
        Sent::Accepted
    );

    let mut subscription = owner.subscribe().await;
    for number in [3, 4, 5] {
        let text = format!("sealed {number}");
        assert_eq!(subscription.envelope().await.envelope, text.as_bytes());
    }
    subscription.drained().await;
    let mut subscription = second.subscribe().await;
    assert_eq!(
        subscription.envelope().await.envelope,
        "sealed 5".as_bytes()
    );
    subscription.drained().await;
}

#[tokio::test(start_paused = true)]
async fn the_own_id_may_omit_one_device_and_no_more() {
    let world = World::open().await;
    let mut alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let owner = world.connect_as(&alice, 0).await;
    for seed in [12, 13] {
        alice.link_device(seed);
        let manifest = alice.manifest.as_bytes().clone();
        owner
            .call(Call::ReplaceManifest(v1::ReplaceManifestRequest {
                manifest,
            }))
            .await
            .unwrap();
    }
    for device in [1, 2] {
        let client = world.connect_as(&alice, device).await;
        client
            .call(Call::PublishPrekeys(alice.publication(device, 1..=1)))
            .await
            .unwrap();
    }
    let sender = world.connect("alice").await;
    let mut request = alice.send_request(alice.own_id, 1);
    request.envelopes.remove(0);
    assert_eq!(sender.send(request.clone()).await.unwrap(), Sent::Accepted);
    request.envelopes.remove(0);
    assert!(matches!(
        sender.send(request).await.unwrap(),
        Sent::Stale(_)
    ));
}

/// [BOX-6].
#[tokio::test(start_paused = true)]
async fn malformed_sendings_are_refused() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    let good = alice.send_request(alice.public_id, 1);
    let with = |change: &dyn Fn(&mut v1::SendRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let cases = [
        (with(&|r| r.envelopes.clear()), ErrorCode::Malformed),
        (
            with(&|r| r.envelopes.push(r.envelopes[0].clone())),
            ErrorCode::Malformed,
        ),
        (
            with(&|r| r.envelopes = vec![r.envelopes[0].clone(); 9]),
            ErrorCode::Malformed,
        ),
        (
            with(&|r| r.envelopes[0].envelope.clear()),
            ErrorCode::Malformed,
        ),
        (
            with(&|r| r.envelopes[0].envelope_id.clear()),
            ErrorCode::Malformed,
        ),
        (
            with(&|r| r.envelopes[0].device_id.clear()),
            ErrorCode::Malformed,
        ),
        (with(&|r| r.delivery_id.clear()), ErrorCode::Malformed),
        (
            with(&|r| r.envelopes[0].envelope = vec![0; limits::ENVELOPE_SIZE_MAX + 1].into()),
            ErrorCode::TooLarge,
        ),
        (
            with(&|r| r.delivery_id = Bytes::from_static(&[250; 16])),
            ErrorCode::DeliveryIdGone,
        ),
    ];
    for (request, code) in cases {
        assert_eq!(sender.send(request).await.unwrap_err(), code);
    }
}

/// [BOX-12], [BOX-13], [BOX-73]: and says when another try is worth it, on a stream for sendings and to a call of its
/// own.
#[tokio::test(start_paused = true)]
async fn a_full_mailbox_refuses_and_forgets_nothing() {
    let limits = ServerLimits {
        mailbox_stranger_envelopes_max: 2,
        ..ServerLimits::default()
    };
    let settings = Settings {
        open_registration: true,
        ..Settings::default()
    };
    let world = World::new(settings, limits).await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    for number in 1..=2 {
        sender
            .send(alice.send_request(alice.public_id, number))
            .await
            .unwrap();
    }
    let third = alice.send_request(alice.public_id, 3);
    let refused = [
        sender.0.send(third.clone(), 0).await.unwrap_err(),
        sender.call_within(Call::Send(third), 0).await.unwrap_err(),
    ];
    for refused in refused {
        assert_eq!(refused.code(), "ERROR_CODE_MAILBOX_FULL");
        assert_eq!(refused.retry_after_ms(), Some(60_000));
    }
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    let (one, two) = (subscription.envelope().await, subscription.envelope().await);
    assert_eq!(
        (one.envelope, two.envelope),
        ("sealed 1".into(), "sealed 2".into())
    );
    subscription.drained().await;
    subscription
        .acknowledge(vec![one.position, two.position])
        .await;
    sender
        .send(alice.send_request(alice.public_id, 3))
        .await
        .unwrap();
    assert_eq!(
        subscription.envelope().await.envelope,
        "sealed 3".as_bytes()
    );
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_envelope_reaches_only_who_is_there() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    let mut request = alice.send_request(alice.public_id, 1);
    request.ephemeral = true;
    assert_eq!(sender.send(request.clone()).await.unwrap(), Sent::Accepted);
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    subscription.drained().await;
    assert!(subscription.is_silent().await);
    sender.send(request).await.unwrap();
    let envelope = subscription.envelope().await;
    assert_eq!(
        (envelope.position, envelope.envelope),
        (0, "sealed 1".into())
    );
    assert!(!world.disk.contains(b"sealed 1"));
}

/// [BOX-9].
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_acknowledges_nothing_and_ends_the_relay() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    world.disk.set_fault(Some(Fault::SyncFails));
    let request = Call::Send(alice.send_request(alice.public_id, 1));
    sender.call_within(request, 0).await.unwrap_err();
    let ended = world.serving.await.unwrap();
    assert!(ended.unwrap_err().is_fatal());
}

#[tokio::test(start_paused = true)]
async fn sendings_to_one_delivery_id_are_limited() {
    let mut rates = crate::Rates::default();
    rates.sends_per_delivery_id.count = 3;
    let settings = Settings {
        open_registration: true,
        rates,
        ..Settings::default()
    };
    let world = World::new(settings, ServerLimits::default()).await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    for number in 0..3 {
        // Another address does not help.
        let sender = world.connect(&format!("sender{number}")).await;
        sender
            .send(alice.send_request(alice.public_id, number))
            .await
            .unwrap();
    }
    let sender = world.connect("sender").await;
    let refused = sender
        .send(alice.send_request(alice.public_id, 9))
        .await
        .unwrap_err();
    assert_eq!(refused, ErrorCode::RateLimited);
    sender
        .send(alice.send_request(alice.own_id, 9))
        .await
        .unwrap();
}
