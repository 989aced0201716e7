// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A simulated network of named nodes, which follows from a seed.
//!
//! It offers what QUIC offers to the layers above: reliable streams, each in order, on connections
//! with delay, jitter, packets that are lost (and cost a retransmission delay), streams that
//! overtake one another, partitions, restarts and idle timeouts. A [`Tap`] sees every byte.
//! It needs a current-thread tokio runtime with a paused clock; no task of its own runs while
//! nothing is scheduled. Credit returns to a sender at once; bandwidth is not limited.
//!
//! With the feature `quic` there is a second network, [`PacketNetwork`]: it carries the datagrams
//! of the real QUIC stack.

mod dialer;
mod end;
mod faults;
mod halves;
mod listener;
mod network;
#[cfg(feature = "quic")]
mod packets;
mod seams;
mod tap;
mod world;

pub use dialer::SimDialer;
pub use listener::SimListener;
pub use network::{NetworkSettings, SimNetwork};
#[cfg(feature = "quic")]
pub use packets::{PacketEvent, PacketNetwork, PacketSettings, PacketTap};
pub use seams::{SimClock, SimEntropy};
pub use tap::{EventLog, Tap, TapEvent, TapKind};
