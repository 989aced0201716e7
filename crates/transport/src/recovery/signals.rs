// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the host tells the transport: that the network has changed, that something waits.
//!
//! Whoever waits for a signal is woken in the order in which it began to wait, so that a simulation
//! follows from its seed; a `watch` channel of tokio wakes in an order that is drawn.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// What is known at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// How often the network has changed.
    pub(super) changes: u64,
    /// How many things wait to get through.
    pub(super) waiting: usize,
}

#[derive(Debug, Default)]
struct Shared {
    /// What is known, and how often that has changed.
    known: Mutex<(Known, u64)>,
    changed: Notify,
}

impl Shared {
    fn read(&self) -> (Known, u64) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, how: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        how(&mut known.0);
        known.1 = known.1.wrapping_add(1);
        drop(known);
        self.changed.notify_waiters();
    }
}

/// The host's side. Clones are handles to the same signals.
#[derive(Debug, Clone, Default)]
pub struct Signals(Arc<Shared>);

impl Signals {
    /// Nothing waits, and nothing has changed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The network of this device has changed, or came back, or the application came to the front.
    pub fn network_changed(&self) {
        self.0
            .change(|known| known.changes = known.changes.wrapping_add(1));
    }

    /// Something waits to get through until the value that this gives is dropped.
    #[must_use]
    pub fn wait(&self) -> Waiting {
        self.0
            .change(|known| known.waiting = known.waiting.saturating_add(1));
        Waiting(self.clone())
    }

    pub(super) fn watch(&self) -> Watch {
        let (_, seen) = self.0.read();
        Watch {
            shared: Arc::clone(&self.0),
            seen,
        }
    }
}

/// The transport's side: what was seen of the signals.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    seen: u64,
}

impl Watch {
    /// What is known now, which is seen with that.
    pub(super) fn take(&mut self) -> Known {
        let (known, seen) = self.shared.read();
        self.seen = seen;
        known
    }

    /// Returns when something is known that was not seen. Cancellation safe.
    pub(super) async fn changed(&self) {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // Before the look, so that no change falls between the two.
            changed.as_mut().enable();
            if self.shared.read().1 != self.seen {
                return;
            }
            changed.await;
        }
    }
}

/// One thing that waits.
#[derive(Debug)]
pub struct Waiting(Signals);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0
            .0
            .change(|known| known.waiting = known.waiting.saturating_sub(1));
    }
}
