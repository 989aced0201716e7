// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes TLS connections over TCP from clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify, Semaphore, mpsc};
use tokio::task::AbortHandle;
use waxwing_proto::limits;

use super::budget::Budget;
use super::mux::Side;
use super::places::{Place, Places};
use super::{link, socket, tls};
use crate::close::CloseCode;
use crate::error::LinkError;
use crate::link::{AddressPrefix, Link, Listener};
use crate::seams::BoxFuture;
use crate::tls::identity::ServerIdentity;
use crate::tls::tickets::Tickets;

/// How long the acceptor waits when the system has no descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// What can be chosen about a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpListenerSettings {
    /// Connections at a time; more are refused.
    pub connections_max: usize,
    /// Connections at a time from one address prefix; more are refused.
    pub connections_per_prefix_max: usize,
    /// How long a handshake may take, in milliseconds.
    pub handshake_timeout_ms: u32,
    /// Bytes that all connections together may hold unread. When they hold more, one that goes
    /// on sending is closed, unless it holds at most [`limits::TCP_HELD_BYTES_SPARED`].
    pub held_bytes_max: usize,
    /// Bytes that all connections together may have to send that their peers do not take, beyond
    /// [`limits::TCP_QUEUED_BYTES_SPARED`] of each. Whoever has more to send waits.
    pub queued_bytes_max: usize,
}

impl Default for TcpListenerSettings {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            connections_per_prefix_max: limits::CONNECTIONS_PER_PREFIX_MAX,
            handshake_timeout_ms: limits::CONNECT_TIMEOUT_MS,
            held_bytes_max: limits::TCP_HELD_BYTES_MAX,
            queued_bytes_max: limits::TCP_QUEUED_BYTES_MAX,
        }
    }
}

/// Takes connections at one address.
pub struct TcpListener {
    local_address: Option<SocketAddr>,
    links: Mutex<mpsc::Receiver<Link>>,
    common: Arc<Common>,
    acceptor: AbortHandle,
}

/// What the acceptor, the handshakes and the holder of the listener share.
struct Common {
    config: Arc<ServerConfig>,
    settings: TcpListenerSettings,
    budget: Arc<Budget>,
    places: Arc<Places>,
    is_shut: AtomicBool,
    shut: Notify,
    handshakes: Arc<Semaphore>,
}

impl TcpListener {
    /// Binds a socket at `address` and takes connections from now on. Needs a tokio runtime.
    /// Without `tickets` every handshake is a full one.
    ///
    /// # Errors
    /// [`LinkError::Socket`], [`LinkError::Settings`].
    pub fn bind(
        address: SocketAddr,
        identity: &ServerIdentity,
        tickets: Option<&Arc<Tickets>>,
        settings: TcpListenerSettings,
    ) -> Result<Self, LinkError> {
        let config = tls::server(identity, tickets)?;
        let listener = socket::listen(address)?;
        let local_address = listener.local_addr().ok();
        let common = Arc::new(Common {
            config,
            settings,
            budget: Arc::new(Budget::new(
                settings.held_bytes_max,
                settings.queued_bytes_max,
            )),
            places: Arc::new(Places::new(
                settings.connections_max,
                settings.connections_per_prefix_max,
            )),
            is_shut: AtomicBool::new(false),
            shut: Notify::new(),
            handshakes: Arc::new(Semaphore::new(limits::CONNECTING_MAX)),
        });
        let (ready, links) = mpsc::channel(limits::CONNECTING_MAX);
        let acceptor = tokio::spawn(accept_all(listener, Arc::clone(&common), ready));
        Ok(Self {
            local_address,
            links: Mutex::new(links),
            common,
            acceptor: acceptor.abort_handle(),
        })
    }

    /// The connections at the moment, those whose handshake goes on included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.common.places.count()
    }

    /// The bytes that all connections together have received and nobody has read, at the moment.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.common.budget.held()
    }

    /// The bytes to be sent that count for all connections together, at the moment.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.common.budget.queued()
    }
}

impl Listener for TcpListener {
    fn accept(&self) -> BoxFuture<'_, Option<Link>> {
        Box::pin(async {
            let mut shut = core::pin::pin!(self.common.shut.notified());
            shut.as_mut().enable();
            if self.common.is_shut.load(Ordering::Acquire) {
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
        self.common.is_shut.store(true, Ordering::Release);
        // The acceptor goes on and closes newcomers at once, so that they learn it.
        self.common.shut.notify_waiters();
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.stop_accepting();
            // Links that nobody took are closed here; the others by those who hold them.
            self.links.lock().await.close();
            while let Some(link) = self.links.lock().await.recv().await {
                link.close(CloseCode::ShuttingDown);
            }
            self.common.places.emptied().await;
        })
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.local_address
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl core::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TcpListener")
            .field("local_address", &self.local_address)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

async fn accept_all(
    listener: tokio::net::TcpListener,
    common: Arc<Common>,
    ready: mpsc::Sender<Link>,
) {
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        if common.is_shut.load(Ordering::Acquire) {
            continue;
        }
        let permit = Arc::clone(&common.handshakes).try_acquire_owned();
        let place = common.places.enter(AddressPrefix::of(remote.ip()));
        // A newcomer without a place is dropped: it sees its connection end before a word.
        let (Ok(permit), Some(place)) = (permit, place) else {
            continue;
        };
        let (common, ready) = (Arc::clone(&common), ready.clone());
        tokio::spawn(async move {
            let limit = u64::from(common.settings.handshake_timeout_ms);
            let completed = complete(&common, stream, remote, place);
            // A handshake that fails concerns nobody but the client, who is told.
            let outcome = tokio::time::timeout(Duration::from_millis(limit), completed).await;
            if let Ok(Ok(link)) = outcome {
                let _ = ready.send(link).await;
            }
            drop(permit);
        });
    }
}

async fn complete(
    common: &Common,
    stream: TcpStream,
    remote: SocketAddr,
    place: Place,
) -> Result<Link, LinkError> {
    socket::prepare(&stream);
    let mut connection = tls::accept(&common.config)?;
    tls::handshake(&stream, &mut connection)
        .await
        .map_err(|_| LinkError::Handshake)?;
    link::link(link::Parts {
        side: Side::Server,
        tls: connection,
        stream,
        remote,
        budget: Arc::clone(&common.budget),
        // A server never wakes a sleeping phone.
        keep_alive: None,
        place: Some(place.connected()),
    })
}
