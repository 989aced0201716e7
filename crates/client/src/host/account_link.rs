// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The account plane: one connection to one's own server, kept up, and its delivery stream.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use waxwing_engine::LinkFailure;
use waxwing_identity::authentication::EXPORTER_LABEL;
use waxwing_proto::{ServerAddress, limits, v1};
use waxwing_transport::recovery::KeptPins;
use waxwing_transport::{
    AcknowledgeSink, BoxFuture, Clock, CloseCode, Connection, DeliveryStream, Dialer, Entropy,
    FirstCall, Keeper, Kept, Link, Plane, Signals,
};

use super::connect;
use super::inbound::{Generation, Inbound};

/// Keeps a connection up until it is dropped.
pub(super) struct AccountLink {
    pub(super) generation: Generation,
    pub(super) connection: Option<Connection>,
    /// The keys that the server may show.
    pub(super) key_pins: KeptPins,
    acknowledgements: Option<mpsc::UnboundedSender<v1::Acknowledge>>,
    inbound: mpsc::Sender<Inbound>,
    keeper: JoinSet<()>,
    streams: JoinSet<()>,
}

impl AccountLink {
    pub(super) fn keep<D: Dialer, E: Entropy>(
        generation: Generation,
        server: ServerAddress,
        (dialer, clock, entropy): (Arc<D>, Arc<dyn Clock>, Arc<E>),
        signals: &Signals,
        inbound: mpsc::Sender<Inbound>,
    ) -> Self {
        let seams = (dialer, clock, entropy as Arc<dyn Entropy>);
        let login = Login {
            generation,
            inbound: inbound.clone(),
        };
        let kept = Keeper::new(seams, server, Plane::Account, signals).calling(Arc::new(login));
        let key_pins = kept.key_pins();
        let mut keeper = JoinSet::new();
        keeper.spawn(keep_up(generation, kept, inbound.clone()));
        Self {
            generation,
            connection: None,
            key_pins,
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
    pub(super) fn acknowledge(&self, frame: v1::Acknowledge) -> bool {
        self.acknowledgements
            .as_ref()
            .is_some_and(|queue| queue.send(frame).is_ok())
    }
}

impl Drop for AccountLink {
    fn drop(&mut self) {
        self.keeper.abort_all();
        self.down();
    }
}

/// Lets the login go out with the end of the handshake.
struct Login {
    generation: Generation,
    inbound: mpsc::Sender<Inbound>,
}

impl FirstCall for Login {
    fn first_call<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Option<v1::Request>> {
        Box::pin(async {
            let exporter = link.exporter(EXPORTER_LABEL, b"").ok()?;
            let (first, call) = oneshot::channel();
            let generation = self.generation;
            let opening = Inbound::Opening {
                generation,
                exporter,
                first,
            };
            self.inbound.send(opening).await.ok()?;
            let call = call.await.ok()?;
            Some(v1::Request {
                deadline_ms: limits::DEADLINE_MS_DEFAULT,
                call: Some(call?),
            })
        })
    }
}

/// Tells the driver of every change.
async fn keep_up<D: Dialer>(
    generation: Generation,
    mut keeper: Keeper<D>,
    inbound: mpsc::Sender<Inbound>,
) {
    let mut is_up = false;
    loop {
        let kept = keeper.next().await;
        let replaces = is_up && matches!(kept, Kept::Up(_));
        is_up = matches!(kept, Kept::Up(_));
        if replaces {
            // The engine knows one connection at a time.
            let down = Inbound::LinkDown(generation, LinkFailure::Unreachable);
            if inbound.send(down).await.is_err() {
                return;
            }
        }
        let change = match kept {
            Kept::Up(connection) => Inbound::LinkUp(generation, Box::new(connection)),
            Kept::Down(error) => {
                tracing::debug!(code = error.code(), "the account link is down");
                Inbound::LinkDown(generation, connect::connect_failure(error))
            }
        };
        if inbound.send(change).await.is_err() {
            return;
        }
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

async fn acknowledge(
    mut sink: AcknowledgeSink,
    mut queue: mpsc::UnboundedReceiver<v1::Acknowledge>,
) {
    while let Some(frame) = queue.recv().await {
        if let Err(error) = sink.send(&frame).await {
            tracing::debug!(code = error.code(), "an acknowledgement was not taken");
            return;
        }
    }
    // The queue ends with the connection; finishing would only race with its end.
}
