// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests of the relay as a whole, over the memory store and simulated links.

mod accounts;
mod delivery;
mod drain;
mod hostile;
mod people;
mod planes;
mod prekeys;
mod rendezvous;
mod repeatable;
mod retention;
mod sending;
mod theft;
mod world;
