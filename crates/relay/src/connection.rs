// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One connection: greeting, then a task for each call, until the link is over or the relay drains.

use std::sync::Arc;

use tokio::task::JoinSet;
use waxwing_proto::limits;
use waxwing_proto::v1::ErrorCode;
use waxwing_proto::v1::request::Call;
use waxwing_storage::server::Store;
use waxwing_transport::rpc::{IncomingCall, PendingCall, serve_hello};
use waxwing_transport::{CloseCode, Link, within};

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
    let mut draining = state.draining();
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
            Some(_) = tasks.join_next() => {}
            pending = connection.accept(), if tasks.len() < streams_max => match pending {
                Ok(pending) => {
                    tasks.spawn(serve_call(Arc::clone(&state), Arc::clone(&caller), pending));
                }
                Err(_) => break,
            },
        }
    }
    while tasks.join_next().await.is_some() {}
    if link.close_reason().is_none() {
        // Closing discards what the client has not received: its answers get time to arrive.
        let _ = within(&*state.clock, LINGER_MS, link.closed()).await;
        state.send_away(&link);
    }
}

async fn serve_call<S: Store>(state: Arc<State<S>>, caller: Arc<Caller>, pending: PendingCall) {
    let mut draining = state.draining();
    let call = tokio::select! {
        biased;
        // A request that is not there yet was not accepted.
        () = draining.started() => return,
        call = Box::pin(pending.read()) => call,
    };
    let Ok(call) = call else { return };
    // Each in a box of its own: a stream that is idle for hours has no room for what other calls need.
    match call.request {
        Call::Subscribe(_) => Box::pin(serve_subscription(state, caller, call)).await,
        Call::OpenSending(_) => Box::pin(serve_sendings(state, caller, call)).await,
        _ => Box::pin(answer(state, caller, call)).await,
    }
}

async fn serve_subscription<S: Store>(
    state: Arc<State<S>>,
    caller: Arc<Caller>,
    call: IncomingCall,
) {
    let mailbox = match caller.plane.account() {
        Ok(mailbox) => mailbox,
        Err(refusal) => return refuse(call, refusal).await,
    };
    let opened = Box::pin(call.into_stream()).await;
    if let Ok((sink, acknowledgements)) = opened {
        subscription::serve(state, mailbox, sink, acknowledgements).await;
    }
}

async fn serve_sendings<S: Store>(state: Arc<State<S>>, caller: Arc<Caller>, call: IncomingCall) {
    match caller.plane.anonymous() {
        Ok(()) => {
            if let Ok((sink, source)) = Box::pin(call.into_sending()).await {
                sendings::serve(state, caller, sink, source).await;
            }
        }
        Err(refusal) => refuse(call, refusal).await,
    }
}

async fn refuse(call: IncomingCall, refusal: Refusal) {
    let Refusal {
        code,
        retry_after_ms,
    } = refusal;
    let _ = call.responder.refuse(code, retry_after_ms).await;
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
    let told = match within(&*clock, left_ms, handling.as_mut()).await {
        Some(Ok(result)) => responder.answer(result).await,
        Some(Err(Refusal {
            code,
            retry_after_ms,
        })) => responder.refuse(code, retry_after_ms).await,
        None => {
            let told = responder.refuse(ErrorCode::DeadlineExceeded, None).await;
            let _ = handling.await;
            told
        }
    };
    if let Err(error) = told {
        tracing::debug!(code = error.code(), "an answer did not reach its client");
    }
}
