// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two devices meet: one waits, the other writes.

use bytes::Bytes;
use waxwing_proto::limits;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_proto::v1::{self, ErrorCode};

use super::world::{Client, World};

fn put(slot: u32, value: &'static [u8]) -> Call {
    Call::PutRendezvous(v1::PutRendezvousRequest {
        locator: Bytes::from_static(&[1; 16]),
        slot,
        value: Bytes::from_static(value),
    })
}

async fn fetch(client: &Client, slot: u32, wait_ms: u32, deadline_ms: u32) -> Bytes {
    let request = v1::FetchRendezvousRequest {
        locator: Bytes::from_static(&[1; 16]),
        slot,
        wait_ms,
    };
    match client
        .call_within(Call::FetchRendezvous(request), deadline_ms)
        .await
        .unwrap()
    {
        Answer::FetchRendezvous(answer) => answer.value,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_device_gets_the_value_when_it_is_written() {
    let world = World::open().await;
    let (one, two) = (world.connect("one").await, world.connect("two").await);
    let waiting = one.clone();
    let waiter = tokio::spawn(async move { fetch(&waiting, 0, 30_000, 40_000).await });
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let before = world.network.now_ms();
    two.call(put(0, b"offer")).await.unwrap();
    two.call(put(0, b"offer")).await.unwrap();
    assert_eq!(waiter.await.unwrap(), "offer".as_bytes());
    assert!(world.network.now_ms() - before < 1000);
    assert_eq!(fetch(&one, 0, 0, 0).await, "offer".as_bytes());
    let refused = two.call(put(0, b"another")).await.unwrap_err();
    assert_eq!(refused, ErrorCode::RendezvousTaken);
    assert_eq!(
        two.call(put(9, b"x")).await.unwrap_err(),
        ErrorCode::Malformed
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_in_time() {
    let world = World::open().await;
    let client = world.connect("one").await;
    assert!(fetch(&client, 1, 2_000, 10_000).await.is_empty());
    // The deadline bounds the wait.
    assert!(fetch(&client, 1, u32::MAX, 3_000).await.is_empty());
    assert!(fetch(&client, 1, 0, 0).await.is_empty());
}

/// A stranger cannot hold all waits, and cannot guess at locators without end.
#[tokio::test(start_paused = true)]
async fn asking_for_slots_has_a_limit_of_its_own() {
    let world = World::open().await;
    let client = world.connect("one").await;
    let mut answered = 0;
    // Time goes on with every call, and the limit with it.
    let refused = loop {
        let request = v1::FetchRendezvousRequest {
            locator: Bytes::from_static(&[1; 16]),
            slot: 1,
            wait_ms: 0,
        };
        match client.call(Call::FetchRendezvous(request)).await {
            Ok(_) => answered += 1,
            Err(refused) => break refused,
        }
        assert!(answered < 10 * limits::RENDEZVOUS_FETCHES_PER_MINUTE_MAX);
    };
    assert_eq!(refused, ErrorCode::RateLimited);
    assert!(answered >= limits::RENDEZVOUS_FETCHES_PER_MINUTE_MAX);
    // Writing is counted apart, and a minute later asking goes on.
    client.call(put(1, b"still written")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(fetch(&client, 1, 0, 0).await, "still written".as_bytes());
}
