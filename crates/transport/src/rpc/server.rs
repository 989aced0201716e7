// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server's side of a connection: [`serve_hello`], then a [`PendingCall`] for each stream.

use std::sync::Arc;

use tokio::sync::Semaphore;
use waxwing_proto::{limits, v1};

use super::incoming::PendingCall;
use super::{Greeting, negotiate};
use crate::close::CloseCode;
use crate::error::{CallError, LinkError, StreamError};
use crate::link::Link;
use crate::seams::{Clock, within};

/// Exchanges greetings on a new link, within [`limits::HELLO_TIMEOUT_MS`]. The client is told the
/// wall time of `clock`. Closes the link when that fails.
///
/// # Errors
/// [`CallError::UpgradeRequired`], [`CallError::Timeout`], [`CallError::LinkLost`],
/// [`CallError::Protocol`].
pub async fn serve_hello(link: Link, clock: Arc<dyn Clock>) -> Result<ServerConnection, CallError> {
    serve_hello_with(link, clock, Greeting::CURRENT).await
}

/// As [`serve_hello`], with a greeting of the caller's choice.
async fn serve_hello_with(
    link: Link,
    clock: Arc<dyn Clock>,
    server: Greeting,
) -> Result<ServerConnection, CallError> {
    let exchange = async {
        let (mut send, mut recv) = link.accept().await?;
        let limit = limits::CONTROL_FRAME_SIZE_MAX;
        let hello: v1::Hello = recv
            .receive(limit)
            .await?
            .ok_or(CallError::Protocol(StreamError::Truncated))?;
        let client = Greeting::from_wire(&hello)?;
        send.send(&server.to_wire(clock.wall_ms()), limit).await?;
        send.finish().await?;
        let negotiated = negotiate(client, server).map_err(CallError::UpgradeRequired);
        if negotiated.is_err() {
            // Closing at once would discard the greeting that tells the client why.
            link.closed().await;
        }
        negotiated.map(|protocol| (protocol, client))
    };
    let outcome = within(&*clock, u64::from(limits::HELLO_TIMEOUT_MS), exchange).await;
    match outcome.unwrap_or(Err(CallError::Timeout)) {
        Ok((protocol, client)) => Ok(ServerConnection {
            link,
            clock,
            protocol,
            client_features: client.features,
            large_requests: Arc::new([Arc::new(Semaphore::new(
                limits::LARGE_REQUESTS_PER_CONNECTION_MAX,
            ))]),
        }),
        Err(error) => {
            link.close(match error {
                CallError::UpgradeRequired(_) => CloseCode::UpgradeRequired,
                _ => CloseCode::ProtocolViolation,
            });
            Err(error)
        }
    }
}

/// A client's link on which the greetings have been exchanged.
#[derive(Clone)]
pub struct ServerConnection {
    link: Link,
    clock: Arc<dyn Clock>,
    protocol: u32,
    client_features: u64,
    large_requests: Arc<[Arc<Semaphore>]>,
}

impl ServerConnection {
    /// As [`serve_hello`], with a greeting of the caller's choice.
    ///
    /// # Errors
    /// As [`serve_hello`].
    pub async fn greet(
        link: Link,
        clock: Arc<dyn Clock>,
        server: Greeting,
    ) -> Result<Self, CallError> {
        serve_hello_with(link, clock, server).await
    }

    /// Shares a bound on the large requests that are read at a time with other connections. The
    /// bound on those of this connection stays.
    #[must_use]
    pub fn sharing(mut self, large_requests: Arc<Semaphore>) -> Self {
        // TRN-78.
        let others = self.large_requests.iter().cloned();
        self.large_requests = others.chain([large_requests]).collect();
        self
    }

    /// The link below.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// The protocol version in use.
    #[must_use]
    pub const fn protocol(&self) -> u32 {
        self.protocol
    }

    /// The optional behaviours that the client says it understands.
    #[must_use]
    pub const fn client_features(&self) -> u64 {
        self.client_features
    }

    /// Waits for the next stream. Its request has not been read: do that in a task of its own, so
    /// that a slow request delays no other. At most [`limits::STREAMS_PER_CONNECTION_MAX`] are
    /// open at a time.
    ///
    /// # Errors
    /// [`LinkError::Closed`].
    pub async fn accept(&self) -> Result<PendingCall, LinkError> {
        let (send, recv) = self.link.accept().await?;
        let large_requests = Arc::clone(&self.large_requests);
        Ok(PendingCall::new(
            (send, recv),
            Arc::clone(&self.clock),
            large_requests,
        ))
    }
}

impl core::fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServerConnection")
            .field("link", &self.link)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
