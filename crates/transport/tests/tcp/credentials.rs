// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that asks its clients who they are learns nothing.

use rustls::ServerConnection;
use waxwing_transport::tcp::ALPN;

use super::foreign::hybrid;
use super::*;

#[path = "../support/asking.rs"]
mod asking;

/// [TRN-4], [TRN-40].
#[tokio::test]
async fn a_client_shows_nothing_to_a_server_that_asks() {
    for for_raw_keys in [false, true] {
        let listener = std::net::TcpListener::bind(loopback(0)).unwrap();
        let address = ServerAddress {
            host: "127.0.0.1".parse().unwrap(),
            port: listener.local_addr().unwrap().port(),
            key_pins: vec![identity(1).key_pin()],
        };
        let config = asking::asking(&hybrid(), &identity(1), ALPN, for_raw_keys);
        let serving = tokio::task::spawn_blocking(move || {
            let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            while tls.is_handshaking() {
                if let Err(error) = tls.complete_io(&mut stream) {
                    return Err(error.to_string());
                }
            }
            let shown = tls.peer_certificates().map(<[_]>::len);
            Ok((shown, stream))
        });
        let dialled = dialer(None).dial(&address, Plane::Account).await;
        let served = serving.await.unwrap();
        if for_raw_keys {
            // The client does not even say that it could show one.
            assert!(dialled.is_err() || served.is_err() || served.unwrap().0.is_none());
        } else {
            assert!(dialled.is_ok(), "{:?} {:?}", dialled.err(), served.err());
            assert_eq!(served.unwrap().0, None);
        }
    }
}
