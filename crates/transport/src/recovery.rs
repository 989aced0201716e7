// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps a connection to one server up, and gets it back quickly after an outage.
//!
//! T6: QUIC's probe timer doubles without a cap, so that after an outage of 30 s a raw connection
//! stays silent for 12 to 20 s more. Here the application's own timer is the cap: a link on which
//! something waits and nothing is heard is probed every [`limits::PROBE_INTERVAL_MS`], and a fresh
//! connection is raced against it. When the host says that the network has changed, both happen at
//! once. What the server asks for, in its close or in an answer, overrides all of it, so that the
//! clients of a restarted server do not return together.
//!
//! [`Keeper`] does so for the one connection that is kept up, [`probing`] for a call on any link.
//! When to do what is decided by pure state machines, [`Pace`] and [`Silence`].
//!
//! [`limits::PROBE_INTERVAL_MS`]: waxwing_proto::limits::PROBE_INTERVAL_MS

use waxwing_proto::limits;

mod attempts;
mod keeper;
mod pace;
mod probing;
mod renewal;
mod signals;
mod silence;

pub use attempts::KeptPins;
pub use keeper::{Keeper, Kept};
pub use pace::Pace;
pub use probing::{connect_eagerly, probing};
pub use signals::{Signals, Waiting};
pub use silence::Silence;

/// How often a silent server is tried while something waits, in milliseconds: sooner than the bound
/// by what a lost packet of a handshake costs.
const INTERVAL_MS: u64 = (limits::PROBE_INTERVAL_MS / 4 * 3) as u64;
