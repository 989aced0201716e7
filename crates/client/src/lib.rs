// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client of Waxwing: the engine host and the command line.
//!
//! [`host`] runs one engine over whatever store, network, clock and randomness it is given, and
//! [`sealed_store`] stands between the engine's rows and a store. That is the whole library without
//! the feature `cli`, and what the simulator runs. With it, `waxwing` is built around them: one
//! process of a profile hosts the engine and listens on a private socket; every command, in that
//! process or another, is a client of that socket's protocol.

pub mod host;
pub mod sealed_store;

#[cfg(feature = "cli")]
mod api;
#[cfg(feature = "cli")]
pub mod app;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod commands;
#[cfg(feature = "cli")]
mod console;
#[cfg(feature = "cli")]
mod display;
#[cfg(feature = "cli")]
mod fault;
#[cfg(feature = "cli")]
mod passphrase;
#[cfg(feature = "cli")]
mod platform;
#[cfg(feature = "cli")]
mod profile;
#[cfg(feature = "cli")]
mod session;
#[cfg(feature = "cli")]
mod socket;
#[cfg(feature = "cli")]
mod text;
