// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connects to servers over TCP, directly or through a proxy.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use waxwing_proto::{ServerAddress, limits};

use super::budget::Budget;
use super::mux::Side;
use super::proxy::Proxy;
use super::tls::Failed;
use super::{link, socket, socks5, tls};
use crate::error::LinkError;
use crate::link::{Dialer, Link, Plane};
use crate::seams::{BoxFuture, Entropy};
use crate::tls::provider;
use crate::tls::session_cache::SessionCache;

/// How long an address is tried alone before the next one is tried beside it (RFC 8305, section 8).
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;

/// What can be chosen about a dialer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpDialerSettings {
    /// How often a silent server of the account plane is asked for a sign of life, in
    /// milliseconds; `None` for never. It also keeps the connection from being forgotten on the
    /// way.
    pub keep_alive_ms: Option<u32>,
    /// How long one attempt may take, in milliseconds.
    pub connect_timeout_ms: u32,
    /// Where everything goes through. With a proxy this side resolves no name and opens no socket
    /// to a server.
    pub proxy: Option<Proxy>,
}

impl Default for TcpDialerSettings {
    fn default() -> Self {
        Self {
            keep_alive_ms: Some(limits::KEEP_ALIVE_MS),
            connect_timeout_ms: limits::CONNECT_TIMEOUT_MS,
            proxy: None,
        }
    }
}

/// Connects to servers over TCP. Needs a tokio runtime. Every link has a socket of its own, so
/// that the planes share none.
pub struct TcpDialer {
    settings: TcpDialerSettings,
    provider: Arc<CryptoProvider>,
    sessions: SessionCache,
    budget: Arc<Budget>,
    entropy: Arc<dyn Entropy>,
    /// What a proxy is shown for all links of the account plane of this dialer.
    account_tag: [u8; socks5::TAG_SIZE],
}

impl TcpDialer {
    /// A dialer. `entropy` makes the credentials by which a proxy keeps links apart.
    #[must_use]
    pub fn new(settings: TcpDialerSettings, entropy: Arc<dyn Entropy>) -> Self {
        let mut account_tag = [0; socks5::TAG_SIZE];
        entropy.fill(&mut account_tag);
        Self {
            settings,
            provider: Arc::new(provider()),
            sessions: SessionCache::default(),
            // A client has few connections, each bounded by itself.
            budget: Arc::new(Budget::new(usize::MAX, usize::MAX)),
            entropy,
            account_tag,
        }
    }

    async fn connect(&self, server: &ServerAddress, plane: Plane) -> Result<Link, LinkError> {
        if server.key_pins.is_empty() {
            return Err(LinkError::NoKeyPin);
        }
        let (stream, remote) = match &self.settings.proxy {
            None => direct(server).await?,
            Some(proxy) => self.through(proxy, server, plane).await?,
        };
        socket::prepare(&stream);
        let config = self.sessions.config(server, plane, || {
            tls::client(Arc::clone(&self.provider), server.key_pins.clone())
        });
        let mut connection = tls::attempt(config?)?;
        let outcome = tls::handshake(&stream, &mut connection).await;
        outcome.map_err(|failed| match failed {
            Failed::Unheard => LinkError::Refused,
            Failed::Broken => LinkError::Handshake,
            Failed::OtherKey => LinkError::ServerKeyMismatch,
        })?;
        let keep_alive = match plane {
            Plane::Account => self.settings.keep_alive_ms,
            // An idle connection of this plane is not worth keeping.
            Plane::Anonymous => None,
        };
        link::link(link::Parts {
            side: Side::Client,
            tls: connection,
            stream,
            remote,
            budget: Arc::clone(&self.budget),
            keep_alive: keep_alive.map(|ms| Duration::from_millis(u64::from(ms))),
            place: None,
        })
    }

    /// Each link of the anonymous plane shows credentials of its own, so that a proxy that gives
    /// each user a path of their own, as Tor does, takes another path for each.
    async fn through(
        &self,
        proxy: &Proxy,
        server: &ServerAddress,
        plane: Plane,
    ) -> Result<(TcpStream, SocketAddr), LinkError> {
        // TRN-50, TRN-51.
        let mut tag = self.account_tag;
        if plane == Plane::Anonymous {
            self.entropy.fill(&mut tag);
        }
        let mut stream = TcpStream::connect((proxy.host(), proxy.port()))
            .await
            .map_err(|_| LinkError::ProxyUnreachable)?;
        let remote = stream
            .peer_addr()
            .map_err(|_| LinkError::ProxyUnreachable)?;
        socks5::connect(&mut stream, server.host.as_str(), server.port, &tag).await?;
        Ok((stream, remote))
    }
}

impl Dialer for TcpDialer {
    fn dial<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
    ) -> BoxFuture<'a, Result<Link, LinkError>> {
        let limit = Duration::from_millis(u64::from(self.settings.connect_timeout_ms));
        Box::pin(async move {
            tokio::time::timeout(limit, self.connect(server, plane))
                .await
                .unwrap_or(Err(LinkError::TimedOut))
        })
    }
}

impl core::fmt::Debug for TcpDialer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TcpDialer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Connects to the first of the host's addresses that answers.
async fn direct(server: &ServerAddress) -> Result<(TcpStream, SocketAddr), LinkError> {
    let mut attempts = JoinSet::new();
    let mut delay = Duration::ZERO;
    for address in resolve(server).await? {
        attempts.spawn(async move {
            tokio::time::sleep(delay).await;
            TcpStream::connect(address)
                .await
                .map(|stream| (stream, address))
        });
        delay = delay.saturating_add(NEXT_ADDRESS_DELAY);
    }
    let mut error = LinkError::NameNotResolved;
    while let Some(outcome) = attempts.join_next().await {
        match outcome {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(failure)) => error = connect_error(failure.kind()),
            Err(_) => {}
        }
    }
    Err(error)
}

const fn connect_error(kind: ErrorKind) -> LinkError {
    match kind {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => LinkError::Refused,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            LinkError::TimedOut
        }
        kind => LinkError::Socket(kind),
    }
}

async fn resolve(server: &ServerAddress) -> Result<Vec<SocketAddr>, LinkError> {
    let host = server.host.as_str();
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, server.port)]);
    }
    let found = tokio::net::lookup_host((host, server.port))
        .await
        .map_err(|_| LinkError::NameNotResolved)?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(LinkError::NameNotResolved);
    }
    Ok(addresses)
}
