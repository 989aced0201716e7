// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two multiplexers that talk to each other, and one that hears what no other would say.
#![allow(clippy::arithmetic_side_effects, reason = "a test that fails panics")]

use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tcp::frame::Frame;

fn budget(held_max: usize) -> Arc<Budget> {
    Arc::new(Budget::new(held_max, usize::MAX))
}

fn server() -> Mux {
    Mux::new(Side::Server, budget(usize::MAX))
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn written(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        frame.put(&mut out);
    }
    out
}

/// What a server makes of frames: why the connection is over, and what it says.
fn heard(mux: &mut Mux, frames: &[Frame<'_>]) -> (Option<CloseReason>, Vec<u8>) {
    mux.receive(&written(frames));
    let mut out = Vec::new();
    mux.compose(&mut out);
    (mux.close_reason(), out)
}

const fn bytes(stream: u32, bytes: &[u8], ends: bool) -> Frame<'_> {
    Frame::Stream {
        stream,
        bytes,
        ends,
    }
}

/// [TRN-43], [TRN-44], [TRN-45], [TRN-46], [TRN-49].
#[test]
fn violations_end_the_connection_and_the_peer_is_told() {
    let big = vec![0; 60_000];
    let window = [
        bytes(0, &big, false),
        bytes(0, &big, false),
        bytes(0, &big, false),
    ];
    let all = [
        bytes(0, &big, false),
        bytes(0, &big, false),
        bytes(1, &big, false),
        bytes(1, &big, false),
        bytes(2, &big, false),
    ];
    let cases: [&[Frame<'_>]; 12] = [
        // Streams have consecutive numbers, and begin with their bytes.
        &[bytes(1, b"a", false)],
        &[Frame::Reset { stream: 0, code: 0 }],
        &[Frame::Stop { stream: 0, code: 0 }],
        &[Frame::StreamCredit {
            stream: 0,
            bytes: 1,
        }],
        // Nothing follows the end.
        &[bytes(0, b"a", true), bytes(0, b"b", false)],
        &[bytes(0, b"a", true), Frame::Reset { stream: 0, code: 0 }],
        // Credit has an end, for a stream and for all.
        &window,
        &all,
        // Credit cannot be granted beyond what can be counted.
        &[Frame::ConnectionCredit { bytes: u32::MAX }],
        &[
            bytes(0, b"a", false),
            Frame::StreamCredit {
                stream: 0,
                bytes: u32::MAX,
            },
        ],
        &[bytes(0, b"", false)],
        // Only servers send others elsewhere.
        &[Frame::Elsewhere {
            bytes: b"\x12\x34a.example",
        }],
    ];
    for frames in cases {
        let (reason, said) = heard(&mut server(), frames);
        assert_eq!(reason, Some(CloseReason::Fault), "{frames:?}");
        let close = Frame::Close {
            code: CloseCode::ProtocolViolation.to_wire(),
            retry_after_ms: None,
        };
        assert_eq!(said, written(&[close]), "{frames:?}");
    }
}

/// TRN-45: what was taken to be sent and has not gone out still counts, as it may never go.
#[test]
fn credit_that_waits_counts_in_the_sum() {
    for (frame, is_of_stream) in [
        (
            Frame::ConnectionCredit {
                bytes: u32::MAX - 2 * 1024 * 1024,
            },
            false,
        ),
        (
            Frame::StreamCredit {
                stream: 0,
                bytes: u32::MAX - 1024 * 1024,
            },
            true,
        ),
    ] {
        let mut mux = server();
        assert_eq!(heard(&mut mux, &[bytes(0, b"a", false)]).0, None);
        let key = mux.accept().unwrap().unwrap();
        let mut piece = Bytes::from(vec![0; 10_000]);
        assert!(mux.poll_write(key, &context(), &mut piece).is_ready());
        // As much as can be counted.
        mux.receive(&written(&[frame]));
        assert_eq!(mux.close_reason(), None);
        let one_more = if is_of_stream {
            Frame::StreamCredit {
                stream: 0,
                bytes: 1,
            }
        } else {
            Frame::ConnectionCredit { bytes: 1 }
        };
        mux.receive(&written(&[one_more]));
        assert_eq!(mux.close_reason(), Some(CloseReason::Fault), "{frame:?}");
    }
}

/// [TRN-43].
#[test]
fn more_streams_than_allowed_are_a_violation() {
    let mut mux = server();
    for stream in 0..limits::STREAMS_PER_CONNECTION_MAX {
        assert_eq!(heard(&mut mux, &[bytes(stream, b"a", true)]).0, None);
    }
    let one_more = [bytes(limits::STREAMS_PER_CONNECTION_MAX, b"a", true)];
    assert_eq!(heard(&mut mux, &one_more).0, Some(CloseReason::Fault));
}

/// [TRN-46]: a client that opens streams and gives them up at once makes the server hold nothing, however
/// many there are, although nobody accepts them.
#[test]
fn streams_that_are_given_up_at_once_leave_nothing() {
    let mut mux = server();
    for stream in 0..100_000 {
        let frames = [
            bytes(stream, b"abc", false),
            Frame::Reset { stream, code: 0 },
            Frame::Stop { stream, code: 0 },
        ];
        let (reason, said) = heard(&mut mux, &frames);
        assert_eq!(reason, None);
        let expected = [Frame::Reset { stream, code: 0 }];
        // Now and then the connection's credit is granted anew.
        assert!(said.ends_with(&written(&expected)), "{said:?}");
    }
    assert_eq!((mux.open, mux.in_hand, mux.held), (0, 0, 0));
    assert!(mux.streams.keys().is_empty());
    assert_eq!(mux.budget.held(), 0);
}

/// Where nobody sends what the server has to say, a flood of streams ends at the bound.
#[test]
fn a_peer_that_does_not_read_cannot_make_the_answers_grow() {
    let mut mux = server();
    let mut stream = 0;
    while mux.close_reason().is_none() {
        mux.receive(&written(&[
            bytes(stream, b"a", true),
            Frame::Stop { stream, code: 0 },
            Frame::Ping,
        ]));
        stream += 1;
    }
    assert_eq!(stream, limits::STREAMS_PER_CONNECTION_MAX + 1);
}

#[test]
fn single_bytes_do_not_cost_an_allocation_each() {
    let mut mux = server();
    let one = written(&[bytes(0, b"a", false)]);
    for _ in 0..100_000 {
        mux.receive(&one);
    }
    assert_eq!(mux.close_reason(), None);
    let key = mux.accept().unwrap().unwrap();
    let mut pieces = 0;
    while let Poll::Ready(Ok(Some(_))) = mux.poll_read(key, &context(), usize::MAX) {
        pieces += 1;
    }
    assert!(pieces <= 100_000_usize.div_ceil(4096), "{pieces}");
}

#[test]
fn when_all_hold_too_much_whoever_holds_more_than_little_goes() {
    let common = budget(100_000);
    let mut greedy = Mux::new(Side::Server, Arc::clone(&common));
    let mut modest = Mux::new(Side::Server, Arc::clone(&common));
    let big = vec![0; 50_000];
    let frames = [bytes(0, &big, false), bytes(0, &big, false)];
    assert_eq!(heard(&mut greedy, &frames).0, None);
    assert_eq!(common.held(), 100_000);
    assert_eq!(heard(&mut modest, &[bytes(0, &big[..4096], false)]).0, None);
    let (reason, said) = heard(&mut greedy, &[bytes(0, b"a", false)]);
    assert_eq!(reason, Some(CloseReason::Local(CloseCode::Overloaded)));
    assert_eq!(said.first(), Some(&9));
    drop(greedy);
    drop(modest);
    assert_eq!(common.held(), 0);
}

#[test]
fn streams_of_higher_priority_go_first_and_equals_take_turns() {
    let mut client = Mux::new(Side::Client, budget(usize::MAX));
    let keys: Vec<u32> = (0..3).map(|_| client.open().unwrap().unwrap()).collect();
    for (key, priority) in keys.iter().zip([0, 0, 5]) {
        client.set_priority(*key, priority);
        let mut piece = Bytes::from(vec![u8::try_from(*key).unwrap(); 20_000]);
        assert!(client.poll_write(*key, &context(), &mut piece).is_ready());
        assert!(piece.is_empty());
    }
    let mut order = Vec::new();
    loop {
        let mut out = Vec::new();
        client.compose(&mut out);
        let (mut decoder, mut rest) = (Decoder::default(), out.as_slice());
        if rest.is_empty() {
            break;
        }
        while let Ok(Some(Frame::Stream { bytes, .. })) = decoder.decode(&mut rest) {
            order.push(bytes[0]);
        }
    }
    let urgent = order.iter().take_while(|it| **it == 2).count();
    assert!(urgent >= 3 && !order[urgent..].contains(&2), "{order:?}");
    assert!(
        order[urgent..].windows(2).take(4).all(|it| it[0] != it[1]),
        "{order:?}"
    );
}

/// What a run of two ends does next.
#[derive(Debug, Clone)]
enum Act {
    Open,
    Accept,
    Write { by: bool, stream: u8, size: u16 },
    Read { by: bool, stream: u8, size: u16 },
    Finish { by: bool, stream: u8 },
    Reset { by: bool, stream: u8 },
    Stop { by: bool, stream: u8 },
    Drop { by: bool, stream: u8 },
    Carry { by: bool, cut: u16 },
}

fn act() -> impl Strategy<Value = Act> {
    let which = (any::<bool>(), 0..8_u8);
    prop_oneof![
        2 => Just(Act::Open),
        3 => Just(Act::Accept),
        8 => (which.clone(), 1..40_000_u16)
            .prop_map(|((by, stream), size)| Act::Write { by, stream, size }),
        8 => (which.clone(), 1..60_000_u16)
            .prop_map(|((by, stream), size)| Act::Read { by, stream, size }),
        2 => which.clone().prop_map(|(by, stream)| Act::Finish { by, stream }),
        1 => which.clone().prop_map(|(by, stream)| Act::Reset { by, stream }),
        1 => which.clone().prop_map(|(by, stream)| Act::Stop { by, stream }),
        1 => which.prop_map(|(by, stream)| Act::Drop { by, stream }),
        12 => (any::<bool>(), 0..20_000_u16).prop_map(|(by, cut)| Act::Carry { by, cut }),
    ]
}

/// One end, with what its user knows.
struct End {
    mux: Mux,
    /// Streams in hand, and how many bytes each has written and read.
    streams: BTreeMap<u32, (usize, usize)>,
    /// Bytes on their way to the other end.
    way: Vec<u8>,
}

impl End {
    fn new(side: Side) -> Self {
        Self {
            mux: Mux::new(side, budget(usize::MAX)),
            streams: BTreeMap::new(),
            way: Vec::new(),
        }
    }

    fn stream(&self, nth: u8) -> Option<u32> {
        let count = self.streams.len();
        (count > 0).then(|| *self.streams.keys().nth(usize::from(nth) % count).unwrap())
    }

    /// Everything that there is to say goes on its way.
    fn talk(&mut self) {
        loop {
            let mut out = Vec::new();
            self.mux.sent();
            self.mux.compose(&mut out);
            if out.is_empty() {
                return;
            }
            assert!(out.len() <= PLAINTEXT_SIZE_MAX);
            self.way.extend(out);
        }
    }
}

/// The byte of a stream at a place, so that every mistake in order or place is seen.
fn expected(stream: u32, place: usize) -> u8 {
    u8::try_from((usize::try_from(stream).unwrap() * 31 + place * 7 + place / 256) % 256).unwrap()
}

fn perform(ends: &mut [End; 2], act: &Act) {
    let at = |by: bool| usize::from(by);
    match *act {
        Act::Open => {
            if let Ok(Some(key)) = ends[0].mux.open() {
                ends[0].streams.insert(key, (0, 0));
            }
        }
        Act::Accept => {
            if let Ok(Some(key)) = ends[1].mux.accept() {
                ends[1].streams.insert(key, (0, 0));
            }
        }
        Act::Write { by, stream, size } => {
            let end = &mut ends[at(by)];
            if let Some(key) = end.stream(stream) {
                let from = end.streams[&key].0;
                let piece = (from..from + usize::from(size)).map(|place| expected(0, place));
                let mut piece = Bytes::from(piece.collect::<Vec<u8>>());
                let _ = end.mux.poll_write(key, &context(), &mut piece);
                end.streams.get_mut(&key).unwrap().0 += usize::from(size) - piece.len();
                assert!(end.mux.room.queued() <= limits::TCP_SEND_QUEUE_SIZE_MAX);
            }
        }
        Act::Read { by, stream, size } => {
            let end = &mut ends[at(by)];
            if let Some(key) = end.stream(stream)
                && let Poll::Ready(Ok(Some(piece))) =
                    end.mux.poll_read(key, &context(), usize::from(size))
            {
                let read = &mut end.streams.get_mut(&key).unwrap().1;
                for byte in piece {
                    assert_eq!(byte, expected(0, *read));
                    *read += 1;
                }
            }
        }
        Act::Finish { by, stream } => {
            if let Some(key) = ends[at(by)].stream(stream) {
                ends[at(by)].mux.finish(key);
            }
        }
        Act::Reset { by, stream } => {
            if let Some(key) = ends[at(by)].stream(stream) {
                ends[at(by)].mux.reset(key, StreamCode::Malformed);
            }
        }
        Act::Stop { by, stream } => {
            if let Some(key) = ends[at(by)].stream(stream) {
                ends[at(by)].mux.stop(key, StreamCode::TooLarge);
            }
        }
        Act::Drop { by, stream } => {
            if let Some(key) = ends[at(by)].stream(stream) {
                give_up(&mut ends[at(by)], key);
            }
        }
        Act::Carry { by, cut } => {
            ends[at(by)].talk();
            let count = usize::from(cut).min(ends[at(by)].way.len());
            let piece: Vec<u8> = ends[at(by)].way.drain(..count).collect();
            ends[at(!by)].mux.receive(&piece);
        }
    }
    for end in ends {
        assert_eq!(end.mux.close_reason(), None, "{act:?}");
        assert!(end.mux.held <= usize::try_from(end.mux.side.windows().1).unwrap());
        assert_eq!(end.mux.budget.held(), end.mux.held);
        assert!(end.mux.open <= 64 && end.mux.in_hand <= 64);
    }
}

/// What dropping both halves does.
fn give_up(end: &mut End, key: u32) {
    end.mux.reset(key, StreamCode::Cancelled);
    end.mux.release_send(key);
    end.mux.stop(key, StreamCode::Cancelled);
    end.mux.release_recv(key);
    end.streams.remove(&key);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever two ends do: bytes arrive in order, nothing is counted wrongly, and when all streams
    /// are given up nothing is left and all credit has returned.
    #[test]
    fn two_ends_agree(acts in prop::collection::vec(act(), 1..300)) {
        let mut ends = [End::new(Side::Client), End::new(Side::Server)];
        for act in &acts {
            perform(&mut ends, act);
        }
        for by in [0, 1] {
            for key in ends[by].streams.keys().copied().collect::<Vec<_>>() {
                give_up(&mut ends[by], key);
            }
        }
        for _ in 0..200 {
            perform(&mut ends, &Act::Carry { by: false, cut: u16::MAX });
            while let Ok(Some(key)) = ends[1].mux.accept() {
                ends[1].streams.insert(key, (0, 0));
                give_up(&mut ends[1], key);
            }
            perform(&mut ends, &Act::Carry { by: true, cut: u16::MAX });
        }
        for end in &mut ends {
            prop_assert_eq!((end.mux.open, end.mux.in_hand), (0, 0));
            prop_assert_eq!((end.mux.held, end.mux.room.queued()), (0, 0));
            prop_assert!(end.mux.streams.keys().is_empty());
            let window = end.mux.side.windows().1;
            prop_assert_eq!(end.mux.receive_credit + end.mux.returnable, window);
        }
        let [client, server] = &ends;
        prop_assert_eq!(client.mux.send_credit, server.mux.receive_credit);
        prop_assert_eq!(server.mux.send_credit, client.mux.receive_credit);
    }

    /// Whatever a peer sends: no panic, and no more held than the window.
    #[test]
    fn any_bytes_are_taken_or_end_the_connection(
        wire in prop::collection::vec(prop_oneof![4 => 0_u8..4, 1 => any::<u8>()], 0..3000),
        accept_every in 1_usize..50,
    ) {
        let mut mux = server();
        for (index, piece) in wire.chunks(7).enumerate() {
            mux.receive(piece);
            if index % accept_every == 0 && let Ok(Some(key)) = mux.accept() {
                let _ = mux.poll_read(key, &context(), 10);
            }
            let mut out = Vec::new();
            mux.compose(&mut out);
            prop_assert!(out.len() <= PLAINTEXT_SIZE_MAX);
            prop_assert!(mux.held <= usize::try_from(limits::TCP_CREDIT_TO_SERVER).unwrap());
        }
    }
}

/// What a server names is the server's choice, of bounded size, and nothing until it is an address.
#[test]
fn an_address_to_go_to_is_bounded() {
    let named = |pieces: &[&[u8]]| {
        let mut mux = Mux::new(Side::Client, budget(usize::MAX));
        let mut frames: Vec<Frame<'_>> = pieces
            .iter()
            .map(|bytes| Frame::Elsewhere { bytes })
            .collect();
        frames.push(Frame::Close {
            code: CloseCode::ShuttingDown.to_wire(),
            retry_after_ms: Some(1),
        });
        let (reason, _) = heard(&mut mux, &frames);
        (reason, mux.elsewhere())
    };
    let (reason, elsewhere) = named(&[b"\x12\x34a.ex", b"ample"]);
    assert!(matches!(reason, Some(CloseReason::Peer { .. })));
    assert_eq!(elsewhere.unwrap().host.as_str(), "a.example");
    let (reason, elsewhere) = named(&[b"\x00\x00no port"]);
    assert!(matches!(reason, Some(CloseReason::Peer { .. })));
    assert_eq!(elsewhere, None);
    let (reason, elsewhere) = named(&[&[b'a'; 200], &[b'a'; 56]]);
    assert_eq!(reason, Some(CloseReason::Fault));
    assert_eq!(elsewhere, None);
}
