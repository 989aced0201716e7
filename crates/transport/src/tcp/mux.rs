// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Streams on one ordered sequence of bytes: a pure state machine, without sockets and clocks.
//!
//! The driver puts in what the peer sent ([`Mux::receive`]) and takes out what is to be sent
//! ([`Mux::compose`]); the halves of streams read and write in between. All that a peer can make
//! this side hold is bounded: bytes by the credit that it was given, frames to be sent by the
//! streams that are open, as they are flags of a stream and not a queue.

mod counts;
mod incoming;
mod outgoing;
mod receiving;
mod room;
mod sending;
mod table;
#[cfg(test)]
mod tests;

use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use bytes::Bytes;
use waxwing_proto::limits;

use super::budget::Budget;
use super::frame::Decoder;
use crate::close::{CloseCode, CloseReason, StreamCode};
use crate::elsewhere::Elsewhere;
use crate::error::StreamError;
pub use counts::Counts;
use receiving::{Ended, Receiving};
use room::Room;
use sending::{Phase, Sending};
use table::{Stream, Table};

/// The most that one call of [`Mux::compose`] gives, in bytes: what fits one TLS record.
pub(super) const PLAINTEXT_SIZE_MAX: usize = 16 * 1024;

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    /// What may come in without having been read: on one stream, and on all together.
    const fn windows(self) -> (u32, u32) {
        // TRN-44.
        match self {
            Self::Server => (
                limits::TCP_STREAM_CREDIT_TO_SERVER,
                limits::TCP_CREDIT_TO_SERVER,
            ),
            Self::Client => (
                limits::TCP_STREAM_CREDIT_TO_CLIENT,
                limits::TCP_CREDIT_TO_CLIENT,
            ),
        }
    }

    const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What has changed for those who wait at the connection as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct News {
    /// A stream has come.
    pub(super) arrived: bool,
    /// A stream may be opened.
    pub(super) room: bool,
    /// The connection is over.
    pub(super) over: bool,
}

/// The state of one connection.
pub(super) struct Mux {
    side: Side,
    decoder: Decoder,
    streams: Table,
    /// The name of the next stream that this side opens.
    next_key: u32,
    /// The number of the next stream that goes onto the wire.
    next_wire: u32,
    /// Streams of which a direction is open on the wire, or will be.
    open: usize,
    /// Streams that the layer above has in its hands.
    in_hand: usize,
    /// What may still be taken from the layer above to be sent.
    send_credit: u32,
    /// Bytes that were taken and wait to be sent.
    room: Room,
    /// What the peer may still send.
    receive_credit: u32,
    /// What was read and is to be granted anew.
    returnable: u32,
    /// Bytes that came and were not read.
    held: usize,
    budget: Arc<Budget>,
    ping_due: bool,
    pong_due: bool,
    control_due: bool,
    turn: u32,
    closing: Option<(CloseCode, Option<u32>)>,
    /// Where the client is to call after the end: what a server is to say, what a client has heard.
    elsewhere: Vec<u8>,
    closed: Option<CloseReason>,
    driver: Option<Waker>,
    news: News,
}

impl Mux {
    pub(super) fn new(side: Side, budget: Arc<Budget>) -> Self {
        Self {
            side,
            decoder: Decoder::default(),
            streams: Table::default(),
            next_key: 0,
            next_wire: 0,
            open: 0,
            in_hand: 0,
            send_credit: side.peer().windows().1,
            room: Room::default(),
            receive_credit: side.windows().1,
            returnable: 0,
            held: 0,
            budget,
            ping_due: false,
            pong_due: false,
            control_due: false,
            turn: 0,
            closing: None,
            elsewhere: Vec::new(),
            closed: None,
            driver: None,
            news: News::default(),
        }
    }

    /// Whom to wake when there is something to be sent.
    pub(super) fn set_driver(&mut self, waker: &Waker) {
        if !self.driver.as_ref().is_some_and(|it| it.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }

    fn wake_driver(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    /// What has changed since this was asked last.
    pub(super) fn take_news(&mut self) -> News {
        core::mem::take(&mut self.news)
    }

    pub(super) const fn close_reason(&self) -> Option<CloseReason> {
        self.closed
    }

    /// Opens a stream: its name, or `None` while the peer allows no more.
    pub(super) fn open(&mut self) -> Result<Option<u32>, CloseReason> {
        if let Some(reason) = self.closed {
            return Err(reason);
        }
        let streams_max = usize::try_from(limits::STREAMS_PER_CONNECTION_MAX).unwrap_or(0);
        // As in QUIC here: clients allow servers none.
        if self.side == Side::Server || self.open >= streams_max {
            return Ok(None);
        }
        let key = self.next_key;
        let Some(next) = key.checked_add(1) else {
            self.close(CloseCode::Done, None);
            return Err(CloseReason::Local(CloseCode::Done));
        };
        self.next_key = next;
        self.open = self.open.saturating_add(1);
        self.in_hand = self.in_hand.saturating_add(1);
        let mut stream = Stream::new(key, None, self.side);
        stream.hand_out();
        self.streams.push(stream);
        Ok(Some(key))
    }

    /// A stream that the peer opened: its name. `None` while there is none, and while the layer
    /// above has as many as a peer may open.
    pub(super) fn accept(&mut self) -> Result<Option<u32>, CloseReason> {
        if let Some(reason) = self.closed {
            return Err(reason);
        }
        let streams_max = usize::try_from(limits::STREAMS_PER_CONNECTION_MAX).unwrap_or(0);
        if self.side == Side::Client || self.in_hand >= streams_max {
            return Ok(None);
        }
        let Some(stream) = self.streams.first_waiting() else {
            return Ok(None);
        };
        stream.hand_out();
        let key = stream.key;
        self.in_hand = self.in_hand.saturating_add(1);
        Ok(Some(key))
    }

    /// Takes as much from the front of `bytes` as the peer's credit and the queue allow.
    pub(super) fn poll_write(
        &mut self,
        key: u32,
        context: &Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        if let Some(reason) = self.closed {
            return Poll::Ready(Err(StreamError::Closed(reason)));
        }
        let credit = usize::try_from(self.send_credit).unwrap_or(usize::MAX);
        let Some(entry) = self.streams.by_key(key) else {
            return Poll::Ready(Err(StreamError::Finished));
        };
        let wanted = entry.send.takes(bytes).min(credit);
        let room = self.room.find(wanted, &self.budget);
        let Poll::Ready(taken) = entry.send.poll_take(context, bytes, room) else {
            return Poll::Pending;
        };
        Poll::Ready(taken.map(|taken| {
            self.room.take(taken, &self.budget);
            let taken = u32::try_from(taken).unwrap_or(u32::MAX);
            self.send_credit = self.send_credit.saturating_sub(taken);
            self.wake_driver();
        }))
    }

    /// Says that nothing follows on a stream.
    pub(super) fn finish(&mut self, key: u32) {
        if let Some(entry) = self.streams.by_key(key) {
            entry.send.finish();
            self.wake_driver();
        }
    }

    /// Gives up this side's direction of a stream.
    pub(super) fn reset(&mut self, key: u32, code: StreamCode) {
        let Some(entry) = self.streams.by_key(key) else {
            return;
        };
        let unsent = if entry.wire.is_none() {
            // The peer has not heard of it, and need not.
            let unsent = entry.send.abandon();
            entry.recv.end_unseen();
            unsent
        } else {
            entry.send.reset(code)
        };
        self.unsend(unsent);
        self.control_due = true;
        self.settle(key);
        self.wake_driver();
    }

    /// Wants no more from the peer on a stream.
    pub(super) fn stop(&mut self, key: u32, code: StreamCode) {
        let Some(entry) = self.streams.by_key(key) else {
            return;
        };
        let discarded = entry.recv.stop(code);
        self.discard(discarded);
        self.control_due = true;
        self.settle(key);
        self.wake_driver();
    }

    /// The next bytes of a stream, at most `size_max`; `None` at its end.
    pub(super) fn poll_read(
        &mut self,
        key: u32,
        context: &Context<'_>,
        size_max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let closed = self.closed;
        let Some(entry) = self.streams.by_key(key) else {
            let error = closed.map_or(StreamError::Finished, StreamError::Closed);
            return Poll::Ready(Err(error));
        };
        if let Some(piece) = entry.recv.read(size_max) {
            let is_due = entry.recv.grant_is_due(self.side.windows().0);
            self.discard(piece.len());
            if is_due {
                self.control_due = true;
                self.wake_driver();
            }
            return Poll::Ready(Ok(Some(piece)));
        }
        match (entry.recv.ended(), closed) {
            (Some(Ended::Wholly), _) => Poll::Ready(Ok(None)),
            (Some(Ended::Reset(code)), _) => Poll::Ready(Err(StreamError::Reset(code))),
            (Some(Ended::Stopped), _) => Poll::Ready(Err(StreamError::Finished)),
            (None, Some(reason)) => Poll::Ready(Err(StreamError::Closed(reason))),
            (None, None) => {
                entry.recv.wait(context);
                Poll::Pending
            }
        }
    }

    /// Why nothing more can be sent on a stream, as soon as it is known.
    pub(super) fn poll_stopped(&mut self, key: u32, context: &Context<'_>) -> Poll<StreamError> {
        if let Some(reason) = self.closed {
            return Poll::Ready(StreamError::Closed(reason));
        }
        match self.streams.by_key(key) {
            None => Poll::Ready(StreamError::Finished),
            Some(entry) => entry.send.poll_stopped(context),
        }
    }

    pub(super) fn set_priority(&mut self, key: u32, priority: i32) {
        if let Some(entry) = self.streams.by_key(key) {
            entry.send.priority = priority;
        }
    }

    /// The layer above has let the sending half go.
    pub(super) fn release_send(&mut self, key: u32) {
        self.release(key, |stream| stream.send_in_hand = false);
    }

    /// The layer above has let the receiving half go.
    pub(super) fn release_recv(&mut self, key: u32) {
        self.release(key, |stream| stream.recv_in_hand = false);
    }

    fn release(&mut self, key: u32, half: impl FnOnce(&mut Stream)) {
        let Some(entry) = self.streams.by_key(key) else {
            return;
        };
        half(entry);
        if !entry.is_in_hand() {
            self.in_hand = self.in_hand.saturating_sub(1);
            self.news.arrived = true;
        }
        self.settle(key);
    }

    /// Ends the connection: the peer is told, what was not sent is dropped.
    pub(super) fn close(&mut self, code: CloseCode, retry_after_ms: Option<u32>) {
        self.end(CloseReason::Local(code), Some((code, retry_after_ms)));
    }

    /// As [`Mux::close`], and names another address of this server.
    pub(super) fn send_elsewhere(
        &mut self,
        (code, retry_after_ms): (CloseCode, u32),
        elsewhere: &Elsewhere,
    ) {
        if self.closed.is_none() && self.side == Side::Server {
            self.elsewhere = elsewhere.to_wire();
        }
        self.close(code, Some(retry_after_ms));
    }

    /// The address that the server has named; its choice.
    pub(super) fn elsewhere(&self) -> Option<Elsewhere> {
        let is_sent_away = matches!(self.closed, Some(CloseReason::Peer { .. }));
        (self.side == Side::Client && is_sent_away)
            .then(|| Elsewhere::from_wire(&self.elsewhere).ok())
            .flatten()
    }

    /// The connection is over; the first reason stays.
    pub(super) fn end(&mut self, reason: CloseReason, tell: Option<(CloseCode, Option<u32>)>) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(reason);
        self.closing = tell;
        self.room.clear(&self.budget);
        // What nobody was given yet, nobody will read.
        let unread = self.streams.end_all();
        self.discard(unread);
        self.news = News {
            arrived: true,
            room: true,
            over: true,
        };
        self.wake_driver();
    }

    /// Asks for a sign of life with the next bytes.
    pub(super) fn ping(&mut self) {
        self.ping_due = true;
        self.wake_driver();
    }

    /// Bytes that were taken from the layer above and will not be sent: their credit is free.
    fn unsend(&mut self, unsent: usize) {
        if unsent > 0 {
            self.room.give(unsent, &self.budget);
            let unsent = u32::try_from(unsent).unwrap_or(u32::MAX);
            self.send_credit = self.send_credit.saturating_add(unsent);
            self.streams.wake_writers();
        }
    }

    /// Bytes that were held are not held any more.
    fn discard(&mut self, count: usize) {
        // Bytes that ended the connection for want of memory were never counted.
        let counted = count.min(self.held);
        self.held = self.held.saturating_sub(counted);
        self.budget.give(counted);
        self.give_back(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn give_back(&mut self, count: u32) {
        self.returnable = self.returnable.saturating_add(count);
        if count > 0 && self.returnable >= self.side.windows().1.div_euclid(2) {
            self.wake_driver();
        }
    }

    /// Counts a stream out when both directions have ended, and forgets it when nobody has it.
    fn settle(&mut self, key: u32) {
        let Some(entry) = self.streams.by_key(key) else {
            return;
        };
        if !entry.send.is_over() || !entry.recv.is_over() {
            return;
        }
        if !core::mem::replace(&mut entry.counted_out, true) {
            self.open = self.open.saturating_sub(1);
            self.news.room = true;
        }
        // One that was never handed out is forgotten with what it holds, unless it can be read.
        if entry.is_in_hand() || (!entry.was_handed_out && entry.send.stopped().is_none()) {
            return;
        }
        if let Some(gone) = self.streams.remove(key) {
            let held = gone.recv.held();
            self.discard(held);
        }
    }
}

impl Drop for Mux {
    fn drop(&mut self) {
        self.budget.give(self.held);
        self.room.clear(&self.budget);
    }
}

/// When a client may come back that was closed for want of memory, in milliseconds.
const OVERLOADED_RETRY_MS: u32 = 1000;

/// What ends a connection from within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The peer broke the protocol.
    Violation,
    /// All connections together hold too much, and this one more than its share.
    NoMemory,
}
