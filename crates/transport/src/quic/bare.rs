// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings below links, for the programs that links are measured against: plain quinn with the
//! same provider, key exchange, raw key, transport settings and sockets. Not for applications.

#[cfg(feature = "sim")]
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig};
use rustls::client::Resumption;
use waxwing_proto::KeyPin;

use super::identity::ServerIdentity;
#[cfg(feature = "sim")]
use super::packets::Packets;
use super::packets::{self, SystemPackets};
use super::settings::{self, StableKeys};
use super::tls;
use super::windows::Windows;
use crate::error::LinkError;

/// Tickets that a client keeps.
const TICKETS_MAX: usize = 8;

/// A server's endpoint as [`super::QuicListener`] has it.
///
/// # Errors
/// [`LinkError`].
pub fn server(
    address: SocketAddr,
    identity: &ServerIdentity,
    keys: &StableKeys,
) -> Result<Endpoint, LinkError> {
    let (config, server) = configs(identity, keys)?;
    packets::endpoint(&SystemPackets, address, config, Some(server)).map(|(endpoint, _)| endpoint)
}

/// The settings of such an endpoint.
///
/// # Errors
/// [`LinkError`].
pub fn configs(
    identity: &ServerIdentity,
    keys: &StableKeys,
) -> Result<(EndpointConfig, ServerConfig), LinkError> {
    let server = settings::server(identity, keys, None, Windows::FULL)?;
    Ok((settings::server_endpoint(keys), server))
}

/// A client's endpoint as [`super::QuicDialer`] has it.
///
/// # Errors
/// [`LinkError`].
pub fn client(address: SocketAddr) -> Result<Endpoint, LinkError> {
    let config = settings::client_endpoint();
    packets::endpoint(&SystemPackets, address, config, None).map(|(endpoint, _)| endpoint)
}

/// The same over another network.
#[cfg(feature = "sim")]
pub(crate) fn client_over(packets: &dyn Packets) -> Result<Endpoint, LinkError> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let config = settings::client_endpoint();
    packets::endpoint(packets, any, config, None).map(|(endpoint, _)| endpoint)
}

/// The settings of connections to the server that shows the key of `pin`, of which each but the
/// first is resumed by a ticket of one before, with keys for early data.
///
/// # Errors
/// [`LinkError`].
pub fn resuming(pin: KeyPin) -> Result<ClientConfig, LinkError> {
    let mut config = tls::client(Arc::new(tls::provider()), vec![pin])?;
    config.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
    config.enable_early_data = true;
    let transport = settings::client_transport(None)?;
    Ok(settings::client(
        Arc::new(tls::attempt(config)?),
        Arc::new(transport),
    ))
}

/// The settings of a connection to the server that shows the key of `pin`.
///
/// # Errors
/// [`LinkError`].
pub fn connecting(pin: KeyPin) -> Result<ClientConfig, LinkError> {
    let tls = tls::attempt(tls::client(Arc::new(tls::provider()), vec![pin])?)?;
    let transport = settings::client_transport(None)?;
    Ok(settings::client(Arc::new(tls), Arc::new(transport)))
}
