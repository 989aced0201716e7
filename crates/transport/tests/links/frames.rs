// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long frames may be: the longest that is taken, and one byte more. Numbers stand here as the
//! specification has them.

use std::time::Duration;

use prost::Message;
use waxwing_proto::v1;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_transport::{CallError, Connection, Link, RecvStream, StreamError, serve_hello};

use crate::kinds::Kind;

const LARGE: usize = 1_048_576;
const SMALL: usize = 65_536;
/// What a peer that keeps to no bound sends.
const BOUNDLESS: usize = 4 * LARGE;

/// A message that is encoded in exactly `size` bytes.
fn of_size<M: Message>(size: usize, with_bytes: impl Fn(usize) -> M) -> M {
    let beside = with_bytes(size).encoded_len() - size;
    let message = with_bytes(size - beside);
    assert_eq!(message.encoded_len(), size);
    message
}

/// A greeting with a field of a later version.
#[derive(Clone, PartialEq, Message)]
struct LongHello {
    #[prost(uint32, tag = "1")]
    protocol_min: u32,
    #[prost(uint32, tag = "2")]
    protocol_max: u32,
    #[prost(bytes = "vec", tag = "1000")]
    more: Vec<u8>,
}

fn request(call: Call) -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(call),
    }
}

fn acknowledge(count: usize) -> v1::Acknowledge {
    v1::Acknowledge {
        positions: vec![1; count],
        ..v1::Acknowledge::default()
    }
}

fn sending(count: usize) -> v1::Sending {
    v1::Sending {
        number: 1,
        send: Some(v1::SendRequest {
            delivery_id: vec![0; count].into(),
            ..v1::SendRequest::default()
        }),
        ..v1::Sending::default()
    }
}

fn is_too_large(error: &StreamError, limit: usize) -> bool {
    matches!(error, StreamError::FrameTooLarge { limit_bytes, .. } if *limit_bytes == limit)
}

/// [TRN-8]: the request of a call. What is too long is answered.
pub(crate) async fn a_request_has_its_bound<K: Kind>(kind: K) {
    let connection = kind.connect().await;
    for (size, code) in [
        (LARGE, v1::ErrorCode::RateLimited),
        (LARGE + 1, v1::ErrorCode::TooLarge),
    ] {
        // A call that this server refuses when it has read it.
        let publish = |count| {
            request(Call::PublishPrekeys(v1::PublishPrekeysRequest {
                signed_pair: vec![0; count].into(),
                ..v1::PublishPrekeysRequest::default()
            }))
        };
        let publish = of_size(size, publish);
        let (mut send, mut recv) = connection.link().open().await.unwrap();
        let sending = async {
            // The server stops what it will not read.
            let _ = send.send(&publish, BOUNDLESS).await;
        };
        let ((), answer) = tokio::join!(sending, recv.receive::<v1::Response>(LARGE));
        let Some(Reply::Error(error)) = answer.unwrap().unwrap().result else {
            panic!("an error");
        };
        assert_eq!(error.code(), code);
    }
}

/// [TRN-8], [TRN-9]: a greeting, of which most is unknown.
pub(crate) async fn a_greeting_has_its_bound<K: Kind>(kind: K) {
    for (size, fits) in [(SMALL, true), (SMALL + 1, false)] {
        let (ours, theirs) = kind.links().await;
        let serving = tokio::spawn(serve_hello(theirs, kind.clock()));
        let (mut send, _recv) = ours.open().await.unwrap();
        let hello = of_size(size, |count| LongHello {
            protocol_min: 1,
            protocol_max: 1,
            more: vec![0; count],
        });
        let _ = send.send(&hello, BOUNDLESS).await;
        match serving.await.unwrap() {
            Ok(_) => assert!(fits),
            Err(CallError::Protocol(error)) => assert!(!fits && is_too_large(&error, SMALL)),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Opens a stream that goes on, as a client that keeps to no bound, and sends one frame on it.
async fn send_on(link: &Link, opening: Call, frame: &impl Message) {
    let (mut send, mut recv) = link.open().await.unwrap();
    send.send(&request(opening), LARGE).await.unwrap();
    let opened: Option<v1::Response> = recv.receive(LARGE).await.unwrap();
    assert!(opened.is_some());
    let _ = send.send(frame, BOUNDLESS).await;
    let _ = send.finish().await;
    // Until the server is done with it.
    let _ = recv.receive::<v1::Delivery>(LARGE).await;
}

/// [TRN-8], [TRN-88]: what a client says on a stream that goes on.
pub(crate) async fn acknowledgements_and_sendings_have_their_bound<K: Kind>(kind: K) {
    for (size, fits) in [(SMALL, true), (SMALL + 1, false)] {
        for is_sending in [false, true] {
            let (ours, theirs) = kind.links().await;
            let clock = kind.clock();
            let serving = tokio::spawn(async move {
                let connection = serve_hello(theirs, clock).await.unwrap();
                let call = connection.accept().await.unwrap().read().await.unwrap();
                if is_sending {
                    let (_sent, mut frames) = call.into_sending().await.unwrap();
                    frames.receive().await.map(drop)
                } else {
                    let (_deliveries, mut frames) = call.into_stream().await.unwrap();
                    frames.receive().await.map(drop)
                }
            });
            let connection = Connection::establish(ours, kind.clock()).await.unwrap();
            if is_sending {
                let opening = Call::OpenSending(v1::OpenSendingRequest {});
                send_on(connection.link(), opening, &of_size(size, sending)).await;
            } else {
                let opening = Call::Subscribe(v1::SubscribeRequest {});
                send_on(connection.link(), opening, &of_size(size, acknowledge)).await;
            }
            match serving.await.unwrap() {
                Ok(()) => assert!(fits),
                Err(error) => assert!(!fits && is_too_large(&error, SMALL), "{error:?}"),
            }
        }
    }
}

/// Serves one call as a server that keeps to no bound: an answer, and perhaps another frame.
async fn answer_with(link: Link, answer: v1::Response, more: Option<v1::Delivery>) {
    let (mut send, mut recv) = link.accept().await.unwrap();
    let asked: Option<v1::Request> = recv.receive(LARGE).await.unwrap();
    assert!(asked.is_some());
    let _ = send.send(&answer, BOUNDLESS).await;
    if let Some(more) = more {
        let _ = send.send(&more, BOUNDLESS).await;
    }
    let _ = send.finish().await;
    link.closed().await;
}

/// [TRN-8]: what a client takes from a server.
pub(crate) async fn answers_and_deliveries_have_their_bound<K: Kind>(kind: K) {
    for (size, fits) in [(LARGE, true), (LARGE + 1, false)] {
        for is_delivery in [false, true] {
            let (ours, theirs) = kind.links().await;
            let clock = kind.clock();
            let fetched = |count| v1::Response {
                result: Some(Reply::FetchRendezvous(v1::FetchRendezvousResponse {
                    value: vec![0; count].into(),
                })),
            };
            let delivery = |count| v1::Delivery {
                event: Some(v1::delivery::Event::Envelope(v1::StoredEnvelope {
                    envelope: vec![0; count].into(),
                    ..v1::StoredEnvelope::default()
                })),
            };
            let (answer, more) = if is_delivery {
                let result = Some(Reply::Subscribe(v1::SubscribeResponse {}));
                (v1::Response { result }, Some(of_size(size, delivery)))
            } else {
                (of_size(size, fetched), None)
            };
            tokio::spawn(async move {
                let connection = serve_hello(theirs, clock).await.unwrap();
                answer_with(connection.link().clone(), answer, more).await;
            });
            let connection = Connection::establish(ours, kind.clock()).await.unwrap();
            let taken = if is_delivery {
                let (_acknowledge, mut deliveries) = connection.subscribe(0).await.unwrap();
                deliveries.receive().await.map(drop)
            } else {
                let fetch = Call::FetchRendezvous(v1::FetchRendezvousRequest::default());
                match connection.call(request(fetch), 0).await {
                    Ok(_) => Ok(()),
                    Err(CallError::Protocol(error)) => Err(error),
                    Err(error) => panic!("{error:?}"),
                }
            };
            match taken {
                Ok(()) => assert!(fits),
                Err(error) => assert!(!fits && is_too_large(&error, LARGE), "{error:?}"),
            }
        }
    }
}

/// What comes next on a stream on which nothing should; a side that does not end it lets this panic, long
/// after everything has come.
async fn end_of(recv: &mut RecvStream) -> Result<Option<v1::Hello>, StreamError> {
    let next = tokio::time::timeout(Duration::from_secs(10), recv.receive(SMALL));
    next.await.unwrap()
}

/// [TRN-10]: one `Hello` each way, with the versions and the server's time, and nothing behind it.
pub(crate) async fn both_sides_end_the_stream_of_the_greeting<K: Kind>(kind: K) {
    let (ours, theirs) = kind.links().await;
    let serving = tokio::spawn(serve_hello(theirs, kind.clock()));
    let (mut send, mut recv) = ours.open().await.unwrap();
    let hello = v1::Hello {
        protocol_min: 1,
        protocol_max: 1,
        ..v1::Hello::default()
    };
    send.send(&hello, SMALL).await.unwrap();
    let greeting: v1::Hello = recv.receive(SMALL).await.unwrap().unwrap();
    assert_eq!((greeting.protocol_min, greeting.protocol_max), (1, 1));
    assert!(greeting.server_time_ms >= 1_600_000_000_000);
    assert_eq!(end_of(&mut recv).await, Ok(None));
    assert!(serving.await.unwrap().is_ok());

    let (ours, theirs) = kind.links().await;
    let connecting = tokio::spawn(Connection::establish(ours, kind.clock()));
    let (mut send, mut recv) = theirs.accept().await.unwrap();
    let greeting: v1::Hello = recv.receive(SMALL).await.unwrap().unwrap();
    assert_eq!(greeting, hello);
    assert_eq!(end_of(&mut recv).await, Ok(None));
    let answer = v1::Hello {
        server_time_ms: 1_234,
        ..hello
    };
    send.send(&answer, SMALL).await.unwrap();
    let connection = connecting.await.unwrap().unwrap();
    assert_eq!(
        (connection.protocol(), connection.server_time_ms()),
        (1, 1_234)
    );
}
