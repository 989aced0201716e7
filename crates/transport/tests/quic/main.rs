// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real QUIC over the loopback interface.
#![cfg(all(feature = "quic", feature = "platform"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

mod calls;
mod credentials;
mod foreign;
mod handshake;
mod limits_and_end;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use waxwing_proto::{KeyPin, ServerAddress, limits, v1};
use waxwing_transport::platform::SystemClock;
use waxwing_transport::quic::{
    ALPN, DialerSettings, ListenerSettings, QuicDialer, QuicListener, ServerIdentity, StableKeys,
};
use waxwing_transport::{
    Clock, CloseReason, Dialer, Link, LinkError, Listener, Plane, serve_hello,
};

fn identity(seed: u8) -> ServerIdentity {
    ServerIdentity::from_seed(&[seed; 32]).unwrap()
}

fn keys() -> StableKeys {
    StableKeys {
        reset: [1; 32],
        token: [2; 32],
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn listen(settings: ListenerSettings) -> QuicListener {
    QuicListener::bind(loopback(0), &identity(1), &keys(), None, settings).unwrap()
}

fn listener() -> QuicListener {
    listen(ListenerSettings::default())
}

fn address(listener: &QuicListener, pins: Vec<KeyPin>) -> ServerAddress {
    ServerAddress {
        host: "127.0.0.1".parse().unwrap(),
        port: listener.local_address().unwrap().port(),
        key_pins: pins,
    }
}

fn dialer() -> QuicDialer {
    QuicDialer::new(DialerSettings::default())
}

async fn links(listener: &QuicListener) -> (Link, Link) {
    let address = address(listener, vec![identity(1).key_pin()]);
    let dialer = dialer();
    let (ours, theirs) = tokio::join!(dialer.dial(&address, Plane::Account), listener.accept());
    (ours.unwrap(), theirs.unwrap())
}

/// Answers `prekey_status`; never answers anything else.
async fn serve(link: Link) {
    let connection = serve_hello(link, clock()).await.unwrap();
    while let Ok(pending) = connection.accept().await {
        tokio::spawn(async move {
            let Ok(call) = pending.read().await else {
                return;
            };
            let _ = call
                .answer_with(|request| async move {
                    match request {
                        v1::request::Call::PrekeyStatus(_) => Ok(
                            v1::response::Result::PrekeyStatus(v1::PrekeyStatusResponse::default()),
                        ),
                        _ => core::future::pending().await,
                    }
                })
                .await;
        });
    }
}

fn status() -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PrekeyStatus(v1::PrekeyStatusRequest {})),
    }
}
