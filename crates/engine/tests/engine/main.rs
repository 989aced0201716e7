// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Engines in a small world: rows in memory that survive crashes, and a relay in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test that goes wrong has to stop"
)]

mod alarms;
mod calls;
mod compat;
mod contents;
mod conversation;
mod crashes;
mod devices;
mod edges;
mod gaps;
#[path = "../../../../vectors/compat/golden.rs"]
mod golden;
mod horizon;
mod hostile;
mod interruptions;
mod linking;
mod names;
mod prekeys;
mod receipts;
mod requests;
mod server_keys;
mod storm;
mod trials;
mod trust;
mod words;
mod world;
