// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same care for single connections: those of the anonymous plane.

use core::future::Future;
use core::pin::pin;
use std::sync::Arc;

use waxwing_proto::ServerAddress;

use super::attempts::Attempts;
use super::pace::Pace;
use super::signals::Signals;
use super::silence::Silence;
use crate::error::CallError;
use crate::link::{Dialer, Link, Plane};
use crate::rpc::{Connection, FirstCall};
use crate::seams::{Clock, Entropy};

/// The round trip that is assumed where a link does not measure it, in milliseconds.
const ROUND_TRIP_MS: u64 = 250;

/// Runs `future`, which waits for the peer of `link`, and probes the link as soon as the network
/// changes, and whenever the peer has been silent for longer than it should be. Cancellation safe
/// if `future` is.
pub async fn probing<T>(
    link: &Link,
    clock: &dyn Clock,
    signals: &Signals,
    future: impl Future<Output = T>,
) -> T {
    let mut future = pin!(future);
    let mut known = signals.watch();
    let mut changes = known.take().changes;
    let begun_ms = clock.monotonic_ms();
    let mut silence = link
        .signs_of_life()
        .map(|signs| Silence::new(begun_ms, signs));
    let mut pace = Pace::new();
    pace.set_waiting(begun_ms, true);
    if let Some(silence) = &mut silence {
        silence.set_waiting(begun_ms, true);
    }
    loop {
        let now_ms = clock.monotonic_ms();
        let round_trip_ms = link.round_trip_ms().unwrap_or(ROUND_TRIP_MS);
        let is_eager = pace.is_eager(now_ms);
        let mut due_ms = u64::MAX;
        if let (Some(silence), Some(signs)) = (&mut silence, link.signs_of_life()) {
            silence.observe(now_ms, signs);
            if silence.due_ms(is_eager, round_trip_ms) <= now_ms {
                link.probe();
                silence.probed(now_ms);
            }
            due_ms = silence.look_ms(now_ms, is_eager, round_trip_ms);
        }
        tokio::select! {
            biased;
            value = &mut future => return value,
            () = known.changed() => {
                let newest = known.take().changes;
                if newest != changes {
                    changes = newest;
                    let now_ms = clock.monotonic_ms();
                    pace.network_changed(now_ms);
                    link.probe();
                    if let Some(silence) = &mut silence {
                        silence.moved(now_ms, round_trip_ms);
                    }
                }
            }
            () = clock.sleep_until(due_ms.max(now_ms.saturating_add(1))) => {}
        }
    }
}

/// Connects with a call that waits: an attempt begins when the last one has failed, and every
/// [`waxwing_proto::limits::PROBE_INTERVAL_MS`] beside those that have not, until one succeeds or
/// one fails for a reason that time does not cure, or because the server names a time. Bounded by the caller. `first` goes out behind
/// the greeting, see [`Connection::dial`].
///
/// # Errors
/// [`CallError`] of the first attempt that failed for such a reason.
pub async fn connect_eagerly<D: Dialer + ?Sized>(
    (dialer, clock, entropy): (Arc<D>, Arc<dyn Clock>, Arc<dyn Entropy>),
    (server, plane): (ServerAddress, Plane),
    first: Option<Arc<dyn FirstCall>>,
    signals: &Signals,
) -> Result<Connection, CallError> {
    let mut known = signals.watch();
    let mut changes = known.take().changes;
    let mut attempts = Attempts::new(dialer, Arc::clone(&clock), server, plane);
    attempts.set_first(first);
    let mut pace = Pace::new();
    pace.set_waiting(clock.monotonic_ms(), true);
    loop {
        let now_ms = clock.monotonic_ms();
        if pace.due_ms(now_ms) <= now_ms {
            pace.began(now_ms);
            attempts.start();
        }
        let due_ms = pace.due_ms(now_ms).max(now_ms.saturating_add(1));
        tokio::select! {
            biased;
            outcome = attempts.next() => match outcome {
                // TRN-63: a time that the server names may be longer than anybody waits here.
                Err(error) if error.is_transient() && error.retry_after_ms().is_none() => {
                    let mut random = [0; 8];
                    entropy.fill(&mut random);
                    let random = u64::from_le_bytes(random);
                    pace.failed(clock.monotonic_ms(), random, None);
                }
                outcome => return outcome,
            },
            () = known.changed() => {
                let newest = known.take().changes;
                if newest != changes {
                    changes = newest;
                    attempts.give_up();
                    pace.network_changed(clock.monotonic_ms());
                }
            }
            () = clock.sleep_until(due_ms) => {}
        }
    }
}
