// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Greetings, calls and deliveries.

use std::future::Future;
use std::task::Poll;

use waxwing_proto::{limits, v1};
use waxwing_transport::rpc::{Greeting, ServerConnection};
use waxwing_transport::{
    CallError, CloseCode, CloseReason, Connection, StreamError, Upgrade, serve_hello,
};

use crate::kinds::{Kind, never_answered, put, status};

/// [TRN-10].
pub(crate) async fn a_call_is_answered<K: Kind>(kind: K) {
    let connection = kind.connect().await;
    assert_eq!(connection.protocol(), 1);
    assert!(connection.server_time_ms() >= 1_600_000_000_000);
    assert_eq!(connection.link().transport(), K::TRANSPORT);
    assert_eq!(connection.link().negotiated_group(), K::GROUP);
    let answer = connection.call(status(), 0).await.unwrap();
    assert!(matches!(
        answer.result,
        Some(v1::response::Result::PrekeyStatus(it)) if it.one_time_remaining == 7
    ));
}

/// [TRN-11].
pub(crate) async fn the_older_side_must_upgrade<K: Kind>(kind: K) {
    let newer = Greeting {
        protocol_min: 2,
        protocol_max: 3,
        features: 0,
    };
    for (client, server, expected) in [
        (Greeting::CURRENT, newer, Upgrade::Client),
        (newer, Greeting::CURRENT, Upgrade::Server),
    ] {
        let (ours, theirs) = kind.links().await;
        let (our_end, their_end) = (ours.clone(), theirs.clone());
        let serving = tokio::spawn(ServerConnection::greet(theirs, kind.clock(), server));
        let refused = Connection::establish_with(ours, kind.clock(), client).await;
        assert_eq!(refused.unwrap_err(), CallError::UpgradeRequired(expected));
        let served = serving.await.unwrap();
        assert_eq!(served.unwrap_err(), CallError::UpgradeRequired(expected));
        let code = CloseCode::UpgradeRequired;
        assert_eq!(our_end.closed().await, CloseReason::Local(code));
        // Either may say it first.
        let by_peer = CloseReason::Peer {
            code,
            retry_after_ms: None,
        };
        let reason = their_end.closed().await;
        assert!(
            reason == by_peer || reason == CloseReason::Local(code),
            "{reason}"
        );
    }
}

/// [TRN-7].
pub(crate) async fn an_oversized_frame_is_refused_by_its_length_alone<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let (mut send, _recv) = ours.open().await.unwrap();
    send.send(&put(5000), limits::FRAME_SIZE_MAX).await.unwrap();
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

/// [TRN-19].
pub(crate) async fn a_refusal_carries_its_code_and_the_time_of_a_retry<K: Kind>(kind: K) {
    let request = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::Send(v1::SendRequest::default())),
    };
    let error = kind.connect().await.call(request, 0).await.unwrap_err();
    assert_eq!(error.retry_after_ms(), Some(1500));
    assert!(error.is_transient());
    assert_eq!(error.code(), "ERROR_CODE_RATE_LIMITED");
}

pub(crate) async fn a_request_without_a_known_call_is_answered<K: Kind>(kind: K) {
    let connection = kind.connect().await;
    let refused = connection.call(v1::Request::default(), 0).await;
    assert!(matches!(
        refused.unwrap_err(),
        CallError::Refused {
            code: v1::ErrorCode::UnknownCall,
            ..
        }
    ));
    assert!(connection.call(status(), 0).await.is_ok());
}

pub(crate) async fn a_large_request_and_answer_pass_the_flow_control<K: Kind>(kind: K) {
    let connection = kind.connect().await;
    let answer = connection
        .call(put(limits::FRAME_SIZE_MAX - 1000), 0)
        .await
        .unwrap();
    assert!(matches!(
        answer.result,
        Some(v1::response::Result::FetchRendezvous(it))
            if it.value == vec![0xa5; limits::FRAME_SIZE_MAX - 1000]
    ));
    let refused = connection.call(put(limits::FRAME_SIZE_MAX), 0).await;
    assert!(matches!(refused.unwrap_err(), CallError::Request(_)));
    // What was read is granted anew: far more passes than any window has.
    for _ in 0..8 {
        assert!(connection.call(put(700_000), 0).await.is_ok());
    }
}

pub(crate) async fn the_deadline_ends_a_call<K: Kind>(kind: K) {
    let connection = kind.connect().await;
    let error = connection.call(never_answered(), 50).await.unwrap_err();
    // Whose clock rings first is open; either way it is the deadline.
    assert!(matches!(
        error,
        CallError::Timeout
            | CallError::Refused {
                code: v1::ErrorCode::DeadlineExceeded,
                ..
            }
    ));
    assert!(connection.call(status(), 0).await.is_ok());
}

/// A stream that is given up must return its credit.
pub(crate) async fn cancelled_calls_return_their_credit<K: Kind>(kind: K) {
    let connection = kind.connect().await;
    for round in 0..3000_u32 {
        let mut call = std::pin::pin!(connection.call(never_answered(), 0));
        // Given up at different points: never polled, polled once, a little later.
        if round % 3 > 0 {
            let once = std::future::poll_fn(|context| {
                let _ = call.as_mut().poll(context);
                Poll::Ready(())
            });
            once.await;
        }
        if round % 3 > 1 {
            tokio::task::yield_now().await;
        }
    }
    assert!(connection.call(status(), 0).await.is_ok());
}

pub(crate) async fn calls_beyond_the_streams_wait<K: Kind>(kind: K) {
    let connection = kind.connect().await;
    let calls = (0..limits::STREAMS_PER_CONNECTION_MAX * 3).map(|_| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.call(put(3000), 0).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
}

/// [TRN-12].
pub(crate) async fn deliveries_and_acknowledgements_flow_both_ways<K: Kind>(kind: K) {
    const COUNT: u64 = 400;
    let (ours, theirs) = kind.links().await;
    let clock = kind.clock();
    let serving = tokio::spawn(async move {
        let connection = serve_hello(theirs, clock).await.unwrap();
        let call = connection.accept().await.unwrap().read().await.unwrap();
        let (mut deliveries, mut acknowledgements) = call.into_stream().await.unwrap();
        for position in 1..=COUNT {
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
    let connection = Connection::establish(ours, kind.clock()).await.unwrap();
    let (mut acknowledge, mut deliveries) = connection.subscribe(0).await.unwrap();
    for expected in 1..=COUNT {
        let frame = deliveries.receive().await.unwrap().unwrap();
        let Some(v1::delivery::Event::Envelope(envelope)) = frame.event else {
            panic!("another event");
        };
        assert_eq!(envelope.position, expected);
        let positions = vec![expected];
        acknowledge
            .send(&v1::Acknowledge {
                positions,
                ..v1::Acknowledge::default()
            })
            .await
            .unwrap();
    }
    acknowledge.finish().await.unwrap();
    assert_eq!(serving.await.unwrap(), (1..=COUNT).collect::<Vec<u64>>());
}
