// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Attempts to connect that run beside one another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::{AbortHandle, JoinSet};
use waxwing_proto::{KeyPin, ServerAddress};

use crate::error::CallError;
use crate::link::{Dialer, Plane, Transport};
use crate::rpc::{Connection, FirstCall};
use crate::seams::Clock;

/// Attempts at a time. The oldest makes room: with one every one and a half seconds it has had nine.
const ATTEMPTS_MAX: usize = 6;

/// The keys that the server of a [`Keeper`](super::Keeper) may show. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct KeptPins(Arc<Mutex<Vec<KeyPin>>>);

impl KeptPins {
    fn new(key_pins: Vec<KeyPin>) -> Self {
        Self(Arc::new(Mutex::new(key_pins)))
    }

    fn get(&self) -> Vec<KeyPin> {
        let key_pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        key_pins.clone()
    }

    /// Attempts that begin from now on take these. What is up or under way goes on.
    pub fn replace(&self, key_pins: Vec<KeyPin>) {
        // TRN-94.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = key_pins;
    }
}

/// The attempts under way. Dropping it gives them up.
pub(super) struct Attempts<D: ?Sized> {
    dialer: Arc<D>,
    clock: Arc<dyn Clock>,
    server: ServerAddress,
    key_pins: KeptPins,
    plane: Plane,
    first: Option<Arc<dyn FirstCall>>,
    running: JoinSet<Result<Connection, CallError>>,
    order: VecDeque<AbortHandle>,
}

impl<D: Dialer + ?Sized> Attempts<D> {
    pub(super) fn new(
        dialer: Arc<D>,
        clock: Arc<dyn Clock>,
        server: ServerAddress,
        plane: Plane,
    ) -> Self {
        Self {
            dialer,
            clock,
            key_pins: KeptPins::new(server.key_pins.clone()),
            server,
            plane,
            first: None,
            running: JoinSet::new(),
            order: VecDeque::new(),
        }
    }

    /// What goes out behind the greeting of each attempt from now on.
    pub(super) fn set_first(&mut self, first: Option<Arc<dyn FirstCall>>) {
        self.first = first;
    }

    /// The keys that the server may show; they can be replaced at any time.
    pub(super) fn key_pins(&self) -> &KeptPins {
        &self.key_pins
    }

    /// Where attempts go from now on; the keys stay those that they are.
    pub(super) fn set_server(&mut self, server: ServerAddress) {
        self.server = server;
    }

    /// See [`Dialer::preferred`].
    pub(super) fn preferred(&self) -> Option<Transport> {
        self.dialer.preferred()
    }

    /// Starts one more. Gives whether the oldest had to make room, which is its failure.
    pub(super) fn start(&mut self) -> bool {
        self.order.retain(|attempt| !attempt.is_finished());
        let is_full = self.order.len() >= ATTEMPTS_MAX;
        while self.order.len() >= ATTEMPTS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                oldest.abort();
            }
        }
        let (dialer, clock) = (Arc::clone(&self.dialer), Arc::clone(&self.clock));
        let (mut server, plane) = (self.server.clone(), self.plane);
        server.key_pins = self.key_pins.get();
        let first = self.first.clone();
        self.order.push_back(self.running.spawn(async move {
            Connection::dial(&*dialer, (&server, plane), clock, first.as_deref()).await
        }));
        is_full
    }

    pub(super) fn give_up(&mut self) {
        self.order.clear();
        // Dropped rather than aborted: an attempt that has just succeeded must not be taken.
        self.running = JoinSet::new();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The next attempt that ends; never, while there is none. Cancellation safe.
    pub(super) async fn next(&mut self) -> Result<Connection, CallError> {
        loop {
            match self.running.join_next().await {
                Some(Ok(outcome)) => return outcome,
                // Given up.
                Some(Err(_)) => {}
                None => core::future::pending().await,
            }
        }
    }
}
