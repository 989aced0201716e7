// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that asks its clients who they are learns nothing.

use quinn::crypto::rustls::QuicServerConfig;

use super::foreign::hybrid;
use super::*;

#[path = "../support/asking.rs"]
mod asking;

/// [TRN-4].
#[tokio::test]
async fn a_client_shows_nothing_to_a_server_that_asks() {
    let config = asking::asking(&hybrid(), &identity(1), ALPN, false);
    let config = QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = quinn::Endpoint::server(config, loopback(0)).unwrap();
    let address = ServerAddress {
        host: "127.0.0.1".parse().unwrap(),
        port: endpoint.local_addr().unwrap().port(),
        key_pins: vec![identity(1).key_pin()],
    };
    let dialer = dialer();
    let (ours, theirs) = tokio::join!(dialer.dial(&address, Plane::Account), async {
        endpoint.accept().await.unwrap().await
    });
    assert!(ours.is_ok(), "{:?}", ours.err());
    assert!(theirs.unwrap().peer_identity().is_none());
}
