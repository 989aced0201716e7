// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One host's view of the network.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use waxwing_proto::ServerAddress;

use super::Shared;
use super::socket::SimSocket;
use crate::error::LinkError;
use crate::quic::SocketBuffers;
use crate::quic::packets::{Bound, Packets};
use crate::seams::BoxFuture;

#[derive(Debug)]
pub(super) struct SimHost {
    shared: Arc<Shared>,
    name: Arc<str>,
}

impl SimHost {
    pub(super) const fn new(shared: Arc<Shared>, name: Arc<str>) -> Self {
        Self { shared, name }
    }
}

impl Packets for SimHost {
    fn bind(&self, address: SocketAddr) -> Result<Bound, LinkError> {
        let bound = self.shared.map().bind(&self.name, address.port());
        let (id, local) = bound.ok_or(LinkError::Socket(ErrorKind::AddrInUse))?;
        let socket = SimSocket::new(Arc::clone(&self.shared), id, local);
        let buffers = SocketBuffers {
            receive_bytes: usize::MAX,
            send_bytes: usize::MAX,
        };
        Ok((Arc::new(socket), buffers))
    }

    fn resolve<'a>(
        &'a self,
        server: &'a ServerAddress,
    ) -> BoxFuture<'a, Result<Vec<SocketAddr>, LinkError>> {
        let host = server.host.as_str();
        let named = self.shared.map().public_ip(host);
        let ip = named.or_else(|| host.parse::<IpAddr>().ok());
        let address = ip.map(|ip| vec![SocketAddr::new(ip, server.port)]);
        Box::pin(core::future::ready(
            address.ok_or(LinkError::NameNotResolved),
        ))
    }

    fn endpoint_seed(&self) -> Option<[u8; 32]> {
        Some(self.shared.map().seed())
    }
}
