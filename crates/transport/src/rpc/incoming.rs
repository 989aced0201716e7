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
    pub async fn read(self) -> Result<IncomingCall, CallError> {
        let Self {
            send,
            mut recv,
            clock,
            large_requests,
        } = self;
        let time_ms = u64::from(limits::DEADLINE_MS_DEFAULT);
        let read = within(
            &*clock,
            time_ms,
            Self::read_request(&mut recv, &large_requests),
        );
        let outcome = read.await.unwrap_or(Err(CallError::Timeout));
        let is_early = recv.is_early();
        let code = match outcome {
            // TRN-84.
            Ok(v1::Request {
                call: Some(ref request),
                ..
            }) if is_early && !request.may_come_early() => v1::ErrorCode::TooEarly,
            Ok(v1::Request {
                call: Some(request),
                deadline_ms,
            }) => {
                let deadline_ms = bounded_deadline_ms(deadline_ms);
                let now_ms = clock.monotonic_ms();
                return Ok(IncomingCall {
                    request,
                    deadline_ms,
                    deadline_at_ms: now_ms.saturating_add(u64::from(deadline_ms)),
                    responder: Responder { send, recv },
                    clock,
                });
            }
            Ok(v1::Request { call: None, .. }) => v1::ErrorCode::UnknownCall,
            Err(CallError::Timeout) => v1::ErrorCode::DeadlineExceeded,
            Err(CallError::Protocol(StreamError::FrameTooLarge { .. })) => v1::ErrorCode::TooLarge,
            Err(CallError::Protocol(_)) => v1::ErrorCode::Malformed,
            Err(error) => return Err(error),
        };
        let error = match outcome {
            Err(error) => error,
            Ok(ref request) if request.call.is_some() => CallError::Refused {
                code,
                retry_after_ms: None,
            },
            Ok(_) => CallError::Protocol(StreamError::Malformed),
        };
        if matches!(error, CallError::Timeout) {
            recv.stop(StreamCode::DeadlineExceeded);
        }
        let answer = Responder { send, recv }.refuse(code, None);
        // A client that does not read its answer either is not waited for.
        let _ = within(&*clock, time_ms, answer).await;
        Err(error)
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
    pub async fn answer_with<F>(
        self,
        handler: impl FnOnce(v1::request::Call) -> F,
    ) -> Result<(), StreamError>
    where
        F: Future<Output = Result<v1::response::Result, v1::Error>>,
    {
        let Self {
            request,
            responder,
            clock,
            deadline_at_ms,
            ..
        } = self;
        let left_ms = deadline_at_ms.saturating_sub(clock.monotonic_ms());
        let mut cancelled = None;
        let mut handling = core::pin::pin!(handler(request));
        let either = core::future::poll_fn(|context| {
            if let Poll::Ready(result) = handling.as_mut().poll(context) {
                return Poll::Ready(Ok(result));
            }
            let cancelled = cancelled.get_or_insert_with(|| responder.cancelled());
            cancelled.as_mut().poll(context).map(Err)
        });
        let result = match within(&*clock, left_ms, either).await {
            Some(Ok(Ok(result))) => result,
            Some(Ok(Err(error))) => v1::response::Result::Error(error),
            Some(Err(error)) => return Err(error),
            None => refusal(v1::ErrorCode::DeadlineExceeded, None),
        };
        responder.answer(result).await
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
    pub async fn answer(mut self, result: v1::response::Result) -> Result<(), StreamError> {
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
        self.send.finish().await?;
        queued
    }

    /// Sends an error.
    ///
    /// # Errors
    /// As [`Responder::answer`].
    pub async fn refuse(
        self,
        code: v1::ErrorCode,
        retry_after_ms: Option<u32>,
    ) -> Result<(), StreamError> {
        self.answer(refusal(code, retry_after_ms)).await
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
