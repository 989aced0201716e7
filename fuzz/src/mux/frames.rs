// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The frames of the multiplexer over TCP, written after [TRN-42] and not after the transport crate:
//! a second opinion of what the bytes on the wire say.

/// The most that an address takes, with its port.
const ELSEWHERE_SIZE_MAX: usize = 2 + 253;

/// What a sequence of bytes says, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// So many bytes of a stream have come; perhaps they are its last.
    Bytes { stream: u32, count: u32, ends: bool },
    /// A direction was given up.
    Reset { stream: u32 },
    /// No more is wanted.
    Stop { stream: u32 },
    /// So many more bytes may come on a stream.
    StreamCredit { stream: u32, bytes: u32 },
    /// So many more bytes may come on all streams.
    Credit { bytes: u32 },
    /// The end of the connection.
    Close,
    /// Bytes of an address have come.
    Elsewhere,
    /// Something else that is a frame, or a part of one.
    Other,
    /// This is no frame.
    Malformed,
}

/// Reads what one side sends, in whatever pieces it comes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    header: Vec<u8>,
    /// Stream (`None` for an address), bytes to come, and whether they are the last.
    rest: Option<(Option<u32>, u32, bool)>,
}

impl Reader {
    /// Everything that `input` says.
    pub(super) fn read(&mut self, mut input: &[u8]) -> Vec<Said> {
        let mut all = Vec::new();
        loop {
            if let Some((stream, left, ends)) = self.rest {
                let count = left.min(u32::try_from(input.len()).unwrap_or(u32::MAX));
                if count == 0 && left > 0 {
                    return all;
                }
                input = input.get(count as usize..).unwrap_or_default();
                let left = left.saturating_sub(count);
                self.rest = (left > 0).then_some((stream, left, ends));
                all.push(stream.map_or(Said::Elsewhere, |stream| Said::Bytes {
                    stream,
                    count,
                    ends: ends && left == 0,
                }));
                continue;
            }
            let Some((first, after)) = input.split_first() else {
                return all;
            };
            input = after;
            self.header.push(*first);
            match self.header_says() {
                None => {}
                Some(Said::Malformed) => {
                    all.push(Said::Malformed);
                    return all;
                }
                Some(said) => {
                    self.header.clear();
                    if self.rest.is_none() {
                        all.push(said);
                    }
                }
            }
        }
    }

    /// What the header says once it is whole; of frames with bytes, the rest is noted.
    fn header_says(&mut self) -> Option<Said> {
        let field = |at: usize| {
            let bytes = self.header.get(at..)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(*bytes))
        };
        let length = |at: usize| {
            let bytes = self.header.get(at..)?.first_chunk::<2>()?;
            Some(u16::from_be_bytes(*bytes))
        };
        match self.header.first()? {
            kind @ (0 | 1) => {
                let (stream, length) = (field(1)?, length(5)?);
                if length == 0 && *kind == 0 {
                    return Some(Said::Malformed);
                }
                self.rest = Some((Some(stream), u32::from(length), *kind == 1));
                Some(Said::Other)
            }
            2 => field(5).and(field(1)).map(|stream| Said::Reset { stream }),
            3 => field(5).and(field(1)).map(|stream| Said::Stop { stream }),
            4 => Some(Said::StreamCredit {
                bytes: field(5)?,
                stream: field(1)?,
            }),
            5 => Some(Said::Credit { bytes: field(1)? }),
            6 | 7 => Some(Said::Other),
            8 => field(1).map(|_| Said::Close),
            9 => field(5).map(|_| Said::Close),
            10 => {
                let length = length(1)?;
                if !(1..=ELSEWHERE_SIZE_MAX).contains(&usize::from(length)) {
                    return Some(Said::Malformed);
                }
                self.rest = Some((None, u32::from(length), false));
                Some(Said::Other)
            }
            _ => Some(Said::Malformed),
        }
    }
}
