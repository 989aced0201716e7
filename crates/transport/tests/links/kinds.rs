// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kinds of link, and a server to call on each.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use waxwing_proto::{KeyPin, ServerAddress, v1};
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::quic::{
    DialerSettings, ListenerSettings, QuicDialer, QuicListener, StableKeys,
};
use waxwing_transport::sim::{NetworkSettings, SimClock, SimDialer, SimListener, SimNetwork};
use waxwing_transport::tcp::{TcpDialer, TcpDialerSettings, TcpListener, TcpListenerSettings};
use waxwing_transport::tls::{MemoryTickets, ServerIdentity, TicketStore, Tickets};
use waxwing_transport::{
    Clock, Connection, Dialer, KeyExchange, Link, LinkError, Listener, Plane, Transport,
    serve_hello,
};

/// One kind of link: a listener, and dialers to it.
pub(crate) trait Kind: Send + Sync + 'static {
    const TRANSPORT: Transport;
    const GROUP: KeyExchange;

    fn begin() -> Self;
    fn listener(&self) -> Arc<dyn Listener>;
    fn dialer(&self) -> Box<dyn Dialer>;
    fn clock(&self) -> Arc<dyn Clock>;
    fn address(&self) -> ServerAddress;

    /// A pin that is not the listener's.
    fn other_pin(&self) -> KeyPin {
        KeyPin([0xee; 32])
    }

    /// A link, both ends.
    fn links(&self) -> impl Future<Output = (Link, Link)> + Send {
        async {
            let (dialer, listener, address) = (self.dialer(), self.listener(), self.address());
            let dialled = dialer.dial(&address, Plane::Account);
            let (ours, theirs) = tokio::join!(dialled, listener.accept());
            (ours.unwrap(), theirs.unwrap())
        }
    }

    /// A connection to a server that answers, see [`serve`].
    fn connect(&self) -> impl Future<Output = Connection> + Send {
        async {
            let (ours, theirs) = self.links().await;
            tokio::spawn(serve(theirs, self.clock()));
            Connection::establish(ours, self.clock()).await.unwrap()
        }
    }
}

fn identity(seed: u8) -> ServerIdentity {
    ServerIdentity::from_seed(&[seed; 32]).unwrap()
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn address_of(listener: &dyn Listener) -> ServerAddress {
    ServerAddress {
        host: "127.0.0.1".parse().unwrap(),
        port: listener.local_address().unwrap().port(),
        key_pins: vec![identity(1).key_pin()],
    }
}

/// A kind of link that is resumed by tickets.
pub(crate) trait Resumable: Kind {
    /// How many sessions the server keeps.
    fn sessions(&self) -> usize;
}

/// The tickets of one server, and where they lie.
fn tickets() -> (Arc<MemoryTickets>, Arc<Tickets>) {
    let store = Arc::new(MemoryTickets::default());
    let tickets = Tickets::new(
        Arc::clone(&store) as Arc<_>,
        Arc::new(SystemClock::new()),
        Arc::new(SystemEntropy),
    );
    (store, Arc::new(tickets))
}

/// The first generation of a store.
const GENERATION: u64 = 1;

pub(crate) struct Quic(Arc<QuicListener>, Arc<MemoryTickets>);

impl Resumable for Quic {
    fn sessions(&self) -> usize {
        self.1.count(GENERATION)
    }
}

impl Kind for Quic {
    const TRANSPORT: Transport = Transport::Quic;
    const GROUP: KeyExchange = KeyExchange::X25519MlKem768;

    fn begin() -> Self {
        let keys = StableKeys {
            reset: [1; 32],
            token: [2; 32],
        };
        let settings = ListenerSettings::default();
        let (store, tickets) = tickets();
        let listener =
            QuicListener::bind(loopback(), &identity(1), &keys, Some(&tickets), settings);
        Self(Arc::new(listener.unwrap()), store)
    }

    fn listener(&self) -> Arc<dyn Listener> {
        Arc::clone(&self.0) as Arc<dyn Listener>
    }

    fn dialer(&self) -> Box<dyn Dialer> {
        Box::new(QuicDialer::new(DialerSettings::default()))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    fn address(&self) -> ServerAddress {
        address_of(&*self.0)
    }
}

pub(crate) struct Tcp(Arc<TcpListener>, Arc<MemoryTickets>);

impl Resumable for Tcp {
    fn sessions(&self) -> usize {
        self.1.count(GENERATION)
    }
}

impl Kind for Tcp {
    const TRANSPORT: Transport = Transport::Tcp;
    const GROUP: KeyExchange = KeyExchange::X25519MlKem768;

    fn begin() -> Self {
        let settings = TcpListenerSettings::default();
        let (store, tickets) = tickets();
        let listener = TcpListener::bind(loopback(), &identity(1), Some(&tickets), settings);
        Self(Arc::new(listener.unwrap()), store)
    }

    fn listener(&self) -> Arc<dyn Listener> {
        Arc::clone(&self.0) as Arc<dyn Listener>
    }

    fn dialer(&self) -> Box<dyn Dialer> {
        Box::new(TcpDialer::new(
            TcpDialerSettings::default(),
            Arc::new(SystemEntropy),
        ))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    fn address(&self) -> ServerAddress {
        address_of(&*self.0)
    }
}

/// With loss, so that the order of things is not too kind.
pub(crate) struct Simulated {
    listener: Arc<SimListener>,
    dialer: SimDialer,
    clock: Arc<SimClock>,
}

const SIMULATED_PIN: KeyPin = KeyPin([7; 32]);

impl Kind for Simulated {
    const TRANSPORT: Transport = Transport::Simulated;
    const GROUP: KeyExchange = KeyExchange::Simulated;

    fn begin() -> Self {
        let settings = NetworkSettings {
            loss_per_mille: 20,
            jitter_ms: 40,
            ..NetworkSettings::default()
        };
        let network = SimNetwork::new(1, settings);
        Self {
            listener: Arc::new(network.listen("relay", 4433, SIMULATED_PIN)),
            dialer: network.dialer("alice"),
            clock: Arc::new(SimClock::new(1_700_000_000_000)),
        }
    }

    fn listener(&self) -> Arc<dyn Listener> {
        Arc::clone(&self.listener) as Arc<dyn Listener>
    }

    fn dialer(&self) -> Box<dyn Dialer> {
        Box::new(self.dialer.clone())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    fn address(&self) -> ServerAddress {
        SimNetwork::server_address("relay", 4433, vec![SIMULATED_PIN]).unwrap()
    }
}

/// Dials with other pins than the listener's.
pub(crate) async fn dial_with<K: Kind>(kind: &K, key_pins: Vec<KeyPin>) -> Result<Link, LinkError> {
    let address = ServerAddress {
        key_pins,
        ..kind.address()
    };
    kind.dialer().dial(&address, Plane::Anonymous).await
}

/// Serves a link: `prekey_status` is answered with 7, `put_rendezvous` with its value,
/// `take_prekeys` never, and everything else is refused.
pub(crate) async fn serve(link: Link, clock: Arc<dyn Clock>) {
    let Ok(connection) = serve_hello(link, clock).await else {
        return;
    };
    while let Ok(pending) = connection.accept().await {
        tokio::spawn(async move {
            let Ok(call) = pending.read().await else {
                return;
            };
            let _ = call.answer_with(answer).await;
        });
    }
}

async fn answer(request: v1::request::Call) -> Result<v1::response::Result, v1::Error> {
    match request {
        v1::request::Call::PrekeyStatus(_) => Ok(v1::response::Result::PrekeyStatus(
            v1::PrekeyStatusResponse {
                one_time_remaining: 7,
                signed_pair_id: 1,
            },
        )),
        v1::request::Call::PutRendezvous(put) => Ok(v1::response::Result::FetchRendezvous(
            v1::FetchRendezvousResponse { value: put.value },
        )),
        v1::request::Call::TakePrekeys(_) => core::future::pending().await,
        _ => Err(v1::Error {
            code: v1::ErrorCode::RateLimited.into(),
            retry_after_ms: 1500,
        }),
    }
}

pub(crate) fn status() -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PrekeyStatus(v1::PrekeyStatusRequest {})),
    }
}

pub(crate) fn never_answered() -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::TakePrekeys(
            v1::TakePrekeysRequest::default(),
        )),
    }
}

pub(crate) fn put(size: usize) -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(v1::PutRendezvousRequest {
            value: vec![0xa5; size].into(),
            ..v1::PutRendezvousRequest::default()
        })),
    }
}
