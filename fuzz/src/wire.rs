// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Frames and the messages in them.

use bytes::Bytes;
use prost::Message;
use waxwing_proto::{ServerAddress, v1};
use waxwing_transport::framing::{FRAME_HEADER_SIZE, FrameDecoder};

/// The bound that the target gives to the decoder, in bytes.
const LIMIT_BYTES: usize = 4096;

/// The first byte says how the rest is cut. However it is cut, the frames are the same, none is
/// over the limit, and what is held is bounded by the limit and not by what was announced.
pub(crate) fn frames(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else {
        return;
    };
    let whole = decode(stream, stream.len().max(1));
    let pieces = decode(stream, usize::from(cut).saturating_add(1));
    assert_eq!(whole, pieces, "the frames depend on how they arrive");
}

fn decode(stream: &[u8], piece_bytes: usize) -> (Vec<Bytes>, bool) {
    let mut decoder = FrameDecoder::default();
    let mut frames = Vec::new();
    for piece in stream.chunks(piece_bytes) {
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() {
            match decoder.decode(&mut piece, LIMIT_BYTES) {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= LIMIT_BYTES, "a frame over its limit");
                    frames.push(frame);
                }
                Ok(None) => assert!(
                    piece.is_empty(),
                    "bytes were left although none was missing"
                ),
                Err(_) => return (frames, true),
            }
        }
        let bound = LIMIT_BYTES
            .saturating_mul(2)
            .saturating_add(FRAME_HEADER_SIZE);
        assert!(
            decoder.held_bytes() <= bound,
            "more is held than the limit allows"
        );
    }
    (frames, false)
}

/// Each message decodes or does not; what decodes encodes to something that decodes to the same.
pub(crate) fn messages(input: &[u8]) {
    round_trip::<v1::Hello>(input);
    round_trip::<v1::Request>(input);
    round_trip::<v1::Response>(input);
    round_trip::<v1::Delivery>(input);
    round_trip::<v1::Acknowledge>(input);
    round_trip::<v1::Sending>(input);
    round_trip::<v1::Sent>(input);
    round_trip::<v1::Content>(input);
    if let Ok(server) = v1::Server::decode(input)
        && let Ok(address) = ServerAddress::try_from(&server)
    {
        let again =
            ServerAddress::try_from(&address.to_wire()).expect("a valid address stays valid");
        assert_eq!(again, address);
    }
}

fn round_trip<M: Message + Default + PartialEq>(input: &[u8]) {
    if let Ok(message) = M::decode(input) {
        let bytes = message.encode_to_vec();
        let again = M::decode(bytes.as_slice()).expect("what was encoded decodes");
        assert!(again == message, "decoded to something else");
    }
}
