// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One sending stream: `send` calls as frames, many at a time, and their outcomes together as they
//! come. At most `SENDINGS_UNDER_WAY_MAX` calls and `SENDINGS_UNDER_WAY_BYTES_MAX` bytes of envelopes
//! are under way.

mod outcomes;
#[cfg(test)]
mod tests;
mod under_way;

use core::future::Future;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use waxwing_proto::limits;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_storage::server::Store;
use waxwing_transport::rpc::{SendingSource, SentSink, bounded_deadline_ms};
use waxwing_transport::{BoxFuture, Clock, StreamError};

use self::outcomes::Outcomes;
use self::under_way::{Call, UnderWay};
use crate::calls::send::send_all;
use crate::calls::{Caller, Context};
use crate::drain::Draining;
use crate::refusal::Refusal;
use crate::state::State;

/// Serves one sending stream until the client or the relay ends it.
pub(crate) async fn serve<S: Store>(
    state: Arc<State<S>>,
    caller: Arc<Caller>,
    sink: SentSink,
    source: SendingSource,
) {
    // TRN-88.
    let stream = Stream {
        clock: Arc::clone(&state.clock),
        draining: state.draining(),
        source,
        outcomes: Outcomes::new(sink),
        under_way: UnderWay::default(),
        alarm: None,
        frame_at_ms: 0,
    };
    let context = Arc::new(Context {
        state,
        caller,
        // A sending waits for nothing but the store, and is never cut.
        deadline_at_ms: u64::MAX,
    });
    let handle = |place: u64, requests: Vec<v1::SendRequest>| {
        let context = Arc::clone(&context);
        async move { (place, send_all(&context, &requests).await) }
    };
    stream.run(handle).await;
}

type Frame = Result<Option<v1::Sending>, StreamError>;

struct Stream {
    clock: Arc<dyn Clock>,
    draining: Draining,
    source: SendingSource,
    outcomes: Outcomes,
    under_way: UnderWay,
    /// One timer for all deadlines, and when it rings.
    alarm: Option<(u64, BoxFuture<'static, ()>)>,
    /// When the last whole frames came.
    frame_at_ms: u64,
}

impl Stream {
    /// What was taken is finished in any case: a step of the store is never cut, and a wake must follow
    /// it.
    ///
    /// `handle` gets the place of a group and its calls, and gives the place back with what became of
    /// each of them.
    async fn run<F>(mut self, handle: impl Fn(u64, Vec<v1::SendRequest>) -> F)
    where
        F: Future<Output = (u64, Vec<Result<v1::SendResponse, Refusal>>)>,
    {
        let mut handling = FuturesUnordered::new();
        let mut has_ended = false;
        self.frame_at_ms = self.clock.monotonic_ms();
        self.set_alarm(self.idle_at_ms());
        while !has_ended || !handling.is_empty() || self.outcomes.wait() {
            let takes = !has_ended && self.under_way.has_room(&[]) && self.outcomes.has_room();
            let tells = self.outcomes.wait();
            tokio::select! {
                biased;
                Some((place, results)) = handling.next() => {
                    for (number, result) in self.under_way.finish(place).zip(results) {
                        if let Some(number) = number {
                            self.outcomes.put(number, result);
                        }
                    }
                }
                () = self.draining.started(), if !has_ended => has_ended = true,
                frame = self.source.receive(), if takes => {
                    let (requests, calls);
                    (requests, calls, has_ended) = self.gather(frame);
                    if !calls.is_empty() {
                        handling.push(handle(self.under_way.begin(calls), requests));
                    }
                }
                () = ring(&mut self.alarm) => {
                    self.alarm = None;
                    let now_ms = self.clock.monotonic_ms();
                    for number in self.under_way.late(now_ms) {
                        self.outcomes.put(number, Err(ErrorCode::DeadlineExceeded.into()));
                    }
                    // TRN-89. A part of a frame must not be held for long.
                    has_ended |= self.idle_at_ms() <= now_ms;
                    let idle_at_ms = (!has_ended).then(|| self.idle_at_ms());
                    let next_ms = self.under_way.next_deadline_ms();
                    if let Some(next_ms) = next_ms.into_iter().chain(idle_at_ms).min() {
                        self.set_alarm(next_ms);
                    }
                }
                told = self.outcomes.flush(), if tells => has_ended |= told.is_err(),
            }
        }
        self.outcomes.finish().await;
    }

    /// Takes what has come with a frame, as far as there is room: calls that came together wait for the
    /// disk together. Whether nothing more is to be taken.
    fn gather(&mut self, first: Frame) -> (Vec<v1::SendRequest>, Vec<Call>, bool) {
        let (mut requests, mut calls) = (Vec::new(), Vec::new());
        self.frame_at_ms = self.clock.monotonic_ms();
        let mut frame = Some(first);
        while let Some(received) = frame {
            match received {
                Ok(Some(v1::Sending {
                    number,
                    deadline_ms,
                    send: Some(request),
                })) => {
                    let deadline_at_ms = self.deadline_at_ms(deadline_ms);
                    self.set_alarm(deadline_at_ms);
                    calls.push(Call {
                        number,
                        deadline_at_ms: Some(deadline_at_ms),
                        bytes: bytes_of(&request),
                    });
                    requests.push(request);
                }
                Ok(Some(v1::Sending { number, .. })) => {
                    self.outcomes.put(number, Err(Refusal::MALFORMED));
                }
                Ok(None) | Err(_) => return (requests, calls, true),
            }
            let takes = self.under_way.has_room(&calls) && self.outcomes.has_room();
            frame = takes
                .then(|| self.source.receive().now_or_never())
                .flatten();
        }
        (requests, calls, false)
    }

    fn deadline_at_ms(&self, deadline_ms: u32) -> u64 {
        // TRN-17.
        let deadline_ms = bounded_deadline_ms(deadline_ms);
        self.frame_at_ms.saturating_add(deadline_ms.into())
    }

    fn idle_at_ms(&self) -> u64 {
        let idle_ms = u64::from(limits::SENDING_IDLE_MS);
        self.frame_at_ms.saturating_add(idle_ms)
    }

    /// Sees to it that the alarm rings then, or before.
    fn set_alarm(&mut self, at_ms: u64) {
        let rings_at_ms = self.alarm.as_ref().map(|alarm| alarm.0);
        if rings_at_ms.is_none_or(|rings_at_ms| rings_at_ms > at_ms) {
            self.alarm = Some((at_ms, self.clock.sleep_until(at_ms)));
        }
    }
}

fn bytes_of(request: &v1::SendRequest) -> usize {
    let sizes = request.envelopes.iter().map(|it| it.envelope.len());
    sizes.fold(0, usize::saturating_add)
}

/// Waits for the alarm; for ever where none is set.
async fn ring(alarm: &mut Option<(u64, BoxFuture<'static, ()>)>) {
    match alarm {
        Some((_, at)) => at.await,
        None => core::future::pending().await,
    }
}
