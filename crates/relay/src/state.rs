// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What all connections of one relay share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use waxwing_proto::limits;
use waxwing_storage::{Day, Minute, StoreError};
use waxwing_transport::{Clock, Entropy};

use crate::admission::Admission;
use crate::live::Live;
use crate::refusal::Refusal;
use crate::relay::{Seams, Settings};
use crate::rendezvous::Rendezvous;
use crate::wake::WakeBus;

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
    draining: watch::Sender<bool>,
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
            draining: watch::Sender::new(false),
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
    pub(crate) fn admission(&self) -> std::sync::MutexGuard<'_, Admission> {
        let mut admission = self
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.now_ms();
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

    pub(crate) fn start_drain(&self) {
        self.draining.send_replace(true);
    }

    /// Tells when the relay is draining.
    pub(crate) fn draining(&self) -> Draining {
        Draining(self.draining.subscribe())
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

/// Whether the relay is draining.
#[derive(Clone)]
pub(crate) struct Draining(watch::Receiver<bool>);

impl Draining {
    /// Completes when it is. Cancellation safe.
    pub(crate) async fn started(&mut self) {
        if self.0.wait_for(|draining| *draining).await.is_err() {
            // The relay itself is gone.
        }
    }

    pub(crate) fn has_started(&self) -> bool {
        *self.0.borrow()
    }
}
