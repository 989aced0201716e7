// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sending half: frames that wait until the link takes them.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use prost::Message;

use super::SendHalf;
use crate::close::StreamCode;
use crate::error::StreamError;
use crate::framing::{append_frame, encode_frame};
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

/// With the first frame that has to wait behind another one, room is made for so many bytes more: a stream
/// that queues much has few pieces of memory, and gives the link few.
const MORE_BYTES: usize = 8 * 1024;

/// Frames in their order. One, and mostly there is one at most, takes no more memory than it needs.
#[derive(Default)]
struct Queue {
    /// What is to be written next.
    front: Bytes,
    behind: BytesMut,
}

impl Queue {
    /// A frame is never empty: it has a header.
    fn push(&mut self, message: &impl Message, limit_bytes: usize) -> Result<(), StreamError> {
        if self.is_empty() {
            self.front = encode_frame(message, limit_bytes)?;
            Ok(())
        } else {
            append_frame(&mut self.behind, message, limit_bytes, MORE_BYTES)
        }
    }

    /// What is to be written next.
    fn front(&mut self) -> Option<&mut Bytes> {
        if self.front.is_empty() {
            self.front = core::mem::take(&mut self.behind).freeze();
        }
        Some(&mut self.front).filter(|front| !front.is_empty())
    }

    fn is_empty(&self) -> bool {
        self.front.is_empty() && self.behind.is_empty()
    }

    fn bytes(&self) -> usize {
        self.front.len().saturating_add(self.behind.len())
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
