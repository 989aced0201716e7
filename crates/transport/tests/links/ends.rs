// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How links begin and end.

use std::time::Duration;

use waxwing_proto::{limits, v1};
use waxwing_transport::{
    CallError, CloseCode, CloseReason, Elsewhere, LinkError, StreamCode, StreamError, Transport,
};

use crate::kinds::{Kind, dial_with, put};

pub(crate) async fn both_ends_export_the_same_secret_and_other_links_another<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let (other, _theirs) = kind.links().await;
    let secret = ours.exporter(b"EXPORTER-waxwing", b"context").unwrap();
    assert_eq!(theirs.exporter(b"EXPORTER-waxwing", b"context"), Ok(secret));
    assert_ne!(ours.exporter(b"EXPORTER-waxwing", b"other"), Ok(secret));
    assert_ne!(ours.exporter(b"EXPORTER-other", b"context"), Ok(secret));
    assert_ne!(other.exporter(b"EXPORTER-waxwing", b"context"), Ok(secret));
}

/// [TRN-3].
pub(crate) async fn another_key_is_refused_and_the_second_pin_counts<K: Kind>(kind: K) {
    let (own, other) = (kind.address().key_pins[0], kind.other_pin());
    let refused = dial_with(&kind, vec![other]).await.err();
    assert_eq!(refused, Some(LinkError::ServerKeyMismatch));
    let refused = dial_with(&kind, Vec::new()).await.err();
    assert_eq!(refused, Some(LinkError::NoKeyPin));
    assert_eq!(dial_with(&kind, vec![other, own]).await.err(), None);
}

/// [TRN-12].
pub(crate) async fn a_client_cannot_open_more_streams_than_allowed<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let mut held = Vec::new();
    for _ in 0..limits::STREAMS_PER_CONNECTION_MAX {
        held.push(ours.open().await.unwrap());
    }
    let one_more = tokio::time::timeout(Duration::from_millis(50), ours.open());
    assert!(one_more.await.is_err());
    // A server opens none at all.
    let of_server = tokio::time::timeout(Duration::from_millis(50), theirs.open());
    assert!(of_server.await.is_err());
}

/// TRN-71. Whatever carries the link: a server that ends says where it goes on.
pub(crate) async fn a_close_may_name_another_address<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let elsewhere = Elsewhere {
        host: "second.example".parse().unwrap(),
        port: 4747,
    };
    theirs.send_elsewhere(CloseCode::ShuttingDown, 1500, &elsewhere);
    let expected = CloseReason::Peer {
        code: CloseCode::ShuttingDown,
        retry_after_ms: Some(1500),
    };
    assert_eq!(ours.closed().await, expected);
    let named = (K::TRANSPORT != Transport::Simulated).then_some(elsewhere.clone());
    assert_eq!(ours.elsewhere(), named);

    // A client sends nobody anywhere.
    let (ours, theirs) = kind.links().await;
    ours.send_elsewhere(CloseCode::Done, 1, &elsewhere);
    theirs.closed().await;
    if K::TRANSPORT == Transport::Tcp {
        assert_eq!(theirs.elsewhere(), None);
    }
}

pub(crate) async fn a_close_carries_its_code_and_its_hint<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let (_send, mut recv) = ours.open().await.unwrap();
    let waiting = tokio::spawn(async move { recv.receive::<v1::Response>(100).await });
    theirs.close_with_retry(CloseCode::ShuttingDown, 4000);
    let expected = CloseReason::Peer {
        code: CloseCode::ShuttingDown,
        retry_after_ms: Some(4000),
    };
    assert_eq!(ours.closed().await, expected);
    assert_eq!(ours.close_reason(), Some(expected));
    let error = CallError::LinkLost(LinkError::Closed(expected));
    assert_eq!(error.retry_after_ms(), Some(4000));
    let local = CloseReason::Local(CloseCode::ShuttingDown);
    assert_eq!(theirs.closed().await, local);
    let ended = waiting.await.unwrap().unwrap_err();
    assert_eq!(ended, StreamError::Closed(expected));
    assert_eq!(ours.open().await.err(), Some(LinkError::Closed(expected)));
    assert_eq!(theirs.accept().await.err(), Some(LinkError::Closed(local)));

    assert_eq!(ours.elsewhere(), None);

    let (ours, theirs) = kind.links().await;
    ours.close(CloseCode::Revoked);
    assert_eq!(
        theirs.closed().await,
        CloseReason::Peer {
            code: CloseCode::Revoked,
            retry_after_ms: None
        }
    );
}

pub(crate) async fn a_link_ends_with_its_last_handle_and_stream<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let halves = ours.open().await.unwrap();
    let again = ours.clone();
    drop(ours);
    drop(again);
    let still = tokio::time::timeout(Duration::from_millis(50), theirs.closed());
    assert!(still.await.is_err(), "a stream keeps the link");
    drop(halves);
    assert!(matches!(
        theirs.closed().await,
        CloseReason::Peer {
            code: CloseCode::Done,
            ..
        }
    ));
}

pub(crate) async fn halves_that_are_given_up_tell_the_peer<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    // The server stops reading: the client learns the code.
    let (mut send, mut recv) = ours.open().await.unwrap();
    send.send(&put(10), limits::FRAME_SIZE_MAX).await.unwrap();
    let (mut their_send, mut their_recv) = theirs.accept().await.unwrap();
    their_recv.stop(StreamCode::DeadlineExceeded);
    let stopped = send.stopped().await;
    assert_eq!(stopped, StreamError::Stopped(StreamCode::DeadlineExceeded));
    // It gives up what it sends: the client learns that code, too.
    their_send.reset(StreamCode::Malformed);
    let reset = recv.receive::<v1::Response>(100).await.unwrap_err();
    assert_eq!(reset, StreamError::Reset(StreamCode::Malformed));

    // The client drops both halves of another one.
    let (mut send, recv) = ours.open().await.unwrap();
    send.send(&put(10), limits::FRAME_SIZE_MAX).await.unwrap();
    let (their_send, mut their_recv) = theirs.accept().await.unwrap();
    drop((send, recv));
    let stopped = their_send.stopped().await;
    assert_eq!(stopped, StreamError::Stopped(StreamCode::Cancelled));
    loop {
        match their_recv.receive::<v1::Request>(100).await {
            Ok(Some(_)) => {}
            outcome => {
                let reset = StreamError::Reset(StreamCode::Cancelled);
                assert_eq!(outcome.unwrap_err(), reset);
                break;
            }
        }
    }
}

pub(crate) async fn draining_refuses_newcomers_and_waits_for_the_rest<K: Kind>(kind: K) {
    let listener = kind.listener();
    let (_ours, theirs) = kind.links().await;
    listener.stop_accepting();
    assert!(listener.accept().await.is_none());
    let refused = dial_with(&kind, kind.address().key_pins).await;
    assert_eq!(refused.err(), Some(LinkError::Refused));
    let drained = tokio::spawn(async move { listener.drain().await });
    tokio::task::yield_now().await;
    assert!(!drained.is_finished());
    theirs.close(CloseCode::ShuttingDown);
    drained.await.unwrap();
}
