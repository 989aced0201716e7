// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real QUIC stack over a simulated network, under virtual time.
#![cfg(all(feature = "quic", feature = "sim"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

mod both;
mod constant;
mod early;
mod floods;
mod hostile;
mod idle;
mod interop;
mod recovery;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use waxwing_proto::{ServerAddress, limits, v1};
use waxwing_transport::quic::{
    DialerSettings, ListenerSettings, QuicDialer, QuicListener, ServerIdentity, StableKeys,
};
use waxwing_transport::recovery::probing;
use waxwing_transport::sim::{PacketEvent, PacketNetwork, PacketSettings, SimClock, SimEntropy};
use waxwing_transport::tls::{MemoryTickets, TicketStore, Tickets};
use waxwing_transport::{
    CallError, Clock, CloseCode, CloseReason, Connection, Dialer, Keeper, Kept, KeyExchange, Link,
    LinkError, Listener, Plane, Signals, serve_hello,
};

const PORT: u16 = 4433;

struct World {
    network: PacketNetwork,
    clock: Arc<dyn Clock>,
    listener: Arc<QuicListener>,
    dialer: Arc<QuicDialer>,
    address: ServerAddress,
    seed: u64,
}

fn identity() -> ServerIdentity {
    ServerIdentity::from_seed(&[1; 32]).unwrap()
}

fn keys() -> StableKeys {
    StableKeys {
        reset: [1; 32],
        token: [2; 32],
    }
}

fn listen(network: &PacketNetwork, settings: ListenerSettings) -> Arc<QuicListener> {
    let (identity, keys) = (identity(), keys());
    let listener = network.listen("relay", PORT, (&identity, &keys, None), settings);
    Arc::new(listener.unwrap())
}

fn world(seed: u64, settings: PacketSettings) -> World {
    world_with(seed, settings, ListenerSettings::default())
}

fn world_with(seed: u64, settings: PacketSettings, listening: ListenerSettings) -> World {
    let network = PacketNetwork::new(seed, settings);
    let listener = listen(&network, listening);
    world_around(seed, network, listener)
}

/// A world without chance, whose server gives tickets that lie in `kept`.
fn world_with_tickets<S: TicketStore>(seed: u64, kept: Arc<S>) -> (World, Arc<S>) {
    let steady = PacketSettings {
        delay_ms: 50,
        jitter_ms: 0,
        loss_per_mille: 0,
        duplicate_per_mille: 0,
        reorder_per_mille: 0,
        ..PacketSettings::default()
    };
    let network = PacketNetwork::new(seed, steady);
    let clock = Arc::new(SimClock::new(1_700_000_000_000));
    let entropy = Arc::new(SimEntropy::new(seed, "tickets"));
    let tickets = Tickets::new(Arc::clone(&kept) as Arc<_>, clock, entropy);
    let (identity, keys, tickets) = (identity(), keys(), Arc::new(tickets));
    let with = (&identity, &keys, Some(&tickets));
    let listener = network.listen("relay", PORT, with, ListenerSettings::default());
    (
        world_around(seed, network, Arc::new(listener.unwrap())),
        kept,
    )
}

fn world_around(seed: u64, network: PacketNetwork, listener: Arc<QuicListener>) -> World {
    World {
        clock: Arc::new(SimClock::new(1_700_000_000_000)),
        listener,
        dialer: Arc::new(network.dialer("alice", DialerSettings::default())),
        address: ServerAddress {
            host: "relay".parse().unwrap(),
            port: PORT,
            key_pins: vec![identity().key_pin()],
        },
        network,
        seed,
    }
}

impl World {
    async fn dial(&self) -> Result<Link, LinkError> {
        self.dialer.dial(&self.address, Plane::Account).await
    }

    async fn links(&self) -> (Link, Link) {
        let (ours, theirs) = tokio::join!(self.dial(), self.listener.accept());
        (ours.unwrap(), theirs.unwrap())
    }

    /// Serves every connection: `put_rendezvous` is answered with what it brought, everything else
    /// never.
    fn serve(&self) {
        serve(Arc::clone(&self.listener), Arc::clone(&self.clock));
    }

    async fn connect(&self) -> Connection {
        let link = self.dial().await.unwrap();
        let connection = Connection::establish(link, Arc::clone(&self.clock)).await;
        connection.unwrap()
    }

    fn keeper(&self, signals: &Signals) -> Keeper<QuicDialer> {
        let entropy = Arc::new(SimEntropy::new(self.seed, "keeper"));
        Keeper::new(
            (Arc::clone(&self.dialer), Arc::clone(&self.clock), entropy),
            self.address.clone(),
            Plane::Account,
            signals,
        )
    }

    /// Collects what goes over the network from now on.
    fn record(&self) -> Arc<Mutex<Vec<PacketEvent>>> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let tap = Arc::clone(&events);
        self.network.set_tap(Arc::new(move |event| {
            tap.lock().unwrap().push(event.clone())
        }));
        events
    }

    fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }
}

fn serve(listener: Arc<QuicListener>, clock: Arc<dyn Clock>) {
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            tokio::spawn(serve_link(link, Arc::clone(&clock)));
        }
    });
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
                        v1::request::Call::PutRendezvous(put) => {
                            Ok(v1::response::Result::FetchRendezvous(
                                v1::FetchRendezvousResponse { value: put.value },
                            ))
                        }
                        _ => core::future::pending().await,
                    }
                })
                .await;
        });
    }
}

/// The greeting of a client of this version.
fn hello() -> v1::Hello {
    v1::Hello {
        protocol_min: 1,
        protocol_max: 1,
        ..v1::Hello::default()
    }
}

/// A call that brings `size` bytes, which the answer brings back.
fn bring(size: usize, fill: u8) -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(v1::PutRendezvousRequest {
            value: vec![fill; size].into(),
            ..v1::PutRendezvousRequest::default()
        })),
    }
}

async fn exchange(connection: &Connection, size: usize, fill: u8) -> Result<(), CallError> {
    let response = connection
        .call(bring(size, fill), limits::DEADLINE_MS_MAX)
        .await?;
    match response.result {
        Some(v1::response::Result::FetchRendezvous(fetched)) => {
            assert!(fetched.value.len() == size && fetched.value.iter().all(|it| *it == fill));
            Ok(())
        }
        _ => panic!("another answer"),
    }
}
