// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sending half: frames that wait until the link takes them.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use prost::Message;

use super::SendHalf;
use crate::close::StreamCode;
use crate::error::StreamError;
use crate::framing::{append_frame, encode_frame, frame_size};
use crate::seams::BoxFuture;

/// The sending half of a stream. In one piece of memory, which is moved by its address: there are many,
/// and tasks hand them on.
pub struct SendStream {
    inner: Box<Sending<dyn SendHalf>>,
}

struct Sending<H: ?Sized> {
    queue: Queue,
    finished: bool,
    half: H,
}

/// Frames that wait behind another one lie together in pieces of about this size: a stream that queues much
/// asks the link seldom.
const PIECE_SIZE: usize = 16 * 1024;

/// Frames in their order. One, and mostly there is one at most, takes no more memory than it needs.
#[derive(Default)]
struct Queue {
    /// What is to be written next.
    front: Bytes,
    /// The last one may have room for more.
    behind: VecDeque<BytesMut>,
}

impl Queue {
    /// A frame is never empty: it has a header.
    fn push(&mut self, message: &impl Message, limit_bytes: usize) -> Result<(), StreamError> {
        if self.front.is_empty() && self.behind.is_empty() {
            self.front = encode_frame(message, limit_bytes)?;
            return Ok(());
        }
        let size = frame_size(message, limit_bytes)?;
        let room = |piece: &&mut BytesMut| piece.capacity().saturating_sub(piece.len());
        match self.behind.back_mut().filter(|piece| room(piece) >= size) {
            Some(piece) => append_frame(piece, message, size),
            None => {
                let mut piece = BytesMut::with_capacity(size.max(PIECE_SIZE));
                append_frame(&mut piece, message, size)?;
                self.behind.push_back(piece);
                Ok(())
            }
        }
    }

    /// What is to be written next.
    fn front(&mut self) -> Option<&mut Bytes> {
        if self.front.is_empty() {
            self.front = self.behind.pop_front()?.freeze();
        }
        Some(&mut self.front)
    }

    fn bytes(&self) -> usize {
        let behind = self.behind.iter().map(BytesMut::len);
        behind.fold(self.front.len(), usize::saturating_add)
    }
}

impl SendStream {
    /// Wraps what an implementation of links provides.
    #[must_use]
    pub fn new(half: impl SendHalf) -> Self {
        let inner = Box::new(Sending {
            queue: Queue::default(),
            finished: false,
            half,
        });
        Self { inner }
    }

    /// Encodes `message` as one frame and waits until the link has taken it. This is not delivery:
    /// only an answer of the application is.
    ///
    /// When the future is dropped before it completes, the frame is in the queue and goes out
    /// whole with the next call of `send`, `flush` or `finish`.
    ///
    /// # Errors
    /// [`StreamError::MessageTooLarge`] (nothing was queued), [`StreamError::Finished`],
    /// [`StreamError::Stopped`], [`StreamError::Closed`].
    pub async fn send(
        &mut self,
        message: &impl Message,
        limit_bytes: usize,
    ) -> Result<(), StreamError> {
        self.queue(message, limit_bytes)?;
        self.flush().await
    }

    /// Encodes `message` as one frame and leaves it for the next `flush`: several frames then go
    /// out together.
    ///
    /// # Errors
    /// [`StreamError::MessageTooLarge`], [`StreamError::Finished`].
    pub fn queue(&mut self, message: &impl Message, limit_bytes: usize) -> Result<(), StreamError> {
        if self.inner.finished {
            return Err(StreamError::Finished);
        }
        self.inner.queue.push(message, limit_bytes)
    }

    /// Waits until the link has taken all queued frames.
    ///
    /// # Errors
    /// [`StreamError::Stopped`], [`StreamError::Closed`].
    pub async fn flush(&mut self) -> Result<(), StreamError> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let Sending { queue, half, .. } = &mut *self.inner;
        while let Some(front) = queue.front() {
            ready!(half.poll_write(context, front))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes in the queue that the link has not taken.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.inner.queue.bytes()
    }

    /// Flushes and says that nothing follows.
    ///
    /// # Errors
    /// As [`SendStream::flush`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.flush().await?;
        if !self.inner.finished {
            self.inner.finished = true;
            self.inner.half.finish();
        }
        Ok(())
    }

    /// Gives up: what was not delivered yet is discarded, the peer sees `code`.
    pub fn reset(&mut self, code: StreamCode) {
        self.inner.queue = Queue::default();
        self.inner.finished = true;
        self.inner.half.reset(code);
    }

    /// Completes when the peer wants no more from this side ([`StreamError::Stopped`]) or the link
    /// is over. After `finish` it may also complete, with [`StreamError::Finished`], once the peer
    /// has everything.
    pub fn stopped(&self) -> BoxFuture<'static, StreamError> {
        self.inner.half.stopped()
    }

    /// Streams of higher priority are sent first. The default is 0.
    pub fn set_priority(&self, priority: i32) {
        self.inner.half.set_priority(priority);
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.inner.finished {
            // A frame that was cut off must not look like the end of the stream.
            self.inner.half.reset(StreamCode::Cancelled);
        }
    }
}

impl core::fmt::Debug for SendStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SendStream")
            .field("queued_bytes", &self.queued_bytes())
            .field("finished", &self.inner.finished)
            .finish_non_exhaustive()
    }
}
