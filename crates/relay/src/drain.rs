// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the relay is ending, for everything that waits: small, since every connection has some of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Drain {
    has_started: AtomicBool,
    started: Notify,
}

/// A handle to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draining(Arc<Drain>);

impl Draining {
    /// From now on it is.
    pub(crate) fn start(&self) {
        self.0.has_started.store(true, Ordering::SeqCst);
        self.0.started.notify_waiters();
    }

    /// Completes when it is. Cancellation safe.
    pub(crate) async fn started(&self) {
        // From here on a start is noticed, whether or not this has been polled.
        let started = self.0.started.notified();
        if !self.has_started() {
            started.await;
        }
    }

    pub(crate) fn has_started(&self) -> bool {
        self.0.has_started.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_start_reaches_those_who_wait_and_those_who_come_later() {
        let draining = Draining::default();
        let waiting = draining.started();
        let waits = tokio::spawn({
            let draining = draining.clone();
            async move { draining.started().await }
        });
        tokio::task::yield_now().await;
        assert!(!draining.has_started() && !waits.is_finished());
        draining.start();
        waits.await.unwrap();
        waiting.await;
        draining.started().await;
        assert!(draining.has_started());
    }
}
