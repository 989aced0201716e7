// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One call at the server: [`PendingCall`], [`IncomingCall`], [`Responder`].

use core::future::Future;
use core::task::Poll;
use std::sync::Arc;

use tokio::sync::Semaphore;
use waxwing_proto::{limits, v1};

use super::client::bounded_deadline_ms;
use super::subscription::{
    AcknowledgeStream, DeliverySink, FrameSink, FrameSource, SendingSource, SentSink,
};
use crate::close::StreamCode;
use crate::error::{CallError, StreamError};
use crate::seams::{BoxFuture, Clock, within};
use crate::stream::{RecvStream, SendStream};

/// A stream that a client opened and whose request has not been read.
pub struct PendingCall {
    send: SendStream,
    recv: RecvStream,
    clock: Arc<dyn Clock>,
    large_requests: Arc<[Arc<Semaphore>]>,
}

impl PendingCall {
    /// `large_requests`: what a large request takes one of, each, while it is read.
    pub(super) fn new(
        (send, recv): (SendStream, RecvStream),
        clock: Arc<dyn Clock>,
        large_requests: Arc<[Arc<Semaphore>]>,
    ) -> Self {
        Self {
            send,
            recv,
            clock,
            large_requests,
        }
    }

    /// Reads the request, within [`limits::DEADLINE_MS_DEFAULT`]. A request that cannot be read is
    /// answered here, with `MALFORMED`, `TOO_LARGE`, `UNKNOWN_CALL` or `DEADLINE_EXCEEDED`, and one
    /// that came before the handshake had ended and is not marked as such that may with
    /// `TOO_EARLY`.
    ///
    /// # Errors
    /// [`CallError::Protocol`], [`CallError::Timeout`], [`CallError::LinkLost`],
    /// [`CallError::Refused`]; nothing is left to do for the caller.
    pub fn read(mut self) -> impl Future<Output = Result<IncomingCall, CallError>> + Send {
        let time_ms = u64::from(limits::DEADLINE_MS_DEFAULT);
        // Nothing is moved out of `self` before the end: it would have room in the future twice, and
        // there is one for each call under way.
        async move {
            let reading = Self::read_request(&mut self.recv, &self.large_requests);
            let outcome = within(&*self.clock, time_ms, reading).await;
            let outcome = outcome.unwrap_or(Err(CallError::Timeout));
            match readable(outcome, self.recv.is_early()) {
                Ok((request, deadline_ms)) => Ok(self.into_call(request, deadline_ms)),
                Err((error, Some(code))) => {
                    // It is seldom needed, and needs room.
                    Box::pin(self.refuse(error, code)).await;
                    Err(error)
                }
                Err((error, None)) => Err(error),
            }
        }
    }

    fn into_call(self, request: v1::request::Call, deadline_ms: u32) -> IncomingCall {
        let deadline_ms = bounded_deadline_ms(deadline_ms);
        let now_ms = self.clock.monotonic_ms();
        IncomingCall {
            request,
            deadline_ms,
            deadline_at_ms: now_ms.saturating_add(u64::from(deadline_ms)),
            responder: Responder {
                send: self.send,
                recv: self.recv,
            },
            clock: self.clock,
        }
    }

    /// Answers a request that cannot be carried out.
    async fn refuse(mut self, error: CallError, code: v1::ErrorCode) {
        if matches!(error, CallError::Timeout) {
            self.recv.stop(StreamCode::DeadlineExceeded);
        }
        let (send, recv) = (self.send, self.recv);
        let answer = Responder { send, recv }.refuse(code, None);
        // A client that does not read its answer either is not waited for.
        let time_ms = u64::from(limits::DEADLINE_MS_DEFAULT);
        let _ = within(&*self.clock, time_ms, answer).await;
    }

    /// Large requests are read a few at a time, so that a client cannot make the server hold one
    /// for each stream.
    async fn read_request(
        recv: &mut RecvStream,
        large_requests: &[Arc<Semaphore>],
    ) -> Result<v1::Request, CallError> {
        let limit = limits::FRAME_SIZE_MAX;
        let length = recv.next_frame_length(limit).await?;
        let mut permits = Vec::new();
        if length.is_some_and(|length| length > limits::CONTROL_FRAME_SIZE_MAX) {
            // Always in this order, so that two requests never wait for each other.
            for budget in large_requests {
                permits.push(budget.acquire().await);
            }
        }
        recv.receive(limit)
            .await?
            .ok_or(CallError::Protocol(StreamError::Truncated))
    }
}

/// What was read, as a call and its deadline, or what is wrong with it and what the client is told.
type Readable = Result<(v1::request::Call, u32), (CallError, Option<v1::ErrorCode>)>;

fn readable(outcome: Result<v1::Request, CallError>, is_early: bool) -> Readable {
    let (error, code) = match outcome {
        Ok(v1::Request {
            call: Some(request),
            deadline_ms,
        }) => {
            // TRN-84.
            if !is_early || request.may_come_early() {
                return Ok((request, deadline_ms));
            }
            let code = v1::ErrorCode::TooEarly;
            let retry_after_ms = None;
            let error = CallError::Refused {
                code,
                retry_after_ms,
            };
            (error, code)
        }
        Ok(v1::Request { call: None, .. }) => (
            CallError::Protocol(StreamError::Malformed),
            v1::ErrorCode::UnknownCall,
        ),
        Err(error) => match error {
            CallError::Timeout => (error, v1::ErrorCode::DeadlineExceeded),
            CallError::Protocol(StreamError::FrameTooLarge { .. }) => {
                (error, v1::ErrorCode::TooLarge)
            }
            CallError::Protocol(_) => (error, v1::ErrorCode::Malformed),
            _ => return Err((error, None)),
        },
    };
    Err((error, Some(code)))
}

impl core::fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PendingCall").finish_non_exhaustive()
    }
}

/// One call of a client. Everything in `request` is the client's choice.
pub struct IncomingCall {
    /// What is asked for.
    pub request: v1::request::Call,
    /// How long the client waits from the arrival of its request, in milliseconds, bounded by
    /// [`limits::DEADLINE_MS_MAX`].
    pub deadline_ms: u32,
    /// The end of that time, in the monotonic time of the connection's clock.
    pub deadline_at_ms: u64,
    /// Where the answer goes.
    pub responder: Responder,
    clock: Arc<dyn Clock>,
}

impl IncomingCall {
    /// Runs `handler` on the request and sends what it gives. The handler's future is dropped when
    /// the deadline has passed (the client is told so) and when the client has cancelled the call:
    /// it must be safe to drop at every await, and a step that must not be cut belongs in a task.
    ///
    /// # Errors
    /// [`StreamError`] when the answer did not reach the link.
    pub fn answer_with<H, F>(
        self,
        handler: H,
    ) -> impl Future<Output = Result<(), StreamError>> + Send
    where
        H: FnOnce(v1::request::Call) -> F + Send,
        F: Future<Output = Result<v1::response::Result, v1::Error>> + Send,
    {
        let left_ms = self
            .deadline_at_ms
            .saturating_sub(self.clock.monotonic_ms());
        async move {
            let either = {
                let mut cancelled = None;
                let responder = &self.responder;
                let mut handling = core::pin::pin!(handler(self.request));
                let either = core::future::poll_fn(|context| {
                    if let Poll::Ready(result) = handling.as_mut().poll(context) {
                        return Poll::Ready(Ok(result));
                    }
                    let cancelled = cancelled.get_or_insert_with(|| responder.cancelled());
                    cancelled.as_mut().poll(context).map(Err)
                });
                within(&*self.clock, left_ms, either).await
            };
            let result = match either {
                Some(Ok(Ok(result))) => result,
                Some(Ok(Err(error))) => v1::response::Result::Error(error),
                Some(Err(error)) => return Err(error),
                None => refusal(v1::ErrorCode::DeadlineExceeded, None),
            };
            self.responder.answer(result).await
        }
    }

    /// Answers a `subscribe` request, and goes on with frames both ways.
    ///
    /// # Errors
    /// [`StreamError::Stopped`], [`StreamError::Closed`].
    pub async fn into_stream(self) -> Result<(DeliverySink, AcknowledgeStream), StreamError> {
        // TRN-76.
        let result = v1::response::Result::Subscribe(v1::SubscribeResponse {});
        let (send, recv) = self.go_on(result, super::PRIORITY_MESSAGES).await?;
        Ok((
            FrameSink::new(send, limits::FRAME_SIZE_MAX),
            FrameSource::new(recv, limits::CONTROL_FRAME_SIZE_MAX),
        ))
    }

    /// Answers an `open_sending` request, and goes on with frames both ways.
    ///
    /// # Errors
    /// As [`IncomingCall::into_stream`].
    pub async fn into_sending(self) -> Result<(SentSink, SendingSource), StreamError> {
        // TRN-76.
        let result = v1::response::Result::OpenSending(v1::OpenSendingResponse {});
        let (send, recv) = self.go_on(result, super::PRIORITY_RECEIPTS).await?;
        Ok((
            FrameSink::new(send, limits::CONTROL_FRAME_SIZE_MAX),
            FrameSource::new(recv, limits::CONTROL_FRAME_SIZE_MAX),
        ))
    }

    async fn go_on(
        self,
        result: v1::response::Result,
        priority: i32,
    ) -> Result<(SendStream, RecvStream), StreamError> {
        let Responder { mut send, recv } = self.responder;
        send.set_priority(priority);
        let response = v1::Response {
            result: Some(result),
        };
        send.send(&response, limits::CONTROL_FRAME_SIZE_MAX).await?;
        Ok((send, recv))
    }
}

impl core::fmt::Debug for IncomingCall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Not the request: it may hold a delivery id.
        f.debug_struct("IncomingCall")
            .field("deadline_ms", &self.deadline_ms)
            .finish_non_exhaustive()
    }
}

/// Where the answer of one call goes. Dropped without an answer, the client learns that the call
/// was given up.
#[derive(Debug)]
pub struct Responder {
    send: SendStream,
    recv: RecvStream,
}

impl Responder {
    /// Sends the answer. An answer over [`limits::FRAME_SIZE_MAX`] is replaced by the error
    /// `UNAVAILABLE`, and reported.
    ///
    /// # Errors
    /// [`StreamError::Stopped`] when the client has cancelled, [`StreamError::Closed`],
    /// [`StreamError::MessageTooLarge`].
    pub fn answer(
        mut self,
        result: v1::response::Result,
    ) -> impl Future<Output = Result<(), StreamError>> + Send {
        let queued = self.queue(result);
        // Both halves: dropping the other one before tells a client that still sends to stop.
        let Self { mut send, recv } = self;
        async move {
            let _recv = recv;
            if queued != Err(StreamError::Finished) {
                send.finish().await?;
            }
            queued
        }
    }

    /// Queues the answer. With [`StreamError::MessageTooLarge`] an error was queued in its place.
    fn queue(&mut self, result: v1::response::Result) -> Result<(), StreamError> {
        let response = v1::Response {
            result: Some(result),
        };
        let queued = self.send.queue(&response, limits::FRAME_SIZE_MAX);
        if queued.is_err() {
            let response = v1::Response {
                result: Some(refusal(v1::ErrorCode::Unavailable, None)),
            };
            self.send.queue(&response, limits::CONTROL_FRAME_SIZE_MAX)?;
        }
        if self.send.queued_bytes() > limits::CONTROL_FRAME_SIZE_MAX {
            self.send.set_priority(super::PRIORITY_BULK);
        }
        queued
    }

    /// Sends an error.
    ///
    /// # Errors
    /// As [`Responder::answer`].
    pub fn refuse(
        self,
        code: v1::ErrorCode,
        retry_after_ms: Option<u32>,
    ) -> impl Future<Output = Result<(), StreamError>> + Send {
        self.answer(refusal(code, retry_after_ms))
    }

    /// Completes when the client has cancelled the call or the link is over. The error says which.
    #[must_use]
    pub fn cancelled(&self) -> BoxFuture<'static, StreamError> {
        self.send.stopped()
    }
}

fn refusal(code: v1::ErrorCode, retry_after_ms: Option<u32>) -> v1::response::Result {
    v1::response::Result::Error(v1::Error {
        code: code.into(),
        retry_after_ms: retry_after_ms.unwrap_or(0),
    })
}
