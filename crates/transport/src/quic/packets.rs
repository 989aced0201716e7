// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam below quinn: where its packets go, the operating system's UDP or a simulation.

use core::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, Runtime, ServerConfig, TokioRuntime};
use waxwing_proto::ServerAddress;

use super::socket::{self, SocketBuffers};
use super::unshown::{CountingSocket, Ledger};
use crate::error::LinkError;
use crate::seams::BoxFuture;

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;

/// A bound socket, and the buffers that it was granted.
pub(crate) type Bound = (Arc<dyn AsyncUdpSocket>, SocketBuffers);

/// A network that carries UDP datagrams.
pub(crate) trait Packets: Debug + Send + Sync + 'static {
    /// Binds a socket. Port 0 means any free port.
    fn bind(&self, address: SocketAddr) -> Result<Bound, LinkError>;

    /// The addresses of a server, at least one.
    fn resolve<'a>(
        &'a self,
        server: &'a ServerAddress,
    ) -> BoxFuture<'a, Result<Vec<SocketAddr>, LinkError>>;

    /// What the next endpoint draws its randomness from; `None` for the operating system. T7: each
    /// call gives another seed, as two endpoints with the same one end each other's connections.
    fn endpoint_seed(&self) -> Option<[u8; 32]>;
}

/// The operating system's UDP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemPackets;

impl Packets for SystemPackets {
    fn bind(&self, address: SocketAddr) -> Result<Bound, LinkError> {
        let (socket, buffers) = socket::bind(address)?;
        let socket = TokioRuntime
            .wrap_udp_socket(socket)
            .map_err(|error| LinkError::Socket(error.kind()))?;
        Ok((socket, buffers))
    }

    fn resolve<'a>(
        &'a self,
        server: &'a ServerAddress,
    ) -> BoxFuture<'a, Result<Vec<SocketAddr>, LinkError>> {
        Box::pin(async move {
            let host = server.host.as_str();
            if let Ok(ip) = host.parse::<IpAddr>() {
                return Ok(vec![SocketAddr::new(ip, server.port)]);
            }
            let found = tokio::net::lookup_host((host, server.port))
                .await
                .map_err(|_| LinkError::NameNotResolved)?;
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in found {
                if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() {
                return Err(LinkError::NameNotResolved);
            }
            Ok(addresses)
        })
    }

    fn endpoint_seed(&self) -> Option<[u8; 32]> {
        None
    }
}

/// The same for a server, whose socket keeps to `ledger`.
pub(super) fn server_endpoint(
    packets: &dyn Packets,
    address: SocketAddr,
    (mut config, server): (EndpointConfig, ServerConfig),
    ledger: &Arc<Ledger>,
) -> Result<(Endpoint, SocketBuffers), LinkError> {
    let (socket, buffers) = packets.bind(address)?;
    let socket = Arc::new(CountingSocket::new(socket, Arc::clone(ledger)));
    config.rng_seed(packets.endpoint_seed());
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime)
        .map_err(|error| LinkError::Socket(error.kind()))?;
    Ok((endpoint, buffers))
}

/// Makes an endpoint on a socket that is bound at `address`.
pub(super) fn endpoint(
    packets: &dyn Packets,
    address: SocketAddr,
    mut config: EndpointConfig,
    server: Option<ServerConfig>,
) -> Result<(Endpoint, SocketBuffers), LinkError> {
    let (socket, buffers) = packets.bind(address)?;
    config.rng_seed(packets.endpoint_seed());
    let endpoint =
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))
            .map_err(|error| LinkError::Socket(error.kind()))?;
    Ok((endpoint, buffers))
}
