// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls over the simulated network: greetings, deadlines, cancellation, faults, determinism.
#![cfg(feature = "sim")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

mod calls;
mod determinism;
mod faults;
mod keys;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use waxwing_proto::{KeyPin, ServerAddress, v1};
use waxwing_transport::sim::{
    EventLog, NetworkSettings, SimClock, SimDialer, SimListener, SimNetwork, TapKind,
};
use waxwing_transport::{
    CallError, Clock, CloseCode, CloseReason, Connection, Dialer, Link, LinkError, Listener, Plane,
    serve_hello,
};

const PIN: KeyPin = KeyPin([7; 32]);

struct World {
    network: SimNetwork,
    clock: Arc<dyn Clock>,
    listener: Arc<SimListener>,
    dialer: SimDialer,
    address: ServerAddress,
}

impl World {
    async fn links(&self) -> (Link, Link) {
        let client = self
            .dialer
            .dial(&self.address, Plane::Anonymous)
            .await
            .unwrap();
        (client, self.listener.accept().await.unwrap())
    }

    /// Serves every connection: `prekey_status` is answered with 7, `take_prekeys` never.
    fn serve(&self) {
        let (listener, clock) = (Arc::clone(&self.listener), Arc::clone(&self.clock));
        tokio::spawn(async move {
            while let Some(link) = listener.accept().await {
                tokio::spawn(serve_link(link, Arc::clone(&clock)));
            }
        });
    }

    async fn connect(&self) -> Connection {
        let link = self
            .dialer
            .dial(&self.address, Plane::Account)
            .await
            .unwrap();
        Connection::establish(link, Arc::clone(&self.clock))
            .await
            .unwrap()
    }
}

fn world(seed: u64, settings: NetworkSettings) -> World {
    let network = SimNetwork::new(seed, settings);
    World {
        clock: Arc::new(SimClock::new(1_700_000_000_000)),
        listener: Arc::new(network.listen("relay", 4433, PIN)),
        dialer: network.dialer("alice"),
        address: SimNetwork::server_address("relay", 4433, vec![PIN]).unwrap(),
        network,
    }
}

async fn serve_link(link: Link, clock: Arc<dyn Clock>) {
    let Ok(connection) = serve_hello(link, clock).await else {
        return;
    };
    while let Ok(pending) = connection.accept().await {
        tokio::spawn(async move {
            let Ok(call) = pending.read().await else {
                return;
            };
            let _ = call
                .answer_with(|request| async move {
                    match request {
                        v1::request::Call::PrekeyStatus(_) => Ok(
                            v1::response::Result::PrekeyStatus(v1::PrekeyStatusResponse {
                                one_time_remaining: 7,
                                signed_pair_id: 1,
                            }),
                        ),
                        v1::request::Call::TakePrekeys(_) => core::future::pending().await,
                        _ => Err(v1::Error {
                            code: v1::ErrorCode::RateLimited.into(),
                            retry_after_ms: 1500,
                        }),
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

fn never_answered() -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::TakePrekeys(
            v1::TakePrekeysRequest::default(),
        )),
    }
}
