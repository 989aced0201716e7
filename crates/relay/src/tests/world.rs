// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A relay on a simulated network, and the client's side of calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use waxwing_identity::authentication::EXPORTER_LABEL;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_proto::v1::{self, ErrorCode, delivery::Event};
use waxwing_proto::{KeyPin, ServerAddress};
use waxwing_storage::StoreError;
use waxwing_storage::embedded::memory::{Immediate, MemoryDisk, MemoryKeyValue, SyncLatency};
use waxwing_storage::embedded::{EmbeddedStore, ServerLimits, ServerOptions};
use waxwing_transport::rpc::Connection;
use waxwing_transport::sim::{NetworkSettings, SimClock, SimEntropy, SimNetwork};
use waxwing_transport::{
    AcknowledgeSink, CallError, Clock, DeliveryStream, Dialer as _, Listener, Plane, StreamError,
};

use super::people::Person;
use crate::{InProcessWakeBus, Relay, Seams, Settings};

pub(super) type TestStore = EmbeddedStore<MemoryKeyValue>;
/// Noon of day 20 000.
pub(super) const WALL_START_MS: u64 = (20_000 * 24 + 12) * 60 * 60 * 1000;

pub(super) struct World {
    pub(super) network: SimNetwork,
    pub(super) disk: MemoryDisk,
    pub(super) clock: SimClock,
    pub(super) relay: Relay<TestStore>,
    pub(super) serving: JoinHandle<Result<(), StoreError>>,
    server: ServerAddress,
    limits: ServerLimits,
    settings: Settings,
    syncs: Arc<dyn SyncLatency>,
}

impl World {
    pub(super) async fn open() -> Self {
        let settings = Settings {
            open_registration: true,
            ..Settings::default()
        };
        Self::new(settings, ServerLimits::default()).await
    }

    pub(super) async fn new(settings: Settings, limits: ServerLimits) -> Self {
        Self::on(Arc::new(Immediate), settings, limits).await
    }

    /// A relay whose disk takes the time that it is told.
    pub(super) async fn on(
        syncs: Arc<dyn SyncLatency>,
        settings: Settings,
        limits: ServerLimits,
    ) -> Self {
        let network = SimNetwork::new(1, NetworkSettings::default());
        let clock = SimClock::new(WALL_START_MS);
        let disk = MemoryDisk::new();
        let opened = (disk.open(Arc::clone(&syncs)).unwrap(), limits);
        let (relay, serving) = start(&network, opened, &clock, settings.clone()).await;
        let server = SimNetwork::server_address("server", 1, vec![KeyPin([1; 32])]).unwrap();
        Self {
            network,
            disk,
            clock,
            relay,
            serving,
            server,
            limits,
            settings,
            syncs,
        }
    }

    /// The server's process is killed; what was not durable is lost; a new one starts.
    pub(super) async fn kill_and_restart(&mut self) {
        self.network.crash("server");
        self.serving.abort();
        let _ = (&mut self.serving).await;
        self.disk.crash(0);
        let settings = self.settings.clone();
        let opened = self.disk.open(Arc::clone(&self.syncs)).unwrap();
        let opened = (opened, self.limits);
        let started = start(&self.network, opened, &self.clock, settings).await;
        (self.relay, self.serving) = started;
    }

    pub(super) async fn connect(&self, node: &str) -> Client {
        let dialer = self.network.dialer(node);
        let link = dialer.dial(&self.server, Plane::Anonymous).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        Client(Connection::establish(link, clock).await.unwrap())
    }

    /// A connection on which the device has authenticated.
    pub(super) async fn connect_as(&self, person: &Person, device: usize) -> Client {
        let client = self.connect(&format!("{}{device}", person.name)).await;
        client.authenticate(person, device).await.unwrap();
        client
    }

    /// Registers the person and publishes a signed pair for the first device.
    pub(super) async fn settle(&self, person: &Person) {
        let client = self.connect(person.name).await;
        client
            .call(Call::Register(person.register_request()))
            .await
            .unwrap();
        client.authenticate(person, 0).await.unwrap();
        let publication = person.publication(0, 1..=2);
        client
            .call(Call::PublishPrekeys(publication))
            .await
            .unwrap();
    }
}

async fn start(
    network: &SimNetwork,
    (rows, limits): (MemoryKeyValue, ServerLimits),
    clock: &SimClock,
    settings: Settings,
) -> (Relay<TestStore>, JoinHandle<Result<(), StoreError>>) {
    let options = ServerOptions {
        limits,
        new_name_key: [3; 32],
    };
    let store = EmbeddedStore::open(rows, options).await.unwrap();
    let seams = Seams {
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SimEntropy::new(1, "server")),
        wake_bus: Arc::new(InProcessWakeBus::default()),
    };
    let relay = Relay::new(Arc::new(store), seams, settings);
    let listener: Arc<dyn Listener> = Arc::new(network.listen("server", 1, KeyPin([1; 32])));
    let serving = relay.clone();
    (
        relay,
        tokio::spawn(async move { serving.serve(listener).await }),
    )
}

#[derive(Clone)]
pub(crate) struct Client(pub(crate) Connection);

fn code(error: CallError) -> ErrorCode {
    match error {
        CallError::Refused { code, .. } => code,
        other => panic!("the call failed: {other}"),
    }
}

impl Client {
    pub(super) async fn call(&self, call: Call) -> Result<Answer, ErrorCode> {
        self.call_within(call, 0).await.map_err(code)
    }

    pub(super) async fn call_within(
        &self,
        call: Call,
        deadline_ms: u32,
    ) -> Result<Answer, CallError> {
        let request = v1::Request {
            deadline_ms: 0,
            call: Some(call),
        };
        let response = self.0.call(request, deadline_ms).await?;
        Ok(response.result.unwrap())
    }

    pub(super) fn exporter(&self) -> [u8; 32] {
        self.0.link().exporter(EXPORTER_LABEL, &[]).unwrap()
    }

    pub(super) async fn authenticate(
        &self,
        person: &Person,
        device: usize,
    ) -> Result<v1::AuthenticateResponse, ErrorCode> {
        let request = person.authenticate_request(device, self.exporter());
        match self.call(Call::Authenticate(request)).await? {
            Answer::Authenticate(response) => Ok(response),
            other => panic!("another answer: {other:?}"),
        }
    }

    pub(super) async fn send(&self, request: v1::SendRequest) -> Result<Sent, ErrorCode> {
        use v1::send_response::Outcome;
        let response = self.0.send(request, 0).await.map_err(code)?;
        Ok(match response.outcome.unwrap() {
            Outcome::Accepted(_) => Sent::Accepted,
            Outcome::StaleDevices(stale) => Sent::Stale(stale.manifest),
        })
    }

    pub(super) async fn subscribe(&self) -> Subscription {
        let (sink, stream) = self.0.subscribe(0).await.unwrap();
        Subscription { sink, stream }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Accepted,
    Stale(Bytes),
}

pub(super) struct Subscription {
    pub(super) sink: AcknowledgeSink,
    pub(super) stream: DeliveryStream,
}

impl Subscription {
    pub(super) async fn next(&mut self) -> Result<Option<Event>, StreamError> {
        Ok(self
            .stream
            .receive()
            .await?
            .map(|delivery| delivery.event.unwrap()))
    }

    pub(super) async fn envelope(&mut self) -> v1::StoredEnvelope {
        match self.next().await.unwrap().unwrap() {
            Event::Envelope(envelope) => envelope,
            other => panic!("another event: {other:?}"),
        }
    }

    pub(super) async fn drained(&mut self) {
        let event = self.next().await.unwrap().unwrap();
        assert!(matches!(event, Event::Drained(_)), "{event:?}");
    }

    pub(super) async fn acknowledge(&mut self, positions: Vec<u64>) {
        self.acknowledge_up_to(0, positions).await;
    }

    /// Waits for the answer; what comes before it is passed over.
    pub(super) async fn acknowledge_up_to(&mut self, up_to: u64, positions: Vec<u64>) {
        let frame = v1::Acknowledge {
            positions: positions.clone(),
            up_to,
        };
        self.sink.send(&frame).await.unwrap();
        let answer = loop {
            match self.next().await.unwrap().unwrap() {
                Event::Envelope(_) | Event::Drained(_) if up_to > 0 => {}
                event => break event,
            }
        };
        let expected = v1::Acknowledged { positions, up_to };
        assert_eq!(answer, Event::Acknowledged(expected));
    }

    /// Whether nothing comes for a while.
    pub(super) async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(5), self.stream.receive())
            .await
            .is_err()
    }
}
