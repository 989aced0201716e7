// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A deterministic world: the real client hosts and the real relays, on disks in memory, over a
//! simulated network, under virtual time.
//!
//! A seed decides everything: who has which devices, what is sent when, which machine loses power
//! at which moment and what its disk keeps, how the network behaves. While it runs, every byte on
//! the network and every row on a disk is searched for plaintext; at its end a reference model,
//! which knows nothing of sessions or mailboxes, says whether each accepted text is on every screen
//! that it is due on, once, in order. The same seed gives the same hash of the same events.
//!
//! sled is not in here: it has tests of its own on real files. The real QUIC stack is in a world of
//! its own, [`quic`], without people.

pub mod canary;
pub mod chaos;
pub mod device;
pub mod dice;
pub mod disk;
pub mod event_log;
pub mod model;
pub mod quic;
pub mod relay;
pub mod run;
pub mod witness;
pub mod world;
