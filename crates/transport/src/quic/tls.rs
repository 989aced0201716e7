// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The TLS settings of both sides, as quinn takes them.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use waxwing_proto::KeyPin;

use super::ALPN;
use super::identity::ServerIdentity;
use crate::error::LinkError;
use crate::tls::config::{self, UNUSABLE};
pub(super) use crate::tls::provider;
use crate::tls::tickets::Tickets;

/// A client's settings that keep no ticket.
pub(super) fn client(
    provider: Arc<CryptoProvider>,
    pins: Vec<KeyPin>,
) -> Result<ClientConfig, LinkError> {
    config::client(provider, pins, ALPN)
}

/// A client's settings for one attempt.
pub(super) fn attempt(config: ClientConfig) -> Result<QuicClientConfig, LinkError> {
    QuicClientConfig::try_from(config).map_err(|_| UNUSABLE)
}

/// The server's settings.
pub(super) fn server(
    identity: &ServerIdentity,
    tickets: Option<&Arc<Tickets>>,
) -> Result<QuicServerConfig, LinkError> {
    let mut config = config::server(identity, ALPN, tickets)?;
    if tickets.is_some() {
        // All or nothing (RFC 9001, section 4.6.1); flow control bounds it.
        config.max_early_data_size = u32::MAX;
    }
    QuicServerConfig::try_from(config).map_err(|_| UNUSABLE)
}
