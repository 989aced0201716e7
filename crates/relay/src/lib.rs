// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server core: accounts, prekeys, mailboxes and delivery.
//!
//! A [`Relay`] is async code over seams: a `Store`, `Link`s, a `Clock`, `Entropy` and a
//! [`WakeBus`]. It carries sealed envelopes and cannot open them: no crate that could is in its
//! dependency graph. Under a paused current-thread runtime it is deterministic.

pub mod admission;
pub mod arrivals;
mod calls;
mod census;
mod connection;
mod drain;
mod live;
mod plane;
mod refusal;
pub mod relay;
mod rendezvous;
mod retention;
mod sendings;
mod state;
mod subscription;
pub mod wake;

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "the numbers of tests are small"
)]
mod tests;

pub use admission::{Action, Rate, Rates};
pub use arrivals::Arrivals;
pub use census::Census;
pub use relay::{Relay, Seams, Settings};
pub use wake::{InProcessWakeBus, Mailbox, WakeBus, Watch};
