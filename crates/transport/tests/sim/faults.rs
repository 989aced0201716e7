// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Partitions, restarts, and the end of links.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_partition_holds_back_and_healing_delivers() {
    let world = world(11, NetworkSettings::default());
    world.serve();
    let connection = world.connect().await;
    world.network.partition("relay", "alice");
    let network = world.network.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        network.heal_all();
    });
    let before_ms = world.clock.monotonic_ms();
    connection.call(status(), 0).await.unwrap();
    assert!(world.clock.monotonic_ms() - before_ms >= 5000);
}

#[tokio::test(start_paused = true)]
async fn a_long_partition_ends_the_link_on_both_sides() {
    let world = world(12, NetworkSettings::default());
    let (ours, theirs) = world.links().await;
    world.network.partition("alice", "relay");
    assert_eq!(theirs.closed().await, CloseReason::TimedOut);
    assert_eq!(ours.closed().await, CloseReason::TimedOut);
    let dialled = world.dialer.dial(&world.address, Plane::Account).await;
    assert_eq!(dialled.err(), Some(LinkError::TimedOut));
    world.network.heal_all();
    assert!(
        world
            .dialer
            .dial(&world.address, Plane::Account)
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_restarted_server_resets_the_links_that_it_forgot() {
    let world = world(13, NetworkSettings::default());
    world.serve();
    let connection = world.connect().await;
    world.network.crash("relay");
    let again = world.network.listen("relay", 4433, PIN);
    let error = connection.call(status(), 0).await.unwrap_err();
    assert_eq!(
        error,
        CallError::LinkLost(LinkError::Closed(CloseReason::Reset))
    );
    assert!(
        world
            .dialer
            .dial(&world.address, Plane::Account)
            .await
            .is_ok()
    );
    assert!(again.accept().await.is_some());
}

/// [TRN-18].
#[tokio::test(start_paused = true)]
async fn a_killed_link_ends_the_call_and_a_close_carries_its_hint() {
    let world = world(14, NetworkSettings::default());
    world.serve();
    let connection = world.connect().await;
    let network = world.network.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        network.kill_links("relay", "alice");
    });
    let error = connection.call(never_answered(), 0).await.unwrap_err();
    assert!(matches!(error, CallError::LinkLost(LinkError::Closed(_))));

    let (ours, theirs) = {
        let lone = self::world(15, NetworkSettings::default());
        lone.links().await
    };
    theirs.close_with_retry(CloseCode::ShuttingDown, 4000);
    let reason = ours.closed().await;
    let error = CallError::LinkLost(LinkError::Closed(reason));
    assert_eq!(error.retry_after_ms(), Some(4000));
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_the_last_link() {
    let world = world(16, NetworkSettings::default());
    let (_ours, theirs) = world.links().await;
    let listener = Arc::clone(&world.listener);
    let draining = tokio::spawn(async move { listener.drain().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!draining.is_finished());
    assert!(world.listener.accept().await.is_none());
    theirs.close(CloseCode::ShuttingDown);
    draining.await.unwrap();
}
