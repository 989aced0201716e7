// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Clients of the real server, over the RPC layer that applications use.

use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::sync::Semaphore;
use waxwing_identity::authentication::EXPORTER_LABEL;
use waxwing_proto::v1::delivery::Event;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_proto::{ServerAddress, limits, v1};
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::quic::{DialerSettings, QuicDialer};
use waxwing_transport::tcp::{TcpDialer, TcpDialerSettings};
use waxwing_transport::{
    AcknowledgeSink, BoxFuture, Clock, Connection, DeliveryStream, Dialer, FirstCall, Link, Plane,
    RecvStream, SendStream,
};

use super::clients::Trouble;
use super::people::{Person, Stamp};
use super::process::Carrier;

/// Connects to one server. Each connection is that of another device: it has no ticket of an earlier one.
#[derive(Clone)]
pub(super) struct Network {
    carrier: Carrier,
    clock: Arc<dyn Clock>,
    server: ServerAddress,
}

impl Network {
    pub(super) fn new(carrier: Carrier, server: ServerAddress) -> Self {
        Self {
            carrier,
            clock: Arc::new(SystemClock::new()),
            server,
        }
    }

    async fn connect(&self, plane: Plane, first: Option<&dyn FirstCall>) -> Result<Connection> {
        let dialer: Box<dyn Dialer> = match self.carrier {
            Carrier::Quic => Box::new(QuicDialer::new(DialerSettings::default())),
            Carrier::Tcp => {
                let settings = TcpDialerSettings::default();
                Box::new(TcpDialer::new(settings, Arc::new(SystemEntropy)))
            }
        };
        let to = (&self.server, plane);
        Ok(Connection::dial(&dialer, to, Arc::clone(&self.clock), first).await?)
    }

    /// Makes the account of a person, and the delivery id of their contact.
    pub(super) async fn register(&self, person: &Person, invite_token: bytes::Bytes) -> Result<()> {
        let connection = self.connect(Plane::Account, None).await?;
        let registration = person.register(invite_token);
        call(&connection, Call::Register(registration)).await?;
        let exporter = connection.link().exporter(EXPORTER_LABEL, b"")?;
        let proof = person.authenticate(&exporter);
        call(&connection, Call::Authenticate(proof)).await?;
        let ids = person.create_delivery_ids();
        call(&connection, Call::CreateDeliveryIds(ids)).await?;
        Ok(())
    }

    /// A person's authenticated connection, with its delivery stream.
    pub(super) async fn receiver(&self, person: &Arc<Person>) -> Result<Receiver> {
        let login = Login(Arc::clone(person));
        let connection = self.connect(Plane::Account, Some(&login)).await?;
        let request = login.request(connection.link())?;
        connection.call(request, 0).await?;
        let (sink, stream) = connection.subscribe(0).await?;
        Ok(Receiver {
            sink,
            stream,
            unanswered: 0,
            _connection: connection,
        })
    }

    /// A connection that nobody authenticates. Each accepted message gives `accepted` a permit.
    pub(super) async fn sender(
        &self,
        accepted: Arc<Semaphore>,
        trouble: Trouble,
    ) -> Result<Sender> {
        let connection = self.connect(Plane::Anonymous, None).await?;
        Sender::open(connection, accepted, trouble).await
    }
}

/// Lets the login go out with the end of the handshake, as applications do.
struct Login(Arc<Person>);

impl Login {
    fn request(&self, link: &Link) -> Result<v1::Request> {
        let exporter = link.exporter(EXPORTER_LABEL, b"")?;
        Ok(request(Call::Authenticate(self.0.authenticate(&exporter))))
    }
}

impl FirstCall for Login {
    fn first_call<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Option<v1::Request>> {
        Box::pin(core::future::ready(self.request(link).ok()))
    }
}

const fn request(call: Call) -> v1::Request {
    v1::Request {
        deadline_ms: limits::DEADLINE_MS_DEFAULT,
        call: Some(call),
    }
}

async fn call(connection: &Connection, call: Call) -> Result<Answer> {
    let response = connection
        .call(request(call), limits::DEADLINE_MS_MAX)
        .await?;
    response.result.context("no result")
}

/// A device that receives.
pub(super) struct Receiver {
    sink: AcknowledgeSink,
    stream: DeliveryStream,
    /// Acknowledgements that were not answered.
    unanswered: usize,
    _connection: Connection,
}

impl Receiver {
    /// Waits for messages, takes those that are there, and acknowledges them together.
    pub(super) async fn receive(&mut self, take: &mut impl FnMut(&[u8])) -> Result<()> {
        let mut up_to = 0;
        let mut next = self.stream.receive().await?;
        loop {
            match next.context("the stream ended")?.event {
                Some(Event::Envelope(stored)) => {
                    take(&stored.envelope);
                    up_to = stored.position;
                }
                Some(Event::Acknowledged(_)) => self.unanswered = self.unanswered.saturating_sub(1),
                Some(Event::Drained(_)) => {}
                None => bail!("an empty delivery"),
            }
            match self.ready().await {
                Some(received) => next = received?,
                None => break,
            }
        }
        if up_to > 0 {
            self.unanswered += 1;
            let frame = v1::Acknowledge {
                positions: Vec::new(),
                up_to,
            };
            self.sink.send(&frame).await?;
        }
        Ok(())
    }

    /// The next delivery, if it is there.
    async fn ready(
        &mut self,
    ) -> Option<Result<Option<v1::Delivery>, waxwing_transport::StreamError>> {
        let mut receive = pin!(self.stream.receive());
        poll_fn(|context| {
            Poll::Ready(match receive.as_mut().poll(context) {
                Poll::Ready(received) => Some(received),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// Whether everything that was acknowledged is durably deleted.
    pub(super) const fn is_settled(&self) -> bool {
        self.unanswered == 0
    }
}

/// Somebody who sends: a sending stream ([TRN-88]), spoken here without a task and a channel for each
/// message, so that this program leaves room on its core. The server sees what applications send.
pub(super) struct Sender {
    sink: SendStream,
    next: u32,
    _connection: Connection,
}

impl Sender {
    async fn open(
        connection: Connection,
        accepted: Arc<Semaphore>,
        trouble: Trouble,
    ) -> Result<Self> {
        let (mut sink, source) = connection.link().open().await?;
        let opening = request(Call::OpenSending(v1::OpenSendingRequest {}));
        sink.send(&opening, limits::CONTROL_FRAME_SIZE_MAX).await?;
        tokio::spawn(async move {
            let ended = hear(source, &accepted).await.err();
            trouble.has(ended.unwrap_or_else(|| anyhow::anyhow!("a sending stream ended")));
        });
        Ok(Self {
            sink,
            next: 0,
            _connection: connection,
        })
    }

    /// Queues a message.
    pub(super) fn post(&mut self, to: &Person, stamp: Stamp) -> Result<()> {
        self.next = self.next.wrapping_add(1);
        let sending = v1::Sending {
            number: self.next,
            deadline_ms: limits::DEADLINE_MS_MAX,
            send: Some(to.send(stamp.envelope())),
        };
        self.sink.queue(&sending, limits::CONTROL_FRAME_SIZE_MAX)?;
        Ok(())
    }

    /// Sends what was queued.
    pub(super) async fn flush(&mut self) -> Result<()> {
        Ok(self.sink.flush().await?)
    }
}

/// Counts what the server has accepted.
async fn hear(mut source: RecvStream, accepted: &Semaphore) -> Result<()> {
    let opened: Option<v1::Response> = source.receive(limits::FRAME_SIZE_MAX).await?;
    let opened = opened.and_then(|opened| opened.result);
    ensure!(
        matches!(opened, Some(Answer::OpenSending(_))),
        "no sending stream: {opened:?}"
    );
    while let Some(sent) = source
        .receive::<v1::Sent>(limits::CONTROL_FRAME_SIZE_MAX)
        .await?
    {
        ensure!(sent.others.is_empty(), "not accepted: {:?}", sent.others);
        accepted.add_permits(sent.accepted.len());
    }
    Ok(())
}
