// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Durable stores behind whole, atomic steps: the server's and the client's.
//!
//! [`server`] says what a server keeps and [`client`] what a client keeps. Every method is one
//! whole step: it has happened wholly or not at all, and when its future resolves the step is
//! durable. No transaction, ticket or key-value call crosses these seams. [`embedded`] implements
//! both once over a private key-value seam, in memory with injected faults and crashes, and on
//! files, where sled or redb keeps the rows.

pub mod calendar;
pub mod client;
#[cfg(feature = "conformance")]
#[allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a suite of tests"
)]
pub mod conformance;
pub mod embedded;
pub mod error;
#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "log")]
mod platform;
pub mod server;
#[cfg(feature = "log")]
pub mod syncer;

pub use calendar::{Day, Minute};
pub use error::StoreError;
