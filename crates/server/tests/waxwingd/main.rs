// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests of the real `waxwingd`: processes, signals, folders, links over QUIC.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed, and waits in real time for real processes"
)]

mod backups;
mod client;
mod commands;
mod disclosing;
mod elsewhere;
mod invites;
mod ipv6;
mod keys;
mod lifecycle;
mod mistakes;
mod panics;
mod process;
mod verifying;
