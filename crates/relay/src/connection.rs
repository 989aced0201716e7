// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One connection: greeting, then a task for each call, until the link is over or the relay drains.

use std::sync::Arc;

use tokio::task::JoinSet;
use waxwing_proto::limits;
use waxwing_proto::v1::ErrorCode;
use waxwing_proto::v1::request::Call;
use waxwing_storage::server::Store;
use waxwing_transport::rpc::{IncomingCall, PendingCall, serve_hello};
use waxwing_transport::{BoxFuture, Clock, CloseCode, Link, StreamError, within};

use crate::calls::{self, Caller, Context};
use crate::refusal::{Refusal, UNAVAILABLE_RETRY_MS};
use crate::state::State;
use crate::{sendings, subscription};

/// How long a draining relay waits for the last answers to reach the client, in milliseconds.
const LINGER_MS: u64 = 200;

/// Serves a link until it is over. When the relay drains, no new call is taken, what was accepted
/// is finished, and the link is closed.
pub(crate) async fn serve<S: Store>(state: Arc<State<S>>, link: Link) {
    let Some(_place) = state.enter() else {
        link.close_with_retry(CloseCode::Overloaded, UNAVAILABLE_RETRY_MS);
        return;
    };
    let _counted = state.census.count(&link);
    let draining = state.draining();
    let greeted = tokio::select! {
        biased;
        () = draining.started() => None,
        // In a box of its own: a connection is idle for longer than it greets.
        greeted = Box::pin(serve_hello(link.clone(), Arc::clone(&state.clock))) => greeted.ok(),
    };
    let Some(connection) = greeted else {
        state.send_away(&link);
        return;
    };
    let connection = connection.sharing(Arc::clone(&state.large_requests));
    let caller = Arc::new(Caller::new(link.clone()));
    let streams_max = usize::try_from(limits::STREAMS_PER_CONNECTION_MAX).unwrap_or(usize::MAX);
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = draining.started() => break,
            Some(ended) = tasks.join_next() => {
                if let Ok(Some(stream)) = ended {
                    tasks.spawn(async move {
                        stream.await;
                        None
                    });
                }
            }
            pending = connection.accept(), if tasks.len() < streams_max => match pending {
                Ok(pending) => {
                    tasks.spawn(serve_call(Arc::clone(&state), Arc::clone(&caller), pending));
                }
                Err(_) => break,
            },
        }
    }
    while let Some(ended) = tasks.join_next().await {
        if let Ok(Some(stream)) = ended {
            stream.await;
        }
    }
    if link.close_reason().is_none() {
        // Closing discards what the client has not received: its answers get time to arrive.
        let _ = Box::pin(within(&*state.clock, LINGER_MS, link.closed())).await;
        state.send_away(&link);
    }
}

/// A stream that a call has opened. It may last for hours: it gets a task that has room for nothing else.
type Stream = BoxFuture<'static, ()>;

/// Answers one call, or gives back the stream that it opens.
async fn serve_call<S: Store>(
    state: Arc<State<S>>,
    caller: Arc<Caller>,
    pending: PendingCall,
) -> Option<Stream> {
    let draining = state.draining();
    let call = tokio::select! {
        biased;
        // A request that is not there yet was not accepted.
        () = draining.started() => return None,
        call = pending.read() => call,
    };
    let call = call.ok()?;
    match call.request {
        Call::Subscribe(_) => open_subscription(state, &caller, call).await,
        Call::OpenSending(_) => open_sendings(state, caller, call).await,
        _ => {
            answer(state, caller, call).await;
            None
        }
    }
}

async fn open_subscription<S: Store>(
    state: Arc<State<S>>,
    caller: &Caller,
    call: IncomingCall,
) -> Option<Stream> {
    let clock = Arc::clone(&state.clock);
    match caller.plane.account() {
        Ok(mailbox) => {
            let opened = within(&*clock, limits::ANSWER_TAKEN_MS_MAX, call.into_stream()).await;
            let (sink, acknowledgements) = opened?.ok()?;
            let served = subscription::serve(state, mailbox, sink, acknowledgements);
            Some(Box::pin(served))
        }
        Err(refusal) => {
            refuse(&*clock, call, refusal).await;
            None
        }
    }
}

async fn open_sendings<S: Store>(
    state: Arc<State<S>>,
    caller: Arc<Caller>,
    call: IncomingCall,
) -> Option<Stream> {
    let clock = Arc::clone(&state.clock);
    match caller.plane.anonymous() {
        Ok(()) => {
            let opened = within(&*clock, limits::ANSWER_TAKEN_MS_MAX, call.into_sending()).await;
            let (sink, source) = opened?.ok()?;
            Some(Box::pin(sendings::serve(state, caller, sink, source)))
        }
        Err(refusal) => {
            refuse(&*clock, call, refusal).await;
            None
        }
    }
}

async fn refuse(clock: &dyn Clock, call: IncomingCall, refusal: Refusal) {
    let Refusal {
        code,
        retry_after_ms,
    } = refusal;
    told(clock, call.responder.refuse(code, retry_after_ms)).await;
}

/// Waits until the link has taken an answer. What nobody reads is given up, and its stream reset: else it
/// would be held for as long as the connection lasts.
pub(crate) async fn told(clock: &dyn Clock, answer: impl Future<Output = Result<(), StreamError>>) {
    // TRN-91.
    let code = match within(clock, limits::ANSWER_TAKEN_MS_MAX, answer).await {
        Some(Ok(())) => return,
        Some(Err(error)) => error.code(),
        None => "deadline_exceeded",
    };
    tracing::debug!(code, "an answer did not reach its client");
}

/// Answers one call. At the deadline the client is told so, but the step goes on to its end: it may
/// have changed the store, and then a wake must follow.
async fn answer<S: Store>(state: Arc<State<S>>, caller: Arc<Caller>, call: IncomingCall) {
    let IncomingCall {
        request,
        responder,
        deadline_at_ms,
        ..
    } = call;
    let cancelled = responder.cancelled();
    let clock = Arc::clone(&state.clock);
    let context = Context {
        state,
        caller,
        deadline_at_ms,
    };
    let mut handling = core::pin::pin!(calls::answer(&context, request, cancelled));
    let left_ms = deadline_at_ms.saturating_sub(clock.monotonic_ms());
    match within(&*clock, left_ms, handling.as_mut()).await {
        Some(Ok(result)) => told(&*clock, responder.answer(result)).await,
        Some(Err(Refusal {
            code,
            retry_after_ms,
        })) => told(&*clock, responder.refuse(code, retry_after_ms)).await,
        None => {
            told(&*clock, responder.refuse(ErrorCode::DeadlineExceeded, None)).await;
            let _ = handling.await;
        }
    }
}
