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
    serve_sharing(world, limits::LARGE_REQUESTS_MAX)
}

/// As [`serve_and_watch`], where all connections together may have so many large requests read.
fn serve_sharing(world: &World, large_requests: usize) -> Arc<Reading> {
    let large_requests = Arc::new(tokio::sync::Semaphore::new(large_requests));
    let reading = Arc::new(Reading::default());
    let (listener, clock) = (Arc::clone(&world.listener), Arc::clone(&world.clock));
    let watch = Arc::clone(&reading);
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            let (clock, watch) = (Arc::clone(&clock), Arc::clone(&watch));
            let large_requests = Arc::clone(&large_requests);
            tokio::spawn(async move {
                let Ok(connection) = serve_hello(link, clock).await else {
                    return;
                };
                let connection = connection.sharing(large_requests);
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

/// A request of `size` bytes, as a frame.
fn large_request(size: usize) -> bytes::Bytes {
    encode_frame(&bring(size, 0), limits::FRAME_SIZE_MAX).unwrap()
}

/// Opens a stream and sends the beginning of a frame on it.
async fn begin(
    connection: &quinn::Connection,
    frame: &[u8],
) -> (quinn::SendStream, quinn::RecvStream) {
    let (mut send, recv) = connection.open_bi().await.unwrap();
    send.write_all(frame).await.unwrap();
    (send, recv)
}

/// [TRN-78]: of large requests four are read at a time; the others wait until one of these has ended, and small
/// ones go past them.
#[tokio::test(start_paused = true)]
async fn large_requests_of_one_connection_are_read_four_at_a_time() {
    const HALF: usize = 10_000;
    // Near enough that everything which may be read has been long before the time is up.
    let near = PacketSettings {
        delay_ms: 1,
        jitter_ms: 0,
        duplicate_per_mille: 0,
        reorder_per_mille: 0,
        ..PacketSettings::default()
    };
    let world = world(64, near);
    serve_and_watch(&world);
    let connection = mallory(&world, 0).await;
    let _: v1::Hello = say(&connection, hello()).await;
    // With what is sent of them, all ten fit the window of the connection.
    let frame = large_request(70_000);
    let mut half = Vec::new();
    for _ in 0..4 {
        half.push(begin(&connection, &frame[..HALF]).await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let begun_ms = world.now_ms();
    let mut answered = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (mut send, mut recv) = begin(&connection, &frame[..HALF]).await;
        let rest = frame.slice(HALF..);
        answered.spawn(async move {
            // The window has room for it, whether it is read or not.
            send.write_chunk(rest).await.unwrap();
            send.finish().unwrap();
            recv.read_to_end(1_000).await.unwrap();
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for _ in 0..4 {
        half.push(begin(&connection, &frame[..HALF]).await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(answered.try_join_next().is_none(), "they wait");
    let _: v1::Response = say(&connection, request()).await;
    assert!(answered.try_join_next().is_none(), "they still wait");
    // One of the first four ends, and those that were whole are read one after the other.
    let (mut send, mut recv) = half.remove(0);
    send.write_all(&frame[HALF..]).await.unwrap();
    assert!(!recv.read_to_end(1_000).await.unwrap().is_empty());
    answered.join_all().await;
    // Nobody's time had passed.
    assert!(world.now_ms() - begun_ms < 10_000);
}

/// [TRN-78]: each has its time from the beginning, also the time for which it waits.
#[tokio::test(start_paused = true)]
async fn large_requests_wait_within_their_time() {
    let world = world(65, PacketSettings::default());
    serve_and_watch(&world);
    let connection = mallory(&world, 0).await;
    let _: v1::Hello = say(&connection, hello()).await;
    let frame = large_request(70_000);
    let mut half = Vec::new();
    for _ in 0..5 {
        half.push(begin(&connection, &frame[..10_000]).await);
    }
    let begun_ms = world.now_ms();
    for (_, recv) in &mut half {
        let answer = recv.read_to_end(1_000).await.unwrap();
        let answer = <v1::Response as prost::Message>::decode(&answer[4..]).unwrap();
        let Some(v1::response::Result::Error(error)) = answer.result else {
            panic!("an error");
        };
        assert_eq!(error.code(), v1::ErrorCode::DeadlineExceeded);
    }
    let took_ms = world.now_ms() - begun_ms;
    assert!(took_ms < 16_000, "{took_ms}");
}

/// [TRN-78]: what one connection has read counts for the others, too.
#[tokio::test(start_paused = true)]
async fn large_requests_of_all_connections_are_bounded_together() {
    let world = world(66, PacketSettings::default());
    serve_sharing(&world, 1);
    let frame = large_request(70_000);
    let first = mallory(&world, 0).await;
    let _: v1::Hello = say(&first, hello()).await;
    let (mut send, mut recv) = begin(&first, &frame[..10_000]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let honest = world.connect().await;
    let waiting = tokio::spawn({
        let honest = honest.clone();
        async move { honest.call(bring(70_000, 0), 0).await }
    });
    is_refused(&honest).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished(), "it waits");
    send.write_all(&frame[10_000..]).await.unwrap();
    assert!(!recv.read_to_end(1_000).await.unwrap().is_empty());
    let outcome = waiting.await.unwrap();
    assert!(matches!(outcome, Err(CallError::Refused { .. })));
}
