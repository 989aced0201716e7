// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The account plane: one connection to one's own server, kept up, and its delivery stream.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use waxwing_engine::LinkFailure;
use waxwing_proto::{ServerAddress, limits, v1};
use waxwing_transport::{
    AcknowledgeSink, Clock, CloseCode, Connection, DeliveryStream, Dialer, Entropy, Plane,
};

use super::connect;
use super::inbound::{Generation, Inbound};

/// The pause before the second attempt; it doubles up to [`PAUSE_MAX_MS`].
const PAUSE_FIRST_MS: u64 = 250;
const PAUSE_MAX_MS: u64 = 60_000;
/// A connection that lived this long makes the next pause short again.
const STABLE_MS: u64 = 10_000;

/// Keeps a connection up until it is dropped.
pub(super) struct AccountLink {
    pub(super) generation: Generation,
    pub(super) connection: Option<Connection>,
    acknowledgements: Option<mpsc::UnboundedSender<Vec<u64>>>,
    inbound: mpsc::Sender<Inbound>,
    keeper: JoinSet<()>,
    streams: JoinSet<()>,
}

impl AccountLink {
    pub(super) fn keep<D: Dialer, E: Entropy>(
        generation: Generation,
        server: ServerAddress,
        seams: (Arc<D>, Arc<dyn Clock>, Arc<E>),
        inbound: mpsc::Sender<Inbound>,
    ) -> Self {
        let mut keeper = JoinSet::new();
        keeper.spawn(keep_up(generation, server, seams, inbound.clone()));
        Self {
            generation,
            connection: None,
            acknowledgements: None,
            inbound,
            keeper,
            streams: JoinSet::new(),
        }
    }

    /// A new connection is there.
    pub(super) fn up(&mut self, connection: Connection) {
        self.down();
        self.connection = Some(connection);
    }

    /// The connection is gone.
    pub(super) fn down(&mut self) {
        self.streams.abort_all();
        while self.streams.try_join_next().is_some() {}
        self.acknowledgements = None;
        if let Some(connection) = self.connection.take() {
            connection.link().close(CloseCode::Done);
        }
    }

    /// Opens the delivery stream. When that fails, or the stream ends, the connection is closed and
    /// made anew: a connection without deliveries is of no use.
    pub(super) fn subscribe(&mut self) {
        let Some(connection) = self.connection.clone() else {
            return;
        };
        let (acknowledgements, queue) = mpsc::unbounded_channel();
        self.acknowledgements = Some(acknowledgements);
        let (inbound, generation) = (self.inbound.clone(), self.generation);
        self.streams.spawn(async move {
            match connection.subscribe(limits::DEADLINE_MS_DEFAULT).await {
                Ok((sink, source)) => {
                    // Each direction has its own task: neither may wait for the other.
                    let mut acknowledging = JoinSet::new();
                    acknowledging.spawn(acknowledge(sink, queue));
                    deliver(source, inbound, generation).await;
                }
                Err(error) => tracing::debug!(code = error.code(), "no delivery stream"),
            }
            connection.link().close(CloseCode::Done);
        });
    }

    /// Sends an acknowledgement if there is a delivery stream; the server delivers again what was
    /// not acknowledged. Returns whether there is one.
    pub(super) fn acknowledge(&self, positions: Vec<u64>) -> bool {
        self.acknowledgements
            .as_ref()
            .is_some_and(|queue| queue.send(positions).is_ok())
    }
}

impl Drop for AccountLink {
    fn drop(&mut self) {
        self.keeper.abort_all();
        self.down();
    }
}

async fn keep_up<D: Dialer, E: Entropy>(
    generation: Generation,
    server: ServerAddress,
    (dialer, clock, entropy): (Arc<D>, Arc<dyn Clock>, Arc<E>),
    inbound: mpsc::Sender<Inbound>,
) {
    let mut pause_ms = PAUSE_FIRST_MS;
    loop {
        let failure =
            match connect::connect(&*dialer, Arc::clone(&clock), &server, Plane::Account).await {
                Ok(connection) => {
                    let begun_ms = clock.monotonic_ms();
                    let closed = connection.link().closed();
                    let up = Inbound::LinkUp(generation, Box::new(connection));
                    if inbound.send(up).await.is_err() {
                        return;
                    }
                    let reason = closed.await;
                    tracing::debug!(%reason, "the account link is gone");
                    if clock.monotonic_ms().saturating_sub(begun_ms) >= STABLE_MS {
                        pause_ms = PAUSE_FIRST_MS;
                    }
                    LinkFailure::Unreachable
                }
                Err(failure) => failure,
            };
        if inbound
            .send(Inbound::LinkDown(generation, failure))
            .await
            .is_err()
        {
            return;
        }
        // Between half and all of the pause, so that the clients of a restarted server do not
        // come in step.
        let mut random = [0; 8];
        entropy.fill(&mut random);
        let half = pause_ms >> 1;
        let jitter = u64::from_le_bytes(random)
            .checked_rem(half.max(1))
            .unwrap_or_default();
        clock.sleep(half.saturating_add(jitter)).await;
        pause_ms = pause_ms.saturating_mul(2).min(PAUSE_MAX_MS);
    }
}

async fn deliver(
    mut source: DeliveryStream,
    inbound: mpsc::Sender<Inbound>,
    generation: Generation,
) {
    loop {
        match source.receive().await {
            Ok(Some(v1::Delivery { event: Some(event) })) => {
                if inbound
                    .send(Inbound::Delivery(generation, event))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            // A kind of frame of a later version.
            Ok(Some(v1::Delivery { event: None })) => {}
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(code = error.code(), "the delivery stream ended");
                return;
            }
        }
    }
}

async fn acknowledge(mut sink: AcknowledgeSink, mut queue: mpsc::UnboundedReceiver<Vec<u64>>) {
    while let Some(positions) = queue.recv().await {
        if let Err(error) = sink.send(&v1::Acknowledge { positions }).await {
            tracing::debug!(code = error.code(), "an acknowledgement was not taken");
            return;
        }
    }
    // The queue ends with the connection; finishing would only race with its end.
}
