// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sending streams: many `send` calls on one stream.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use waxwing_proto::v1::send_response::Outcome as Answer;
use waxwing_proto::v1::sending_outcome::Outcome;
use waxwing_proto::{limits, v1};
use waxwing_transport::rpc::{SendingSource, SentSink, ServerConnection};
use waxwing_transport::{CallError, Connection, StreamError, serve_hello};

use crate::kinds::Kind;

/// A call that is told apart by its manifest version.
fn numbered(version: u32) -> v1::SendRequest {
    v1::SendRequest {
        manifest_version: version,
        envelopes: vec![v1::AddressedEnvelope {
            envelope: vec![7; 1000].into(),
            ..v1::AddressedEnvelope::default()
        }],
        ..v1::SendRequest::default()
    }
}

fn told(number: u32, outcome: Outcome) -> v1::Sent {
    v1::Sent {
        accepted: Vec::new(),
        others: vec![v1::SendingOutcome {
            number,
            outcome: Some(outcome),
        }],
    }
}

/// The frames of the next sending stream.
async fn accept(connection: &ServerConnection) -> (SentSink, SendingSource) {
    let call = connection.accept().await.unwrap().read().await.unwrap();
    assert!(matches!(
        call.request,
        v1::request::Call::OpenSending(v1::OpenSendingRequest {})
    ));
    call.into_sending().await.unwrap()
}

/// TRN-88. Every third is stale, every fifth refused; the outcomes come backwards.
async fn answer_backwards(sink: &mut SentSink, source: &mut SendingSource, count: usize) {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(source.receive().await.unwrap().unwrap());
    }
    let mut accepted = Vec::new();
    for sending in taken.into_iter().rev() {
        let version = sending.send.unwrap().manifest_version;
        let (manifest, number) = (Bytes::from(version.to_string()), sending.number);
        let outcome = match (version % 3, version % 5) {
            (0, _) => Outcome::StaleDevices(v1::StaleDevices { manifest }),
            (_, 0) => Outcome::Error(v1::Error {
                code: v1::ErrorCode::MailboxFull.into(),
                retry_after_ms: version,
            }),
            _ => {
                accepted.push(number);
                continue;
            }
        };
        sink.queue(&told(number, outcome)).unwrap();
    }
    let others = Vec::new();
    sink.send(&v1::Sent { accepted, others }).await.unwrap();
}

fn check(version: u32, outcome: Result<v1::SendResponse, CallError>) {
    let expected = match (version % 3, version % 5) {
        (0, _) => Ok(Answer::StaleDevices(v1::StaleDevices {
            manifest: version.to_string().into(),
        })),
        (_, 0) => Err(CallError::Refused {
            code: v1::ErrorCode::MailboxFull,
            retry_after_ms: Some(version),
        }),
        _ => Ok(Answer::Accepted(v1::Accepted {})),
    };
    assert_eq!(outcome.map(|it| it.outcome.unwrap()), expected);
}

pub(crate) async fn sendings_share_one_stream_and_each_has_its_outcome<K: Kind>(kind: K) {
    const COUNT: u32 = 300;
    let (ours, theirs) = kind.links().await;
    let clock = kind.clock();
    let serving = tokio::spawn(async move {
        let connection = serve_hello(theirs, clock).await.unwrap();
        let (mut sink, mut source) = accept(&connection).await;
        // Less than the window at a time, or the rest would never come.
        for _ in 0..COUNT / 50 {
            answer_backwards(&mut sink, &mut source, 50).await;
        }
        // The connection's last handle is gone: so the stream ends.
        let end = source.receive().await;
        assert!(
            matches!(end, Ok(None) | Err(StreamError::Closed(_))),
            "{end:?}"
        );
    });
    let connection = Connection::establish(ours, kind.clock()).await.unwrap();
    let mut calls = JoinSet::new();
    for version in 1..=COUNT {
        let connection = connection.clone();
        calls.spawn(async move { (version, connection.send(numbered(version), 0).await) });
    }
    while let Some(ended) = calls.join_next().await {
        let (version, outcome) = ended.unwrap();
        check(version, outcome);
    }
    drop(connection);
    serving.await.unwrap();
}

/// [TRN-18].
pub(crate) async fn a_sending_stream_that_ends_is_followed_by_another<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let clock = kind.clock();
    let serving = tokio::spawn(async move {
        let connection = serve_hello(theirs, clock).await.unwrap();
        // Ended in order, given up, and broken by an outcome of nothing.
        let (mut sink, mut source) = accept(&connection).await;
        source.receive().await.unwrap().unwrap();
        sink.finish().await.unwrap();
        let (sink, mut source) = accept(&connection).await;
        source.receive().await.unwrap().unwrap();
        drop(sink);
        let (mut sink, mut source) = accept(&connection).await;
        let number = source.receive().await.unwrap().unwrap().number;
        let accepted = vec![number.wrapping_add(1)];
        let others = Vec::new();
        sink.send(&v1::Sent { accepted, others }).await.unwrap();
        // Until the client has given it up.
        while let Ok(Some(_)) = source.receive().await {}
        let (mut sink, mut source) = accept(&connection).await;
        answer_backwards(&mut sink, &mut source, 1).await;
        connection.link().closed().await;
    });
    let connection = Connection::establish(ours, kind.clock()).await.unwrap();
    let expected = [
        CallError::Abandoned,
        CallError::Abandoned,
        CallError::Protocol(StreamError::Malformed),
    ];
    for error in expected {
        assert_eq!(connection.send(numbered(1), 0).await, Err(error));
    }
    check(1, connection.send(numbered(1), 0).await);
    drop(connection);
    serving.await.unwrap();
}

pub(crate) async fn a_sending_stream_that_is_refused_says_why<K: Kind>(kind: K) {
    let connection = kind.connect().await;
    for _ in 0..3 {
        let error = connection.send(numbered(1), 0).await.unwrap_err();
        assert_eq!(error.code(), "ERROR_CODE_RATE_LIMITED");
        assert_eq!(error.retry_after_ms(), Some(1500));
    }
}

/// What is large would hold up the rest: it has a stream of its own, and is bulk to no one else.
pub(crate) async fn a_large_sending_has_a_stream_of_its_own<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let clock = kind.clock();
    let serving = tokio::spawn(async move {
        let connection = serve_hello(theirs, clock).await.unwrap();
        let call = connection.accept().await.unwrap().read().await.unwrap();
        assert!(matches!(call.request, v1::request::Call::Send(_)));
        let outcome = Some(Answer::Accepted(v1::Accepted {}));
        let answer = v1::response::Result::Send(v1::SendResponse { outcome });
        call.responder.answer(answer).await.unwrap();
        connection.link().closed().await;
    });
    let connection = Connection::establish(ours, kind.clock()).await.unwrap();
    let mut large = numbered(1);
    large.envelopes[0].envelope = vec![7; limits::CONTROL_FRAME_SIZE_MAX - 32].into();
    check(1, connection.send(large, 0).await);
    drop(connection);
    serving.await.unwrap();
}

/// TRN-77. Whoever waits no longer makes room, and nobody waits for ever.
pub(crate) async fn sendings_that_are_given_up_keep_nobody_waiting<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let clock = kind.clock();
    let serving = tokio::spawn(async move {
        let connection = serve_hello(theirs, clock).await.unwrap();
        let (mut sink, mut source) = accept(&connection).await;
        let mut taken = Vec::new();
        for _ in 0..limits::SENDINGS_UNDER_WAY_MAX {
            taken.push(source.receive().await.unwrap().unwrap().number);
        }
        // The window is full; the client hears nothing until it has given everything up.
        let others = Vec::new();
        let accepted = taken;
        tokio::time::sleep(Duration::from_millis(200)).await;
        sink.send(&v1::Sent { accepted, others }).await.unwrap();
        answer_backwards(&mut sink, &mut source, 1).await;
        connection.link().closed().await;
    });
    let connection = Connection::establish(ours, kind.clock()).await.unwrap();
    let mut calls = JoinSet::new();
    for version in 0..2 * limits::SENDINGS_UNDER_WAY_MAX {
        let connection = connection.clone();
        let version = u32::try_from(version).unwrap();
        calls.spawn(async move { connection.send(numbered(version), 100).await });
    }
    while let Some(ended) = calls.join_next().await {
        assert_eq!(ended.unwrap(), Err(CallError::Timeout));
    }
    check(1, connection.send(numbered(1), 0).await);
    drop(connection);
    serving.await.unwrap();
}
