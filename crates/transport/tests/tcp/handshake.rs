// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who can connect to whom.

use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use waxwing_transport::KeyExchange;
use waxwing_transport::tcp::ALPN;

use super::foreign::{Foreign, classical, either, hybrid};
use super::*;

/// [TRN-40], [TRN-47]: the key exchange and the protocol name decide, and no ticket is given.
#[tokio::test]
async fn a_classical_client_cannot_connect_and_nobody_gets_a_ticket() {
    let listener = listener();
    let to = listener.local_address().unwrap();
    let attempts = tokio::task::spawn_blocking(move || {
        // The same client with the hybrid group gets through, so that nothing else stops it.
        let mut welcome = Foreign::connect(hybrid(), ALPN, to).unwrap();
        welcome.send(&[6]).unwrap();
        assert_eq!(welcome.read_exact(1), [7], "a ping is answered");
        assert_eq!(welcome.tickets(), 0);
        assert!(Foreign::connect(classical(), ALPN, to).is_err());
        assert!(Foreign::connect(hybrid(), b"h2", to).is_err());
        assert!(Foreign::connect(hybrid(), b"waxwing/1", to).is_err());
    });
    let link = listener.accept().await.unwrap();
    attempts.await.unwrap();
    drop(link);
}

/// A client that prefers another group is asked for ours, or gets nothing: what the link says is what
/// the client has agreed on.
#[tokio::test]
async fn a_client_that_offers_more_agrees_on_the_hybrid_group() {
    let listener = listener();
    let to = listener.local_address().unwrap();
    let client = tokio::task::spawn_blocking(move || Foreign::connect(either(), ALPN, to));
    let client = client.await.unwrap().unwrap();
    let link = listener.accept().await.unwrap();
    let agreed = client.group();
    assert_eq!(agreed, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(link.negotiated_group(), KeyExchange::X25519MlKem768);
}

/// Dials a server that is not this crate, which shows our key.
async fn dial_foreign_server(provider: Arc<CryptoProvider>) -> Result<Link, LinkError> {
    let key = PrivatePkcs8KeyDer::from(identity(1).to_pkcs8().to_vec());
    let key = provider.key_provider.load_private_key(key.into()).unwrap();
    let spki = CertificateDer::from(key.public_key().unwrap().to_vec());
    let key = Arc::new(CertifiedKey::new(vec![spki], key));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let server = std::net::TcpListener::bind(loopback(0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let serving = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        // Until the handshake has ended or the client has.
        while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
    });
    let address = ServerAddress {
        host: "127.0.0.1".parse().unwrap(),
        port,
        key_pins: vec![identity(1).key_pin()],
    };
    let outcome = dialer(None).dial(&address, Plane::Account).await;
    serving.await.unwrap();
    outcome
}

#[tokio::test]
async fn a_classical_server_cannot_be_connected_to() {
    // With the hybrid group the same server is reached, so that nothing else is what stops it.
    let link = dial_foreign_server(hybrid()).await.unwrap();
    assert_eq!(link.negotiated_group(), KeyExchange::X25519MlKem768);
    let refused = dial_foreign_server(classical()).await;
    assert_eq!(refused.unwrap_err(), LinkError::Handshake);
}

/// TRN-6.
#[tokio::test]
async fn every_link_has_a_socket_of_its_own() {
    let listener = listener();
    let address = own_address(&listener);
    let dialer = dialer(None);
    let (mut ports, mut kept) = (Vec::new(), Vec::new());
    for plane in [Plane::Account, Plane::Anonymous, Plane::Anonymous] {
        let (ours, theirs) = tokio::join!(dialer.dial(&address, plane), listener.accept());
        let theirs = theirs.unwrap();
        ports.push(theirs.remote_address().port());
        kept.push((ours.unwrap(), theirs));
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3);
}

#[tokio::test]
async fn more_connections_than_allowed_are_refused() {
    let listener = listen(TcpListenerSettings {
        connections_max: 1,
        ..TcpListenerSettings::default()
    });
    let (_ours, _theirs) = links(&listener).await;
    let address = own_address(&listener);
    let refused = dialer(None).dial(&address, Plane::Account).await;
    assert_eq!(refused.unwrap_err(), LinkError::Refused);
}

/// [TRN-67]: one host cannot take all the places.
#[tokio::test]
async fn more_connections_of_one_network_than_allowed_are_refused_while_they_live() {
    let listener = listen(TcpListenerSettings {
        connections_per_prefix_max: 2,
        ..TcpListenerSettings::default()
    });
    let first = links(&listener).await;
    let _second = links(&listener).await;
    let address = own_address(&listener);
    let refused = dialer(None).dial(&address, Plane::Account).await;
    assert_eq!(refused.unwrap_err(), LinkError::Refused);
    // Another network has places of its own.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 8, 1], 0).into()).unwrap();
    let to = listener.local_address().unwrap();
    let _other = socket.connect(to).await.unwrap();
    while listener.connections() < 3 {
        tokio::task::yield_now().await;
    }
    drop(first);
    while listener.connections() > 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _third = links(&listener).await;
}

#[tokio::test]
async fn nobody_at_the_port_is_a_refusal() {
    let address = own_address(&listener());
    tokio::task::yield_now().await;
    let refused = dialer(None).dial(&address, Plane::Account).await;
    assert_eq!(refused.unwrap_err(), LinkError::Refused);
}

/// [TRN-48]: the process ends without a word: the client learns it from the operating system.
#[test]
fn the_end_of_a_killed_server_is_a_reset() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (server, clients) = (runtime(), runtime());
    let (listener, address) = server.block_on(async {
        let listener = listener();
        let address = own_address(&listener);
        (listener, address)
    });
    let ours = clients
        .block_on(dialer(None).dial(&address, Plane::Account))
        .unwrap();
    let theirs = server.block_on(listener.accept()).unwrap();
    drop(server);
    assert_eq!(clients.block_on(ours.closed()), CloseReason::Reset);
    assert_eq!(theirs.close_reason(), Some(CloseReason::Fault));
}
