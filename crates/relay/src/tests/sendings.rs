// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sending streams: many calls on one stream, each with its outcome.

use bytes::Bytes;
use waxwing_proto::limits;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_proto::v1::sending_outcome::Outcome;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_transport::{RecvStream, SendStream};

use super::people::Person;
use super::world::{Client, Sent, World};

/// A sending stream without anything around it.
pub(crate) struct RawStream {
    pub(crate) send: SendStream,
    recv: RecvStream,
}

impl RawStream {
    /// Sends what opens it, and nothing waits for the answer.
    pub(crate) async fn open(client: &Client) -> Self {
        let (mut send, recv) = client.0.link().open().await.unwrap();
        let request = v1::Request {
            deadline_ms: 0,
            call: Some(Call::OpenSending(v1::OpenSendingRequest {})),
        };
        send.queue(&request, limits::CONTROL_FRAME_SIZE_MAX)
            .unwrap();
        Self { send, recv }
    }

    pub(crate) async fn sending(&mut self, number: u32, send: Option<v1::SendRequest>) {
        let sending = v1::Sending {
            number,
            deadline_ms: 2000,
            send,
        };
        let limit = limits::CONTROL_FRAME_SIZE_MAX;
        self.send.send(&sending, limit).await.unwrap();
    }

    /// Sendings with the numbers from 1 on, in one piece.
    pub(crate) async fn together(&mut self, sends: impl IntoIterator<Item = v1::SendRequest>) {
        for (number, send) in (1..).zip(sends) {
            let sending = v1::Sending {
                number,
                deadline_ms: 2000,
                send: Some(send),
            };
            let limit = limits::CONTROL_FRAME_SIZE_MAX;
            self.send.queue(&sending, limit).unwrap();
        }
        self.send.flush().await.unwrap();
    }

    /// All but the last byte of a frame.
    pub(crate) async fn begin_a_frame(&mut self) {
        let mut frame = super::hostile::Raw::of(b"\x08");
        frame.missing = 1;
        let limit = limits::CONTROL_FRAME_SIZE_MAX;
        self.send.send(&frame, limit).await.unwrap();
    }

    pub(crate) async fn opened(&mut self) {
        let limit = limits::CONTROL_FRAME_SIZE_MAX;
        let response: v1::Response = self.recv.receive(limit).await.unwrap().unwrap();
        assert!(matches!(response.result, Some(Answer::OpenSending(_))));
    }

    /// The next so many outcomes, by their numbers.
    pub(crate) async fn outcomes(&mut self, count: usize) -> Vec<(u32, Option<Outcome>)> {
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            let limit = limits::CONTROL_FRAME_SIZE_MAX;
            let sent: v1::Sent = self.recv.receive(limit).await.unwrap().unwrap();
            outcomes.extend(sent.accepted.into_iter().map(|number| (number, None)));
            let others = sent.others.into_iter();
            outcomes.extend(others.map(|other| (other.number, other.outcome)));
        }
        outcomes.sort_by_key(|outcome| outcome.0);
        outcomes
    }

    pub(crate) async fn has_ended(&mut self) -> bool {
        let next = self.recv.receive_frame(limits::CONTROL_FRAME_SIZE_MAX);
        next.await == Ok(None)
    }
}

pub(crate) fn refused(code: ErrorCode) -> Option<Outcome> {
    Some(Outcome::Error(v1::Error {
        code: code.into(),
        retry_after_ms: 0,
    }))
}

/// TRN-88.
#[tokio::test(start_paused = true)]
async fn each_sending_has_the_outcome_of_its_number() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("bob").await;
    let mut stream = RawStream::open(&client).await;
    let good = alice.send_request(alice.public_id, 1);
    let mut stale = alice.send_request(alice.public_id, 2);
    stale.manifest_version = 9;
    let mut gone = alice.send_request(alice.public_id, 3);
    gone.delivery_id = Bytes::from_static(&[99; 16]);
    let mut malformed = alice.send_request(alice.public_id, 4);
    malformed.envelopes.clear();
    // Nothing was waited for, and numbers are the client's choice.
    let sendings = [
        (70, Some(good.clone())),
        (1, Some(stale)),
        (u32::MAX, Some(gone)),
        (3, Some(malformed)),
        (4, None),
    ];
    for (number, send) in sendings {
        stream.sending(number, send).await;
    }
    stream.opened().await;
    let manifest = alice.manifest.as_bytes().clone();
    let expected = [
        (
            1,
            Some(Outcome::StaleDevices(v1::StaleDevices { manifest })),
        ),
        (3, refused(ErrorCode::Malformed)),
        (4, refused(ErrorCode::Malformed)),
        (70, None),
        (u32::MAX, refused(ErrorCode::DeliveryIdGone)),
    ];
    assert_eq!(stream.outcomes(5).await, expected);
    // A number is free again once its outcome was told; and a retry is stored once.
    stream.sending(70, Some(good)).await;
    assert_eq!(stream.outcomes(1).await, [(70, None)]);
    stream.send.finish().await.unwrap();
    assert!(stream.has_ended().await);
    let mut subscription = world.connect_as(&alice, 0).await.subscribe().await;
    assert_eq!(subscription.envelope().await.envelope, "sealed 1");
    subscription.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_its_own_and_a_stream_do_the_same() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let sender = world.connect("bob").await;
    let request = alice.send_request(alice.public_id, 1);
    let answer = sender.call(Call::Send(request.clone())).await.unwrap();
    let Answer::Send(v1::SendResponse { outcome }) = answer else {
        panic!("another answer: {answer:?}");
    };
    let accepted = v1::send_response::Outcome::Accepted(v1::Accepted {});
    assert_eq!(outcome, Some(accepted));
    assert_eq!(sender.send(request).await.unwrap(), Sent::Accepted);
    let mut subscription = world.connect_as(&alice, 0).await.subscribe().await;
    assert_eq!(subscription.envelope().await.envelope, "sealed 1");
    subscription.drained().await;
}

/// What is no frame of such a stream ends it, and hurts no other one.
#[tokio::test(start_paused = true)]
async fn a_sending_stream_that_breaks_the_rules_ends() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("mallory").await;
    for junk in [&b"\xff\xff\xff\xff"[..], b"\x08"] {
        let mut stream = RawStream::open(&client).await;
        let send = alice.send_request(alice.public_id, 1);
        stream.sending(1, Some(send)).await;
        let junk = super::hostile::Raw::of(junk);
        let limit = limits::CONTROL_FRAME_SIZE_MAX;
        stream.send.send(&junk, limit).await.unwrap();
        stream.opened().await;
        // What was taken before has its outcome.
        assert_eq!(stream.outcomes(1).await, [(1, None)]);
        assert!(stream.has_ended().await);
    }
    let send = alice.send_request(alice.public_id, 2);
    assert_eq!(client.send(send).await.unwrap(), Sent::Accepted);
}
