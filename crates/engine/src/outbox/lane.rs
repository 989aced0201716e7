// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The lane of one account: its shipments leave one after the other, so that order holds; lanes of
//! different accounts run side by side. A lane is not stored: a restart begins at its first shipment.

use std::collections::{BTreeSet, VecDeque};

use waxwing_proto::{DeviceId, v1};

/// What a lane waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LaneState {
    /// Nothing: the next look goes on with the first shipment.
    #[default]
    Idle,
    /// An answer of a server.
    Asking,
    /// The answer to a sending, for the shipment of this number.
    Sending(u64),
    /// The timer of the lane.
    Waiting,
}

/// Why a lane rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Rest {
    /// It has not rested, or for a reason that passes by itself.
    #[default]
    Other,
    /// Its server could not be reached.
    Unreached,
    /// Its server refused.
    Refused(v1::ErrorCode),
}

/// The shipments for one account, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) shipments: VecDeque<u64>,
    pub(crate) state: LaneState,
    /// Failures in a row.
    pub(crate) attempt: u32,
    /// Why the lane rested last, since the last success.
    pub(crate) rest: Rest,
    /// Since when its server could not be reached, on the monotonic clock.
    pub(crate) unreached_since_ms: Option<u64>,
    /// Whether the lane's address was looked up again since the last success.
    pub(crate) resolved_again: bool,
    /// Rounds with a list of devices that does not fit, since the last success or the last rest.
    pub(crate) stale_rounds: u32,
    /// Answers in a row that showed an older manifest than the pinned one.
    pub(crate) older_shown: u32,
    /// Devices that have not published prekeys: they may be left out, since nobody can encrypt to them.
    pub(crate) without_prekeys: BTreeSet<DeviceId>,
    /// When prekeys for new sessions beside ones that go on may be asked for again, on the monotonic clock.
    pub(crate) renew_again_ms: u64,
    /// When prekeys of those devices are asked for again, on the monotonic clock: each question costs the
    /// recipient's share. A device that publishes makes the list stale, which is told at once.
    pub(crate) ask_again_ms: u64,
}
