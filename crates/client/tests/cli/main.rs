// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real `waxwing` against the real `waxwingd`, over loopback, in temporary folders.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "the whole crate is tests: a panic is how they fail"
)]

mod bad_input;
mod closing;
mod conversation;
mod crashes;
mod devices;
mod folders;
mod hosting;
mod keys;
mod messages;
mod operator;
mod output;
mod receipts;
mod support;
mod transports;
mod trust;
