// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two halves of a bidirectional stream, on which frames travel.
//!
//! Both halves are cancellation safe: a future that is dropped loses no bytes and breaks no frame
//! apart; the next call goes on where it stood. Dropping a half gives it up: the sending half is
//! reset unless it was finished, the receiving half is stopped unless it was read to its end.
//! Either returns the stream's credit to the connection.

use core::task::{Context, Poll};

use bytes::Bytes;

use crate::close::StreamCode;
use crate::error::StreamError;
use crate::seams::BoxFuture;

mod recv;
mod send;

pub use recv::RecvStream;
pub use send::SendStream;

/// What an implementation of links provides for the sending half. Called through [`SendStream`].
pub trait SendHalf: Send + Sync + 'static {
    /// Takes as much from the front of `bytes` as flow control allows, at least one byte.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<(), StreamError>>;
    /// Says that nothing follows.
    fn finish(&mut self);
    /// Gives up: what was not delivered yet is discarded.
    fn reset(&mut self, code: StreamCode);
    /// Completes when the peer wants no more, or when the link is over.
    fn stopped(&self) -> BoxFuture<'static, StreamError>;
    /// Streams of higher priority are sent first. The default is 0.
    fn set_priority(&self, priority: i32);
}

/// What an implementation of links provides for the receiving half. Called through [`RecvStream`].
pub trait RecvHalf: Send + Sync + 'static {
    /// The next bytes in order, at most `size_max`; `None` at the end of the stream.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        size_max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>>;
    /// Tells the peer to send no more, and discards what has come.
    fn stop(&mut self, code: StreamCode);
    /// See [`RecvStream::is_early`].
    fn is_early(&self) -> bool {
        false
    }
}
