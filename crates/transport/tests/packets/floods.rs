// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client that keeps a server busy with as little as it can, over plain quinn.

use std::sync::atomic::{AtomicUsize, Ordering};

use waxwing_transport::framing::encode_frame;
use waxwing_transport::quic::{SERVER_NAME, bare};

use super::early::say;
use super::*;

/// The calls of all connections whose request is being read, and the most there ever were.
#[derive(Default)]
struct Reading {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Serves every connection; counts the requests that are being read.
fn serve_and_watch(world: &World) -> Arc<Reading> {
    let reading = Arc::new(Reading::default());
    let (listener, clock) = (Arc::clone(&world.listener), Arc::clone(&world.clock));
    let watch = Arc::clone(&reading);
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            let (clock, watch) = (Arc::clone(&clock), Arc::clone(&watch));
            tokio::spawn(async move {
                let Ok(connection) = serve_hello(link, clock).await else {
                    return;
                };
                while let Ok(pending) = connection.accept().await {
                    let watch = Arc::clone(&watch);
                    tokio::spawn(async move {
                        let now = watch.now.fetch_add(1, Ordering::SeqCst) + 1;
                        watch.most.fetch_max(now, Ordering::SeqCst);
                        let read = pending.read().await;
                        watch.now.fetch_sub(1, Ordering::SeqCst);
                        if let Ok(call) = read {
                            let code = v1::ErrorCode::RateLimited;
                            let _ = call.responder.refuse(code, None).await;
                        }
                    });
                }
            });
        }
    });
    reading
}

fn request() -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PrekeyStatus(v1::PrekeyStatusRequest {})),
    }
}

async fn mallory(world: &World, number: usize) -> quinn::Connection {
    let to = world.dial().await.unwrap().remote_address();
    let endpoint = world.network.endpoint(&format!("mallory{number}")).unwrap();
    let config = bare::connecting(identity().key_pin()).unwrap();
    let connecting = endpoint.connect_with(config, to, SERVER_NAME);
    connecting.unwrap().await.unwrap()
}

async fn is_refused(connection: &Connection) {
    let outcome = connection.call(request(), 0).await;
    assert!(matches!(outcome, Err(CallError::Refused { .. })));
}

/// 50,000 streams that are opened with the beginning of a request and reset at once: no more are ever
/// read than may be open, nothing is left of them, and the same connection and another one are served.
#[tokio::test(start_paused = true)]
async fn a_flood_of_opened_and_reset_streams_leaves_nothing() {
    const STREAMS: u32 = 50_000;
    let near = PacketSettings {
        delay_ms: 1,
        jitter_ms: 1,
        ..PacketSettings::default()
    };
    let world = world(61, near);
    let reading = serve_and_watch(&world);
    let connection = mallory(&world, 0).await;
    let _: v1::Hello = say(&connection, hello()).await;
    let flood = connection.clone();
    let flood = tokio::spawn(async move {
        for number in 0..STREAMS {
            let (mut send, mut recv) = flood.open_bi().await.unwrap();
            // Half of a length, a whole one, or the beginning of what it announces.
            let beginnings: [&[u8]; 3] = [&[0, 0], &[0, 0, 0, 9], &[0, 0, 0, 9, 1, 2]];
            let beginning = beginnings[usize::try_from(number % 3).unwrap()];
            send.write_all(beginning).await.unwrap();
            if number % 2 == 0 {
                tokio::task::yield_now().await;
            }
            send.reset(7_u32.into()).unwrap();
            recv.stop(7_u32.into()).unwrap();
        }
    });
    let honest = world.connect().await;
    while !flood.is_finished() {
        is_refused(&honest).await;
    }
    flood.await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let most = usize::try_from(limits::STREAMS_PER_CONNECTION_MAX).unwrap();
    assert_eq!(reading.now.load(Ordering::SeqCst), 0);
    assert!(reading.most.load(Ordering::SeqCst) <= most + 1);
    let answer: v1::Response = say(&connection, request()).await;
    assert!(answer.result.is_some());
}

/// Requests that never end: each has its time, and is refused then; who waits holds no others up.
#[tokio::test(start_paused = true)]
async fn requests_that_stall_end_after_their_time() {
    // As many as may be open, less those whose credit is not announced yet.
    const STREAMS: usize = 56;
    let world = world(62, PacketSettings::default());
    let reading = serve_and_watch(&world);
    let mut stalled = Vec::new();
    for number in 0..4 {
        let connection = mallory(&world, number).await;
        let _: v1::Hello = say(&connection, hello()).await;
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let (mut send, recv) = connection.open_bi().await.unwrap();
            send.write_all(&[0, 0, 0]).await.unwrap();
            streams.push((send, recv));
        }
        stalled.push((connection, streams));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(reading.now.load(Ordering::SeqCst), 4 * STREAMS);
    let honest = world.connect().await;
    let begun_ms = world.now_ms();
    is_refused(&honest).await;
    assert!(world.now_ms() - begun_ms <= 300);
    tokio::time::sleep(Duration::from_millis(u64::from(
        limits::DEADLINE_MS_DEFAULT,
    )))
    .await;
    assert_eq!(reading.now.load(Ordering::SeqCst), 0);
    for (connection, streams) in stalled {
        for (_send, mut recv) in streams {
            let frame = recv.read_to_end(100).await.unwrap();
            let code = v1::ErrorCode::DeadlineExceeded;
            let refusal = v1::Response {
                result: Some(v1::response::Result::Error(v1::Error {
                    code: code.into(),
                    retry_after_ms: 0,
                })),
            };
            assert_eq!(frame, encode_frame(&refusal, 100).unwrap());
        }
        // The streams are free again.
        let answer: v1::Response = say(&connection, request()).await;
        assert!(answer.result.is_some());
    }
}

/// Connections that say nothing after their handshake end soon, and cost others nothing.
#[tokio::test(start_paused = true)]
async fn connections_that_never_greet_end_soon() {
    let world = world(63, PacketSettings::default());
    serve_and_watch(&world);
    let mut silent = Vec::new();
    for number in 0..50 {
        silent.push(mallory(&world, number).await);
    }
    let honest = world.connect().await;
    is_refused(&honest).await;
    tokio::time::sleep(Duration::from_millis(
        u64::from(limits::HELLO_TIMEOUT_MS) + 500,
    ))
    .await;
    for connection in silent {
        let reason = connection.close_reason().unwrap();
        assert!(matches!(
            reason,
            quinn::ConnectionError::ApplicationClosed(_)
        ));
    }
    is_refused(&honest).await;
}
