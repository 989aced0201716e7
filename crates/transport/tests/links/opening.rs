// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A connection that begins with a call. TRN-85.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use waxwing_proto::v1;
use waxwing_transport::{CallError, Connection, Plane, serve_hello};

use crate::kinds::{Kind, put, status};

/// Answers `put_rendezvous` with its value and refuses everything else; gives how many calls came.
fn serve(kind: &impl Kind) -> Arc<AtomicU32> {
    let (listener, clock) = (kind.listener(), kind.clock());
    let count = Arc::new(AtomicU32::new(0));
    let calls = Arc::clone(&count);
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            let (clock, calls) = (Arc::clone(&clock), Arc::clone(&calls));
            tokio::spawn(async move {
                let connection = serve_hello(link, clock).await.unwrap();
                while let Ok(pending) = connection.accept().await {
                    let call = pending.read().await.unwrap();
                    calls.fetch_add(1, Ordering::SeqCst);
                    let answer = call.answer_with(async |request| match request {
                        v1::request::Call::PutRendezvous(put) => {
                            let value = put.value;
                            let fetched = v1::FetchRendezvousResponse { value };
                            Ok(v1::response::Result::FetchRendezvous(fetched))
                        }
                        _ => Err(v1::Error {
                            code: v1::ErrorCode::RateLimited.into(),
                            retry_after_ms: 0,
                        }),
                    });
                    let _ = answer.await;
                }
            });
        }
    });
    count
}

fn send() -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::Send(v1::SendRequest::default())),
    }
}

/// Calls of every priority: the greeting is first all the same. Each connection after the first may
/// be resumed.
pub(crate) async fn the_first_call_goes_out_behind_the_greeting_once<K: Kind>(kind: K) {
    let count = serve(&kind);
    let (dialer, address) = (kind.dialer(), kind.address());
    let firsts = [send(), status(), put(300_000), send(), put(10)];
    for (number, first) in firsts.into_iter().enumerate() {
        let to = (&address, Plane::Account);
        let connection = Connection::dial(&*dialer, to, kind.clock(), Some(&first)).await;
        let connection = connection.unwrap();
        let before = u32::try_from(number).unwrap() * 2;
        // The second time it is a call of its own.
        for more in 1..=2 {
            let answer = connection.call(first.clone(), 0).await;
            match answer.map(|answer| answer.result) {
                Ok(Some(v1::response::Result::FetchRendezvous(fetched))) => {
                    assert!(matches!(
                        &first.call,
                        Some(v1::request::Call::PutRendezvous(put)) if put.value == fetched.value
                    ));
                }
                Err(CallError::Refused { .. }) => assert!(number != 2 && number != 4),
                other => panic!("{other:?}"),
            }
            assert_eq!(count.load(Ordering::SeqCst), before + more);
        }
    }
}

pub(crate) async fn a_first_call_that_nobody_asks_for_is_given_up<K: Kind>(kind: K) {
    let count = serve(&kind);
    let (dialer, address) = (kind.dialer(), kind.address());
    let to = (&address, Plane::Anonymous);
    let first = send();
    let connection = Connection::dial(&*dialer, to, kind.clock(), Some(&first)).await;
    let connection = connection.unwrap();
    let answer = connection.call(put(10), 0).await.unwrap();
    assert!(matches!(
        answer.result,
        Some(v1::response::Result::FetchRendezvous(_))
    ));
    assert_eq!(count.load(Ordering::SeqCst), 2);
    drop(connection);
    let serving = kind.listener();
    serving.drain().await;
}
