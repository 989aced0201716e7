// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The direction of a stream that the peer sends.

use core::task::{Context, Waker};
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::Fault;
use crate::close::StreamCode;
use crate::tcp::frame::Frame;

/// Pieces are joined up to this size, so that a peer that sends single bytes cannot make a window
/// of bytes cost a window of allocations.
const JOINED_SIZE: usize = 4 * 1024;

/// How a direction ended, as the reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Wholly,
    Reset(StreamCode),
    Stopped,
}

/// What is to be said about a stream that nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Due(StreamCode),
    Said,
}

#[derive(Debug)]
pub(super) struct Receiving {
    pieces: VecDeque<BytesMut>,
    held: usize,
    /// What the peer may still send.
    credit: u32,
    /// What was read and is to be granted anew.
    returnable: u32,
    /// How the peer ended it.
    ended: Option<Ended>,
    stop: Stop,
    reader: Option<Waker>,
}

impl Receiving {
    pub(super) const fn new(credit: u32) -> Self {
        Self {
            pieces: VecDeque::new(),
            held: 0,
            credit,
            returnable: 0,
            ended: None,
            stop: Stop::No,
            reader: None,
        }
    }

    /// Whether the peer sends nothing more.
    pub(super) const fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    pub(super) const fn held(&self) -> usize {
        self.held
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        if self.stop == Stop::No {
            self.ended
        } else {
            Some(Ended::Stopped)
        }
    }

    /// Takes bytes from the peer. Returns whether they are kept.
    pub(super) fn take(&mut self, bytes: &[u8], ends: bool) -> Result<bool, Fault> {
        if self.ended.is_some() {
            return Err(Fault::Violation);
        }
        let count = u32::try_from(bytes.len()).map_err(|_| Fault::Violation)?;
        self.credit = self.credit.checked_sub(count).ok_or(Fault::Violation)?;
        if ends {
            self.ended = Some(Ended::Wholly);
        }
        if self.stop != Stop::No {
            return Ok(false);
        }
        if !bytes.is_empty() {
            match self.pieces.back_mut() {
                Some(last) if last.len().saturating_add(bytes.len()) <= JOINED_SIZE => {
                    last.extend_from_slice(bytes);
                }
                _ => self.pieces.push_back(BytesMut::from(bytes)),
            }
            self.held = self.held.saturating_add(bytes.len());
        }
        self.wake();
        Ok(true)
    }

    /// The peer gives the direction up; gives how many bytes are discarded.
    pub(super) fn take_reset(&mut self, code: StreamCode) -> Result<usize, Fault> {
        if self.ended.is_some() {
            return Err(Fault::Violation);
        }
        self.ended = Some(Ended::Reset(code));
        self.wake();
        Ok(self.drop_pieces())
    }

    /// The peer never heard of the stream and will not answer.
    pub(super) fn end_unseen(&mut self) {
        if self.ended.is_none() {
            self.ended = Some(Ended::Wholly);
        }
        self.wake();
    }

    /// Nobody reads on; gives how many bytes are discarded. The peer is told unless it has ended.
    pub(super) fn stop(&mut self, code: StreamCode) -> usize {
        if self.stop == Stop::No {
            self.stop = if self.ended.is_some() {
                Stop::Said
            } else {
                Stop::Due(code)
            };
        }
        self.drop_pieces()
    }

    pub(super) const fn is_stopping(&self) -> bool {
        matches!(self.stop, Stop::Due(_))
    }

    fn drop_pieces(&mut self) -> usize {
        self.pieces = VecDeque::new();
        core::mem::take(&mut self.held)
    }

    /// The next bytes, at most `size_max`.
    pub(super) fn read(&mut self, size_max: usize) -> Option<Bytes> {
        let front = self.pieces.front_mut()?;
        let piece = if front.len() <= size_max {
            let piece = self.pieces.pop_front()?;
            if self.pieces.is_empty() {
                self.pieces = VecDeque::new();
            }
            piece
        } else {
            front.split_to(size_max)
        };
        self.held = self.held.saturating_sub(piece.len());
        let count = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        self.returnable = self.returnable.saturating_add(count);
        Some(piece.freeze())
    }

    /// Whether so much was read that the peer should be told.
    pub(super) const fn grant_is_due(&self, window: u32) -> bool {
        self.ended.is_none() && self.returnable >= window.div_euclid(2)
    }

    pub(super) fn put_credit(&mut self, wire: u32, window: u32, out: &mut Vec<u8>) {
        if self.grant_is_due(window) && self.stop == Stop::No {
            let bytes = core::mem::take(&mut self.returnable);
            self.credit = self.credit.saturating_add(bytes);
            Frame::StreamCredit {
                stream: wire,
                bytes,
            }
            .put(out);
        }
    }

    pub(super) fn put_stop(&mut self, wire: u32, out: &mut Vec<u8>) {
        if let Stop::Due(code) = self.stop {
            if self.ended.is_none() {
                let code = code.to_wire();
                Frame::Stop { stream: wire, code }.put(out);
            }
            self.stop = Stop::Said;
        }
    }

    pub(super) fn wait(&mut self, context: &Context<'_>) {
        self.reader = Some(context.waker().clone());
    }

    pub(super) fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
