// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Delivery: in order, at least once, within a window, on one stream a device.

use std::time::Duration;

use bytes::Bytes;
use waxwing_proto::v1::delivery::Event;
use waxwing_proto::{limits, v1};

use super::people::Person;
use super::world::{Client, World};

/// Within this time of the paused clock whatever may be handed over has been.
const SOON: Duration = Duration::from_secs(5);

async fn send_many(sender: &Client, to: &Person, numbers: core::ops::Range<u64>) {
    for number in numbers {
        sender
            .send(to.send_request(to.own_id, number))
            .await
            .unwrap();
    }
}

/// [BOX-18], [BOX-20].
#[tokio::test(start_paused = true)]
async fn what_was_not_acknowledged_comes_again_in_order() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    send_many(&sender, &alice, 0..5).await;
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    let mut positions = Vec::new();
    for number in 0..5 {
        let envelope = subscription.envelope().await;
        assert_eq!(envelope.envelope, format!("sealed {number}").as_bytes());
        positions.push(envelope.position);
    }
    subscription.drained().await;
    assert!(positions.is_sorted());
    subscription
        .acknowledge(vec![positions[1], positions[3]])
        .await;
    world.network.kill_links("alice0", "server");

    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    for number in [0, 2, 4] {
        let envelope = subscription.envelope().await;
        assert_eq!(envelope.position, positions[number]);
    }
    subscription.drained().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_later_is_handed_over_at_once() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    subscription.drained().await;
    let sender = world.connect("bob").await;
    let before = world.network.now_ms();
    send_many(&sender, &alice, 0..1).await;
    subscription.envelope().await;
    assert!(world.network.now_ms() - before < 1000, "the wake was lost");
}

/// [BOX-19]: by number.
#[tokio::test(start_paused = true)]
async fn the_window_bounds_what_is_under_way() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    let count = u64::try_from(limits::UNACKNOWLEDGED_MAX).unwrap();
    send_many(&sender, &alice, 0..count + 10).await;
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    let mut positions = Vec::new();
    for _ in 0..count {
        positions.push(subscription.envelope().await.position);
    }
    assert!(subscription.is_silent().await);
    subscription
        .sink
        .send(&v1::Acknowledge {
            positions,
            ..v1::Acknowledge::default()
        })
        .await
        .unwrap();
    let (mut envelopes, mut acknowledged, mut drained) = (0, 0, 0);
    while envelopes + acknowledged + drained < 12 {
        match subscription.next().await.unwrap().unwrap() {
            Event::Envelope(_) => envelopes += 1,
            Event::Acknowledged(_) => acknowledged += 1,
            Event::Drained(_) => drained += 1,
        }
    }
    assert_eq!((envelopes, acknowledged, drained), (10, 1, 1));
}

/// [BOX-78]: one number for everything that was handed over up to it, beside single positions. What
/// was not handed over on this stream is in none of it.
#[tokio::test(start_paused = true)]
async fn one_number_acknowledges_what_came_before_it() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    let count = u64::try_from(limits::UNACKNOWLEDGED_MAX).unwrap();
    send_many(&sender, &alice, 0..count + 5).await;
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    let mut positions = Vec::new();
    for _ in 0..count {
        positions.push(subscription.envelope().await.position);
    }
    assert!(subscription.is_silent().await);
    // Beyond everything that is there, and what the window holds back is in none of it.
    subscription.acknowledge_up_to(u64::MAX, Vec::new()).await;
    drop(subscription);
    let next = |number| positions[63] + number;
    let mut again = client.subscribe().await;
    for number in 1..=5 {
        assert_eq!(again.envelope().await.position, next(number));
    }
    again.drained().await;
    again.acknowledge_up_to(next(2), vec![next(5)]).await;
    drop(again);
    let mut last = client.subscribe().await;
    assert_eq!(last.envelope().await.position, next(3));
    assert_eq!(last.envelope().await.position, next(4));
    last.drained().await;
}

/// [BOX-23], [BOX-78]: each is answered, in order, however many of them are deleted at once.
#[tokio::test(start_paused = true)]
async fn acknowledgements_that_come_together_are_each_answered() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    send_many(&sender, &alice, 0..40).await;
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    let mut positions = Vec::new();
    for _ in 0..40 {
        positions.push(subscription.envelope().await.position);
    }
    subscription.drained().await;
    // More than are taken together.
    for position in positions.iter().take(20) {
        let frame = v1::Acknowledge {
            up_to: *position,
            ..v1::Acknowledge::default()
        };
        subscription.sink.send(&frame).await.unwrap();
    }
    let single = v1::Acknowledge {
        positions: vec![positions[25], positions[30]],
        ..v1::Acknowledge::default()
    };
    subscription.sink.send(&single).await.unwrap();
    for position in positions.iter().take(20) {
        match subscription.next().await.unwrap().unwrap() {
            Event::Acknowledged(told) => assert_eq!(told.up_to, *position),
            other => panic!("{other:?}"),
        }
    }
    match subscription.next().await.unwrap().unwrap() {
        Event::Acknowledged(told) => assert_eq!(told.positions, single.positions),
        other => panic!("{other:?}"),
    }
    drop(subscription);
    let mut again = client.subscribe().await;
    for number in (20..40).filter(|number| ![25, 30].contains(number)) {
        assert_eq!(again.envelope().await.position, positions[number]);
    }
    again.drained().await;
}

/// [BOX-19]: by bytes. One less than the window has, and the next is still handed over; exactly as many, and it
/// is not. It is the same for what lies there and for what arrives.
#[tokio::test(start_paused = true)]
async fn the_window_is_open_up_to_its_last_byte() {
    for (short_by, handed_over) in [(1, 5), (0, 4)] {
        for arrives in [false, true] {
            let world = World::open().await;
            let alice = Person::new("alice", 10);
            world.settle(&alice).await;
            let client = world.connect_as(&alice, 0).await;
            let mut early = None;
            if arrives {
                let mut subscription = client.subscribe().await;
                subscription.drained().await;
                early = Some(subscription);
            }
            let sender = world.connect("bob").await;
            for number in 0..6 {
                let mut request = alice.send_request(alice.own_id, number);
                let size = 262_144 / 4 - if number == 3 { short_by } else { 0 };
                request.envelopes[0].envelope = Bytes::from(vec![7; size]);
                sender.send(request).await.unwrap();
            }
            let mut subscription = match early {
                Some(subscription) => subscription,
                None => client.subscribe().await,
            };
            for _ in 0..handed_over {
                let envelope = tokio::time::timeout(SOON, subscription.envelope());
                assert!(envelope.await.is_ok(), "{handed_over} {arrives}");
            }
            assert!(subscription.is_silent().await, "{handed_over} {arrives}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_window_counts_bytes_too() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    for number in 0..5 {
        let mut request = alice.send_request(alice.own_id, number);
        request.envelopes[0].envelope = Bytes::from(vec![7; limits::ENVELOPE_SIZE_MAX]);
        sender.send(request).await.unwrap();
    }
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    let mut positions = Vec::new();
    for _ in 0..3 {
        positions.push(subscription.envelope().await.position);
    }
    assert!(subscription.is_silent().await);
    subscription
        .sink
        .send(&v1::Acknowledge {
            positions,
            ..v1::Acknowledge::default()
        })
        .await
        .unwrap();
    let mut envelopes = 0;
    while envelopes < 2 {
        if let Event::Envelope(_) = subscription.next().await.unwrap().unwrap() {
            envelopes += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_of_a_device_supersedes_the_old_one() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    let mut old = client.subscribe().await;
    old.drained().await;
    let other = world.connect_as(&alice, 0).await;
    let mut new = other.subscribe().await;
    new.drained().await;
    assert!(
        old.next().await.unwrap().is_none(),
        "the old stream ends in order"
    );
    let sender = world.connect("bob").await;
    send_many(&sender, &alice, 0..1).await;
    new.envelope().await;
}

/// [BOX-23].
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_is_durable_when_it_is_confirmed() {
    let mut world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    send_many(&sender, &alice, 0..3).await;
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    let first = subscription.envelope().await;
    subscription.envelope().await;
    subscription.envelope().await;
    subscription.drained().await;
    subscription.acknowledge(vec![first.position]).await;
    world.kill_and_restart().await;

    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    for number in 1..3 {
        assert_eq!(
            subscription.envelope().await.envelope,
            format!("sealed {number}").as_bytes()
        );
    }
    subscription.drained().await;
}

#[tokio::test(start_paused = true)]
async fn too_many_positions_end_the_stream() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    subscription.drained().await;
    let positions = (0..5000).collect();
    subscription
        .sink
        .send(&v1::Acknowledge {
            positions,
            ..v1::Acknowledge::default()
        })
        .await
        .unwrap();
    assert!(subscription.next().await.is_err());
    // The connection is not lost with it.
    client.subscribe().await.drained().await;
}

/// BOX-17. Whether the recipient keeps up, or stands still until its window is full and what comes has
/// to be looked for: everything is handed over once, in order, and right.
#[tokio::test(start_paused = true)]
async fn what_several_send_at_once_is_handed_over_once_and_in_order() {
    const SENDERS: u64 = 3;
    const EACH: u64 = 200;
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    subscription.drained().await;
    let mut sendings = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let client = world.connect(&format!("sender{sender}")).await;
        for number in (0..EACH).map(|number| number * SENDERS + sender) {
            let (client, request) = (client.clone(), alice.send_request(alice.own_id, number));
            sendings.spawn(async move { client.send(request).await.unwrap() });
        }
    }
    let mut last = 0;
    let mut answered = 0;
    let mut seen = std::collections::BTreeSet::new();
    while answered < SENDERS * EACH {
        let envelope = match subscription.next().await.unwrap().unwrap() {
            Event::Envelope(envelope) => envelope,
            Event::Acknowledged(told) => {
                answered = told.up_to;
                continue;
            }
            other @ Event::Drained(_) => panic!("another event: {other:?}"),
        };
        assert_eq!(envelope.position, last + 1);
        last = envelope.position;
        let id = u64::from_be_bytes(envelope.envelope_id[..8].try_into().unwrap());
        assert_eq!(envelope.envelope, format!("sealed {id}").as_bytes());
        assert!(seen.insert(id));
        // Now and then it stands still, with a full window.
        if last % 64 == 0 || last == SENDERS * EACH {
            if last % 3 == 0 {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            let frame = v1::Acknowledge {
                positions: Vec::new(),
                up_to: last,
            };
            subscription.sink.send(&frame).await.unwrap();
        }
    }
    assert!(subscription.is_silent().await);
    while let Some(sent) = sendings.join_next().await {
        assert_eq!(sent.unwrap(), super::world::Sent::Accepted);
    }
}
