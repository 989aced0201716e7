// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The multiplexer without TLS and sockets, for the program that attacks it. Not for applications.

use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Budget;
pub use super::mux::Counts;
use super::mux::{Mux, Side};
use crate::close::{CloseReason, StreamCode};

/// The most that [`BareMux::compose`] gives at a time, in bytes.
pub const COMPOSED_SIZE_MAX: usize = super::mux::PLAINTEXT_SIZE_MAX;

/// One end of a connection.
pub struct BareMux {
    mux: Mux,
    budget: Arc<Budget>,
}

impl BareMux {
    /// The server's end, or the client's, of the only connection of a listener that holds so many
    /// bytes, and has so many to send.
    #[must_use]
    pub fn new(is_server: bool, held_max: usize, queued_max: usize) -> Self {
        let side = if is_server {
            Side::Server
        } else {
            Side::Client
        };
        let budget = Arc::new(Budget::new(held_max, queued_max));
        Self {
            mux: Mux::new(side, Arc::clone(&budget)),
            budget,
        }
    }

    /// Takes what the peer sent.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.mux.receive(bytes);
    }

    /// What is to be sent next; empty where there is nothing.
    pub fn compose(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.mux.sent();
        self.mux.compose(&mut out);
        out
    }

    /// Why the connection is over.
    #[must_use]
    pub const fn close_reason(&self) -> Option<CloseReason> {
        self.mux.close_reason()
    }

    /// Opens a stream, where the peer allows it.
    pub fn open(&mut self) -> Option<u32> {
        self.mux.open().ok().flatten()
    }

    /// Takes a stream that the peer has opened.
    pub fn accept(&mut self) -> Option<u32> {
        self.mux.accept().ok().flatten()
    }

    /// Takes some of so many bytes to be sent on a stream; gives how many.
    pub fn write(&mut self, key: u32, count: usize) -> usize {
        let mut bytes = Bytes::from(vec![0xa5; count]);
        let context = Context::from_waker(Waker::noop());
        match self.mux.poll_write(key, &context, &mut bytes) {
            Poll::Ready(Ok(())) => count.saturating_sub(bytes.len()),
            _ => 0,
        }
    }

    /// Reads at most so many bytes of a stream; gives how many.
    pub fn read(&mut self, key: u32, size_max: usize) -> usize {
        let context = Context::from_waker(Waker::noop());
        match self.mux.poll_read(key, &context, size_max) {
            Poll::Ready(Ok(Some(piece))) => piece.len(),
            _ => 0,
        }
    }

    /// Says that nothing follows on a stream.
    pub fn finish(&mut self, key: u32) {
        self.mux.finish(key);
    }

    /// Gives up this side's direction of a stream.
    pub fn reset(&mut self, key: u32, code: u32) {
        self.mux.reset(key, StreamCode::from_wire(code));
    }

    /// Wants no more from the peer on a stream.
    pub fn stop(&mut self, key: u32, code: u32) {
        self.mux.stop(key, StreamCode::from_wire(code));
    }

    /// Asks for a sign of life.
    pub fn ping(&mut self) {
        self.mux.ping();
    }

    /// Lets both halves of a stream go, as dropping them does.
    pub fn release(&mut self, key: u32) {
        self.reset(key, StreamCode::Cancelled.to_wire());
        self.mux.release_send(key);
        self.stop(key, StreamCode::Cancelled.to_wire());
        self.mux.release_recv(key);
    }

    /// What there is at the moment.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.mux.counts()
    }

    /// Ends without a word; gives what the listener counts for it afterwards.
    #[must_use]
    pub fn end(self) -> (usize, usize) {
        drop(self.mux);
        (self.budget.held(), self.budget.queued())
    }
}

impl core::fmt::Debug for BareMux {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BareMux")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
