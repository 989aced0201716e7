// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two halves of a bidirectional stream, on which frames travel.
//!
//! Both halves are cancellation safe: a future that is dropped loses no bytes and breaks no frame
//! apart; the next call goes on where it stood. Dropping a half gives it up: the sending half is
//! reset unless it was finished, the receiving half is stopped unless it was read to its end.
//! Either returns the stream's credit to the connection.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message;

use crate::close::StreamCode;
use crate::error::StreamError;
use crate::framing::{FrameDecoder, encode_frame};
use crate::seams::BoxFuture;

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

/// The sending half of a stream.
pub struct SendStream {
    half: Box<dyn SendHalf>,
    queue: VecDeque<Bytes>,
    finished: bool,
}

impl SendStream {
    /// Wraps what an implementation of links provides.
    #[must_use]
    pub fn new(half: Box<dyn SendHalf>) -> Self {
        Self {
            half,
            queue: VecDeque::new(),
            finished: false,
        }
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
        if self.finished {
            return Err(StreamError::Finished);
        }
        self.queue.push_back(encode_frame(message, limit_bytes)?);
        Ok(())
    }

    /// Waits until the link has taken all queued frames.
    ///
    /// # Errors
    /// [`StreamError::Stopped`], [`StreamError::Closed`].
    pub async fn flush(&mut self) -> Result<(), StreamError> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        while let Some(front) = self.queue.front_mut() {
            if !front.is_empty() {
                ready!(self.half.poll_write(context, front))?;
            }
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes in the queue that the link has not taken.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        let sizes = self.queue.iter().map(Bytes::len);
        sizes.fold(0, usize::saturating_add)
    }

    /// Flushes and says that nothing follows.
    ///
    /// # Errors
    /// As [`SendStream::flush`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.flush().await?;
        if !self.finished {
            self.finished = true;
            self.half.finish();
        }
        Ok(())
    }

    /// Gives up: what was not delivered yet is discarded, the peer sees `code`.
    pub fn reset(&mut self, code: StreamCode) {
        self.queue.clear();
        self.finished = true;
        self.half.reset(code);
    }

    /// Completes when the peer wants no more from this side ([`StreamError::Stopped`]) or the link
    /// is over. After `finish` it may also complete, with [`StreamError::Finished`], once the peer
    /// has everything.
    pub fn stopped(&self) -> BoxFuture<'static, StreamError> {
        self.half.stopped()
    }

    /// Streams of higher priority are sent first. The default is 0.
    pub fn set_priority(&self, priority: i32) {
        self.half.set_priority(priority);
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.finished {
            // A frame that was cut off must not look like the end of the stream.
            self.half.reset(StreamCode::Cancelled);
        }
    }
}

impl core::fmt::Debug for SendStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SendStream")
            .field("queued_frames", &self.queue.len())
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

/// The largest piece that one read takes from a link, in bytes.
const PIECE_SIZE_MAX: usize = 64 * 1024;

/// The receiving half of a stream.
pub struct RecvStream {
    half: Box<dyn RecvHalf>,
    decoder: FrameDecoder,
    piece: Bytes,
    /// Set once nothing more can come: the end of the stream, or an error.
    outcome: Option<Result<(), StreamError>>,
}

impl RecvStream {
    /// Wraps what an implementation of links provides.
    #[must_use]
    pub fn new(half: Box<dyn RecvHalf>) -> Self {
        Self {
            half,
            decoder: FrameDecoder::default(),
            piece: Bytes::new(),
            outcome: None,
        }
    }

    /// The next frame's bytes; `None` at the end of the stream. The bytes are the peer's choice.
    ///
    /// # Errors
    /// [`StreamError::FrameTooLarge`] (the peer is told to stop), [`StreamError::Truncated`],
    /// [`StreamError::Reset`], [`StreamError::Closed`]. An error stays: later calls repeat it.
    pub async fn receive_frame(
        &mut self,
        limit_bytes: usize,
    ) -> Result<Option<Bytes>, StreamError> {
        let next = |stream: &mut Self| stream.decoder.decode(&mut stream.piece, limit_bytes);
        poll_fn(|context| self.poll_next(context, next)).await
    }

    /// The length of the next frame in bytes, as soon as it is known; `None` at the end of the
    /// stream. The frame itself comes with the next call of `receive_frame`.
    ///
    /// # Errors
    /// As [`RecvStream::receive_frame`].
    pub async fn next_frame_length(
        &mut self,
        limit_bytes: usize,
    ) -> Result<Option<usize>, StreamError> {
        let next = |stream: &mut Self| stream.decoder.decode_length(&mut stream.piece, limit_bytes);
        poll_fn(|context| self.poll_next(context, next)).await
    }

    /// Reads until `next` finds something. No future of futures: many streams wait here at once.
    fn poll_next<T>(
        &mut self,
        context: &mut Context<'_>,
        next: impl Fn(&mut Self) -> Result<Option<T>, StreamError>,
    ) -> Poll<Result<Option<T>, StreamError>> {
        while !self.ended_between_frames()? {
            match next(self) {
                Ok(Some(found)) => return Poll::Ready(Ok(Some(found))),
                Ok(None) => ready!(self.poll_piece(context))?,
                Err(error) => {
                    let error = self.refuse(StreamCode::TooLarge, error);
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Whether the stream is used up. An end inside a frame is an error.
    fn ended_between_frames(&self) -> Result<bool, StreamError> {
        if !self.piece.is_empty() {
            return Ok(false);
        }
        match self.outcome {
            None => Ok(false),
            Some(Err(error)) => Err(error),
            Some(Ok(())) if self.decoder.is_between_frames() => Ok(true),
            Some(Ok(())) => Err(StreamError::Truncated),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        match ready!(self.half.poll_read(context, PIECE_SIZE_MAX)) {
            Ok(Some(piece)) => self.piece = piece,
            Ok(None) => self.outcome = Some(Ok(())),
            Err(error) => {
                self.outcome = Some(Err(error));
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The next frame as a message; `None` at the end of the stream. Unknown fields are ignored.
    ///
    /// # Errors
    /// As [`RecvStream::receive_frame`], and [`StreamError::Malformed`].
    pub async fn receive<M: Message + Default>(
        &mut self,
        limit_bytes: usize,
    ) -> Result<Option<M>, StreamError> {
        let Some(frame) = self.receive_frame(limit_bytes).await? else {
            return Ok(None);
        };
        match M::decode(frame) {
            Ok(message) => Ok(Some(message)),
            Err(_) => Err(self.refuse(StreamCode::Malformed, StreamError::Malformed)),
        }
    }

    /// Whether the peer opened this stream before the handshake had ended: anybody who has recorded
    /// what is on it may have sent it again.
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.half.is_early()
    }

    /// Tells the peer to send no more, and discards what has come.
    pub fn stop(&mut self, code: StreamCode) {
        let _ = self.refuse(code, StreamError::Finished);
    }

    /// Whether everything was taken and the end is there, without waiting for it.
    fn ends_here(&mut self) -> bool {
        let mut context = Context::from_waker(core::task::Waker::noop());
        self.piece.is_empty()
            && self.decoder.is_between_frames()
            && matches!(
                self.half.poll_read(&mut context, 1),
                Poll::Ready(Ok(None) | Err(StreamError::Reset(_) | StreamError::Closed(_)))
            )
    }

    fn refuse(&mut self, code: StreamCode, error: StreamError) -> StreamError {
        if self.outcome.is_none() {
            self.half.stop(code);
        }
        self.piece = Bytes::new();
        self.outcome = Some(Err(error));
        error
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        // Where the end is there already, and it mostly came with the last frame, there is nothing to
        // stop: the peer would have to take the word in, and answer it.
        if self.outcome.is_none() && !self.ends_here() {
            self.half.stop(StreamCode::Cancelled);
        }
    }
}

impl core::fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RecvStream")
            .field("held_bytes", &self.decoder.held_bytes())
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
