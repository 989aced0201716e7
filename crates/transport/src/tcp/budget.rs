// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What all connections of one listener hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use waxwing_proto::limits;

/// Counts bytes that came and were not read.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    held_max: usize,
}

impl Budget {
    pub(super) const fn new(held_max: usize) -> Self {
        Self {
            held: AtomicUsize::new(0),
            held_max,
        }
    }

    /// Whether a connection that holds `held` bytes may hold `more`. One that holds next to
    /// nothing always may: those who fill the budget must not keep the others from being heard.
    pub(super) fn may_hold(&self, held: usize, more: usize) -> bool {
        self.held.load(Ordering::Relaxed).saturating_add(more) <= self.held_max
            || held.saturating_add(more) <= limits::TCP_HELD_BYTES_SPARED
    }

    pub(super) fn take(&self, count: usize) {
        self.held.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn give(&self, count: usize) {
        self.held.fetch_sub(count, Ordering::Relaxed);
    }

    /// The bytes that are held at the moment.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// Counts what is going on, and tells when nothing is.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    count: AtomicUsize,
    empty: Notify,
}

impl Gauge {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Counts one more until that is dropped; `None` when there are `max`.
    pub(super) fn enter(self: &std::sync::Arc<Self>, max: usize) -> Option<Counted> {
        self.count
            .try_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < max).then(|| count.saturating_add(1))
            })
            .ok()?;
        Some(Counted(std::sync::Arc::clone(self)))
    }

    /// Completes when nothing is counted.
    pub(super) async fn emptied(&self) {
        loop {
            let mut emptied = core::pin::pin!(self.empty.notified());
            emptied.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// One that is counted.
#[derive(Debug)]
pub(super) struct Counted(std::sync::Arc<Gauge>);

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}
