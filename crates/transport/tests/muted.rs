// SPDX-License-Identifier: Apache-2.0 OR MIT
//! UDP goes silent in the middle of a session: over real sockets, the session goes on over TCP and comes back
//! to QUIC. Nothing is lost, and nothing is doubled.
#![cfg(all(feature = "quic", feature = "tcp", feature = "platform"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use waxwing_proto::{ServerAddress, v1};
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::quic::{
    DialerSettings, ListenerSettings, QuicDialer, QuicListener, StableKeys,
};
use waxwing_transport::race::{Network, REMEMBERED_MS, RaceDialer};
use waxwing_transport::tcp::{TcpDialer, TcpDialerSettings, TcpListener, TcpListenerSettings};
use waxwing_transport::tls::ServerIdentity;
use waxwing_transport::{
    BoxFuture, CallError, Clock, Connection, Dialer, Keeper, Kept, Link, LinkError, Listener,
    Plane, Signals, Transport, serve_hello,
};

/// The clock of the system, which can be set forward.
struct Settable {
    clock: SystemClock,
    ahead_ms: AtomicU64,
}

impl Clock for Settable {
    fn monotonic_ms(&self) -> u64 {
        self.clock.monotonic_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }

    fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    fn sleep_until(&self, monotonic_ms: u64) -> BoxFuture<'static, ()> {
        self.clock
            .sleep_until(monotonic_ms.saturating_sub(self.ahead_ms.load(Ordering::Relaxed)))
    }
}

/// Dials one port whatever the address says, while the door is open.
struct Door<D> {
    dialer: D,
    port: u16,
    is_open: Arc<AtomicBool>,
}

impl<D: Dialer> Dialer for Door<D> {
    fn dial<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
    ) -> BoxFuture<'a, Result<Link, LinkError>> {
        Box::pin(async move {
            if !self.is_open.load(Ordering::Relaxed) {
                return Err(LinkError::Refused);
            }
            let mut server = server.clone();
            server.port = self.port;
            self.dialer.dial(&server, plane).await
        })
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Carries datagrams between clients and a server, and drops all of them without a word while it is muted.
/// Gives its port.
async fn relay(server: SocketAddr, is_muted: Arc<AtomicBool>, tasks: &mut JoinSet<()>) -> u16 {
    let front = Arc::new(UdpSocket::bind(loopback(0)).await.unwrap());
    let port = front.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut returning = JoinSet::new();
        let mut bytes = vec![0; 65_536];
        loop {
            // Errors are those of a port that a client has left.
            let Ok((size, client)) = front.recv_from(&mut bytes).await else {
                continue;
            };
            let back = match backs.entry(client) {
                Entry::Occupied(known) => Arc::clone(known.get()),
                Entry::Vacant(place) => {
                    let back = Arc::new(UdpSocket::bind(loopback(0)).await.unwrap());
                    back.connect(server).await.unwrap();
                    let (front, is_muted) = (Arc::clone(&front), Arc::clone(&is_muted));
                    returning.spawn(carry_back(Arc::clone(&back), front, client, is_muted));
                    Arc::clone(place.insert(back))
                }
            };
            if !is_muted.load(Ordering::Relaxed) {
                let _ = back.send(&bytes[..size]).await;
            }
        }
    });
    port
}

async fn carry_back(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    client: SocketAddr,
    is_muted: Arc<AtomicBool>,
) {
    let mut bytes = vec![0; 65_536];
    loop {
        // Errors are those of a server that has gone.
        let Ok(size) = back.recv(&mut bytes).await else {
            continue;
        };
        if !is_muted.load(Ordering::Relaxed) {
            let _ = front.send_to(&bytes[..size], client).await;
        }
    }
}

/// How often each message came.
type Ledger = Arc<Mutex<BTreeMap<u32, u32>>>;

async fn serve(listener: Arc<dyn Listener>, ledger: Ledger) {
    let mut links = JoinSet::new();
    while let Some(link) = listener.accept().await {
        let ledger = Arc::clone(&ledger);
        links.spawn(async move {
            let Ok(connection) = serve_hello(link, Arc::new(SystemClock::new())).await else {
                return;
            };
            while let Ok(pending) = connection.accept().await {
                let Ok(call) = pending.read().await else {
                    continue;
                };
                let v1::request::Call::PutRendezvous(put) = &call.request else {
                    panic!("another call");
                };
                *ledger.lock().unwrap().entry(put.slot).or_default() += 1;
                let done = v1::PutRendezvousResponse {};
                let done = v1::response::Result::PutRendezvous(done);
                let _ = call.responder.answer(done).await;
            }
        });
    }
}

/// A client that sends numbered messages on the connection that is kept up.
struct Client {
    connection: watch::Receiver<Option<Connection>>,
    signals: Signals,
    /// How often each message was tried.
    calls: Vec<u32>,
}

impl Client {
    /// Sends the next message until it is answered; gives what carried it.
    async fn send(&mut self) -> Transport {
        let number = u32::try_from(self.calls.len()).unwrap();
        let _waiting = self.signals.wait();
        self.calls.push(0);
        loop {
            let current = self.connection.borrow_and_update().clone();
            let Some(connection) = current else {
                self.connection.changed().await.unwrap();
                continue;
            };
            *self.calls.last_mut().unwrap() += 1;
            let request = v1::PutRendezvousRequest {
                slot: number,
                value: vec![7; 300].into(),
                ..v1::PutRendezvousRequest::default()
            };
            let request = v1::Request {
                deadline_ms: 0,
                call: Some(v1::request::Call::PutRendezvous(request)),
            };
            tokio::select! {
                biased;
                answer = connection.call(request, 60_000) => match answer {
                    Ok(_) => return connection.link().transport(),
                    // The keeper knows, and tells.
                    Err(CallError::LinkLost(_)) => self.connection.changed().await.unwrap(),
                    Err(_) => {}
                },
                changed = self.connection.changed() => changed.unwrap(),
            }
        }
    }
}

/// TRN-52, TRN-62, TRN-90. No time is looked at: what has to happen happens, or the test does not end.
#[tokio::test]
async fn a_session_goes_on_over_tcp_while_udp_is_silent_and_comes_back() {
    let mut tasks = JoinSet::new();
    let identity = ServerIdentity::from_seed(&[1; 32]).unwrap();
    let keys = StableKeys {
        reset: [1; 32],
        token: [2; 32],
    };
    let settings = ListenerSettings::default();
    let quic = QuicListener::bind(loopback(0), &identity, &keys, None, settings).unwrap();
    let tcp = TcpListener::bind(loopback(0), &identity, None, TcpListenerSettings::default());
    let (quic, tcp) = (Arc::new(quic), Arc::new(tcp.unwrap()));
    let ledger = Ledger::default();
    tasks.spawn(serve(Arc::clone(&quic) as Arc<_>, Arc::clone(&ledger)));
    tasks.spawn(serve(Arc::clone(&tcp) as Arc<_>, Arc::clone(&ledger)));

    let is_muted = Arc::new(AtomicBool::new(false));
    let udp_port = relay(
        quic.local_address().unwrap(),
        Arc::clone(&is_muted),
        &mut tasks,
    )
    .await;
    // On a busy machine TCP could win by the head start: it is there when it is needed.
    let is_tcp_open = Arc::new(AtomicBool::new(false));
    let clock = Arc::new(Settable {
        clock: SystemClock::new(),
        ahead_ms: AtomicU64::new(0),
    });
    let tcp_dialer = TcpDialer::new(TcpDialerSettings::default(), Arc::new(SystemEntropy));
    let race = RaceDialer::new(
        Box::new(Door {
            dialer: QuicDialer::new(DialerSettings::default()),
            port: udp_port,
            is_open: Arc::new(AtomicBool::new(true)),
        }),
        Box::new(Door {
            dialer: tcp_dialer,
            port: tcp.local_address().unwrap().port(),
            is_open: Arc::clone(&is_tcp_open),
        }),
        Arc::clone(&clock) as Arc<dyn Clock>,
        Arc::new(Network::default),
    );
    let address = ServerAddress {
        host: "127.0.0.1".parse().unwrap(),
        port: 1,
        key_pins: vec![identity.key_pin()],
    };
    let signals = Signals::new();
    let seams = (
        Arc::new(race),
        Arc::clone(&clock) as Arc<dyn Clock>,
        Arc::new(SystemEntropy) as Arc<_>,
    );
    let mut keeper = Keeper::new(seams, address, Plane::Account, &signals);
    let (show, connection) = watch::channel(None);
    tasks.spawn(async move {
        loop {
            let connection = match keeper.next().await {
                Kept::Up(connection) => Some(connection),
                Kept::Down(_) => None,
            };
            show.send_replace(connection);
        }
    });
    let mut client = Client {
        connection,
        signals,
        calls: Vec::new(),
    };

    for _ in 0..50 {
        assert_eq!(client.send().await, Transport::Quic);
    }
    is_muted.store(true, Ordering::Relaxed);
    is_tcp_open.store(true, Ordering::Relaxed);
    for _ in 0..50 {
        assert_eq!(client.send().await, Transport::Tcp);
    }
    is_muted.store(false, Ordering::Relaxed);
    is_tcp_open.store(false, Ordering::Relaxed);
    // Not yet: the connection is as good as any.
    for _ in 0..50 {
        assert_eq!(client.send().await, Transport::Tcp);
    }
    let mut on_the_way = 0;
    while client.send().await == Transport::Tcp {
        // A silent moment in which the look that is due is taken.
        clock.ahead_ms.fetch_add(REMEMBERED_MS, Ordering::Relaxed);
        on_the_way += 1;
        assert!(on_the_way < 10_000, "it stays on TCP");
        // The keeper sees that nothing waits.
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        assert_eq!(client.send().await, Transport::Quic);
    }

    let ledger = ledger.lock().unwrap();
    let numbers: Vec<u32> = ledger.keys().copied().collect();
    let sent = u32::try_from(client.calls.len()).unwrap();
    assert_eq!(numbers, (0..sent).collect::<Vec<u32>>());
    for (number, (came, calls)) in ledger.values().zip(&client.calls).enumerate() {
        assert!(came <= calls, "{number} came {came} times of {calls}");
    }
}
