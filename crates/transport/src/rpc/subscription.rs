// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Long-lived streams of frames of one kind.

use core::marker::PhantomData;

use prost::Message;
use waxwing_proto::v1;

use crate::close::StreamCode;
use crate::error::StreamError;
use crate::seams::BoxFuture;
use crate::stream::{RecvStream, SendStream};

/// Where frames of one kind are sent. Dropping it resets the stream.
#[derive(Debug)]
pub struct FrameSink<M> {
    stream: SendStream,
    limit_bytes: usize,
    kind: PhantomData<fn(M)>,
}

/// The client's side of a subscription: what it has stored durably.
pub type AcknowledgeSink = FrameSink<v1::Acknowledge>;
/// The server's side of a sending stream: outcomes.
pub type SentSink = FrameSink<v1::Sent>;
/// The server's side of a subscription: what it hands over.
pub type DeliverySink = FrameSink<v1::Delivery>;

impl<M: Message> FrameSink<M> {
    pub(super) const fn new(stream: SendStream, limit_bytes: usize) -> Self {
        Self {
            stream,
            limit_bytes,
            kind: PhantomData,
        }
    }

    /// Sends one frame and waits until the link has taken it. Dropped early, the frame goes out
    /// whole with the next call.
    ///
    /// # Errors
    /// [`StreamError::MessageTooLarge`], [`StreamError::Stopped`], [`StreamError::Closed`].
    pub async fn send(&mut self, message: &M) -> Result<(), StreamError> {
        self.stream.send(message, self.limit_bytes).await
    }

    /// Leaves one frame for the next `flush`, so that several go out together.
    ///
    /// # Errors
    /// [`StreamError::MessageTooLarge`].
    pub fn queue(&mut self, message: &M) -> Result<(), StreamError> {
        self.stream.queue(message, self.limit_bytes)
    }

    /// Waits until the link has taken all queued frames.
    ///
    /// # Errors
    /// [`StreamError::Stopped`], [`StreamError::Closed`].
    pub async fn flush(&mut self) -> Result<(), StreamError> {
        self.stream.flush().await
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// As [`FrameSink::flush`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.stream.finish().await
    }

    /// Completes when the peer has given the stream up, or the link is over.
    pub fn stopped(&self) -> BoxFuture<'static, StreamError> {
        self.stream.stopped()
    }
}

/// Where frames of one kind come from. Dropping it tells the peer to stop.
#[derive(Debug)]
pub struct FrameSource<M> {
    stream: RecvStream,
    limit_bytes: usize,
    kind: PhantomData<fn() -> M>,
}

/// The client's side of a subscription: what the server hands over.
pub type DeliveryStream = FrameSource<v1::Delivery>;
/// The server's side of a sending stream: what the client sends.
pub type SendingSource = FrameSource<v1::Sending>;
/// The server's side of a subscription: what the client has stored durably.
pub type AcknowledgeStream = FrameSource<v1::Acknowledge>;

impl<M: Message + Default> FrameSource<M> {
    pub(super) const fn new(stream: RecvStream, limit_bytes: usize) -> Self {
        Self {
            stream,
            limit_bytes,
            kind: PhantomData,
        }
    }

    /// The next frame; `None` when the peer has finished the stream. Cancellation safe.
    ///
    /// # Errors
    /// [`StreamError`]; an error stays.
    pub async fn receive(&mut self) -> Result<Option<M>, StreamError> {
        self.stream.receive(self.limit_bytes).await
    }

    /// Tells the peer to send no more.
    pub fn stop(&mut self, code: StreamCode) {
        self.stream.stop(code);
    }
}
