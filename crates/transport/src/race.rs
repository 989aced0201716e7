// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which transport a client takes: QUIC, and TCP where QUIC does not get through.
//!
//! Many networks block UDP, and say nothing about it. So TCP is tried beside QUIC when QUIC has had
//! a head start and is not there (RFC 8305 does the same for addresses); whichever completes its
//! handshake first is used, and both check the same pins. What was found is remembered for the
//! network and the server, in memory only, so that the head start is not lost again and again; after
//! a while QUIC has it again.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use waxwing_proto::{ServerAddress, limits};

use crate::error::LinkError;
use crate::link::{Dialer, Dialled, Link, Plane, Transport};
use crate::seams::{BoxFuture, Clock};

/// How long the first transport is alone, in milliseconds (RFC 8305, section 8).
pub const HEAD_START_MS: u64 = 250;
/// How long TCP has the head start where it won, in milliseconds.
pub const REMEMBERED_MS: u64 = 600_000;

/// What a user chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportChoice {
    /// QUIC, and TCP where it does not get through.
    #[default]
    Auto,
    /// QUIC alone.
    Quic,
    /// TLS over TCP alone.
    Tcp,
}

/// The text names no transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a transport is auto, quic or tcp")]
pub struct UnknownTransport;

impl TransportChoice {
    /// The name in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Quic => "quic",
            Self::Tcp => "tcp",
        }
    }
}

impl FromStr for TransportChoice {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        match text {
            "auto" => Ok(Self::Auto),
            "quic" => Ok(Self::Quic),
            "tcp" => Ok(Self::Tcp),
            _ => Err(UnknownTransport),
        }
    }
}

/// By what a client tells one network from another: its own addresses there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Network {
    /// Where packets to IPv4 addresses come from.
    pub ipv4: Option<IpAddr>,
    /// Where packets to IPv6 addresses come from.
    pub ipv6: Option<IpAddr>,
}

/// Tells which network this is at the moment.
pub type NetworkProbe = Arc<dyn Fn() -> Network + Send + Sync>;

/// Dials with two transports, of which the first to complete wins.
pub struct RaceDialer {
    quic: Box<dyn Dialer>,
    tcp: Box<dyn Dialer>,
    clock: Arc<dyn Clock>,
    network: NetworkProbe,
    found: Mutex<Vec<Found>>,
}

/// Where TCP won against the head start of QUIC.
#[derive(Debug)]
struct Found {
    network: Network,
    server: ServerAddress,
    until_ms: u64,
}

impl RaceDialer {
    /// A dialer that knows nothing yet.
    #[must_use]
    pub fn new(
        quic: Box<dyn Dialer>,
        tcp: Box<dyn Dialer>,
        clock: Arc<dyn Clock>,
        network: NetworkProbe,
    ) -> Self {
        Self {
            quic,
            tcp,
            clock,
            network,
            found: Mutex::new(Vec::new()),
        }
    }

    fn found(&self) -> MutexGuard<'_, Vec<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has the head start.
    fn leader(&self, network: Network, server: &ServerAddress) -> Transport {
        // TRN-53.
        let now_ms = self.clock.monotonic_ms();
        let mut found = self.found();
        found.retain(|it| it.until_ms > now_ms);
        let known = found
            .iter()
            .any(|it| it.network == network && it.server == *server);
        if known {
            Transport::Tcp
        } else {
            Transport::Quic
        }
    }

    fn won(&self, winner: Transport, leader: Transport, network: Network, server: &ServerAddress) {
        let mut found = self.found();
        if winner == leader {
            // Nothing new. A time that ran from here would keep QUIC from being tried again.
            return;
        }
        found.retain(|it| it.network != network || it.server != *server);
        if winner == Transport::Tcp {
            if found.len() >= limits::TRANSPORTS_REMEMBERED_MAX {
                found.remove(0);
            }
            let until_ms = self.clock.monotonic_ms().saturating_add(REMEMBERED_MS);
            found.push(Found {
                network,
                server: server.clone(),
                until_ms,
            });
        }
    }

    async fn race(
        &self,
        server: &ServerAddress,
        plane: Plane,
        early: Bytes,
    ) -> Result<Dialled, LinkError> {
        // TRN-52.
        let network = (self.network)();
        let leader = self.leader(network, server);
        let (first, second, follower) = match leader {
            Transport::Tcp => (&self.tcp, &self.quic, Transport::Quic),
            _ => (&self.quic, &self.tcp, Transport::Tcp),
        };
        let mut leading = first.dial_early(server, plane, early.clone());
        let alone = tokio::select! {
            biased;
            outcome = &mut leading => Some(outcome),
            () = self.clock.sleep(HEAD_START_MS) => None,
        };
        let mut error = match alone {
            Some(Ok(link)) => {
                self.won(leader, leader, network, server);
                return Ok(link);
            }
            // The other one would say the same.
            Some(Err(LinkError::NoKeyPin)) => return Err(LinkError::NoKeyPin),
            Some(Err(error)) => Some(error),
            None => None,
        };
        let mut following = second.dial_early(server, plane, early);
        let mut follower_failed = None;
        loop {
            let (winner, outcome) = tokio::select! {
                biased;
                outcome = &mut leading, if error.is_none() => (leader, outcome),
                outcome = &mut following, if follower_failed.is_none() => (follower, outcome),
                else => break,
            };
            match outcome {
                Ok(link) => {
                    self.won(winner, leader, network, server);
                    tracing::debug!(transport = %winner, "another transport than the first");
                    return Ok(link);
                }
                Err(failure) if winner == leader => error = Some(failure),
                Err(failure) => follower_failed = Some(failure),
            }
        }
        Err(heavier(error, follower_failed))
    }
}

impl Dialer for RaceDialer {
    fn dial<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
    ) -> BoxFuture<'a, Result<Link, LinkError>> {
        Box::pin(async move {
            let dialled = self.race(server, plane, Bytes::new()).await;
            dialled.map(|(link, _)| link)
        })
    }

    fn dial_early<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
        first: Bytes,
    ) -> BoxFuture<'a, Result<Dialled, LinkError>> {
        Box::pin(self.race(server, plane, first))
    }

    fn preferred(&self) -> Option<Transport> {
        Some(Transport::Quic)
    }
}

impl fmt::Debug for RaceDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RaceDialer(..)")
    }
}

/// The error that says most.
fn heavier(one: Option<LinkError>, two: Option<LinkError>) -> LinkError {
    let weight = |error: &LinkError| match error {
        LinkError::ServerKeyMismatch => 4,
        LinkError::Handshake => 3,
        LinkError::Refused => 2,
        LinkError::TimedOut => 1,
        _ => 0,
    };
    [one, two]
        .into_iter()
        .flatten()
        .max_by_key(weight)
        .unwrap_or(LinkError::TimedOut)
}
