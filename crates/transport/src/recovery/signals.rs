// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the host tells the transport: that the network has changed, that something waits.

use std::sync::Arc;

use tokio::sync::watch;

/// What is known at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// How often the network has changed.
    pub(super) changes: u64,
    /// How many things wait to get through.
    pub(super) waiting: usize,
}

/// The host's side. Clones are handles to the same signals.
#[derive(Debug, Clone)]
pub struct Signals(Arc<watch::Sender<Known>>);

impl Signals {
    /// Nothing waits, and nothing has changed.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Known::default())))
    }

    /// The network of this device has changed, or came back, or the application came to the front.
    pub fn network_changed(&self) {
        self.0
            .send_modify(|known| known.changes = known.changes.wrapping_add(1));
    }

    /// Something waits to get through until the value that this gives is dropped.
    #[must_use]
    pub fn wait(&self) -> Waiting {
        self.0
            .send_modify(|known| known.waiting = known.waiting.saturating_add(1));
        Waiting(self.clone())
    }

    pub(super) fn watch(&self) -> watch::Receiver<Known> {
        self.0.subscribe()
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

/// One thing that waits.
#[derive(Debug)]
pub struct Waiting(Signals);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0
            .0
            .send_modify(|known| known.waiting = known.waiting.saturating_sub(1));
    }
}
