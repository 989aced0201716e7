// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Greetings and calls.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_call_on_both_sides() {
    let world = world(4, NetworkSettings::default());
    world.serve();
    let connection = world.connect().await;
    let before_ms = world.clock.monotonic_ms();
    let error = connection.call(never_answered(), 2000).await.unwrap_err();
    assert_eq!(error, CallError::Timeout);
    assert_eq!(world.clock.monotonic_ms() - before_ms, 2000);
    assert!(connection.call(status(), 0).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn cancelled_calls_return_their_credit() {
    let settings = NetworkSettings {
        loss_per_mille: 20,
        ..NetworkSettings::default()
    };
    let world = world(5, settings);
    world.serve();
    let connection = world.connect().await;
    for round in 0..3000_u64 {
        let call = connection.call(never_answered(), 0);
        let _ = tokio::time::timeout(Duration::from_millis(round % 90), call).await;
    }
    assert!(connection.call(status(), 0).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_costs_either_side_no_more_than_the_greeting_time() {
    let world = world(7, NetworkSettings::default());
    let (ours, theirs) = world.links().await;
    let clock = Arc::clone(&world.clock);
    let outcome = Connection::establish(ours, clock).await;
    assert_eq!(outcome.unwrap_err(), CallError::Timeout);
    drop(theirs);
    let (_ours, theirs) = world.links().await;
    let outcome = serve_hello(theirs, Arc::clone(&world.clock)).await;
    assert_eq!(outcome.unwrap_err(), CallError::Timeout);
}
