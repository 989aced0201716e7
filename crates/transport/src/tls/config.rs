// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The TLS settings of both sides, the same on every kind of link but for the protocol's name.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{
    AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, StoresServerSessions,
};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use waxwing_proto::KeyPin;

use super::identity::ServerIdentity;
use super::pins::PinnedKeys;
use super::provider;
use super::tickets::Tickets;
use crate::error::LinkError;

pub(crate) const UNUSABLE: LinkError =
    LinkError::Settings("the TLS library lacks a needed algorithm");

/// A client's settings that keep no ticket.
pub(crate) fn client(
    provider: Arc<CryptoProvider>,
    pins: Vec<KeyPin>,
    protocol: &[u8],
) -> Result<ClientConfig, LinkError> {
    // TRN-4.
    let algorithms = provider.signature_verification_algorithms;
    let verifier = PinnedKeys::new(pins, algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| UNUSABLE)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// A server's settings. Without `tickets` there is nothing to resume.
pub(crate) fn server(
    identity: &ServerIdentity,
    protocol: &[u8],
    tickets: Option<&Arc<Tickets>>,
) -> Result<ServerConfig, LinkError> {
    let resolver = AlwaysResolvesServerRawPublicKeys::new(identity.certified_key());
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| UNUSABLE)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![protocol.to_vec()];
    // TRN-80. T5: never the store of the library, which keeps 256 sessions and loses them with the
    // process.
    config.send_tls13_tickets = usize::from(tickets.is_some());
    config.session_storage = match tickets {
        Some(tickets) => Arc::clone(tickets) as Arc<dyn StoresServerSessions>,
        None => Arc::new(NoServerSessionStorage {}),
    };
    // TRN-5. A ticket is looked up once, so a first flight that comes again finds none.
    config.max_early_data_size = 0;
    Ok(config)
}
