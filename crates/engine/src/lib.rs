// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client core of Waxwing, without I/O: events in, effects out.
//!
//! The engine owns all policy of a client: what is sent to which device and when, what is trusted,
//! what is shown, what is kept. It reads no clock, no socket, no file and no randomness: time and
//! randomness are arguments, and everything else is an [`Event`] or an [`Effect`]. The same engine
//! runs under the command line, the daemon and the simulator.

mod account;
mod alarms;
mod answers;
mod codec;
pub mod command;
mod commands;
mod connection;
mod contact_commands;
mod contact_devices;
mod contacts;
mod content;
mod delivery_ids;
mod devices;
pub mod effect;
mod engine;
mod error;
pub mod event;
mod expiry;
mod gaps;
mod gathering;
mod handed_over;
mod horizon;
mod inbox;
mod journal;
mod keys;
mod labels;
mod linking;
mod manifests;
mod messages;
pub mod notice;
mod opening;
pub mod order;
mod outbox;
mod own;
mod pending;
mod prekeys;
mod reading;
mod receipts;
mod receiving;
mod recovery;
mod registration;
pub mod row;
mod sending;
mod server_keys;
mod sessions;
mod snapshot;
mod sync;
pub mod time;
mod timers;
mod trust;
mod verification;
mod waiting;

pub use command::{Answer, Command, CommandError, CommandId};
pub use effect::{Effect, Plane, QueryId, RequestId};
pub use engine::Engine;
pub use error::EngineError;
pub use event::{Event, LinkFailure, RequestFailure};
pub use notice::Notice;
pub use row::{Batch, BatchId, Row, RowKey, RowRange, RowWrite, Table};
pub use time::Now;
