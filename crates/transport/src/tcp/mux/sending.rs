// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The direction of a stream that this side sends.

use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};

use super::{Fault, PLAINTEXT_SIZE_MAX};
use crate::close::StreamCode;
use crate::error::StreamError;
use crate::tcp::frame::{Frame, STREAM_HEADER_SIZE, put_stream_header};

/// What one stream sends before another of the same priority has its turn, in bytes.
const TURN_SIZE: usize = 8 * 1024;

/// How far a direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The end follows the last bytes.
    Ending,
    /// The reset is to be sent.
    Resetting(StreamCode),
    /// The end or the reset was sent.
    Over,
}

#[derive(Debug)]
pub(super) struct Sending {
    pub(super) phase: Phase,
    pub(super) priority: i32,
    /// When it was served last.
    pub(super) turn: u32,
    queue: VecDeque<Bytes>,
    queued: usize,
    credit: u32,
    stopped: Option<StreamCode>,
    writer: Option<Waker>,
    watchers: Vec<Waker>,
}

/// What a frame of a stream may carry at the end of `out`; `None` when it is not worth a frame.
pub(super) fn room(out: &[u8]) -> Option<usize> {
    let room = PLAINTEXT_SIZE_MAX
        .saturating_sub(out.len())
        .saturating_sub(STREAM_HEADER_SIZE);
    (room >= 256).then_some(room)
}

/// The credit with `more` added to it. What was taken to be sent and waits counts in the sum: its credit
/// comes back when it is not sent.
pub(super) fn add_credit(credit: u32, queued: usize, more: u32) -> Result<u32, Fault> {
    // TRN-45.
    let queued = u32::try_from(queued).map_err(|_| Fault::Violation)?;
    let credit = credit.checked_add(more).ok_or(Fault::Violation)?;
    credit.checked_add(queued).ok_or(Fault::Violation)?;
    Ok(credit)
}

impl Sending {
    pub(super) const fn new(credit: u32) -> Self {
        Self {
            phase: Phase::Open,
            priority: 0,
            turn: 0,
            queue: VecDeque::new(),
            queued: 0,
            credit,
            stopped: None,
            writer: None,
            watchers: Vec::new(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(super) const fn stopped(&self) -> Option<StreamCode> {
        self.stopped
    }

    pub(super) const fn has_something(&self) -> bool {
        self.queued > 0 || matches!(self.phase, Phase::Ending)
    }

    /// The peer takes so many bytes more.
    pub(super) fn grant(&mut self, bytes: u32) -> Result<(), Fault> {
        self.credit = add_credit(self.credit, self.queued, bytes)?;
        self.wake_writer();
        Ok(())
    }

    /// How many of `bytes` would be taken if there were room.
    pub(super) fn takes(&self, bytes: &Bytes) -> usize {
        if self.stopped.is_some() || self.phase != Phase::Open {
            return 0;
        }
        let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
        credit.min(bytes.len())
    }

    /// Takes from the front of `bytes` at most `room`; gives how many.
    pub(super) fn poll_take(
        &mut self,
        context: &Context<'_>,
        bytes: &mut Bytes,
        room: usize,
    ) -> Poll<Result<usize, StreamError>> {
        if let Some(code) = self.stopped {
            return Poll::Ready(Err(StreamError::Stopped(code)));
        }
        if self.phase != Phase::Open {
            return Poll::Ready(Err(StreamError::Finished));
        }
        let room = room.min(usize::try_from(self.credit).unwrap_or(usize::MAX));
        if room == 0 && !bytes.is_empty() {
            self.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let piece = bytes.split_to(room.min(bytes.len()));
        let taken = piece.len();
        self.credit = self
            .credit
            .saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        self.queued = self.queued.saturating_add(taken);
        if taken > 0 {
            self.queue.push_back(piece);
        }
        Poll::Ready(Ok(taken))
    }

    pub(super) fn finish(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Ending;
        }
    }

    /// Gives the bytes that will not be sent.
    pub(super) fn reset(&mut self, code: StreamCode) -> usize {
        if matches!(self.phase, Phase::Open | Phase::Ending) {
            self.phase = Phase::Resetting(code);
        }
        self.drop_queue()
    }

    /// Ends without a word; gives the bytes that will not be sent.
    pub(super) fn abandon(&mut self) -> usize {
        self.phase = Phase::Over;
        self.drop_queue()
    }

    /// The peer wants no more; gives the bytes that will not be sent. It is answered by a reset.
    pub(super) fn take_stop(&mut self, code: StreamCode) -> usize {
        if !matches!(self.phase, Phase::Open | Phase::Ending) {
            return 0;
        }
        self.stopped = Some(code);
        self.phase = Phase::Resetting(code);
        self.wake_all();
        self.drop_queue()
    }

    fn drop_queue(&mut self) -> usize {
        self.queue = VecDeque::new();
        core::mem::take(&mut self.queued)
    }

    pub(super) fn poll_stopped(&mut self, context: &Context<'_>) -> Poll<StreamError> {
        if let Some(code) = self.stopped {
            return Poll::Ready(StreamError::Stopped(code));
        }
        let waker = context.waker();
        if !self.watchers.iter().any(|it| it.will_wake(waker)) {
            self.watchers.push(waker.clone());
        }
        Poll::Pending
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.wake_writer();
        for watcher in core::mem::take(&mut self.watchers) {
            watcher.wake();
        }
    }

    pub(super) fn put_reset(&mut self, wire: u32, out: &mut Vec<u8>) {
        if let Phase::Resetting(code) = self.phase {
            let code = code.to_wire();
            Frame::Reset { stream: wire, code }.put(out);
            self.phase = Phase::Over;
        }
    }

    /// Appends one frame with at most `room` bytes; gives how many it has.
    pub(super) fn put_bytes(
        &mut self,
        wire: u32,
        turn: u32,
        room: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        self.turn = turn;
        let size = room.min(self.queued).min(TURN_SIZE);
        let length = u16::try_from(size).unwrap_or(u16::MAX);
        let ends = self.phase == Phase::Ending && size == self.queued;
        put_stream_header(out, wire, length, ends);
        let mut left = usize::from(length);
        while let Some(front) = self.queue.front_mut()
            && left > 0
        {
            let count = left.min(front.len());
            out.extend_from_slice(front.get(..count).unwrap_or_default());
            front.advance(count);
            left = left.saturating_sub(count);
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        self.queued = self.queued.saturating_sub(usize::from(length));
        if self.queued == 0 {
            self.queue = VecDeque::new();
        }
        if ends {
            self.phase = Phase::Over;
        }
        usize::from(length)
    }
}
