// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two runs of one story from one seed put the same bytes on the network at the same times.

use std::sync::{Arc, Mutex};

use waxwing_transport::sim::EventLog;

use super::people::Person;
use super::world::World;

async fn story() -> ([u8; 32], u64) {
    let mut world = World::open().await;
    let log = Arc::new(Mutex::new(EventLog::default()));
    let recorder = Arc::clone(&log);
    world.network.set_tap(Arc::new(move |event| {
        recorder.lock().unwrap().record(event)
    }));
    let (alice, bob) = (Person::new("alice", 10), Person::new("bob", 20));
    world.settle(&alice).await;
    world.settle(&bob).await;
    let senders = [world.connect("carol").await, world.connect("dave").await];
    let both = [&alice, &bob].map(|person| {
        let senders = senders.clone();
        let requests: Vec<_> = (0..8)
            .map(|number| person.send_request(person.own_id, number))
            .collect();
        tokio::spawn(async move {
            for (request, sender) in requests.into_iter().zip(senders.iter().cycle()) {
                sender.send(request).await.unwrap();
            }
        })
    });
    for task in both {
        task.await.unwrap();
    }
    world.kill_and_restart().await;
    for person in [&alice, &bob] {
        let client = world.connect_as(person, 0).await;
        let mut subscription = client.subscribe().await;
        let mut positions = Vec::new();
        for _ in 0..8 {
            positions.push(subscription.envelope().await.position);
        }
        subscription.drained().await;
        subscription.acknowledge(positions).await;
    }
    world.relay.drain();
    world.serving.await.unwrap().unwrap();
    let log = log.lock().unwrap();
    (log.hash(), log.events())
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(story())
    };
    let (one, two) = (run(), run());
    assert!(one.1 > 100);
    assert_eq!(one, two);
}
