// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stores over an ordered key-value seam, which is in memory or on sled.
//!
//! A step decides under one lock, on everything that was decided before, hands one atomic batch to
//! the key-value store and is answered when that is durable. Nothing outside this crate sees keys.

mod accounts;
mod client;
#[cfg(test)]
#[cfg(feature = "sled")]
mod compatibility;
mod delivery_ids;
mod disclosed;
mod expiry;
#[cfg(feature = "sled")]
pub mod files;
mod format;
mod invites;
pub mod key_value;
#[cfg(feature = "sled")]
pub mod logged;
mod mailboxes;
pub mod memory;
mod overlay;
mod prekeys;
mod records;
mod removal;
mod rows;
mod server;
mod shares;
#[cfg(feature = "sled")]
pub mod tickets;

pub use client::EmbeddedClientStore;
pub use server::{EmbeddedStore, ServerLimits, ServerOptions};
