// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The TLS settings of both sides.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use waxwing_proto::KeyPin;

use super::ALPN;
use super::identity::ServerIdentity;
use super::pins::PinnedKeys;
use crate::error::LinkError;
pub(super) use crate::tls::provider;

const UNUSABLE: LinkError = LinkError::Settings("the TLS library lacks a needed algorithm");

/// The client's settings for one attempt, and the verifier, which remembers what it saw.
pub(super) fn client(
    provider: Arc<CryptoProvider>,
    pins: Vec<KeyPin>,
) -> Result<(QuicClientConfig, Arc<PinnedKeys>), LinkError> {
    // TRN-4, TRN-5.
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(PinnedKeys::new(pins, algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| UNUSABLE)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<_>)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A ticket would let a server tie two connections to one client.
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    let config = QuicClientConfig::try_from(config).map_err(|_| UNUSABLE)?;
    Ok((config, verifier))
}

/// The server's settings.
pub(super) fn server(
    provider: Arc<CryptoProvider>,
    identity: &ServerIdentity,
) -> Result<QuicServerConfig, LinkError> {
    let resolver = AlwaysResolvesServerRawPublicKeys::new(identity.certified_key());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| UNUSABLE)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // T4, T5: without tickets there is nothing to store, to steal or to replay.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|_| UNUSABLE)
}
