// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Draining: nothing new is taken, what was accepted is finished, the links are closed.

use waxwing_proto::v1;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_transport::{CloseCode, CloseReason};

use super::people::Person;
use super::world::World;

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_was_accepted() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let subscriber = world.connect_as(&alice, 0).await;
    let mut subscription = subscriber.subscribe().await;
    subscription.drained().await;
    let waiter = world.connect("waiter").await;
    let waiting = waiter.clone();
    let fetch = tokio::spawn(async move {
        let request = v1::FetchRendezvousRequest {
            locator: bytes::Bytes::from_static(&[1; 16]),
            slot: 0,
            wait_ms: 50_000,
        };
        waiting
            .call_within(Call::FetchRendezvous(request), 60_000)
            .await
    });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let before = world.network.now_ms();
    world.relay.drain();
    // The long poll is answered, the delivery stream ends in order.
    let Answer::FetchRendezvous(answer) = fetch.await.unwrap().unwrap() else {
        panic!()
    };
    assert!(answer.value.is_empty());
    assert!(subscription.next().await.unwrap().is_none());
    world.serving.await.unwrap().unwrap();
    assert!(world.network.now_ms() - before < 5000);
    for client in [waiter, subscriber] {
        match client.0.link().closed().await {
            CloseReason::Peer {
                code: CloseCode::ShuttingDown,
                retry_after_ms,
            } => {
                assert!(retry_after_ms.is_some_and(|ms| (1000..=30_000).contains(&ms)));
            }
            other => panic!("{other}"),
        }
    }
}

/// [TRN-70]: each client is told a time of its own, from a span that grows with their number.
#[tokio::test(start_paused = true)]
async fn a_drain_spreads_the_return_of_its_clients() {
    let world = World::open().await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(world.connect("somebody").await);
    }
    world.relay.drain();
    let mut delays = std::collections::BTreeSet::new();
    for client in &clients {
        let link = client.0.link();
        match link.closed().await {
            CloseReason::Peer {
                code: CloseCode::ShuttingDown,
                retry_after_ms: Some(delay_ms),
            } => {
                assert!((1000..=1000 + 40 * 2).contains(&delay_ms), "{delay_ms}");
                delays.insert(delay_ms);
            }
            other => panic!("{other}"),
        }
    }
    assert!(delays.len() > 10, "{delays:?}");
}
