// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two devices of one person meet at a rendezvous.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use waxwing_proto::{RendezvousLocator, limits, v1};
use waxwing_storage::server::Store;
use waxwing_transport::{BoxFuture, StreamError};

use super::Context;
use crate::admission::Action;
use crate::refusal::Refusal;

/// The time that is left for an answer to reach the client before its deadline, in milliseconds.
const ANSWER_MARGIN_MS: u64 = 500;

/// Writes one slot.
pub(super) fn put<S: Store>(
    context: &Context<S>,
    request: v1::PutRendezvousRequest,
) -> Result<v1::PutRendezvousResponse, Refusal> {
    let state = &context.state;
    let locator = RendezvousLocator::try_from(request.locator.as_ref())?;
    context.admit(Action::Rendezvous, 1)?;
    // The frame that the value lies in is larger than the value: it is copied to let go of the rest.
    let value = Bytes::copy_from_slice(&request.value);
    state
        .rendezvous()
        .put(locator, request.slot, value, state.now_ms())?;
    state.rendezvous_written.notify_waiters();
    Ok(v1::PutRendezvousResponse {})
}

/// Waits for a slot to be written; answers with nothing when that does not happen in time.
pub(super) async fn fetch<S: Store>(
    context: &Context<S>,
    request: v1::FetchRendezvousRequest,
    cancelled: BoxFuture<'static, StreamError>,
) -> Result<v1::FetchRendezvousResponse, Refusal> {
    let state = &context.state;
    let locator = RendezvousLocator::try_from(request.locator.as_ref())?;
    let slot = request.slot;
    if slot >= limits::RENDEZVOUS_SLOTS_MAX {
        return Err(Refusal::MALFORMED);
    }
    context.admit(Action::FetchRendezvous, 1)?;
    let find = || state.rendezvous().get(locator, slot, state.now_ms());
    let answer = |value: Option<Bytes>| {
        Ok(v1::FetchRendezvousResponse {
            value: value.unwrap_or_default(),
        })
    };
    let wait_until_ms = state
        .now_ms()
        .saturating_add(u64::from(request.wait_ms))
        .min(context.deadline_at_ms.saturating_sub(ANSWER_MARGIN_MS));
    let found = find();
    if found.is_some() || wait_until_ms <= state.now_ms() {
        return answer(found);
    }
    let Some(_waiter) = Waiter::enter(&state.rendezvous_waiters) else {
        return Err(Refusal::UNAVAILABLE);
    };
    let draining = state.draining();
    let mut over = state.clock.sleep_until(wait_until_ms);
    let mut cancelled = cancelled;
    loop {
        // Enabled before the look, so that a write between look and wait is not missed.
        let mut written = core::pin::pin!(state.rendezvous_written.notified());
        written.as_mut().enable();
        let found = find();
        if found.is_some() {
            return answer(found);
        }
        tokio::select! {
            biased;
            _ = &mut cancelled => return answer(None),
            () = draining.started() => return answer(None),
            () = written => {}
            () = &mut over => return answer(find()),
        }
    }
}

/// One long poll, counted as long as this lives.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let waiter = Self(count);
        (before < limits::RENDEZVOUS_WAITERS_MAX).then_some(waiter)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
