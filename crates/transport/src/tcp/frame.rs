// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The frames of the multiplexer: what they look like on the wire, and nothing else.
//!
//! A frame is one byte for its kind and then fields of fixed size in network byte order. The
//! [`Decoder`] is a pure function of the bytes that came. It holds at most one header: the bytes of
//! a stream are handed on as they come, so that a long frame that stalls costs nothing.

use waxwing_proto::limits;

/// The longest header: kind and two fields of four bytes.
const HEADER_SIZE_MAX: usize = 9;
/// Kind, stream and length: what stands before the bytes of a stream.
pub(super) const STREAM_HEADER_SIZE: usize = 7;

// TRN-42.
const STREAM: u8 = 0;
const STREAM_END: u8 = 1;
const RESET: u8 = 2;
const STOP: u8 = 3;
const STREAM_CREDIT: u8 = 4;
const CONNECTION_CREDIT: u8 = 5;
const PING: u8 = 6;
const PONG: u8 = 7;
const CLOSE: u8 = 8;
const CLOSE_RETRY: u8 = 9;
const ELSEWHERE: u8 = 10;

/// The most that an address takes: port and host.
pub(super) const ELSEWHERE_SIZE_MAX: usize = 2 + limits::HOST_LENGTH_MAX;

/// A frame, or a part of one that carries a stream's bytes. All values are the peer's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// The next bytes of a stream.
    Stream {
        stream: u32,
        /// At most 65535 bytes; none only together with `ends`.
        bytes: &'a [u8],
        /// Nothing follows on this stream.
        ends: bool,
    },
    /// The sender gives up its direction of a stream.
    Reset { stream: u32, code: u32 },
    /// The receiver wants no more of a stream.
    Stop { stream: u32, code: u32 },
    /// So many more bytes may come on a stream.
    StreamCredit { stream: u32, bytes: u32 },
    /// So many more bytes may come on all streams together.
    ConnectionCredit { bytes: u32 },
    /// Asks for a `Pong`.
    Ping,
    /// Answers a `Ping`.
    Pong,
    /// The end of the connection.
    Close {
        code: u32,
        retry_after_ms: Option<u32>,
    },
    /// The next bytes of the address where the peer is to be called after the close that follows.
    Elsewhere { bytes: &'a [u8] },
}

/// The peer sent what is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl Frame<'_> {
    /// Appends the frame. A stream's bytes are cut to 65535; senders stay far below.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Stream {
                stream,
                bytes,
                ends,
            } => {
                let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                put_stream_header(out, stream, length, ends);
                out.extend_from_slice(bytes.get(..usize::from(length)).unwrap_or_default());
            }
            Self::Reset { stream, code } => put_fields(out, RESET, &[stream, code]),
            Self::Stop { stream, code } => put_fields(out, STOP, &[stream, code]),
            Self::StreamCredit { stream, bytes } => {
                put_fields(out, STREAM_CREDIT, &[stream, bytes]);
            }
            Self::ConnectionCredit { bytes } => put_fields(out, CONNECTION_CREDIT, &[bytes]),
            Self::Ping => out.push(PING),
            Self::Pong => out.push(PONG),
            Self::Close {
                code,
                retry_after_ms: None,
            } => put_fields(out, CLOSE, &[code]),
            Self::Close {
                code,
                retry_after_ms: Some(retry_after_ms),
            } => put_fields(out, CLOSE_RETRY, &[code, retry_after_ms]),
            Self::Elsewhere { bytes } => {
                let bytes = bytes.get(..ELSEWHERE_SIZE_MAX).unwrap_or(bytes);
                out.push(ELSEWHERE);
                let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// Appends what stands before `length` bytes of a stream; the caller appends the bytes.
pub(super) fn put_stream_header(out: &mut Vec<u8>, stream: u32, length: u16, ends: bool) {
    out.push(if ends { STREAM_END } else { STREAM });
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
}

fn put_fields(out: &mut Vec<u8>, kind: u8, fields: &[u32]) {
    out.push(kind);
    for field in fields {
        out.extend_from_slice(&field.to_be_bytes());
    }
}

/// The size of a header by its kind.
const fn header_size(kind: u8) -> Result<usize, Malformed> {
    match kind {
        STREAM | STREAM_END => Ok(STREAM_HEADER_SIZE),
        RESET | STOP | STREAM_CREDIT | CLOSE_RETRY => Ok(9),
        CONNECTION_CREDIT | CLOSE => Ok(5),
        ELSEWHERE => Ok(3),
        PING | PONG => Ok(1),
        _ => Err(Malformed),
    }
}

/// What is left of a frame that carries a stream's bytes.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// `None`: of an address.
    stream: Option<u32>,
    length: u16,
    ends: bool,
}

/// Takes frames out of bytes that come in arbitrary pieces. Never panics, holds one header.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    header: [u8; HEADER_SIZE_MAX],
    filled: usize,
    rest: Option<Rest>,
}

impl Decoder {
    /// Takes the next frame, or a part of one, from the front of `input`; `None` when `input` is
    /// used up.
    ///
    /// # Errors
    /// [`Malformed`]; where the next frame would begin is then not known any more.
    pub(super) fn decode<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Frame<'a>>, Malformed> {
        if let Some(rest) = self.rest {
            return Ok(self.take_bytes(rest, input));
        }
        let size = loop {
            let wanted = match self.header.first() {
                Some(kind) if self.filled > 0 => header_size(*kind)?,
                _ => 1,
            };
            if self.filled > 0 && self.filled == wanted {
                break wanted;
            }
            let Some((first, rest)) = input.split_first() else {
                return Ok(None);
            };
            if let Some(place) = self.header.get_mut(self.filled) {
                *place = *first;
            }
            *input = rest;
            self.filled = self.filled.saturating_add(1);
        };
        self.filled = 0;
        let [kind, a, b, c, d, e, f, g, h] = self.header;
        let one = u32::from_be_bytes([a, b, c, d]);
        let two = u32::from_be_bytes([e, f, g, h]);
        debug_assert!(size <= HEADER_SIZE_MAX);
        Ok(match kind {
            STREAM | STREAM_END => {
                let rest = Rest {
                    stream: Some(one),
                    length: u16::from_be_bytes([e, f]),
                    ends: kind == STREAM_END,
                };
                if rest.length == 0 && !rest.ends {
                    // It would be work without an effect.
                    return Err(Malformed);
                }
                return Ok(self.take_bytes(rest, input));
            }
            RESET => Some(Frame::Reset {
                stream: one,
                code: two,
            }),
            STOP => Some(Frame::Stop {
                stream: one,
                code: two,
            }),
            STREAM_CREDIT => Some(Frame::StreamCredit {
                stream: one,
                bytes: two,
            }),
            CONNECTION_CREDIT => Some(Frame::ConnectionCredit { bytes: one }),
            PING => Some(Frame::Ping),
            PONG => Some(Frame::Pong),
            CLOSE => Some(Frame::Close {
                code: one,
                retry_after_ms: None,
            }),
            CLOSE_RETRY => Some(Frame::Close {
                code: one,
                retry_after_ms: Some(two),
            }),
            ELSEWHERE => {
                let rest = Rest {
                    stream: None,
                    length: u16::from_be_bytes([a, b]),
                    ends: false,
                };
                if !(1..=ELSEWHERE_SIZE_MAX).contains(&usize::from(rest.length)) {
                    return Err(Malformed);
                }
                return Ok(self.take_bytes(rest, input));
            }
            _ => return Err(Malformed),
        })
    }

    fn take_bytes<'a>(&mut self, rest: Rest, input: &mut &'a [u8]) -> Option<Frame<'a>> {
        let count = usize::from(rest.length).min(input.len());
        let (bytes, after) = input.split_at_checked(count)?;
        *input = after;
        let left = rest
            .length
            .saturating_sub(u16::try_from(count).unwrap_or(u16::MAX));
        self.rest = (left > 0).then_some(Rest {
            length: left,
            ..rest
        });
        if bytes.is_empty() && left > 0 {
            return None;
        }
        let Some(stream) = rest.stream else {
            return Some(Frame::Elsewhere { bytes });
        };
        Some(Frame::Stream {
            stream,
            bytes,
            ends: rest.ends && left == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What frames say, independent of where the bytes were cut.
    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Said {
        Bytes(u32, Vec<u8>),
        End(u32),
        Elsewhere(Vec<u8>),
        Other(Vec<u8>),
    }

    fn note(said: &mut Vec<Said>, frame: Frame<'_>) {
        if let Frame::Elsewhere { bytes } = frame {
            match said.last_mut() {
                Some(Said::Elsewhere(all)) => all.extend_from_slice(bytes),
                _ => said.push(Said::Elsewhere(bytes.to_vec())),
            }
            return;
        }
        let Frame::Stream {
            stream,
            bytes,
            ends,
        } = frame
        else {
            let mut out = Vec::new();
            frame.put(&mut out);
            said.push(Said::Other(out));
            return;
        };
        match said.last_mut() {
            Some(Said::Bytes(last, all)) if *last == stream => all.extend_from_slice(bytes),
            _ if bytes.is_empty() => {}
            _ => said.push(Said::Bytes(stream, bytes.to_vec())),
        }
        if ends {
            said.push(Said::End(stream));
        }
    }

    fn read(wire: &[u8], cuts: &[usize]) -> (Vec<Said>, Result<(), Malformed>) {
        let (mut decoder, mut said) = (Decoder::default(), Vec::new());
        let mut cuts = cuts.iter().cycle();
        let mut wire = wire;
        while !wire.is_empty() {
            let size = cuts
                .next()
                .map_or(wire.len(), |cut| cut.saturating_add(1).min(wire.len()));
            let (mut piece, rest) = wire.split_at(size);
            wire = rest;
            loop {
                match decoder.decode(&mut piece) {
                    Ok(Some(frame)) => note(&mut said, frame),
                    Ok(None) => break assert!(piece.is_empty()),
                    Err(error) => return (said, Err(error)),
                }
            }
        }
        (said, Ok(()))
    }

    fn owned_frame() -> impl Strategy<Value = (u8, u32, u32, Vec<u8>)> {
        let bytes = prop::collection::vec(any::<u8>(), 0..400);
        (0..11_u8, any::<u32>(), any::<u32>(), bytes)
    }

    fn frame((kind, one, two, bytes): &(u8, u32, u32, Vec<u8>)) -> Frame<'_> {
        let (stream, code, size) = (*one, *two, *two);
        match *kind {
            0 if !bytes.is_empty() => Frame::Stream {
                stream,
                bytes,
                ends: false,
            },
            0 | 1 => Frame::Stream {
                stream,
                bytes,
                ends: true,
            },
            2 => Frame::Reset { stream, code },
            3 => Frame::Stop { stream, code },
            4 => Frame::StreamCredit {
                stream,
                bytes: size,
            },
            5 => Frame::ConnectionCredit { bytes: size },
            6 => Frame::Ping,
            7 => Frame::Pong,
            8 => Frame::Close {
                code,
                retry_after_ms: None,
            },
            9 => Frame::Close {
                code,
                retry_after_ms: Some(stream),
            },
            _ if bytes.is_empty() => Frame::Elsewhere { bytes: b"." },
            _ => Frame::Elsewhere {
                bytes: bytes.get(..ELSEWHERE_SIZE_MAX).unwrap_or(bytes),
            },
        }
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            frames in prop::collection::vec(owned_frame(), 0..30),
            cuts in prop::collection::vec(0_usize..60, 1..10),
        ) {
            let (mut wire, mut expected) = (Vec::new(), Vec::new());
            for each in &frames {
                frame(each).put(&mut wire);
                note(&mut expected, frame(each));
            }
            let (said, outcome) = read(&wire, &cuts);
            prop_assert_eq!(outcome, Ok(()));
            prop_assert_eq!(said, expected);
        }

        #[test]
        fn any_bytes_mean_the_same_however_they_are_cut(
            wire in prop::collection::vec(prop_oneof![3 => 0_u8..12, 1 => any::<u8>()], 0..600),
            cuts in prop::collection::vec(0_usize..20, 1..10),
        ) {
            prop_assert_eq!(read(&wire, &cuts), read(&wire, &[usize::MAX - 1]));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for wire in [
            &[11_u8][..],
            &[10, 0, 0],
            &[10, 1, 2],
            &[0xff, 0],
            &[0, 0, 0, 0, 1, 0, 0],
        ] {
            assert_eq!(read(wire, &[0]).1, Err(Malformed), "{wire:?}");
        }
    }
}
