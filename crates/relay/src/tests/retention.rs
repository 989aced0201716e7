// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is never fetched is deleted at the retention limit, and its owner is told.

use std::time::Duration;

use waxwing_proto::limits;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::{self, ErrorCode};

use super::people::Person;
use super::world::World;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
