// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a hostile client can do to a server over a real socket, and that others do not notice.

use std::io::Write as _;
use std::time::Duration;

use tokio::net::TcpSocket;
use waxwing_proto::limits;
use waxwing_transport::CloseCode;
use waxwing_transport::tcp::ALPN;

use super::foreign::{Foreign, hybrid};
use super::*;

/// One frame with a stream's bytes, see TRN-42.
fn stream_frame(stream: u32, bytes: &[u8], ends: bool) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [
        &[u8::from(ends)][..],
        &stream.to_be_bytes(),
        &length.to_be_bytes(),
        bytes,
    ]
    .concat()
}

fn code_frame(kind: u8, stream: u32, code: u32) -> Vec<u8> {
    [&[kind][..], &stream.to_be_bytes(), &code.to_be_bytes()].concat()
}

/// Sends what breaks the protocol: the connection ends with close code 1.
async fn is_expelled(bytes: Vec<u8>) {
    let listener = listener();
    let to = listener.local_address().unwrap();
    let heard = tokio::task::spawn_blocking(move || {
        let mut client = Foreign::connect(hybrid(), ALPN, to).unwrap();
        let _ = client.send(&bytes);
        client.read_to_end()
    });
    let link = listener.accept().await.unwrap();
    assert_eq!(link.closed().await, CloseReason::Fault);
    let heard = heard.await.unwrap();
    assert!(heard.ends_with(&[8, 0, 0, 0, 1]), "{heard:?}");
    assert_eq!(listener.held_bytes(), 0);
}

/// [TRN-48], [TRN-49].
#[tokio::test]
async fn what_is_no_frame_ends_the_connection() {
    is_expelled(vec![0xff; 100]).await;
}

/// [TRN-44], [TRN-49].
#[tokio::test]
async fn a_window_that_is_exceeded_ends_the_connection() {
    let chunk = stream_frame(0, &[0; 60_000], false);
    is_expelled(chunk.repeat(3)).await;
}

/// [TRN-44]: just as much as it may send, on a stream and on all: the server answers a ping behind it. One byte
/// more ends the connection.
#[tokio::test]
async fn a_client_may_send_so_much_at_the_beginning_and_not_a_byte_more() {
    const STREAM: usize = 131_072;
    const PIECE: usize = 32_768;
    for streams in [1, 2] {
        let listener = listener();
        let to = listener.local_address().unwrap();
        let heard = tokio::task::spawn_blocking(move || {
            let mut client = Foreign::connect(hybrid(), ALPN, to).unwrap();
            for stream in 0..streams {
                let piece = stream_frame(stream, &[0; PIECE], false);
                client.send(&piece.repeat(STREAM / PIECE)).unwrap();
            }
            client.send(&[6]).unwrap();
            assert_eq!(client.read_exact(1), [7]);
            // On the stream that is full, or on another when all are.
            let next = if streams == 1 { 0 } else { streams };
            let _ = client.send(&stream_frame(next, b"a", false));
            client.read_to_end()
        });
        let link = listener.accept().await.unwrap();
        assert_eq!(link.closed().await, CloseReason::Fault);
        assert!(heard.await.unwrap().ends_with(&[8, 0, 0, 0, 1]));
    }
}

/// [TRN-44]: a server sends so much to a client that grants nothing, and then answers only its ping.
#[tokio::test]
async fn a_server_sends_so_much_at_the_beginning_and_not_a_byte_more() {
    for (streams, expected) in [(1, 1_048_576), (3, 2_097_152)] {
        let listener = listener();
        let to = listener.local_address().unwrap();
        let client = tokio::task::spawn_blocking(move || {
            let mut client = Foreign::connect(hybrid(), ALPN, to).unwrap();
            for stream in 0..streams {
                client.send(&stream_frame(stream, b"a", false)).unwrap();
            }
            let mut bytes = 0;
            let mut pinged = false;
            loop {
                match client.read_exact(1)[0] {
                    0 => {
                        let header = client.read_exact(6);
                        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
                        client.read_exact(length);
                        bytes += length;
                    }
                    4 => drop(client.read_exact(8)),
                    5 => drop(client.read_exact(4)),
                    7 => return bytes,
                    other => panic!("frame {other}"),
                }
                if bytes >= expected && !pinged {
                    client.send(&[6]).unwrap();
                    pinged = true;
                }
            }
        });
        let link = listener.accept().await.unwrap();
        for _ in 0..streams {
            let (mut send, recv) = link.accept().await.unwrap();
            let large = v1::Request {
                deadline_ms: 0,
                call: Some(v1::request::Call::PutRendezvous(v1::PutRendezvousRequest {
                    value: vec![0; 1_500_000].into(),
                    ..v1::PutRendezvousRequest::default()
                })),
            };
            tokio::spawn(async move {
                let _ = send.send(&large, 2_000_000).await;
                drop(recv);
            });
        }
        assert_eq!(client.await.unwrap(), expected);
    }
}

/// [TRN-43], [TRN-49].
#[tokio::test]
async fn a_stream_too_many_ends_the_connection() {
    let streams = 0..=limits::STREAMS_PER_CONNECTION_MAX;
    is_expelled(
        streams
            .flat_map(|it| stream_frame(it, b"a", false))
            .collect(),
    )
    .await;
}

/// 100,000 streams that are opened and given up at once: nothing is left of them, and another
/// client is served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_opened_and_reset_streams_leaves_nothing() {
    const STREAMS: u32 = 100_000;
    let listener = listener();
    let to = listener.local_address().unwrap();
    let flood = tokio::task::spawn_blocking(move || {
        let mut client = Foreign::connect(hybrid(), ALPN, to).unwrap();
        // It answers each stream with a reset, so that the client has to read.
        let mut answered = 0;
        for first in (0..STREAMS).step_by(50) {
            let frames = (first..first + 50).flat_map(|stream| {
                [
                    stream_frame(stream, b"some bytes", false),
                    code_frame(2, stream, 0),
                    code_frame(3, stream, 0),
                ]
                .concat()
            });
            client.send(&frames.collect::<Vec<u8>>()).unwrap();
            while answered < first + 50 {
                match client.read_exact(1)[0] {
                    2 => {
                        client.read_exact(8);
                        answered += 1;
                    }
                    5 => drop(client.read_exact(4)),
                    other => panic!("frame {other}"),
                }
            }
        }
        client
    });
    let theirs = listener.accept().await.unwrap();
    let (honest, served) = links(&listener).await;
    tokio::spawn(serve(served));
    let honest = Connection::establish(honest, clock()).await.unwrap();
    while !flood.is_finished() {
        honest.call(status(), 0).await.unwrap();
    }
    drop(flood.await.unwrap());
    assert_eq!(listener.held_bytes(), 0);
    assert!(theirs.accept().await.is_err(), "the client is gone");
}

/// Clients that begin a handshake and stall have a bounded number of places, for a bounded time,
/// and none of those that belong to other networks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_handshakes_cost_others_nothing_and_end() {
    let listener = listen(TcpListenerSettings {
        handshake_timeout_ms: 3000,
        ..TcpListenerSettings::default()
    });
    let to = listener.local_address().unwrap();
    let stall = |from: [u8; 4]| async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        let stream = socket.connect(to).await.unwrap();
        // The header of a handshake record of 500 bytes, and no more.
        stream.writable().await.unwrap();
        let _ = stream.try_write(&[22, 3, 1, 1, 244, 1]);
        stream
    };
    let mut stalled = Vec::new();
    for _ in 0..limits::CONNECTING_PER_PREFIX_MAX + 20 {
        stalled.push(stall([127, 0, 7, 1]).await);
    }
    // One of the network that has used up its places; then one of another, which is served.
    let (ours, theirs) = links(&listener).await;
    tokio::spawn(serve(theirs));
    let honest = Connection::establish(ours, clock()).await.unwrap();
    assert!(honest.call(status(), 0).await.is_ok());
    let stalling = listener.connections() - 1;
    assert!(stalling <= limits::CONNECTING_PER_PREFIX_MAX, "{stalling}");
    // Each of them ends by the time of a handshake.
    for stream in &stalled {
        stream.readable().await.unwrap();
        let mut buffer = [0; 100];
        while !matches!(stream.try_read(&mut buffer), Ok(0)) {
            if stream.readable().await.is_err() {
                break;
            }
        }
    }
    assert!(honest.call(status(), 0).await.is_ok());
    while listener.connections() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A message that is so large.
fn answer(size: usize) -> v1::Request {
    let put = v1::PutRendezvousRequest {
        value: vec![0; size].into(),
        ..v1::PutRendezvousRequest::default()
    };
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(put)),
    }
}

/// A client that never reads makes the server keep no more than the queue, and its own requests
/// wait; when the server closes, the link is over although the client still does not read.
#[tokio::test]
async fn a_client_that_does_not_read_is_held_within_bounds() {
    let listener = listener();
    let to = listener.local_address().unwrap();
    let client = tokio::task::spawn_blocking(move || {
        let mut client = Foreign::connect(hybrid(), ALPN, to).unwrap();
        client.send(&stream_frame(0, b"a", false)).unwrap();
        client
    });
    let link = listener.accept().await.unwrap();
    let _client = client.await.unwrap();
    let (mut send, _recv) = link.accept().await.unwrap();
    let large = answer(1_000_000);
    let flood = async {
        for _ in 0..50 {
            send.send(&large, limits::FRAME_SIZE_MAX).await.unwrap();
        }
    };
    let waits = tokio::time::timeout(Duration::from_millis(200), flood).await;
    assert!(waits.is_err(), "the credit is used up");
    link.close(CloseCode::Overloaded);
    drop((send, _recv));
    listener.drain().await;
}

/// Many that do not read, and grant all the credit that there can be: what the server keeps for all of
/// them is bounded, others are served meanwhile, and nothing is left when they are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_that_do_not_read_are_held_within_a_bound_together() {
    const CLIENTS: usize = 12;
    let queued_bytes_max = 3 * limits::TCP_SEND_QUEUE_SIZE_MAX;
    let listener = listen(TcpListenerSettings {
        queued_bytes_max,
        ..TcpListenerSettings::default()
    });
    let to = listener.local_address().unwrap();
    let hostile = tokio::task::spawn_blocking(move || {
        let connect = |_| {
            let mut client = Foreign::connect(hybrid(), ALPN, to).unwrap();
            client.send(&stream_frame(0, b"a", false)).unwrap();
            client.send(&code_frame(4, 0, 0x7f00_0000)).unwrap();
            client.send(&[5, 0x7f, 0, 0, 0]).unwrap();
            client
        };
        (0..CLIENTS).map(connect).collect::<Vec<_>>()
    });
    for _ in 0..CLIENTS {
        let link = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let (mut send, _recv) = link.accept().await.unwrap();
            let large = answer(1_000_000);
            // Until the connection ends, as the client takes no more than the kernel does for it.
            while send.send(&large, limits::FRAME_SIZE_MAX).await.is_ok() {}
        });
    }
    let hostile = hostile.await.unwrap();
    let (ours, theirs) = links(&listener).await;
    tokio::spawn(serve(theirs));
    let honest = Connection::establish(ours, clock()).await.unwrap();
    let filled = async {
        while listener.queued_bytes() + 16 * 1024 < queued_bytes_max {
            assert!(listener.queued_bytes() <= queued_bytes_max);
            assert!(honest.call(status(), 0).await.is_ok());
        }
    };
    // Far more than it takes: if nothing is counted, this is how it shows.
    tokio::time::timeout(Duration::from_secs(100), filled)
        .await
        .expect("all that there is to count is used up");
    for _ in 0..100 {
        assert!(listener.queued_bytes() <= queued_bytes_max);
        assert!(honest.call(status(), 0).await.is_ok());
    }
    drop(hostile);
    while listener.queued_bytes() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What stands before the end of a handshake is no connection: it can be cut at every byte.
#[tokio::test]
async fn garbage_instead_of_a_handshake_is_dropped() {
    let listener = listener();
    let to = listener.local_address().unwrap();
    tokio::task::spawn_blocking(move || {
        for garbage in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[22, 3, 1, 0xff, 0xff],
            &[0; 70_000],
        ] {
            let mut stream = std::net::TcpStream::connect(to).unwrap();
            let _ = stream.write_all(garbage);
        }
    })
    .await
    .unwrap();
    let (ours, theirs) = links(&listener).await;
    tokio::spawn(serve(theirs));
    let connection = Connection::establish(ours, clock()).await.unwrap();
    assert!(connection.call(status(), 0).await.is_ok());
}
