// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a client begins: its greeting, and a first call that does not wait for the server's.
//!
//! Both go out with the end of the handshake, the greeting even before it on a resumed connection,
//! so that the answer to the first call is there two round trips after the first packet.

use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::task::Poll;

use prost::Message as _;
use waxwing_proto::{limits, v1};

use super::client::{bounded_deadline_ms, request_on};
use super::{Greeting, PRIORITY_GREETING};
use crate::error::{CallError, StreamError};
use crate::link::Link;
use crate::seams::BoxFuture;
use crate::stream::{RecvStream, SendStream};

/// Names the call that goes out right behind the greeting of a new connection.
///
/// Several attempts to connect may run beside each other, and each that gets as far makes the call:
/// only one that may be repeated will do (all but `take_prekeys`).
pub trait FirstCall: Send + Sync + 'static {
    /// The call for this link, whose handshake has ended; `None` for none. It waits for its turn as
    /// any other when it is larger than [`limits::CONTROL_FRAME_SIZE_MAX`], and when the server's
    /// greeting is there before it is known.
    fn first_call<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Option<v1::Request>>;
}

impl FirstCall for v1::Request {
    /// The same one on every link.
    fn first_call<'a>(&'a self, _link: &'a Link) -> BoxFuture<'a, Option<v1::Request>> {
        Box::pin(core::future::ready(Some(self.clone())))
    }
}

/// What a connection begins with.
pub(super) struct Opening<'a> {
    pub(super) greeting: Greeting,
    /// Where the server's greeting comes, if the client's went out before the handshake had ended.
    pub(super) answer: Option<RecvStream>,
    pub(super) first: Option<&'a dyn FirstCall>,
}

/// A call that went out, and whose answer nobody has asked for yet.
pub(super) struct Sent {
    pub(super) call: v1::request::Call,
    pub(super) halves: (SendStream, RecvStream),
}

/// Sends what `opening` holds and waits for the server's greeting, and for nothing else.
pub(super) async fn begin(
    link: &Link,
    opening: Opening<'_>,
) -> Result<(v1::Hello, Option<Sent>), CallError> {
    let mut answer = match opening.answer {
        Some(answer) => answer,
        None => {
            let (mut send, answer) = link.open().await?;
            // TRN-85. Whatever the first call is: it is the first stream that the server sees.
            send.set_priority(PRIORITY_GREETING);
            let hello = opening.greeting.to_wire(0);
            send.send(&hello, limits::CONTROL_FRAME_SIZE_MAX).await?;
            send.finish().await?;
            answer
        }
    };
    let mut first = pin!(send_first(link, opening.first));
    let mut hello = pin!(answer.receive(limits::CONTROL_FRAME_SIZE_MAX));
    let mut sent = None;
    let mut is_sent = false;
    let hello: Option<v1::Hello> = poll_fn(|context| {
        if !is_sent && let Poll::Ready(outcome) = first.as_mut().poll(context) {
            (sent, is_sent) = (outcome, true);
        }
        hello.as_mut().poll(context)
    })
    .await?;
    let hello = hello.ok_or(CallError::Protocol(StreamError::Truncated))?;
    Ok((hello, sent))
}

/// What goes wrong here is seen by the greeting, or again when the call is made.
async fn send_first(link: &Link, first: Option<&dyn FirstCall>) -> Option<Sent> {
    let request = first?.first_call(link).await?;
    // A large one would still be on its way when the greeting comes.
    if request.encoded_len() > limits::CONTROL_FRAME_SIZE_MAX {
        return None;
    }
    let call = request.call.clone()?;
    let deadline_ms = bounded_deadline_ms(request.deadline_ms);
    let (mut send, recv) = request_on(link, request, deadline_ms).await.ok()?;
    send.finish().await.ok()?;
    Some(Sent {
        call,
        halves: (send, recv),
    })
}
