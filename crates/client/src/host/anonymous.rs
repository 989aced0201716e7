// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The anonymous plane: one connection for each subject at each server, made when it is needed,
//! closed when idle.
//!
//! A server can tie together what one connection brings. So a connection carries calls about one
//! subject only: one delivery id, one account, one name, one rendezvous. Calls about two contacts,
//! or about a contact and this account itself, never share one.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use waxwing_engine::{LinkFailure, RequestFailure, RequestId};
use waxwing_proto::{ServerAddress, v1};
use waxwing_transport::recovery::{connect_eagerly, probing};
use waxwing_transport::{
    BoxFuture, CallError, Clock, CloseCode, CloseReason, Connection, Dialer, Entropy, FirstCall,
    Plane, Signals, within,
};

use super::connect;
use super::inbound::Inbound;
use super::rests::Rests;

/// How long an anonymous connection without calls is kept.
const IDLE_MS: u64 = 20_000;

/// A call on its way out.
pub(super) struct Job {
    pub(super) id: RequestId,
    pub(super) call: v1::request::Call,
    pub(super) deadline_ms: u32,
}

/// A server, and what the calls on one connection to it are about.
pub(super) type Key = (ServerAddress, Vec<u8>);

/// A server that is told to be elsewhere is looked for there for so long, in milliseconds.
const AWAY_MS: u64 = 4_000;
/// A call that would not have so long to connect is given back, in milliseconds.
const CONNECTING_MS: u64 = 5_000;

/// What a call names. Each kind of name is told apart by its first byte.
fn subject(call: &v1::request::Call) -> Vec<u8> {
    use v1::fetch_manifests_request::Account;
    use v1::request::Call;
    let (kind, name): (u8, &[u8]) = match call {
        Call::Send(call) => (1, &call.delivery_id),
        Call::TakePrekeys(call) => (1, &call.delivery_id),
        Call::FetchManifests(call) => match &call.account {
            Some(Account::DeliveryId(id)) => (1, id),
            Some(Account::AccountKey(key)) => (2, key),
            None => (0, &[]),
        },
        Call::ResolveName(call) => (3, call.name.as_bytes()),
        Call::PutRendezvous(call) => (4, &call.locator),
        Call::FetchRendezvous(call) => (4, &call.locator),
        _ => (0, &[]),
    };
    [&[kind], name].concat()
}

/// The call as one that goes out with the end of the handshake, unless it must not be made twice:
/// several attempts to connect may get that far.
fn first(job: &Job) -> Option<Arc<dyn FirstCall>> {
    if matches!(job.call, v1::request::Call::TakePrekeys(_)) {
        return None;
    }
    Some(Arc::new(v1::Request {
        deadline_ms: job.deadline_ms,
        call: Some(job.call.clone()),
    }))
}

/// The anonymous connections of one host.
pub(super) struct AnonymousPlane<D> {
    seams: (Arc<D>, Arc<dyn Clock>, Arc<dyn Entropy>),
    signals: Signals,
    inbound: mpsc::Sender<Inbound>,
    rests: Rests,
    subjects: BTreeMap<Key, mpsc::UnboundedSender<Job>>,
    tasks: JoinSet<()>,
}

impl<D: Dialer> AnonymousPlane<D> {
    pub(super) fn new(
        seams: (Arc<D>, Arc<dyn Clock>, Arc<dyn Entropy>),
        signals: Signals,
        inbound: mpsc::Sender<Inbound>,
    ) -> Self {
        Self {
            seams,
            signals,
            inbound,
            rests: Rests::default(),
            subjects: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Makes a call. The queue has no bound of its own: the engine bounds the calls under way.
    pub(super) fn call(&mut self, server: ServerAddress, job: Job) {
        let key = (server, subject(&job.call));
        let Err(mpsc::error::SendError(job)) = self.queue(&key).send(job) else {
            return;
        };
        // The subject's task has ended between: once more with a new one.
        self.subjects.remove(&key);
        let _ = self.queue(&key).send(job);
    }

    fn queue(&mut self, key: &Key) -> &mpsc::UnboundedSender<Job> {
        let Self {
            seams,
            signals,
            inbound,
            rests,
            subjects,
            tasks,
        } = self;
        while tasks.try_join_next().is_some() {}
        // Tasks end when they have been idle: what they leave here must not pile up.
        subjects.retain(|_, jobs| !jobs.is_closed());
        subjects.entry(key.clone()).or_insert_with(|| {
            let (jobs, queue) = mpsc::unbounded_channel();
            let caller = Caller {
                seams: seams.clone(),
                signals: signals.clone(),
                inbound: inbound.clone(),
                rests: rests.clone(),
                key: key.clone(),
                connection: None,
                closed: None,
                calls: JoinSet::new(),
            };
            tasks.spawn(caller.run(queue));
            jobs
        })
    }
}

/// The task of one subject at one server.
struct Caller<D> {
    seams: (Arc<D>, Arc<dyn Clock>, Arc<dyn Entropy>),
    signals: Signals,
    inbound: mpsc::Sender<Inbound>,
    rests: Rests,
    key: Key,
    connection: Option<Connection>,
    /// The end of the connection.
    closed: Option<BoxFuture<'static, CloseReason>>,
    calls: JoinSet<()>,
}

impl<D: Dialer> Caller<D> {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.seams.1)
    }

    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        loop {
            let idle = self.calls.is_empty();
            let clock = self.clock();
            tokio::select! {
                biased;
                job = queue.recv() => match job {
                    Some(job) => self.start(job, &mut queue).await,
                    None => {
                        while self.calls.join_next().await.is_some() {}
                        break;
                    }
                },
                Some(_) = self.calls.join_next(), if !self.calls.is_empty() => {}
                () = ended(&mut self.closed) => self.note_end(),
                // What was queued in this moment is still carried out; later calls get a new task.
                () = clock.sleep(IDLE_MS), if idle => queue.close(),
            }
        }
        self.close();
    }

    /// Connects if there is no connection, and lets the call run beside the others.
    async fn start(&mut self, job: Job, queue: &mut mpsc::UnboundedReceiver<Job>) {
        let clock = self.clock();
        let begun_ms = clock.monotonic_ms();
        let connection = match self.open(&job).await {
            Ok(connection) => connection,
            Err(failure) => {
                let _ = self.fail(job, failure).await;
                // Whoever waits for the same connection learns the same; a refusal is of this call, which
                // has less time than others may have.
                while matches!(failure, RequestFailure::Link(_))
                    && let Ok(job) = queue.try_recv()
                {
                    let _ = self.fail(job, failure).await;
                }
                return;
            }
        };
        let spent_ms = clock.monotonic_ms().saturating_sub(begun_ms);
        let spent_ms = u32::try_from(spent_ms).unwrap_or(u32::MAX);
        // 0 would mean the default.
        let deadline_ms = job.deadline_ms.saturating_sub(spent_ms).max(1);
        let (inbound, signals) = (self.inbound.clone(), self.signals.clone());
        self.calls.spawn(async move {
            let call = connect::call(&connection, job.call, deadline_ms);
            let outcome = probing(connection.link(), &*clock, &signals, call).await;
            if matches!(outcome, Err(RequestFailure::Timeout)) {
                // Probed all the while, and still no answer: the next call gets a new connection.
                connection.link().close(CloseCode::Done);
            }
            let _ = inbound
                .send(Inbound::Response {
                    id: job.id,
                    outcome,
                })
                .await;
        });
    }

    async fn open(&mut self, job: &Job) -> Result<Connection, RequestFailure> {
        if let Some(connection) = self
            .connection
            .as_ref()
            .filter(|connection| connection.link().close_reason().is_none())
        {
            return Ok(connection.clone());
        }
        self.note_end();
        let clock = self.clock();
        let begun_ms = clock.monotonic_ms();
        let deadline_ms = u64::from(job.deadline_ms);
        let left_ms = self.rests.left_ms(&self.key, begun_ms);
        if left_ms > 0 && left_ms.saturating_add(CONNECTING_MS) >= deadline_ms {
            return Err(unavailable(left_ms));
        }
        if left_ms > 0 {
            clock.sleep(left_ms).await;
        }
        let home = self.key.0.clone();
        let away = self.rests.address(&self.key);
        let mut connected = None;
        if away != home {
            connected = self.connect(away, job, AWAY_MS.min(deadline_ms)).await;
            if !matches!(connected, Some(Ok(_))) {
                self.rests.goes_home(&self.key);
                connected = None;
            }
        }
        if connected.is_none() {
            let spent_ms = clock.monotonic_ms().saturating_sub(begun_ms);
            connected = self
                .connect(home, job, deadline_ms.saturating_sub(spent_ms))
                .await;
        }
        match connected {
            Some(Ok(connection)) => {
                self.rests.reached(&self.key);
                self.closed = Some(connection.link().closed());
                Ok(self.connection.insert(connection).clone())
            }
            Some(Err(error)) => {
                self.rests.refused(&self.key, &error, clock.monotonic_ms());
                Err(error.retry_after_ms().map_or_else(
                    || RequestFailure::Link(connect::connect_failure(error)),
                    |retry_after_ms| unavailable(retry_after_ms.into()),
                ))
            }
            None => Err(RequestFailure::Link(LinkFailure::Unreachable)),
        }
    }

    /// Connects within a time; `None` when it is over.
    async fn connect(
        &mut self,
        server: ServerAddress,
        job: &Job,
        time_ms: u64,
    ) -> Option<Result<Connection, CallError>> {
        let clock = self.clock();
        let to = (server, Plane::Anonymous);
        let attempt = connect_eagerly(self.seams.clone(), to, first(job), &self.signals);
        within(&*clock, time_ms, attempt).await
    }

    /// The connection is over: what the server asked for as it ended it counts from now.
    fn note_end(&mut self) {
        self.closed = None;
        if let Some(gone) = self.connection.take() {
            let now_ms = self.clock().monotonic_ms();
            self.rests.ended(&self.key, gone.link(), now_ms);
        }
    }

    async fn fail(&mut self, job: Job, failure: RequestFailure) {
        let response = Inbound::Response {
            id: job.id,
            outcome: Err(failure),
        };
        // Nobody listens any more when the host has ended.
        let _ = self.inbound.send(response).await;
    }

    fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.link().close(CloseCode::Done);
        }
    }
}

/// Waits for the end of a connection; for ever where there is none.
async fn ended(closed: &mut Option<BoxFuture<'static, CloseReason>>) {
    match closed {
        Some(closed) => drop(closed.await),
        None => core::future::pending().await,
    }
}

/// The engine is told for how long, as by a server that says so to a call.
fn unavailable(retry_after_ms: u64) -> RequestFailure {
    RequestFailure::Refused {
        code: v1::ErrorCode::Unavailable,
        retry_after_ms: u32::try_from(retry_after_ms).unwrap_or(u32::MAX),
    }
}
