// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rates where sendings come together.

use waxwing_proto::v1::ErrorCode;
use waxwing_proto::v1::sending_outcome::Outcome;
use waxwing_storage::embedded::ServerLimits;

use super::people::Person;
use super::sendings::RawStream;
use super::world::{Sent, World};
use crate::{Rates, Settings};

async fn world(rates: Rates) -> World {
    let settings = Settings {
        open_registration: true,
        rates,
        ..Settings::default()
    };
    World::new(settings, ServerLimits::default()).await
}

fn is_limited(outcome: &Option<Outcome>) -> bool {
    let limited = i32::from(ErrorCode::RateLimited);
    matches!(outcome, Some(Outcome::Error(error)) if error.code == limited)
}

/// TRN-25. Of a group that is too large as many are taken as may be.
#[tokio::test(start_paused = true)]
async fn a_group_is_counted_as_its_sendings_are() {
    let mut rates = Rates::default();
    rates.sends_per_delivery_id.count = 3;
    let world = world(rates).await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("bob").await;
    let mut stream = RawStream::open(&client).await;
    let to = [alice.public_id, alice.public_id, alice.own_id].repeat(2);
    let sends = (0..6)
        .zip(to)
        .map(|(number, to)| alice.send_request(to, number));
    let more = (6..9).map(|number| alice.send_request(alice.public_id, number));
    stream.together(sends.chain(more)).await;
    stream.opened().await;
    let outcomes = stream.outcomes(9).await;
    let limited: Vec<u32> = outcomes
        .iter()
        .filter(|(_, outcome)| is_limited(outcome))
        .map(|(number, _)| *number)
        .collect();
    // The fourth under the public id, and those after it.
    assert_eq!(limited, [5, 7, 8, 9]);
    assert!(
        outcomes
            .iter()
            .all(|it| it.1.is_none() || is_limited(&it.1))
    );
}

/// Who may not send more does not use up what others may.
#[tokio::test(start_paused = true)]
async fn what_is_refused_for_the_address_counts_for_no_delivery_id() {
    let mut rates = Rates::default();
    rates.sends_per_prefix.count = 1;
    rates.sends_per_delivery_id.count = 4;
    let world = world(rates).await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("mallory").await;
    let mut stream = RawStream::open(&client).await;
    let sends = (0..3).map(|number| alice.send_request(alice.public_id, number));
    stream.together(sends).await;
    stream.opened().await;
    let outcomes = stream.outcomes(3).await;
    assert!(outcomes[0].1.is_none());
    assert!(is_limited(&outcomes[1].1) && is_limited(&outcomes[2].1));
    for number in 3..6 {
        let client = world.connect(&format!("sender{number}")).await;
        let send = alice.send_request(alice.public_id, number);
        assert_eq!(client.send(send).await.unwrap(), Sent::Accepted);
    }
    let client = world.connect("sender").await;
    let send = alice.send_request(alice.public_id, 9);
    assert_eq!(client.send(send).await.unwrap_err(), ErrorCode::RateLimited);
}
