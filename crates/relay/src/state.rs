// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What all connections of one relay share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};
use waxwing_proto::limits;
use waxwing_storage::{Day, Minute, StoreError};
use waxwing_transport::{Clock, CloseCode, Elsewhere, Entropy, Link};

use crate::admission::Admission;
use crate::census::Census;
use crate::drain::Draining;
use crate::live::Live;
use crate::refusal::Refusal;
use crate::relay::{Seams, Settings};
use crate::rendezvous::Rendezvous;
use crate::wake::WakeBus;

/// When a client may come back to a server that ends, in milliseconds at least.
const RETURN_MS_MIN: u32 = 1_000;
/// The time that each connection adds to the span over which they come back, in milliseconds:
/// 500 handshakes a second.
const RETURN_MS_PER_CONNECTION: u32 = 2;

/// The state of one relay.
pub(crate) struct State<S> {
    pub(crate) store: Arc<S>,
    pub(crate) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    pub(crate) wake_bus: Arc<dyn WakeBus>,
    pub(crate) settings: Settings,
    pub(crate) live: Arc<Live>,
    admission: Mutex<Admission>,
    rendezvous: Mutex<Rendezvous>,
    /// Told of every slot that is written.
    pub(crate) rendezvous_written: Notify,
    pub(crate) rendezvous_waiters: AtomicUsize,
    connections: AtomicUsize,
    pub(crate) census: Arc<Census>,
    /// What all connections together read of large requests at a time.
    pub(crate) large_requests: Arc<Semaphore>,
    draining: Draining,
    elsewhere: OnceLock<Elsewhere>,
    failure: watch::Sender<Option<StoreError>>,
}

impl<S> State<S> {
    pub(crate) fn new(store: Arc<S>, seams: Seams, settings: Settings) -> Self {
        let mut hash_key = [0; 32];
        seams.entropy.fill(&mut hash_key);
        let now_ms = seams.clock.monotonic_ms();
        Self {
            store,
            admission: Mutex::new(Admission::new(settings.rates.clone(), hash_key, now_ms)),
            clock: seams.clock,
            entropy: seams.entropy,
            wake_bus: seams.wake_bus,
            settings,
            live: Arc::new(Live::default()),
            rendezvous: Mutex::new(Rendezvous::default()),
            rendezvous_written: Notify::new(),
            rendezvous_waiters: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            census: Arc::default(),
            large_requests: Arc::new(Semaphore::new(limits::LARGE_REQUESTS_MAX)),
            draining: Draining::default(),
            elsewhere: OnceLock::new(),
            failure: watch::Sender::new(None),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    pub(crate) fn today(&self) -> Day {
        Day::from_unix_seconds(self.clock.wall_ms() / 1000)
    }

    pub(crate) fn this_minute(&self) -> Minute {
        Minute::from_unix_seconds(self.clock.wall_ms() / 1000)
    }

    /// The rate limits, with today's key of the address hash.
    pub(crate) fn admission(&self, now_ms: u64) -> std::sync::MutexGuard<'_, Admission> {
        let mut admission = self
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if admission.hash_key_expired(now_ms) {
            let mut hash_key = [0; 32];
            self.entropy.fill(&mut hash_key);
            admission.change_hash_key(hash_key, now_ms);
        }
        admission
    }

    pub(crate) fn rendezvous(&self) -> std::sync::MutexGuard<'_, Rendezvous> {
        self.rendezvous
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns a failed store into a refusal. A store that cannot go on ends the relay: nothing that
    /// it says from then on is worth an acknowledgement.
    pub(crate) fn stored<T>(&self, result: Result<T, StoreError>) -> Result<T, Refusal> {
        result.map_err(|error| {
            // BOX-74.
            if let StoreError::Busy { retry_after_ms } = error {
                return Refusal {
                    retry_after_ms: Some(retry_after_ms),
                    ..Refusal::UNAVAILABLE
                };
            }
            tracing::error!(code = error.code(), "the store failed");
            if error.is_fatal() {
                self.failure.send_if_modified(|failure| {
                    let first = failure.is_none();
                    failure.get_or_insert(error);
                    first
                });
            }
            Refusal::UNAVAILABLE
        })
    }

    /// Counts one more connection; `None` when there are too many.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place<S>> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(self));
        (before < limits::CONNECTIONS_MAX).then_some(place)
    }

    /// Clients are sent to `elsewhere`, where it is given; the first that was given stays.
    pub(crate) fn start_drain(&self, elsewhere: Option<Elsewhere>) {
        if let Some(elsewhere) = elsewhere {
            let _ = self.elsewhere.set(elsewhere);
        }
        self.draining.start();
        self.live.end_streams();
    }

    /// Tells a client of a relay that ends when to come back, and perhaps where to.
    pub(crate) fn send_away(&self, link: &Link) {
        // TRN-70. Each client gets a time of its own, over a span that grows with their number: a
        // server that starts again meets them one after the other.
        let connections = self.connections.load(Ordering::Relaxed);
        let spread_ms = u32::try_from(connections)
            .unwrap_or(u32::MAX)
            .saturating_mul(RETURN_MS_PER_CONNECTION)
            .min(limits::RETURN_SPREAD_MS_MAX);
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        let drawn_ms = u32::from_be_bytes(random)
            .checked_rem(spread_ms.saturating_add(1))
            .unwrap_or(0);
        let delay_ms = RETURN_MS_MIN.saturating_add(drawn_ms);
        match self.elsewhere.get() {
            Some(elsewhere) => link.send_elsewhere(CloseCode::ShuttingDown, delay_ms, elsewhere),
            None => link.close_with_retry(CloseCode::ShuttingDown, delay_ms),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.has_started()
    }

    /// Tells when the relay is draining.
    pub(crate) fn draining(&self) -> Draining {
        self.draining.clone()
    }

    /// The first failure of the store, when it comes.
    pub(crate) async fn failure(&self) -> StoreError {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(error) if error.is_some() => error.unwrap_or(StoreError::Stopped),
            _ => StoreError::Stopped,
        }
    }
}

/// One connection, counted as long as this lives.
pub(crate) struct Place<S>(Arc<State<S>>);

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
