// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The receiving half: frames out of the pieces that the link gives.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};

use bytes::Bytes;
use prost::Message;

use super::RecvHalf;
use crate::close::StreamCode;
use crate::error::StreamError;
use crate::framing::FrameDecoder;

/// The largest piece that one read takes from a link, in bytes.
const PIECE_SIZE_MAX: usize = 64 * 1024;

/// The receiving half of a stream. In one piece of memory, as [`super::SendStream`].
pub struct RecvStream {
    inner: Box<Receiving<dyn RecvHalf>>,
}

struct Receiving<H: ?Sized> {
    decoder: FrameDecoder,
    piece: Bytes,
    /// Set once nothing more can come: the end of the stream, or an error.
    outcome: Option<Result<(), StreamError>>,
    half: H,
}

impl RecvStream {
    /// Wraps what an implementation of links provides.
    #[must_use]
    pub fn new(half: impl RecvHalf) -> Self {
        let inner = Box::new(Receiving {
            decoder: FrameDecoder::default(),
            piece: Bytes::new(),
            outcome: None,
            half,
        });
        Self { inner }
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
        let next =
            |decoder: &mut FrameDecoder, piece: &mut Bytes| decoder.decode(piece, limit_bytes);
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
        let next = |decoder: &mut FrameDecoder, piece: &mut Bytes| {
            decoder.decode_length(piece, limit_bytes)
        };
        poll_fn(|context| self.poll_next(context, next)).await
    }

    /// Reads until `next` finds something. No future of futures: many streams wait here at once.
    fn poll_next<T>(
        &mut self,
        context: &mut Context<'_>,
        next: impl Fn(&mut FrameDecoder, &mut Bytes) -> Result<Option<T>, StreamError>,
    ) -> Poll<Result<Option<T>, StreamError>> {
        while !self.ended_between_frames()? {
            let Receiving { decoder, piece, .. } = &mut *self.inner;
            match next(decoder, piece) {
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
        if !self.inner.piece.is_empty() {
            return Ok(false);
        }
        match self.inner.outcome {
            None => Ok(false),
            Some(Err(error)) => Err(error),
            Some(Ok(())) if self.inner.decoder.is_between_frames() => Ok(true),
            Some(Ok(())) => Err(StreamError::Truncated),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        match ready!(self.inner.half.poll_read(context, PIECE_SIZE_MAX)) {
            Ok(Some(piece)) => self.inner.piece = piece,
            Ok(None) => self.inner.outcome = Some(Ok(())),
            Err(error) => {
                self.inner.outcome = Some(Err(error));
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
        self.inner.half.is_early()
    }

    /// Tells the peer to send no more, and discards what has come.
    pub fn stop(&mut self, code: StreamCode) {
        let _ = self.refuse(code, StreamError::Finished);
    }

    /// Whether everything was taken and the end is there, without waiting for it.
    fn ends_here(&mut self) -> bool {
        let mut context = Context::from_waker(core::task::Waker::noop());
        self.inner.piece.is_empty()
            && self.inner.decoder.is_between_frames()
            && matches!(
                self.inner.half.poll_read(&mut context, 1),
                Poll::Ready(Ok(None) | Err(StreamError::Reset(_) | StreamError::Closed(_)))
            )
    }

    fn refuse(&mut self, code: StreamCode, error: StreamError) -> StreamError {
        if self.inner.outcome.is_none() {
            self.inner.half.stop(code);
        }
        self.inner.piece = Bytes::new();
        self.inner.outcome = Some(Err(error));
        error
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        // Where the end is there already, and it mostly came with the last frame, there is nothing to
        // stop: the peer would have to take the word in, and answer it.
        if self.inner.outcome.is_none() && !self.ends_here() {
            self.inner.half.stop(StreamCode::Cancelled);
        }
    }
}

impl core::fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RecvStream")
            .field("held_bytes", &self.inner.decoder.held_bytes())
            .field("outcome", &self.inner.outcome)
            .finish_non_exhaustive()
    }
}
