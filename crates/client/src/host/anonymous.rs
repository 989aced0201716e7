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
    Clock, CloseCode, Connection, Dialer, Entropy, FirstCall, Plane, Signals, within,
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
type Key = (ServerAddress, Vec<u8>);

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
                server: key.0.clone(),
                connection: None,
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
    server: ServerAddress,
    connection: Option<Connection>,
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
                // Whoever waits for the same connection learns the same.
                let _ = self.fail(job, failure).await;
                while let Ok(job) = queue.try_recv() {
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
        let clock = self.clock();
        if let Some(gone) = self.connection.take() {
            let now_ms = clock.monotonic_ms();
            self.rests.ended(&self.server, gone.link(), now_ms);
        }
        let left_ms = self.rests.left_ms(&self.server, clock.monotonic_ms());
        if left_ms >= u64::from(job.deadline_ms) {
            // The engine is told for how long, as by a server that says so to a call.
            return Err(RequestFailure::Refused {
                code: v1::ErrorCode::Unavailable,
                retry_after_ms: u32::try_from(left_ms).unwrap_or(u32::MAX),
            });
        }
        let (seams, signals) = (self.seams.clone(), self.signals.clone());
        let to = (self.rests.address(&self.server), Plane::Anonymous);
        let first = first(job);
        let resting = clock.sleep(left_ms);
        let attempt = async move {
            if left_ms > 0 {
                resting.await;
            }
            connect_eagerly(seams, to, first, &signals).await
        };
        match within(&*clock, u64::from(job.deadline_ms), attempt).await {
            Some(Ok(connection)) => Ok(self.connection.insert(connection).clone()),
            Some(Err(error)) => {
                let now_ms = clock.monotonic_ms();
                self.rests.refused(&self.server, &error, now_ms);
                Err(RequestFailure::Link(connect::connect_failure(error)))
            }
            None => {
                self.rests.goes_home(&self.server);
                Err(RequestFailure::Link(LinkFailure::Unreachable))
            }
        }
    }

    async fn fail(&self, job: Job, failure: RequestFailure) {
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
