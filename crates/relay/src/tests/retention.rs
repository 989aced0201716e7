// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is never fetched is deleted at the retention limit, and its owner is told.

use std::time::Duration;

use waxwing_proto::limits;

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
    let again = world
        .connect("alice")
        .await
        .authenticate(&alice, 0)
        .await
        .unwrap();
    assert!(again.expired.is_empty());
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
