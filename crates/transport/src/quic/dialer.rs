// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connects to servers over QUIC.

use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{
    Connecting, Connection, ConnectionError, Endpoint, TransportErrorCode, ZeroRttAccepted,
};
use rustls::crypto::CryptoProvider;
use tokio::task::JoinSet;
use waxwing_proto::{ServerAddress, limits};

use super::link::{End, Local, QuicLink};
use super::packets::{self, Packets, SystemPackets};
use super::proving::Proving;
use super::{SERVER_NAME, constant, settings, tls};
use crate::error::LinkError;
use crate::link::{Dialer, Dialled, Link, Plane};
use crate::seams::BoxFuture;
use crate::tls::pins::other_key_alert;
use crate::tls::session_cache::SessionCache;

/// How long an address is tried alone before the next one is tried beside it (RFC 8305, section 8).
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);

/// What can be chosen about a dialer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialerSettings {
    /// How often an idle connection of the account plane is kept from being forgotten on the way,
    /// in milliseconds; `None` for never. The default suits an application that is in use.
    pub keep_alive_ms: Option<u32>,
    /// How long one attempt may take, in milliseconds.
    pub connect_timeout_ms: u32,
    /// Whether every packet that is sent after the handshake has the same length, see
    /// [`ListenerSettings::constant_packets`](super::ListenerSettings::constant_packets).
    pub constant_packets: bool,
}

impl Default for DialerSettings {
    fn default() -> Self {
        Self {
            keep_alive_ms: Some(limits::KEEP_ALIVE_MS),
            connect_timeout_ms: limits::CONNECT_TIMEOUT_MS,
            constant_packets: false,
        }
    }
}

/// Connects to servers over QUIC. Needs a tokio runtime.
///
/// Every link has a socket of its own, so that a server cannot tie two links to one client by the
/// port, and a link can move to another network without disturbing the others.
pub struct QuicDialer {
    settings: DialerSettings,
    provider: Arc<CryptoProvider>,
    sessions: SessionCache,
    packets: Arc<dyn Packets>,
}

impl QuicDialer {
    /// A dialer over the operating system's UDP.
    #[must_use]
    pub fn new(settings: DialerSettings) -> Self {
        Self::over(Arc::new(SystemPackets), settings)
    }

    /// A dialer over another network.
    pub(crate) fn over(packets: Arc<dyn Packets>, settings: DialerSettings) -> Self {
        Self {
            settings,
            provider: Arc::new(tls::provider()),
            sessions: SessionCache::default(),
            packets,
        }
    }

    fn endpoint(&self, is_ipv6: bool) -> Result<(Endpoint, Local), LinkError> {
        // TRN-6.
        let any = if is_ipv6 {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        };
        let config = settings::client_endpoint();
        let (endpoint, _) = packets::endpoint(&*self.packets, any, config, None)?;
        let local = Local {
            endpoint: endpoint.clone(),
            packets: Arc::clone(&self.packets),
            any,
        };
        Ok((endpoint, local))
    }

    async fn connect(
        &self,
        server: &ServerAddress,
        plane: Plane,
        first: Bytes,
    ) -> Result<Dialled, LinkError> {
        if server.key_pins.is_empty() {
            return Err(LinkError::NoKeyPin);
        }
        let keep_alive = match plane {
            Plane::Account => self.settings.keep_alive_ms,
            // An idle connection of this plane is not worth keeping.
            Plane::Anonymous => None,
        };
        let keep_alive = keep_alive.map(|ms| Duration::from_millis(u64::from(ms)));
        let mut attempts = JoinSet::new();
        let mut delay = Duration::ZERO;
        for address in self.packets.resolve(server).await? {
            let config = self.sessions.config(server, plane, || {
                let mut config = tls::client(Arc::clone(&self.provider), server.key_pins.clone())?;
                config.enable_early_data = true;
                Ok(config)
            });
            let tls = Arc::new(Proving::new(Arc::new(tls::attempt(config?)?)));
            let config = if self.settings.constant_packets {
                constant::client(tls, keep_alive)?
            } else {
                let transport = settings::client_transport(keep_alive)?;
                settings::client(tls, Arc::new(transport))
            };
            let (endpoint, local) = self.endpoint(address.is_ipv6())?;
            let first = first.clone();
            attempts.spawn(async move {
                tokio::time::sleep(delay).await;
                let connecting = endpoint
                    .connect_with(config, address, SERVER_NAME)
                    .map_err(|_| LinkError::Settings("the server's address cannot be used"))?;
                finish(connecting, local, first).await
            });
            delay = delay.saturating_add(NEXT_ADDRESS_DELAY);
        }
        first_success(attempts).await
    }
}

impl Default for QuicDialer {
    fn default() -> Self {
        Self::new(DialerSettings::default())
    }
}

impl Dialer for QuicDialer {
    fn dial<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
    ) -> BoxFuture<'a, Result<Link, LinkError>> {
        Box::pin(async move {
            let dialled = self.dial_early(server, plane, Bytes::new()).await;
            dialled.map(|(link, _)| link)
        })
    }

    fn dial_early<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
        first: Bytes,
    ) -> BoxFuture<'a, Result<Dialled, LinkError>> {
        let limit = Duration::from_millis(u64::from(self.settings.connect_timeout_ms));
        Box::pin(async move {
            tokio::time::timeout(limit, self.connect(server, plane, first))
                .await
                .unwrap_or(Err(LinkError::TimedOut))
        })
    }
}

impl core::fmt::Debug for QuicDialer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("QuicDialer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Waits for the end of the handshake; where there is a ticket, `first` goes out before.
async fn finish(connecting: Connecting, local: Local, first: Bytes) -> Result<Dialled, LinkError> {
    let connecting = if first.is_empty() {
        connecting
    } else {
        match connecting.into_0rtt() {
            Ok((connection, accepted)) => {
                return finish_early(connection, accepted, local, first).await;
            }
            Err(connecting) => connecting,
        }
    };
    let connection = connecting.await.map_err(|error| failure(&error))?;
    let link = QuicLink::new(connection, End::Client(local))?;
    Ok((link.into_link(), None))
}

/// The same, with keys for early data. A server that does not take it has not read it.
async fn finish_early(
    connection: Connection,
    accepted: ZeroRttAccepted,
    local: Local,
    first: Bytes,
) -> Result<Dialled, LinkError> {
    // TRN-5.
    let answer = {
        let mut opening = pin!(open_early(&connection, first));
        // It does not wait, unless the server once allowed no streams.
        let at_once = poll_fn(|context| match opening.as_mut().poll(context) {
            Poll::Ready(opened) => Poll::Ready(opened),
            Poll::Pending => Poll::Ready(None),
        });
        at_once.await
    };
    let is_accepted = accepted.await;
    if let Some(error) = connection.close_reason() {
        return Err(failure(&error));
    }
    let link = QuicLink::new(connection, End::Client(local))?;
    let answer = answer.filter(|_| is_accepted);
    let answer = answer.map(|stream| link.receiving(stream));
    Ok((link.into_link(), answer))
}

async fn open_early(connection: &Connection, first: Bytes) -> Option<quinn::RecvStream> {
    let (mut send, recv) = connection.open_bi().await.ok()?;
    send.write_chunk(first).await.ok()?;
    send.finish().ok()?;
    Some(recv)
}

fn failure(error: &ConnectionError) -> LinkError {
    match error {
        ConnectionError::TimedOut => LinkError::TimedOut,
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            LinkError::Refused
        }
        // Raised on this side: a server that sends the alert closes the connection.
        ConnectionError::TransportError(error)
            if error.code == TransportErrorCode::crypto(other_key_alert()) =>
        {
            LinkError::ServerKeyMismatch
        }
        ConnectionError::LocallyClosed => {
            LinkError::Settings("the dialer was closed during the attempt")
        }
        _ => LinkError::Handshake,
    }
}

/// The first link, or the error that says most.
async fn first_success(
    mut attempts: JoinSet<Result<Dialled, LinkError>>,
) -> Result<Dialled, LinkError> {
    let weight = |error: &LinkError| match error {
        LinkError::ServerKeyMismatch => 3,
        LinkError::Handshake | LinkError::Refused => 2,
        LinkError::TimedOut => 1,
        _ => 0,
    };
    let mut worst = LinkError::NameNotResolved;
    while let Some(outcome) = attempts.join_next().await {
        match outcome {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) if weight(&error) >= weight(&worst) => worst = error,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Err(worst)
}
