// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The profile's private socket: how the process that hosts the engine serves the others.

pub(crate) mod client;
mod contacts;
mod notices;
pub(crate) mod resolve;
pub(crate) mod server;
pub(crate) mod service;

pub(crate) use client::Client;
pub(crate) use server::Server;
pub(crate) use service::{Mode, Service};
