// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Greetings and calls.

use std::sync::atomic::{AtomicU32, Ordering};

use waxwing_proto::limits;

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

/// TRN-17: the server keeps to the time that a call names, from the arrival of its request, whatever the client
/// does: the handler is dropped, and the client is told so.
#[tokio::test(start_paused = true)]
async fn the_server_gives_a_call_up_when_its_time_is_over() {
    /// Counts the handlers that were dropped.
    struct Dropped(Arc<AtomicU32>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let world = world(6, NetworkSettings::default());
    let (ours, theirs) = world.links().await;
    let (begun, dropped): (Arc<AtomicU32>, Arc<AtomicU32>) = Default::default();
    let (clock, counts) = (
        Arc::clone(&world.clock),
        (Arc::clone(&begun), Arc::clone(&dropped)),
    );
    tokio::spawn(async move {
        let connection = serve_hello(theirs, clock).await.unwrap();
        while let Ok(pending) = connection.accept().await {
            let call = pending.read().await.unwrap();
            let (begun, dropped) = (Arc::clone(&counts.0), Dropped(Arc::clone(&counts.1)));
            let handler = |_| async move {
                let _dropped = dropped;
                begun.fetch_add(1, Ordering::Relaxed);
                core::future::pending().await
            };
            call.answer_with(handler).await.unwrap();
        }
    });
    let connection = Connection::establish(ours, Arc::clone(&world.clock)).await;
    let connection = connection.unwrap();
    for (count, named_ms, expected_ms) in [
        (1, 1, 1),
        (2, 2_000, 2_000),
        (3, 0, u64::from(limits::DEADLINE_MS_DEFAULT)),
        (4, u32::MAX, u64::from(limits::DEADLINE_MS_MAX)),
    ] {
        // Without the client's own clock, which would ring first.
        let (mut send, mut recv) = connection.link().open().await.unwrap();
        let request = v1::Request {
            deadline_ms: named_ms,
            ..never_answered()
        };
        let begun_ms = world.clock.monotonic_ms();
        let limit = limits::CONTROL_FRAME_SIZE_MAX;
        send.send(&request, limit).await.unwrap();
        send.finish().await.unwrap();
        let response: v1::Response = recv.receive(limit).await.unwrap().unwrap();
        let Some(v1::response::Result::Error(error)) = response.result else {
            panic!("another answer");
        };
        assert_eq!(error.code, i32::from(v1::ErrorCode::DeadlineExceeded));
        let took_ms = world.clock.monotonic_ms() - begun_ms;
        let range_ms = expected_ms..=expected_ms + 500;
        assert!(range_ms.contains(&took_ms), "{took_ms} of {expected_ms}");
        assert_eq!(begun.load(Ordering::Relaxed), count);
        assert_eq!(dropped.load(Ordering::Relaxed), count);
    }
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
