// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client's side: [`Connection`].

use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;
use waxwing_proto::{ServerAddress, limits, v1};

use super::opening::{FirstCall, Opening, Sent, begin};
use super::sending::{SENDING_SIZE_MAX, Sendings};
use super::subscription::{AcknowledgeSink, DeliveryStream, FrameSink, FrameSource};
use super::{
    Greeting, PRIORITY_BULK, PRIORITY_CALLS, PRIORITY_MESSAGES, PRIORITY_RECEIPTS, negotiate,
};
use crate::close::CloseCode;
use crate::error::{CallError, StreamError};
use crate::link::{Dialer, Link, Plane};
use crate::seams::{Clock, within};
use crate::stream::{RecvStream, SendStream};

/// A link on which the greetings have been exchanged. Clones are handles to the same connection.
#[derive(Clone)]
pub struct Connection {
    link: Link,
    clock: Arc<dyn Clock>,
    protocol: u32,
    server: Greeting,
    server_time_ms: u64,
    established_at_ms: u64,
    /// The call that went out behind the greeting, until it is asked for.
    first: Arc<Mutex<Option<Sent>>>,
    sendings: Arc<Sendings>,
}

impl Connection {
    /// Connects to `server` and exchanges greetings, with as few round trips as there can be. The
    /// greeting goes out before the handshake has ended where the dialer can do that, and the call
    /// that `first` names, if any, right behind it, without waiting for the server's: its answer is
    /// had by [`Connection::call`] with the same call.
    ///
    /// # Errors
    /// As [`Connection::establish`].
    pub async fn dial<D: Dialer + ?Sized>(
        dialer: &D,
        (server, plane): (&ServerAddress, Plane),
        clock: Arc<dyn Clock>,
        first: Option<&dyn FirstCall>,
    ) -> Result<Self, CallError> {
        // TRN-5.
        let greeting = Greeting::CURRENT;
        let hello = greeting.to_frame()?;
        let (link, answer) = dialer.dial_early(server, plane, hello).await?;
        let opening = Opening {
            greeting,
            answer,
            first,
        };
        Self::open(link, clock, opening).await
    }

    /// Exchanges greetings on the first stream of `link`, within
    /// [`limits::HELLO_TIMEOUT_MS`]. Closes the link when that fails.
    ///
    /// # Errors
    /// [`CallError::UpgradeRequired`] names who must upgrade when the two sides have no protocol
    /// version in common; [`CallError::Timeout`], [`CallError::LinkLost`],
    /// [`CallError::Protocol`].
    pub async fn establish(link: Link, clock: Arc<dyn Clock>) -> Result<Self, CallError> {
        Self::establish_with(link, clock, Greeting::CURRENT).await
    }

    /// As [`Connection::establish`], with a greeting of the caller's choice.
    ///
    /// # Errors
    /// As [`Connection::establish`].
    pub async fn establish_with(
        link: Link,
        clock: Arc<dyn Clock>,
        greeting: Greeting,
    ) -> Result<Self, CallError> {
        let opening = Opening {
            greeting,
            answer: None,
            first: None,
        };
        Self::open(link, clock, opening).await
    }

    async fn open(
        link: Link,
        clock: Arc<dyn Clock>,
        opening: Opening<'_>,
    ) -> Result<Self, CallError> {
        // TRN-10.
        let client = opening.greeting;
        let time_ms = u64::from(limits::HELLO_TIMEOUT_MS);
        let outcome = within(&*clock, time_ms, begin(&link, opening))
            .await
            .unwrap_or(Err(CallError::Timeout))
            .and_then(|(hello, first)| {
                let server = Greeting::from_wire(&hello)?;
                let protocol = negotiate(client, server).map_err(CallError::UpgradeRequired)?;
                Ok((protocol, server, hello.server_time_ms, first))
            });
        match outcome {
            Ok((protocol, server, server_time_ms, first)) => Ok(Self {
                established_at_ms: clock.monotonic_ms(),
                link,
                clock,
                protocol,
                server,
                server_time_ms,
                first: Arc::new(Mutex::new(first)),
                sendings: Arc::default(),
            }),
            Err(error) => {
                link.close(match error {
                    CallError::UpgradeRequired(_) => CloseCode::UpgradeRequired,
                    CallError::Protocol(_) => CloseCode::ProtocolViolation,
                    _ => CloseCode::Done,
                });
                Err(error)
            }
        }
    }

    /// The link below.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// The protocol version in use.
    #[must_use]
    pub const fn protocol(&self) -> u32 {
        self.protocol
    }

    /// The optional behaviours that the server understands.
    #[must_use]
    pub const fn server_features(&self) -> u64 {
        self.server.features
    }

    /// The server's wall time as it said in its greeting, in milliseconds since the Unix epoch.
    /// It is the server's claim, at the time [`Connection::established_at_ms`], late by at most
    /// one round trip.
    #[must_use]
    pub const fn server_time_ms(&self) -> u64 {
        self.server_time_ms
    }

    /// When the greeting came, in the monotonic time of the clock that the connection was given.
    #[must_use]
    pub const fn established_at_ms(&self) -> u64 {
        self.established_at_ms
    }

    /// Makes one call, on a stream of its own, and waits for its answer at most `deadline_ms`,
    /// bounded by [`limits::DEADLINE_MS_MAX`]; 0 means [`limits::DEADLINE_MS_DEFAULT`]. The
    /// deadline is told to the server; a value in `request` is replaced.
    ///
    /// Dropping the future cancels the call: the server is told, and the stream's credit returns.
    /// Whether the server did what was asked is then unknown, as after [`CallError::Timeout`] and
    /// [`CallError::LinkLost`]; every call may be repeated under the same ids.
    ///
    /// T6: after an outage the transport may stay silent for as long again, because its probe timer
    /// backs off. A caller that gets [`CallError::Timeout`] should therefore dial anew beside the
    /// old link, and not wait for it.
    ///
    /// The answer has a `result`, and it is not an error; it may be of another kind than the
    /// request, if the server is malicious.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(
        &self,
        request: v1::Request,
        deadline_ms: u32,
    ) -> Result<v1::Response, CallError> {
        // TRN-12, TRN-18.
        let deadline_ms = bounded_deadline_ms(deadline_ms);
        let exchange = async {
            let (mut send, mut recv) = match self.take_first(&request) {
                Some(halves) => halves,
                None => request_on(&self.link, request, deadline_ms).await?,
            };
            // An answer may be there although the server took no more of the request.
            let sent = send.finish().await;
            let response = receive_response(&mut recv).await;
            match (sent, response) {
                (_, Ok(response)) => Ok(response),
                (_, Err(error @ CallError::Refused { .. })) | (Ok(()), Err(error)) => Err(error),
                (Err(error), Err(_)) => Err(error.into()),
            }
        };
        within(&*self.clock, u64::from(deadline_ms), exchange)
            .await
            .unwrap_or(Err(CallError::Timeout))
    }

    /// Hands envelopes over, as [`Connection::call`] with a `send` does and under the same terms, but
    /// on one long-lived stream for all of them: nearly without cost where many are sent. Those that
    /// are under way at the same time may be stored in any order. One that is large, or that went out
    /// behind the greeting, has a stream of its own.
    ///
    /// Dropping the future gives up the answer; what went out is not called back.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Abandoned`] too when the server ended the stream.
    pub async fn send(
        &self,
        send: v1::SendRequest,
        deadline_ms: u32,
    ) -> Result<v1::SendResponse, CallError> {
        // TRN-88.
        let is_large = send.encoded_len() > SENDING_SIZE_MAX;
        let request = v1::Request {
            deadline_ms,
            call: Some(v1::request::Call::Send(send)),
        };
        if is_large || self.has_first(&request) {
            return match self.call(request, deadline_ms).await?.result {
                Some(v1::response::Result::Send(response)) => Ok(response),
                _ => Err(CallError::Protocol(StreamError::Malformed)),
            };
        }
        let Some(v1::request::Call::Send(send)) = request.call else {
            return Err(CallError::Request(StreamError::Malformed));
        };
        let deadline_ms = bounded_deadline_ms(deadline_ms);
        let exchange = self
            .sendings
            .send((&self.link, &self.clock), send, deadline_ms);
        within(&*self.clock, u64::from(deadline_ms), exchange)
            .await
            .unwrap_or(Err(CallError::Timeout))
    }

    /// Opens the delivery stream of the authenticated device: what the device sends on it, and
    /// what it receives. `deadline_ms` bounds the opening only.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn subscribe(
        &self,
        deadline_ms: u32,
    ) -> Result<(AcknowledgeSink, DeliveryStream), CallError> {
        let deadline_ms = bounded_deadline_ms(deadline_ms);
        let exchange = async {
            let request = v1::Request {
                deadline_ms,
                call: Some(v1::request::Call::Subscribe(v1::SubscribeRequest {})),
            };
            let (send, mut recv) = request_on(&self.link, request, deadline_ms).await?;
            let response = receive_response(&mut recv).await?;
            match response.result {
                Some(v1::response::Result::Subscribe(_)) => Ok((
                    FrameSink::new(send, limits::CONTROL_FRAME_SIZE_MAX),
                    FrameSource::new(recv, limits::FRAME_SIZE_MAX),
                )),
                _ => Err(CallError::Protocol(StreamError::Malformed)),
            }
        };
        within(&*self.clock, u64::from(deadline_ms), exchange)
            .await
            .unwrap_or(Err(CallError::Timeout))
    }

    /// The streams of `request` if it went out behind the greeting.
    fn take_first(&self, request: &v1::Request) -> Option<(SendStream, RecvStream)> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = first.take_if(|sent| request.call.as_ref() == Some(&sent.call))?;
        Some(sent.halves)
    }

    fn has_first(&self, request: &v1::Request) -> bool {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first
            .as_ref()
            .is_some_and(|sent| request.call.as_ref() == Some(&sent.call))
    }
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection")
            .field("link", &self.link)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

/// Reads the answer to a request.
pub(super) async fn receive_response(recv: &mut RecvStream) -> Result<v1::Response, CallError> {
    let response: v1::Response = recv
        .receive(limits::FRAME_SIZE_MAX)
        .await?
        .ok_or(CallError::Protocol(StreamError::Truncated))?;
    match response.result {
        Some(v1::response::Result::Error(ref error)) => Err(refused(error)),
        Some(_) => Ok(response),
        None => Err(CallError::Protocol(StreamError::Malformed)),
    }
}

/// The server's error as the caller gets it.
pub(super) fn refused(error: &v1::Error) -> CallError {
    CallError::Refused {
        code: error.code(),
        retry_after_ms: (error.retry_after_ms != 0).then_some(error.retry_after_ms),
    }
}

/// Opens a stream for a call and sends its request.
pub(super) async fn request_on(
    link: &Link,
    mut request: v1::Request,
    deadline_ms: u32,
) -> Result<(SendStream, RecvStream), CallError> {
    request.deadline_ms = deadline_ms;
    let priority = priority_of(&request);
    let (mut send, recv) = link.open().await?;
    if priority != PRIORITY_CALLS {
        send.set_priority(priority);
    }
    send.queue(&request, limits::FRAME_SIZE_MAX)?;
    match send.flush().await {
        // The reason, if the server gives one, stands in its answer.
        Ok(()) | Err(StreamError::Stopped(_)) => Ok((send, recv)),
        Err(error) => Err(error.into()),
    }
}

/// What goes first where a connection has more to send than the path takes at the moment.
fn priority_of(request: &v1::Request) -> i32 {
    // TRN-76.
    use v1::request::Call;
    match &request.call {
        Some(Call::Send(_) | Call::OpenSending(_) | Call::TakePrekeys(_)) => PRIORITY_MESSAGES,
        // The stream on which acknowledgements go out.
        Some(Call::Subscribe(_)) => PRIORITY_RECEIPTS,
        Some(Call::PublishPrekeys(_)) => PRIORITY_BULK,
        _ if request.encoded_len() > limits::CONTROL_FRAME_SIZE_MAX => PRIORITY_BULK,
        _ => PRIORITY_CALLS,
    }
}

/// A deadline within the bounds that both sides keep to: at most [`limits::DEADLINE_MS_MAX`], and
/// [`limits::DEADLINE_MS_DEFAULT`] for 0.
#[must_use]
pub const fn bounded_deadline_ms(deadline_ms: u32) -> u32 {
    // TRN-17.
    if deadline_ms == 0 {
        limits::DEADLINE_MS_DEFAULT
    } else if deadline_ms > limits::DEADLINE_MS_MAX {
        limits::DEADLINE_MS_MAX
    } else {
        deadline_ms
    }
}
