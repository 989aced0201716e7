// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TLS over TCP on the loopback interface: who can connect, what hostile peers can do, and proxies.
#![cfg(all(feature = "tcp", feature = "platform"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

mod credentials;
mod foreign;
mod handshake;
mod hostile;
mod proxies;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use waxwing_proto::{KeyPin, ServerAddress, v1};
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::tcp::{
    Proxy, TcpDialer, TcpDialerSettings, TcpListener, TcpListenerSettings,
};
use waxwing_transport::tls::ServerIdentity;
use waxwing_transport::{
    Clock, CloseReason, Connection, Dialer, Link, LinkError, Listener, Plane, serve_hello,
};

fn identity(seed: u8) -> ServerIdentity {
    ServerIdentity::from_seed(&[seed; 32]).unwrap()
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn listen(settings: TcpListenerSettings) -> TcpListener {
    TcpListener::bind(loopback(0), &identity(1), None, settings).unwrap()
}

fn listener() -> TcpListener {
    listen(TcpListenerSettings::default())
}

fn address(listener: &TcpListener, key_pins: Vec<KeyPin>) -> ServerAddress {
    ServerAddress {
        host: "127.0.0.1".parse().unwrap(),
        port: listener.local_address().unwrap().port(),
        key_pins,
    }
}

fn own_address(listener: &TcpListener) -> ServerAddress {
    address(listener, vec![identity(1).key_pin()])
}

fn dialer(proxy: Option<Proxy>) -> TcpDialer {
    let settings = TcpDialerSettings {
        proxy,
        ..TcpDialerSettings::default()
    };
    TcpDialer::new(settings, Arc::new(SystemEntropy))
}

async fn links(listener: &TcpListener) -> (Link, Link) {
    let address = own_address(listener);
    let dialer = dialer(None);
    let (ours, theirs) = tokio::join!(dialer.dial(&address, Plane::Account), listener.accept());
    (ours.unwrap(), theirs.unwrap())
}

/// Answers every `prekey_status`.
async fn serve(link: Link) {
    let Ok(connection) = serve_hello(link, clock()).await else {
        return;
    };
    while let Ok(pending) = connection.accept().await {
        let Ok(call) = pending.read().await else {
            continue;
        };
        let status = v1::PrekeyStatusResponse::default();
        let answer = v1::response::Result::PrekeyStatus(status);
        let _ = call.responder.answer(answer).await;
    }
}

fn status() -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PrekeyStatus(v1::PrekeyStatusRequest {})),
    }
}
