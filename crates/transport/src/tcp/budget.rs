// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What all connections of one listener hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use waxwing_proto::limits;

/// Counts bytes that came and were not read, and bytes that are to be sent and were not taken. They
/// are apart, so that peers that do not read cannot have those expelled that send.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    held_max: usize,
    queued: AtomicUsize,
    queued_max: usize,
}

impl Budget {
    pub(super) const fn new(held_max: usize, queued_max: usize) -> Self {
        Self {
            held: AtomicUsize::new(0),
            held_max,
            queued: AtomicUsize::new(0),
            queued_max,
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

    /// Counts so many bytes that are to be sent, or as many as there is room for; gives how many.
    pub(super) fn queue(&self, count: usize) -> usize {
        let room = |queued: usize| count.min(self.queued_max.saturating_sub(queued));
        let before = self
            .queued
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |queued| {
                let more = room(queued);
                (more > 0).then(|| queued.saturating_add(more))
            });
        before.map_or(0, room)
    }

    pub(super) fn unqueue(&self, count: usize) {
        self.queued.fetch_sub(count, Ordering::Relaxed);
    }

    /// The bytes to be sent that are counted at the moment.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_connections_can_make_a_server_hold_is_the_sum_of_the_bounds() {
        let of_each = limits::TCP_HELD_BYTES_SPARED + limits::TCP_QUEUED_BYTES_SPARED;
        let of_all = limits::TCP_HELD_BYTES_MAX + limits::TCP_QUEUED_BYTES_MAX;
        let most = of_all + limits::CONNECTIONS_MAX * of_each;
        assert_eq!(most, limits::TCP_BYTES_MAX);
    }
}
