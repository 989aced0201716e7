// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Greetings and calls.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_and_the_servers_time_is_known() {
    let world = world(1, NetworkSettings::default());
    world.serve();
    let connection = world.connect().await;
    assert_eq!(connection.protocol(), 1);
    assert!(connection.server_time_ms() >= 1_700_000_000_000);
    let answer = connection.call(status(), 0).await.unwrap();
    assert!(matches!(
        answer.result,
        Some(v1::response::Result::PrekeyStatus(it)) if it.one_time_remaining == 7
    ));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_carries_its_code_and_the_time_of_a_retry() {
    let world = world(2, NetworkSettings::default());
    world.serve();
    let request = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::Send(v1::SendRequest::default())),
    };
    let error = world.connect().await.call(request, 0).await.unwrap_err();
    assert_eq!(error.retry_after_ms(), Some(1500));
    assert!(error.is_transient());
    assert_eq!(error.code(), "ERROR_CODE_RATE_LIMITED");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_known_call_is_answered() {
    let world = world(3, NetworkSettings::default());
    world.serve();
    let connection = world.connect().await;
    let error = connection
        .call(v1::Request::default(), 0)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        CallError::Refused {
            code: v1::ErrorCode::UnknownCall,
            ..
        }
    ));
    assert!(connection.call(status(), 0).await.is_ok());
}

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
async fn whoever_is_older_must_upgrade() {
    let newer = Greeting {
        protocol_min: 2,
        protocol_max: 3,
        features: 0,
    };
    for (client, server, expected) in [
        (Greeting::CURRENT, newer, Upgrade::Client),
        (newer, Greeting::CURRENT, Upgrade::Server),
    ] {
        let world = world(6, NetworkSettings::default());
        let (ours, theirs) = world.links().await;
        let clock = Arc::clone(&world.clock);
        let serving =
            tokio::spawn(async move { ServerConnection::greet(theirs, clock, server).await.err() });
        let clock = Arc::clone(&world.clock);
        let refused = Connection::establish_with(ours.clone(), clock, client).await;
        assert_eq!(refused.unwrap_err(), CallError::UpgradeRequired(expected));
        assert_eq!(
            ours.closed().await,
            CloseReason::Local(CloseCode::UpgradeRequired)
        );
        assert_eq!(
            serving.await.unwrap(),
            Some(CallError::UpgradeRequired(expected))
        );
    }
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

#[tokio::test(start_paused = true)]
async fn deliveries_and_acknowledgements_flow_both_ways() {
    let settings = NetworkSettings {
        loss_per_mille: 100,
        jitter_ms: 80,
        ..NetworkSettings::default()
    };
    let world = world(8, settings);
    let listener = Arc::clone(&world.listener);
    let clock = Arc::clone(&world.clock);
    let serving = tokio::spawn(async move {
        let connection = serve_hello(listener.accept().await.unwrap(), clock)
            .await
            .unwrap();
        let call = connection.accept().await.unwrap().read().await.unwrap();
        let (mut deliveries, mut acknowledgements) = call.into_stream().await.unwrap();
        for position in 1..=200 {
            let envelope = v1::StoredEnvelope {
                position,
                envelope: vec![7; 3000].into(),
                ..v1::StoredEnvelope::default()
            };
            let event = Some(v1::delivery::Event::Envelope(envelope));
            deliveries.queue(&v1::Delivery { event }).unwrap();
        }
        deliveries.flush().await.unwrap();
        let mut positions = Vec::new();
        while let Some(frame) = acknowledgements.receive().await.unwrap() {
            positions.extend(frame.positions);
        }
        positions
    });
    let connection = world.connect().await;
    let (mut acknowledge, mut deliveries) = connection.subscribe(0).await.unwrap();
    for expected in 1..=200 {
        let frame = deliveries.receive().await.unwrap().unwrap();
        let Some(v1::delivery::Event::Envelope(envelope)) = frame.event else {
            panic!("another event");
        };
        assert_eq!(envelope.position, expected);
        let positions = vec![expected];
        acknowledge
            .send(&v1::Acknowledge { positions })
            .await
            .unwrap();
    }
    acknowledge.finish().await.unwrap();
    assert_eq!(serving.await.unwrap(), (1..=200).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn both_ends_export_the_same_secret_and_other_links_another() {
    let world = world(9, NetworkSettings::default());
    let (ours, theirs) = world.links().await;
    let (other, _theirs) = world.links().await;
    assert_eq!(ours.exporter(b"a", b"b"), theirs.exporter(b"a", b"b"));
    assert_ne!(ours.exporter(b"a", b"b"), ours.exporter(b"ab", b""));
    assert_ne!(ours.exporter(b"a", b"b"), other.exporter(b"a", b"b"));
    assert_ne!(ours.remote_prefix(), theirs.remote_prefix());
}

#[tokio::test(start_paused = true)]
async fn another_key_is_refused_and_the_second_pin_counts() {
    let world = world(10, NetworkSettings::default());
    let dial = |pins: Vec<KeyPin>| {
        let address = SimNetwork::server_address("relay", 4433, pins).unwrap();
        let dialer = world.dialer.clone();
        async move { dialer.dial(&address, Plane::Account).await.err() }
    };
    assert_eq!(
        dial(vec![KeyPin([8; 32])]).await,
        Some(LinkError::ServerKeyMismatch)
    );
    assert_eq!(dial(Vec::new()).await, Some(LinkError::NoKeyPin));
    assert_eq!(dial(vec![KeyPin([8; 32]), PIN]).await, None);
    world.listener.stop_accepting();
    assert_eq!(dial(vec![PIN]).await, Some(LinkError::Refused));
}

#[tokio::test(start_paused = true)]
async fn an_oversized_frame_is_refused_by_its_length_alone() {
    let world = world(17, NetworkSettings::default());
    let (ours, theirs) = world.links().await;
    let (mut send, _recv) = ours.open().await.unwrap();
    let request = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(v1::PutRendezvousRequest {
            value: vec![0; 5000].into(),
            ..v1::PutRendezvousRequest::default()
        })),
    };
    send.send(&request, limits::FRAME_SIZE_MAX).await.unwrap();
    let (_send, mut recv) = theirs.accept().await.unwrap();
    let error = recv.receive::<v1::Request>(4096).await.unwrap_err();
    assert!(matches!(
        error,
        StreamError::FrameTooLarge {
            limit_bytes: 4096,
            ..
        }
    ));
    assert!(matches!(send.stopped().await, StreamError::Stopped(_)));
}
