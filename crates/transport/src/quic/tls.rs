// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The TLS settings of both sides.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use waxwing_proto::KeyPin;

use super::ALPN;
use super::identity::ServerIdentity;
use super::pins::PinnedKeys;
use crate::error::LinkError;

const UNUSABLE: LinkError = LinkError::Settings("the TLS library lacks a needed algorithm");

/// The cryptography of every handshake.
///
/// T1, T2: it is given explicitly, so that no feature of a dependency chooses another one.
/// T3: the default list of the library has classical groups before and beside the hybrid one; here
/// the hybrid group stands alone, and a downgrade has nothing to fall to.
pub(super) fn provider() -> CryptoProvider {
    // TRN-2.
    CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    }
}

/// The key exchanges that both sides offer, by their names in the registry of TLS groups: read from the
/// settings that every handshake uses.
#[must_use]
pub fn key_exchanges() -> Vec<String> {
    let groups = provider().kx_groups;
    groups
        .iter()
        .map(|group| format!("{:?}", group.name()))
        .collect()
}

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

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn the_hybrid_group_stands_alone() {
        let groups: Vec<NamedGroup> = provider().kx_groups.iter().map(|it| it.name()).collect();
        assert_eq!(groups, [NamedGroup::X25519MLKEM768]);
        assert_eq!(
            key_exchanges(),
            [crate::link::KeyExchange::X25519MlKem768.as_str()]
        );
    }
}
