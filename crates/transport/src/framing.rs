// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Frames: a u32 in network byte order, then so many bytes of one protobuf message.
//!
//! The length is compared with a limit before anything is allocated, and memory grows with the
//! bytes that have come, not with the length that was announced: a peer that announces much and
//! sends little holds little.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use waxwing_proto::limits;

use crate::error::StreamError;

/// The length field before each frame, in bytes.
pub const FRAME_HEADER_SIZE: usize = 4;

/// Encodes `message` as one frame of at most `limit_bytes`, header not counted.
///
/// # Errors
/// [`StreamError::MessageTooLarge`].
pub fn encode_frame(message: &impl Message, limit_bytes: usize) -> Result<Bytes, StreamError> {
    let size = frame_size(message, limit_bytes)?;
    let mut frame = BytesMut::with_capacity(size);
    append_frame(&mut frame, message, size)?;
    Ok(frame.freeze())
}

/// The bytes of a frame of at most `limit_bytes`, header not counted, with its header.
///
/// # Errors
/// [`StreamError::MessageTooLarge`].
pub(crate) fn frame_size(message: &impl Message, limit_bytes: usize) -> Result<usize, StreamError> {
    // TRN-8.
    let size_bytes = message.encoded_len();
    if size_bytes > limit_bytes || u32::try_from(size_bytes).is_err() {
        return Err(StreamError::MessageTooLarge {
            size_bytes,
            limit_bytes,
        });
    }
    Ok(size_bytes.saturating_add(FRAME_HEADER_SIZE))
}

/// Encodes `message` as one frame after what is in `frames`. `size` is its [`frame_size`].
///
/// # Errors
/// [`StreamError::MessageTooLarge`]; it does not come where the size is right.
pub(crate) fn append_frame(
    frames: &mut BytesMut,
    message: &impl Message,
    size: usize,
) -> Result<(), StreamError> {
    let size_bytes = size.saturating_sub(FRAME_HEADER_SIZE);
    let too_large = StreamError::MessageTooLarge {
        size_bytes,
        limit_bytes: size_bytes,
    };
    frames.put_u32(u32::try_from(size_bytes).map_err(|_| too_large)?);
    message.encode(frames).map_err(|_| too_large)
}

/// A frame that is not complete takes at most so many times the memory of its bytes that have come, and
/// room for all of them once it has shown that it is large: then it is copied no more. Of such frames few
/// are read at a time ([`limits::LARGE_REQUESTS_PER_CONNECTION_MAX`]).
const GROWTH: usize = 4;

/// Takes frames out of a stream of bytes that comes in arbitrary pieces. Never panics, whatever
/// the bytes are.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    header: [u8; FRAME_HEADER_SIZE],
    header_filled: usize,
    /// The frame's whole length, once its header is complete and was compared with the limit.
    length: Option<usize>,
    body: BytesMut,
    failed: Option<StreamError>,
}

impl FrameDecoder {
    /// Takes from the front of `piece` what belongs to the current frame, and gives the frame when
    /// it is complete. `None` means that `piece` is used up.
    ///
    /// A frame that lies whole in one piece is not copied.
    ///
    /// # Errors
    /// [`StreamError::FrameTooLarge`], from then on always: where the next frame would begin is
    /// not known any more.
    pub fn decode(
        &mut self,
        piece: &mut Bytes,
        limit_bytes: usize,
    ) -> Result<Option<Bytes>, StreamError> {
        let Some(length) = self.decode_length(piece, limit_bytes)? else {
            return Ok(None);
        };
        let wanted = length.saturating_sub(self.body.len());
        if self.body.is_empty() && piece.len() >= wanted {
            self.start_next();
            return Ok(Some(piece.split_to(wanted)));
        }
        let count = wanted.min(piece.len());
        let filled = self.body.len().saturating_add(count);
        if filled > self.body.capacity() {
            // Room for what will come in proportion to what has: few copies of a large frame.
            let room = if filled > limits::CONTROL_FRAME_SIZE_MAX {
                length
            } else {
                filled.saturating_mul(GROWTH).min(length)
            };
            self.body.reserve(room.saturating_sub(self.body.len()));
        }
        self.body
            .extend_from_slice(piece.get(..count).unwrap_or_default());
        piece.advance(count);
        if self.body.len() < length {
            return Ok(None);
        }
        let frame = core::mem::take(&mut self.body).freeze();
        self.start_next();
        Ok(Some(frame))
    }

    /// Whether the bytes so far end between two frames.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.header_filled == 0 && self.length.is_none() && self.failed.is_none()
    }

    /// The bytes that are held for a frame that is not complete.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.body.capacity()
    }

    /// Takes only the length of the current frame from the front of `piece`. `None` means that
    /// `piece` is used up.
    ///
    /// # Errors
    /// As [`FrameDecoder::decode`].
    pub fn decode_length(
        &mut self,
        piece: &mut Bytes,
        limit_bytes: usize,
    ) -> Result<Option<usize>, StreamError> {
        // TRN-7.
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.length.is_some() {
            return Ok(self.length);
        }
        let missing = self.header.get_mut(self.header_filled..).unwrap_or(&mut []);
        let count = missing.len().min(piece.len());
        if let Some(target) = missing.get_mut(..count) {
            piece.copy_to_slice(target);
        }
        self.header_filled = self.header_filled.saturating_add(count);
        if self.header_filled < FRAME_HEADER_SIZE {
            return Ok(None);
        }
        let announced_bytes = u32::from_be_bytes(self.header);
        match usize::try_from(announced_bytes) {
            Ok(length) if length <= limit_bytes => {
                self.length = Some(length);
                Ok(Some(length))
            }
            _ => {
                let error = StreamError::FrameTooLarge {
                    announced_bytes,
                    limit_bytes,
                };
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    fn start_next(&mut self) {
        self.header_filled = 0;
        self.length = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waxwing_proto::v1;

    use super::*;

    fn all_frames(
        bytes: &[u8],
        cuts: &[usize],
        limit_bytes: usize,
    ) -> (Vec<Bytes>, Option<StreamError>, FrameDecoder) {
        let mut decoder = FrameDecoder::default();
        let mut frames = Vec::new();
        let mut rest = Bytes::copy_from_slice(bytes);
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let size = cuts.next().map_or(rest.len(), |cut| cut.saturating_add(1));
            let mut piece = rest.split_to(size.min(rest.len()));
            while !piece.is_empty() {
                match decoder.decode(&mut piece, limit_bytes) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => assert!(piece.is_empty()),
                    Err(error) => return (frames, Some(error), decoder),
                }
            }
        }
        (frames, None, decoder)
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            cuts in prop::collection::vec(0_usize..200, 1..10),
        ) {
            let mut wire = BytesMut::new();
            for body in &bodies {
                wire.put_u32(u32::try_from(body.len()).unwrap());
                wire.put_slice(body);
            }
            let (frames, error, decoder) = all_frames(&wire, &cuts, 300);
            prop_assert_eq!(error, None);
            prop_assert_eq!(frames, bodies);
            prop_assert!(decoder.is_between_frames());
        }

        #[test]
        fn any_bytes_give_frames_within_the_limit_or_one_error(
            bytes in prop::collection::vec(
                prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..2000),
            cuts in prop::collection::vec(0_usize..50, 1..10),
            limit_bytes in 0_usize..600,
        ) {
            let (frames, error, mut decoder) = all_frames(&bytes, &cuts, limit_bytes);
            prop_assert!(frames.iter().all(|frame| frame.len() <= limit_bytes));
            prop_assert!(decoder.held_bytes() <= limit_bytes.max(8).saturating_mul(2));
            if let Some(error) = error {
                let mut more = Bytes::from_static(&[0; 8]);
                prop_assert_eq!(decoder.decode(&mut more, limit_bytes), Err(error));
                prop_assert!(!decoder.is_between_frames());
            }
            for frame in frames {
                // Whatever it is, decoding it gives a message or an error.
                let _ = v1::Request::decode(frame);
            }
        }
    }

    /// [TRN-7].
    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_allocated() {
        let mut decoder = FrameDecoder::default();
        let mut piece = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff]);
        let refused = StreamError::FrameTooLarge {
            announced_bytes: u32::MAX,
            limit_bytes: 1024,
        };
        assert_eq!(decoder.decode(&mut piece, 1024), Err(refused));
        assert_eq!(decoder.held_bytes(), 0);
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut decoder = FrameDecoder::default();
        let mut piece = Bytes::from_static(&[0, 0x10, 0, 0, 1, 2, 3]);
        assert_eq!(decoder.decode(&mut piece, 1 << 20), Ok(None));
        assert!(decoder.held_bytes() < 1024);
    }

    #[test]
    fn a_frame_in_one_piece_is_not_copied() {
        let wire = Bytes::from_static(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 0]);
        let mut piece = wire.clone();
        let frame = FrameDecoder::default().decode(&mut piece, 2);
        let frame = frame.unwrap().unwrap();
        assert_eq!(frame.as_ptr(), wire[4..].as_ptr());
        assert_eq!(piece.len(), 4);
    }

    #[test]
    fn what_is_too_large_is_not_encoded() {
        let hello = v1::Hello {
            protocol_min: 1,
            protocol_max: 1,
            features: 0,
            server_time_ms: 0,
        };
        assert_eq!(encode_frame(&hello, 4).unwrap().len(), 8);
        assert_eq!(
            encode_frame(&hello, 3),
            Err(StreamError::MessageTooLarge {
                size_bytes: 4,
                limit_bytes: 3
            })
        );
    }
}
