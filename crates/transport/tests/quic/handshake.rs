// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who can connect to whom.

use quinn::crypto::rustls::QuicServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;

use super::foreign::{classical, either, foreign_client, hybrid};
use super::*;

#[tokio::test]
async fn no_two_links_share_a_socket() {
    let listener = listener();
    let address = address(&listener, vec![identity(1).key_pin()]);
    let dialer = dialer();
    let mut ports = Vec::new();
    let mut kept = Vec::new();
    for plane in [Plane::Account, Plane::Anonymous, Plane::Account] {
        let (ours, theirs) = tokio::join!(dialer.dial(&address, plane), listener.accept());
        ports.push(theirs.as_ref().unwrap().remote_address().port());
        kept.push((ours.unwrap(), theirs.unwrap()));
    }
    // TRN-6, TRN-68.
    assert_ne!(ports[0], ports[1]);
    assert_ne!(ports[0], ports[2]);
    assert_ne!(ports[1], ports[2]);
}

#[tokio::test]
async fn a_classical_client_cannot_connect() {
    let listener = listener();
    let to = listener.local_address().unwrap();
    // The same client with the hybrid group gets through, so that nothing else is what stops it.
    assert!(foreign_client(hybrid(), ALPN, to).await.is_ok());
    assert!(foreign_client(classical(), ALPN, to).await.is_err());
    // One that would take either is asked for ours.
    assert!(foreign_client(either(), ALPN, to).await.is_ok());
    assert!(foreign_client(hybrid(), b"h3", to).await.is_err());
}

/// Dials a server that shows the key of `shown` and signs with the key of `signer`.
async fn dial_foreign_server(
    provider: Arc<CryptoProvider>,
    shown: &ServerIdentity,
    signer: &ServerIdentity,
) -> Result<Link, LinkError> {
    let load = |identity: &ServerIdentity| {
        let der = PrivatePkcs8KeyDer::from(identity.to_pkcs8().to_vec());
        provider.key_provider.load_private_key(der.into()).unwrap()
    };
    let spki = load(shown).public_key().unwrap().to_vec();
    let key = CertifiedKey::new(vec![CertificateDer::from(spki)], load(signer));
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::new(
            key,
        ))));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let config = QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = quinn::Endpoint::server(config, loopback(0)).unwrap();
    let address = ServerAddress {
        host: "127.0.0.1".parse().unwrap(),
        port: endpoint.local_addr().unwrap().port(),
        key_pins: vec![shown.key_pin()],
    };
    let serving = tokio::spawn(async move {
        if let Ok(connection) = endpoint.accept().await.unwrap().await {
            connection.closed().await;
        }
    });
    let outcome = dialer().dial(&address, Plane::Account).await;
    serving.abort();
    outcome
}

#[tokio::test]
async fn a_classical_server_cannot_be_connected_to() {
    let own = identity(1);
    // With the hybrid group the same server is reached, so that nothing else is what stops it.
    assert!(dial_foreign_server(hybrid(), &own, &own).await.is_ok());
    let refused = dial_foreign_server(classical(), &own, &own).await;
    assert_eq!(refused.unwrap_err(), LinkError::Handshake);
}

/// [TRN-3].
#[tokio::test]
async fn whoever_shows_the_pinned_key_must_hold_it() {
    let refused = dial_foreign_server(hybrid(), &identity(1), &identity(2)).await;
    assert_eq!(refused.unwrap_err(), LinkError::Handshake);
}
