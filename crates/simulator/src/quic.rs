// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The transport alone, over the real QUIC stack: one client sends numbered messages over a network
//! full of faults, and nothing may be lost, doubled or out of order.
//!
//! The client keeps one connection up with the transport's own keeper, and sends each message under
//! the same number until it is answered; the server's ledger, which survives its crashes, is what
//! is judged. Times and sizes follow from the seed; the bytes do not, as the keys come from the
//! operating system.

mod bounds;
mod course;
mod figures;
mod ledger;

pub use bounds::Event;
pub use course::{Run, run};
pub use figures::{Figures, Spread};
