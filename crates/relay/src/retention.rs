// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Deletes what has reached the retention limit, once a day.
//!
//! A wall clock that jumps must not empty mailboxes. So a day counts only when the wall clock and
//! the monotonic clock have agreed for an hour.

use std::sync::Arc;

use waxwing_storage::Day;
use waxwing_storage::server::Store;

use crate::state::State;

const LOOK_INTERVAL_MS: u64 = 60 * 60 * 1000;
/// How far the two clocks may drift apart in one interval, in milliseconds.
const SKEW_MS_MAX: u64 = 60 * 1000;

/// Runs for ever; cancellation safe between two looks.
pub(crate) async fn sweep_daily<S: Store>(state: Arc<State<S>>) {
    // BOX-22.
    let mut swept: Option<Day> = None;
    let mut before = (state.now_ms(), state.clock.wall_ms());
    loop {
        state.clock.sleep(LOOK_INTERVAL_MS).await;
        state.rendezvous().expire(state.now_ms());
        let now = (state.now_ms(), state.clock.wall_ms());
        let monotonic = now.0.saturating_sub(before.0);
        let wall = now.1.saturating_sub(before.1);
        before = now;
        let today = state.today();
        if wall.abs_diff(monotonic) > SKEW_MS_MAX {
            tracing::warn!("the wall clock jumped; nothing is deleted until it is steady");
            continue;
        }
        if swept == Some(today) {
            continue;
        }
        if let Ok(count) = state.stored(state.store.expire(today).await) {
            swept = Some(today);
            tracing::info!(count, "envelopes at the retention limit were deleted");
        }
    }
}
