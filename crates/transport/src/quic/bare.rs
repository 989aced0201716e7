// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings below links, for the programs that links are measured against: plain quinn with the
//! same provider, key exchange, raw key, transport settings and sockets. Not for applications.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{ClientConfig, Endpoint};
use waxwing_proto::KeyPin;

use super::identity::ServerIdentity;
use super::packets::{self, SystemPackets};
use super::settings::{self, StableKeys};
use super::tls;
use crate::error::LinkError;

/// A server's endpoint as [`super::QuicListener`] has it.
///
/// # Errors
/// [`LinkError`].
pub fn server(
    address: SocketAddr,
    identity: &ServerIdentity,
    keys: &StableKeys,
) -> Result<Endpoint, LinkError> {
    let server = settings::server(identity, keys, None)?;
    let config = settings::server_endpoint(keys);
    packets::endpoint(&SystemPackets, address, config, Some(server)).map(|(endpoint, _)| endpoint)
}

/// A client's endpoint as [`super::QuicDialer`] has it.
///
/// # Errors
/// [`LinkError`].
pub fn client(address: SocketAddr) -> Result<Endpoint, LinkError> {
    let config = settings::client_endpoint();
    packets::endpoint(&SystemPackets, address, config, None).map(|(endpoint, _)| endpoint)
}

/// The settings of a connection to the server that shows the key of `pin`.
///
/// # Errors
/// [`LinkError`].
pub fn connecting(pin: KeyPin) -> Result<ClientConfig, LinkError> {
    let tls = tls::attempt(tls::client(Arc::new(tls::provider()), vec![pin])?)?;
    let transport = settings::client_transport(None)?;
    Ok(settings::client(tls, Arc::new(transport)))
}
