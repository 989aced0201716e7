// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam to the network: [`Link`], [`Dialer`] and [`Listener`].
//!
//! A link is one encrypted connection between a client and a server, on which the client opens
//! bidirectional streams. Nothing above this module names an implementation.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use waxwing_proto::{KeyPin, ServerAddress};

use crate::close::{CloseCode, CloseReason};
use crate::elsewhere::Elsewhere;
use crate::error::LinkError;
use crate::seams::BoxFuture;
use crate::stream::{RecvStream, SendStream};

/// The key exchange that a link was set up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyExchange {
    /// X25519 together with ML-KEM-768 (draft-ietf-tls-ecdhe-mlkem).
    X25519MlKem768,
    /// None: both ends live in one process, in a simulation.
    Simulated,
}

impl KeyExchange {
    /// The key exchange that a TLS library names so; `None` for one that no link may have.
    #[cfg(feature = "tcp")]
    pub(crate) fn of(group: rustls::NamedGroup) -> Option<Self> {
        (group == rustls::NamedGroup::X25519MLKEM768).then_some(Self::X25519MlKem768)
    }

    /// The name in the IANA registry of TLS supported groups, or `simulated`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X25519MlKem768 => "X25519MLKEM768",
            Self::Simulated => "simulated",
        }
    }
}

impl core::fmt::Display for KeyExchange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What carries a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// QUIC over UDP.
    Quic,
    /// TLS over TCP.
    Tcp,
    /// None: both ends live in one process, in a simulation.
    Simulated,
}

impl Transport {
    /// The name in configuration files and in what is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tcp => "tcp",
            Self::Simulated => "simulated",
        }
    }
}

impl core::fmt::Display for Transport {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The network that an address belongs to, as far as limits go: the first 24 bits of an IPv4
/// address, the first 56 of an IPv6 address. A family byte, then the bits, then zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressPrefix(pub [u8; 8]);

impl AddressPrefix {
    /// The prefix of `address`. An IPv4 address that is mapped into IPv6 counts as IPv4.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        // TRN-24.
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self([4, a, b, c, 0, 0, 0, 0])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, ..] = v6.octets();
                Self([6, a, b, c, d, e, f, g])
            }
        }
    }
}

/// What an implementation of links provides. Called through [`Link`].
pub trait LinkBackend: Send + Sync + 'static {
    /// See [`Link::open`].
    fn open(&self) -> BoxFuture<'_, Result<(SendStream, RecvStream), LinkError>>;
    /// See [`Link::accept`].
    fn accept(&self) -> BoxFuture<'_, Result<(SendStream, RecvStream), LinkError>>;
    /// See [`Link::exporter`].
    fn exporter(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], LinkError>;
    /// See [`Link::remote_address`].
    fn remote_address(&self) -> SocketAddr;
    /// See [`Link::transport`].
    fn transport(&self) -> Transport;
    /// See [`Link::negotiated_group`].
    fn negotiated_group(&self) -> KeyExchange;
    /// See [`Link::server_key`].
    fn server_key(&self) -> Option<KeyPin> {
        None
    }
    /// See [`Link::close_with_retry`].
    fn close(&self, code: CloseCode, retry_after_ms: Option<u32>);
    /// See [`Link::send_elsewhere`].
    fn send_elsewhere(&self, code: CloseCode, retry_after_ms: u32, elsewhere: &Elsewhere) {
        let _ = elsewhere;
        self.close(code, Some(retry_after_ms));
    }
    /// See [`Link::elsewhere`].
    fn elsewhere(&self) -> Option<Elsewhere> {
        None
    }
    /// See [`Link::close_reason`].
    fn close_reason(&self) -> Option<CloseReason>;
    /// See [`Link::closed`].
    fn closed(&self) -> BoxFuture<'static, CloseReason>;
    /// See [`Link::probe`].
    fn probe(&self) {}
    /// See [`Link::signs_of_life`].
    fn signs_of_life(&self) -> Option<u64> {
        None
    }
    /// See [`Link::round_trip_ms`].
    fn round_trip_ms(&self) -> Option<u64> {
        None
    }
    /// See [`Link::update_keys`].
    fn update_keys(&self) {}
}

/// One connection. Clones are handles to the same connection, which is closed when the last handle
/// and the last stream are gone.
#[derive(Clone)]
pub struct Link(Arc<dyn LinkBackend>);

impl Link {
    /// Wraps what an implementation of links provides.
    #[must_use]
    pub fn new(backend: Arc<dyn LinkBackend>) -> Self {
        Self(backend)
    }

    /// Opens a stream; waits while the peer allows no more. The peer sees the stream with the
    /// first byte that is sent on it. Only clients open streams. Cancellation safe.
    ///
    /// # Errors
    /// [`LinkError::Closed`].
    pub async fn open(&self) -> Result<(SendStream, RecvStream), LinkError> {
        self.0.open().await
    }

    /// Waits for a stream that the peer opened. Cancellation safe.
    ///
    /// # Errors
    /// [`LinkError::Closed`].
    pub async fn accept(&self) -> Result<(SendStream, RecvStream), LinkError> {
        self.0.accept().await
    }

    /// A secret that only the two ends of this connection can compute (RFC 8446, section 7.5, with
    /// RFC 5705's `label` and `context`), the same at both ends. Signing it proves a key for this
    /// connection and no other.
    ///
    /// # Errors
    /// [`LinkError::Handshake`] before the handshake has ended.
    pub fn exporter(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], LinkError> {
        self.0.exporter(label, context)
    }

    /// Where the peer's packets come from. May change during the connection.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.0.remote_address()
    }

    /// The network that [`Link::remote_address`] belongs to, for limits.
    #[must_use]
    pub fn remote_prefix(&self) -> AddressPrefix {
        AddressPrefix::of(self.remote_address().ip())
    }

    /// What carries this connection.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.0.transport()
    }

    /// The key exchange of this connection.
    #[must_use]
    pub fn negotiated_group(&self) -> KeyExchange {
        self.0.negotiated_group()
    }

    /// Of the pins that this connection was dialled with, the one whose key the server proved in its
    /// handshake. `None` on a resumed connection, whose handshake proves no key, and at the server's
    /// end.
    #[must_use]
    pub fn server_key(&self) -> Option<KeyPin> {
        self.0.server_key()
    }

    /// Ends the connection at once. What the peer has not received is discarded: wait for its
    /// answer first.
    pub fn close(&self, code: CloseCode) {
        self.0.close(code, None);
    }

    /// As [`Link::close`], and tells the peer when to call again.
    pub fn close_with_retry(&self, code: CloseCode, retry_after_ms: u32) {
        self.0.close(code, Some(retry_after_ms));
    }

    /// As [`Link::close_with_retry`], and names another address of the same server. On links that
    /// cannot say so the peer learns only when to call again.
    pub fn send_elsewhere(&self, code: CloseCode, retry_after_ms: u32, elsewhere: &Elsewhere) {
        self.0.send_elsewhere(code, retry_after_ms, elsewhere);
    }

    /// Where the peer that closed the connection wants to be called instead; the peer's choice.
    #[must_use]
    pub fn elsewhere(&self) -> Option<Elsewhere> {
        self.0.elsewhere()
    }

    /// Why the connection is over; `None` while it is not.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.close_reason()
    }

    /// Sends something now that the peer has to acknowledge, from a new local address where the
    /// link can change it. For a client whose network has changed, or that waits longer than the
    /// path should take. Does nothing on links that cannot be silent without being over.
    pub fn probe(&self) {
        self.0.probe();
    }

    /// A number that grows with each acknowledgement from the peer; `None` on links that do not
    /// count them. A probe is answered by one.
    #[must_use]
    pub fn signs_of_life(&self) -> Option<u64> {
        self.0.signs_of_life()
    }

    /// The time from a packet to its acknowledgement as it was seen of late, in milliseconds;
    /// `None` on links that do not measure it.
    #[must_use]
    pub fn round_trip_ms(&self) -> Option<u64> {
        self.0.round_trip_ms()
    }

    /// Replaces the keys of the connection by new ones that follow from them (RFC 9001, section
    /// 6), so that whoever takes the new ones cannot read what was sent before. Links do so by
    /// themselves before a key has encrypted too much. To be called right after an answer: QUIC links
    /// begin an update also where the one before was not acknowledged, and after two of them the peer
    /// understands nothing any more.
    pub fn update_keys(&self) {
        self.0.update_keys();
    }

    /// Completes when the connection is over. The future does not keep the connection open.
    pub fn closed(&self) -> BoxFuture<'static, CloseReason> {
        self.0.closed()
    }
}

impl core::fmt::Debug for Link {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // No address: a log line must not tie one to an account.
        f.debug_struct("Link")
            .field("transport", &self.transport())
            .field("group", &self.negotiated_group())
            .field("close_reason", &self.close_reason())
            .finish_non_exhaustive()
    }
}

/// The two kinds of connection that a client makes. They share no socket, ticket, token or
/// connection id, so that the network and a server cannot tie one to the other by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plane {
    /// Authenticated: to receive, and to manage one's own account.
    Account,
    /// Never authenticated, never resumed: every call that names somebody else.
    Anonymous,
}

/// A link, and what the server says on its first stream where that went out early.
pub type Dialled = (Link, Option<RecvStream>);

/// Makes links to servers.
pub trait Dialer: Send + Sync + 'static {
    /// Connects to `server` and checks its key against the pins of the address. Bounded in time by
    /// the implementation. Dropping the future gives the attempt up.
    ///
    /// The future gives [`LinkError::ServerKeyMismatch`] when somebody else answers, and
    /// [`LinkError::TimedOut`], [`LinkError::NameNotResolved`], [`LinkError::Handshake`],
    /// [`LinkError::NoKeyPin`], [`LinkError::Socket`], [`LinkError::Closed`].
    fn dial<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
    ) -> BoxFuture<'a, Result<Link, LinkError>>;

    /// As [`Dialer::dial`], and where this side holds what it takes, `first` goes out as the whole
    /// of the link's first stream before the handshake has ended (0-RTT). Then what the server says
    /// on that stream is given beside the link; otherwise nothing of `first` was taken by the
    /// server, and the link's first stream is still to be opened.
    ///
    /// Whoever records the packets can send `first` to the server again, and a later theft of the
    /// server's tickets opens it: nothing may be in it that is secret or changes anything.
    fn dial_early<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
        first: Bytes,
    ) -> BoxFuture<'a, Result<Dialled, LinkError>> {
        drop(first);
        Box::pin(async move { Ok((self.dial(server, plane).await?, None)) })
    }

    /// The transport for which a connection over another one is to be given up when an attempt finds
    /// it; `None` where there is no choice.
    fn preferred(&self) -> Option<Transport> {
        None
    }
}

impl Dialer for Box<dyn Dialer> {
    fn dial<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
    ) -> BoxFuture<'a, Result<Link, LinkError>> {
        self.as_ref().dial(server, plane)
    }

    fn dial_early<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
        first: Bytes,
    ) -> BoxFuture<'a, Result<Dialled, LinkError>> {
        self.as_ref().dial_early(server, plane, first)
    }

    fn preferred(&self) -> Option<Transport> {
        self.as_ref().preferred()
    }
}

/// Takes links from clients.
pub trait Listener: Send + Sync + 'static {
    /// The next link; `None` after [`Listener::stop_accepting`]. Its handshake has ended, or its
    /// client has sent something before that: on streams of which [`RecvStream::is_early`] says so.
    /// Cancellation safe.
    fn accept(&self) -> BoxFuture<'_, Option<Link>>;

    /// Refuses new links from now on. Links that exist go on.
    fn stop_accepting(&self);

    /// Stops accepting, and completes when every link is over and the peers have been told so.
    /// Closing the links is the caller's part.
    fn drain(&self) -> BoxFuture<'_, ()>;

    /// The address that this side is bound to.
    fn local_address(&self) -> Option<SocketAddr>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_hide_the_host_part() {
        let of = |text: &str| AddressPrefix::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.7"), of("192.0.2.200"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.7"), of("192.0.3.7"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:ff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:102::1"));
        assert_ne!(of("0.0.0.0"), of("::"));
    }
}
