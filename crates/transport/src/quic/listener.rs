// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes QUIC connections from clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quinn::{Connection, Endpoint, ServerConfig, VarInt, ZeroRttAccepted};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::AbortHandle;
use waxwing_proto::limits;

use super::admission::{Admission, Place, Verdict};
use super::identity::ServerIdentity;
use super::link::{End, QuicLink};
use super::packets::{self, Packets, SystemPackets};
use super::settings::StableKeys;
use super::socket::SocketBuffers;
use super::unshown::{Guest, Ledger};
use super::windows::Windows;
use super::{constant, settings};
use crate::close::CloseCode;
use crate::error::LinkError;
use crate::link::{AddressPrefix, Link, Listener};
use crate::seams::BoxFuture;
use crate::tls::tickets::Tickets;

/// What can be chosen about a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Connections at a time; more are refused.
    pub connections_max: usize,
    /// Connections at a time from one address prefix; more are refused.
    pub connections_per_prefix_max: usize,
    /// How long a handshake may take, in milliseconds.
    pub handshake_timeout_ms: u32,
    /// Handshakes at a time from which on newcomers have to show that they receive at the address
    /// that they claim, which costs them a round trip. 0 means always.
    pub retry_above: usize,
    /// Bytes of windows that are granted before new connections get smaller ones, see
    /// [`limits::QUIC_WINDOWS_FULL_MAX`].
    pub windows_full_max: u64,
    /// Whether every packet that is sent after the handshake has the same length of 1200 bytes, so
    /// that an observer sees how many there are and when, and not how long the messages are. Each
    /// side chooses for what it sends. Exceptions, none of which depends on what is said: the
    /// packets of the handshake, and stateless resets, which answer packets of connections or
    /// connection ids that are forgotten and have a random length.
    pub constant_packets: bool,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            connections_per_prefix_max: limits::CONNECTIONS_PER_PREFIX_MAX,
            handshake_timeout_ms: limits::CONNECT_TIMEOUT_MS,
            retry_above: limits::CONNECTING_UNVALIDATED_MAX,
            windows_full_max: limits::QUIC_WINDOWS_FULL_MAX,
            constant_packets: false,
        }
    }
}

/// Takes QUIC connections at one address. One task waits for them; a connection has one only
/// while its handshake lasts, beside the one that quinn keeps.
pub struct QuicListener {
    endpoint: Endpoint,
    links: Mutex<mpsc::Receiver<Link>>,
    gate: Arc<Gate>,
    acceptor: AbortHandle,
    buffers: SocketBuffers,
}

/// Whether new connections are taken.
#[derive(Default)]
struct Gate {
    is_shut: AtomicBool,
    shut: Notify,
}

impl QuicListener {
    /// Binds a UDP socket at `address` and takes connections from now on. Needs a tokio runtime.
    /// Without `tickets` every handshake is a full one.
    ///
    /// # Errors
    /// [`LinkError::Socket`], [`LinkError::Settings`].
    pub fn bind(
        address: SocketAddr,
        identity: &ServerIdentity,
        keys: &StableKeys,
        tickets: Option<&Arc<Tickets>>,
        settings: ListenerSettings,
    ) -> Result<Self, LinkError> {
        Self::bind_over(&SystemPackets, address, (identity, keys, tickets), settings)
    }

    /// As [`QuicListener::bind`], on another network.
    pub(crate) fn bind_over(
        packets: &dyn Packets,
        address: SocketAddr,
        (identity, keys, tickets): (&ServerIdentity, &StableKeys, Option<&Arc<Tickets>>),
        settings: ListenerSettings,
    ) -> Result<Self, LinkError> {
        let server = settings::server(identity, keys, tickets, Windows::SMALL)?;
        let constant = settings.constant_packets.then(|| server.clone());
        let config = settings::server_endpoint(keys);
        let ledger = Arc::default();
        let (endpoint, buffers) =
            packets::server_endpoint(packets, address, (config, server), &ledger)?;
        let (ready, links) = mpsc::channel(limits::CONNECTING_MAX);
        let gate = Arc::new(Gate::default());
        let acceptor = tokio::spawn(accept_all(
            endpoint.clone(),
            (settings, constant, ledger),
            Arc::clone(&gate),
            ready,
        ));
        Ok(Self {
            endpoint,
            links: Mutex::new(links),
            gate,
            acceptor: acceptor.abort_handle(),
            buffers,
        })
    }

    /// The socket's buffers as the operating system granted them.
    #[must_use]
    pub const fn socket_buffers(&self) -> SocketBuffers {
        self.buffers
    }

    /// The connections at the moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.endpoint.open_connections()
    }
}

impl Listener for QuicListener {
    fn accept(&self) -> BoxFuture<'_, Option<Link>> {
        Box::pin(async {
            let mut shut = core::pin::pin!(self.gate.shut.notified());
            shut.as_mut().enable();
            if self.gate.is_shut.load(Ordering::Acquire) {
                return None;
            }
            tokio::select! {
                biased;
                () = shut => None,
                link = async { self.links.lock().await.recv().await } => link,
            }
        })
    }

    fn stop_accepting(&self) {
        self.gate.is_shut.store(true, Ordering::Release);
        // The acceptor goes on and tells newcomers that they are refused.
        self.gate.shut.notify_waiters();
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.stop_accepting();
            // Links that nobody took are closed here; the others by those who hold them.
            self.links.lock().await.close();
            while let Some(link) = self.links.lock().await.recv().await {
                link.close(CloseCode::ShuttingDown);
            }
            self.endpoint.wait_idle().await;
        })
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.endpoint.local_addr().ok()
    }
}

impl Drop for QuicListener {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl core::fmt::Debug for QuicListener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("QuicListener")
            .field("local_address", &self.local_address())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

async fn accept_all(
    endpoint: Endpoint,
    (settings, constant, ledger): (ListenerSettings, Option<ServerConfig>, Arc<Ledger>),
    gate: Arc<Gate>,
    ready: mpsc::Sender<Link>,
) {
    let admission = Admission::new(settings);
    while let Some(incoming) = endpoint.accept().await {
        if gate.is_shut.load(Ordering::Acquire) {
            incoming.refuse();
            continue;
        }
        let prefix = AddressPrefix::of(incoming.remote_address().ip());
        let (address, is_shown) = (
            incoming.remote_address(),
            incoming.remote_address_validated(),
        );
        let place = match admission.decide(prefix, is_shown) {
            Verdict::Accept(place) => place,
            Verdict::Retry => {
                // It only fails for an address that was validated.
                let _ = incoming.retry();
                continue;
            }
            Verdict::Refuse => {
                incoming.refuse();
                continue;
            }
        };
        // A handshake that fails concerns nobody but the client, who is told.
        let accepted = match &constant {
            None => incoming.accept(),
            Some(all) => match constant::server(all) {
                Ok(config) => incoming.accept_with(config),
                // The same values were good when the listener was made.
                Err(_) => continue,
            },
        };
        let Ok(connecting) = accepted else {
            continue;
        };
        // A server can always go on with what it has.
        let Ok((connection, done)) = connecting.into_0rtt() else {
            continue;
        };
        let limit = Duration::from_millis(u64::from(settings.handshake_timeout_ms));
        let handshake = Handshake {
            connection: connection.clone(),
            place: Arc::new((place, Guest::new(&ledger, address, is_shown))),
            ready: ready.clone(),
        };
        tokio::spawn(async move {
            let in_time = tokio::time::timeout(limit, handshake.complete(done)).await;
            if in_time.is_err() {
                // The link may be in use already.
                let code = CloseCode::Done.to_wire();
                connection.close(VarInt::from_u32(code), &[]);
            }
        });
    }
}

/// A connection whose handshake has begun.
struct Handshake {
    connection: Connection,
    place: Arc<(Place, Guest)>,
    ready: mpsc::Sender<Link>,
}

impl Handshake {
    /// Hands the link out when the handshake has ended, or when its client has sent something before
    /// that; completes with the handshake.
    async fn complete(self, mut done: ZeroRttAccepted) {
        let early = tokio::select! {
            biased;
            _ = &mut done => None,
            stream = self.connection.accept_bi() => stream.ok(),
        };
        if let Some(stream) = early {
            let link = QuicLink::new(self.connection.clone(), self.end());
            let Ok(link) = link.map(|link| link.accepting(stream).into_link()) else {
                return;
            };
            let _ = self.ready.send(link).await;
            done.await;
            self.done();
        } else if self.done()
            && let Ok(link) = QuicLink::new(self.connection.clone(), self.end())
        {
            let _ = self.ready.send(link.into_link()).await;
        }
    }

    /// Whether the handshake has ended well; then the connection gets its windows.
    fn done(&self) -> bool {
        let is_well = self.connection.close_reason().is_none();
        if is_well {
            let (place, guest) = &*self.place;
            guest.shown();
            place.connected().open(&self.connection);
        }
        is_well
    }

    fn end(&self) -> End {
        End::Server(Arc::clone(&self.place))
    }
}
