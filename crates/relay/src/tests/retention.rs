// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is never fetched is deleted at the retention limit, and its owner is told.

use std::time::Duration;

use waxwing_proto::limits;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::{self, ErrorCode};

use super::people::Person;
use super::world::{Sent, World};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// [BOX-22], [BOX-40].
#[tokio::test(start_paused = true)]
async fn the_owner_is_told_what_expired() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    for number in 0..3 {
        sender
            .send(alice.send_request(alice.public_id, number))
            .await
            .unwrap();
    }
    tokio::time::sleep(DAY * (limits::RETENTION_DAYS - 1)).await;
    assert!(world.disk.contains(b"sealed 0"));
    tokio::time::sleep(DAY * 3).await;
    assert!(!world.disk.contains(b"sealed 0"));
    let client = world.connect("alice").await;
    let told = client.authenticate(&alice, 0).await.unwrap();
    let [expired] = told.expired.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!((expired.day, expired.count), (20_000, 3));
    // The answer may have been lost, and the device may have died before it stored the counts: they are
    // told until the device says that it has them.
    let again = world.connect("alice").await;
    let told_again = again.authenticate(&alice, 0).await.unwrap();
    assert_eq!(told_again.expired, told.expired);
    let mut request = alice.generation_request(0, 1);
    request.expired = vec![v1::ExpiredCount {
        day: 20_000,
        count: 2,
    }];
    again.call(Call::AdvanceGeneration(request)).await.unwrap();
    let told_again = again.authenticate(&alice, 0).await.unwrap();
    assert_eq!(told_again.expired, told.expired, "another count was meant");
    let mut request = alice.generation_request(0, 2);
    request.expired = told.expired;
    again.call(Call::AdvanceGeneration(request)).await.unwrap();
    assert!(
        again
            .authenticate(&alice, 0)
            .await
            .unwrap()
            .expired
            .is_empty()
    );
}

/// [BOX-40]: counts of many days are told 512 at once, the oldest first, and the others when these are held.
#[tokio::test(start_paused = true)]
async fn counts_of_at_most_512_days_are_told_at_once() {
    const DAYS: u64 = 515;
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    for number in 0..DAYS {
        let sender = world.connect("bob").await;
        let request = alice.send_request(alice.public_id, number);
        sender.send(request).await.unwrap();
        tokio::time::sleep(DAY).await;
    }
    tokio::time::sleep(DAY * (limits::RETENTION_DAYS + 2)).await;
    let client = world.connect("alice").await;
    let told = client.authenticate(&alice, 0).await.unwrap().expired;
    assert_eq!(told.len(), 512);
    let first: Vec<u32> = told.iter().map(|expired| expired.day).collect();
    assert_eq!(first, (20_000..20_512).collect::<Vec<u32>>());
    let mut request = alice.generation_request(0, 1);
    request.expired = told;
    client.call(Call::AdvanceGeneration(request)).await.unwrap();
    let rest = client.authenticate(&alice, 0).await.unwrap().expired;
    let rest: Vec<u32> = rest.iter().map(|expired| expired.day).collect();
    assert_eq!(rest, (20_512..20_515).collect::<Vec<u32>>());
}

#[tokio::test(start_paused = true)]
async fn a_restored_store_acknowledges_no_counts() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    let advance = Call::AdvanceGeneration(alice.generation_request(0, 5));
    client.call(advance).await.unwrap();
    drop(client);
    let sender = world.connect("bob").await;
    sender
        .send(alice.send_request(alice.public_id, 0))
        .await
        .unwrap();
    tokio::time::sleep(DAY * (limits::RETENTION_DAYS + 2)).await;
    let client = world.connect("alice").await;
    let told = client.authenticate(&alice, 0).await.unwrap();
    let mut request = alice.generation_request(0, 4);
    request.expired.clone_from(&told.expired);
    let refused = client.call(Call::AdvanceGeneration(request)).await;
    assert_eq!(refused.unwrap_err(), ErrorCode::GenerationRolledBack);
    let again = client.authenticate(&alice, 0).await.unwrap();
    assert_eq!((again.expired.len(), again.expired), (1, told.expired));
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_deletes_nothing() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    sender
        .send(alice.send_request(alice.public_id, 0))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(90 * 60)).await;
    let year_ms = i64::try_from(DAY.as_millis()).unwrap() * 365;
    world.clock.set_skew_ms(year_ms);
    tokio::time::sleep(Duration::from_secs(60 * 60)).await;
    world.clock.set_skew_ms(0);
    tokio::time::sleep(DAY).await;
    let client = world.connect_as(&alice, 0).await;
    assert_eq!(
        client.subscribe().await.envelope().await.envelope,
        "sealed 0".as_bytes()
    );
}

/// BOX-8, PRE-14. Nobody takes a signed pair of that age: a device that was switched off must not cut
/// its account off.
#[tokio::test(start_paused = true)]
async fn a_device_with_old_prekeys_may_be_missing() {
    let world = World::open().await;
    let mut alice = Person::new("alice", 10);
    world.settle(&alice).await;
    alice.link_device(12);
    let manifest = alice.manifest.as_bytes().clone();
    let owner = world.connect_as(&alice, 0).await;
    let replace = v1::ReplaceManifestRequest {
        manifest: manifest.clone(),
    };
    owner.call(Call::ReplaceManifest(replace)).await.unwrap();
    let second = world.connect_as(&alice, 1).await;
    let publication = alice.publication(1, 1..=1);
    second
        .call(Call::PublishPrekeys(publication))
        .await
        .unwrap();
    let without_it = |number| {
        let mut request = alice.send_request(alice.public_id, number);
        request.envelopes.pop();
        request
    };
    tokio::time::sleep(DAY * (limits::RETENTION_DAYS - 1)).await;
    let sender = world.connect("bob").await;
    let stale = Sent::Stale(manifest);
    assert_eq!(sender.send(without_it(1)).await.unwrap(), stale);
    tokio::time::sleep(DAY).await;
    let sender = world.connect("bob").await;
    assert_eq!(sender.send(without_it(2)).await.unwrap(), Sent::Accepted);
}
