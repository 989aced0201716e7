// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long a simulated disk takes for a sync.

use std::sync::Arc;

use waxwing_storage::embedded::memory::SyncLatency;
use waxwing_transport::Clock;
use waxwing_transport::sim::SimClock;

/// What one sync takes, in virtual milliseconds.
const SYNC_MS: u64 = 3;

/// Syncs that take virtual time, so that a crash can come between a write and its sync.
#[must_use]
pub fn latency(clock: &SimClock) -> Arc<dyn SyncLatency> {
    let clock = clock.clone();
    Arc::new(move || clock.sleep(SYNC_MS))
}
