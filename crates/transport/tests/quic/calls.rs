// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Greetings and calls.

use prost::Message as _;
use waxwing_transport::framing::encode_frame;

use super::foreign::{foreign_client, hybrid};
use super::*;

#[tokio::test]
async fn whoever_is_older_must_upgrade() {
    let newer = Greeting {
        protocol_min: 2,
        protocol_max: 3,
        features: 0,
    };
    let listener = listener();
    for (client, server, expected) in [
        (Greeting::CURRENT, newer, Upgrade::Client),
        (newer, Greeting::CURRENT, Upgrade::Server),
    ] {
        let (ours, theirs) = links(&listener).await;
        let serving = tokio::spawn(ServerConnection::greet(theirs, clock(), server));
        let refused = Connection::establish_with(ours, clock(), client).await;
        assert_eq!(refused.unwrap_err(), CallError::UpgradeRequired(expected));
        let served = serving.await.unwrap();
        assert_eq!(served.unwrap_err(), CallError::UpgradeRequired(expected));
    }
}

#[tokio::test]
async fn an_oversized_frame_is_refused_by_its_length_alone() {
    let listener = listener();
    let (ours, theirs) = links(&listener).await;
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

#[tokio::test]
async fn whatever_a_client_sends_is_answered() {
    let listener = listener();
    let to = listener.local_address().unwrap();
    let (client, link) = tokio::join!(foreign_client(hybrid(), ALPN, to), listener.accept());
    let client = client.unwrap();
    tokio::spawn(serve(link.unwrap()));
    let exchange = |bytes: Vec<u8>| {
        let client = client.clone();
        async move {
            let (mut send, mut recv) = client.open_bi().await.unwrap();
            // The server may stop the stream before it was written whole.
            let _ = send.write_all(&bytes).await;
            let _ = send.finish();
            let answer = recv
                .read_to_end(limits::CONTROL_FRAME_SIZE_MAX)
                .await
                .unwrap();
            bytes::Bytes::from(answer)
        }
    };
    let hello = v1::Hello {
        protocol_min: 1,
        protocol_max: 1,
        ..v1::Hello::default()
    };
    // A field of a later version is ignored.
    let mut greeting = encode_frame(&hello, 100).unwrap().to_vec();
    greeting.extend_from_slice(&[0x7a, 0x01, 0x55]);
    greeting[3] += 3;
    assert!(!exchange(greeting).await.is_empty());
    for (bytes, expected) in [
        (vec![0x7f; 100], v1::ErrorCode::TooLarge),
        (vec![0, 0, 0, 3, 0xff, 0xff, 0xff], v1::ErrorCode::Malformed),
        (vec![0, 0, 0, 9, 1], v1::ErrorCode::Malformed),
        (vec![0, 0, 0, 0], v1::ErrorCode::UnknownCall),
        (Vec::new(), v1::ErrorCode::Malformed),
    ] {
        let answer = exchange(bytes).await;
        let response = v1::Response::decode(answer.slice(4..)).unwrap();
        let Some(v1::response::Result::Error(error)) = response.result else {
            panic!("not refused");
        };
        assert_eq!(error.code(), expected);
    }
    let answer = exchange(encode_frame(&status(), 100).unwrap().to_vec()).await;
    let response = v1::Response::decode(answer.slice(4..)).unwrap();
    assert!(matches!(
        response.result,
        Some(v1::response::Result::PrekeyStatus(_))
    ));
}

#[tokio::test]
async fn a_large_request_and_answer_pass_the_flow_control() {
    let listener = listener();
    let (ours, theirs) = links(&listener).await;
    let serving = tokio::spawn(async move {
        let connection = serve_hello(theirs, clock()).await.unwrap();
        let call = connection.accept().await.unwrap().read().await.unwrap();
        let answered = call.answer_with(|request| async move {
            let v1::request::Call::PutRendezvous(put) = request else {
                panic!("another call");
            };
            Ok(v1::response::Result::FetchRendezvous(
                v1::FetchRendezvousResponse { value: put.value },
            ))
        });
        answered.await.unwrap();
        connection.link().closed().await
    });
    let connection = Connection::establish(ours, clock()).await.unwrap();
    let value = bytes::Bytes::from(vec![0xa5; limits::FRAME_SIZE_MAX - 1000]);
    let request = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(v1::PutRendezvousRequest {
            value: value.clone(),
            ..v1::PutRendezvousRequest::default()
        })),
    };
    let answer = connection.call(request, 0).await.unwrap();
    assert!(matches!(
        answer.result,
        Some(v1::response::Result::FetchRendezvous(it)) if it.value == value
    ));
    let too_large = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(v1::PutRendezvousRequest {
            value: vec![0; limits::FRAME_SIZE_MAX].into(),
            ..v1::PutRendezvousRequest::default()
        })),
    };
    let refused = connection.call(too_large, 0).await.unwrap_err();
    assert!(matches!(refused, CallError::Request(_)));
    drop(connection);
    let reason = serving.await.unwrap();
    assert!(matches!(
        reason,
        CloseReason::Peer {
            code: CloseCode::Done,
            retry_after_ms: None
        }
    ));
}

#[tokio::test]
async fn the_deadline_ends_a_call() {
    let listener = listener();
    let (ours, theirs) = links(&listener).await;
    tokio::spawn(serve(theirs));
    let connection = Connection::establish(ours, clock()).await.unwrap();
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

/// A stream that is given up must return its credit: quinn has had leaks there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_calls_return_their_credit() {
    let listener = listener();
    let (ours, theirs) = links(&listener).await;
    tokio::spawn(serve(theirs));
    let connection = Connection::establish(ours, clock()).await.unwrap();
    for round in 0..3000_u32 {
        let mut call = std::pin::pin!(connection.call(never_answered(), 0));
        // Given up at different points: never polled, polled once, a little later.
        if round % 3 > 0 {
            let once = std::future::poll_fn(|context| {
                let _ = call.as_mut().poll(context);
                std::task::Poll::Ready(())
            });
            once.await;
        }
        if round % 3 > 1 {
            tokio::task::yield_now().await;
        }
    }
    assert!(connection.call(status(), 0).await.is_ok());
}
