// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests of the relay as a whole, over the memory store and simulated links.

mod accounts;
mod deadlines;
mod delivery;
mod drain;
mod hostile;
pub(crate) mod people;
mod planes;
mod prekeys;
mod rendezvous;
mod repeatable;
mod retention;
mod sending;
pub(crate) mod sendings;
mod theft;
mod together;
pub(crate) mod world;
