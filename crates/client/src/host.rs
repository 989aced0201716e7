// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The engine host: everything around the engine that does something.
//!
//! [`Driver`] runs one engine over a store, a network, a clock and randomness that it is given, and
//! [`Handle`] is how its users talk to it. The same driver runs in the command line and in the
//! simulator: under a current-thread runtime with a virtual clock its run follows from the seed.

mod account_link;
mod anonymous;
mod connect;
mod driver;
mod error;
mod handle;
mod inbound;
mod rests;

pub use driver::{Driver, Seams};
pub use error::HostError;
pub use handle::{CommandFailure, Handle, LinkState};
