// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The anonymous plane: one connection for each server, made when it is needed, closed when idle.
//!
//! It shares nothing with the connection of the account plane. How long it lives after its last
//! call is a compromise: a server can tie together what one connection brings.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use waxwing_engine::{RequestFailure, RequestId};
use waxwing_proto::{ServerAddress, v1};
use waxwing_transport::{Clock, CloseCode, Connection, Dialer, Plane, within};

use super::connect;
use super::inbound::Inbound;

/// How long an anonymous connection without calls is kept.
const IDLE_MS: u64 = 20_000;

/// A call on its way out.
pub(super) struct Job {
    pub(super) id: RequestId,
    pub(super) call: v1::request::Call,
    pub(super) deadline_ms: u32,
}

/// The anonymous connections of one host.
pub(super) struct AnonymousPlane<D> {
    dialer: Arc<D>,
    clock: Arc<dyn Clock>,
    inbound: mpsc::Sender<Inbound>,
    servers: BTreeMap<ServerAddress, mpsc::UnboundedSender<Job>>,
    tasks: JoinSet<()>,
}

impl<D: Dialer> AnonymousPlane<D> {
    pub(super) fn new(
        dialer: Arc<D>,
        clock: Arc<dyn Clock>,
        inbound: mpsc::Sender<Inbound>,
    ) -> Self {
        Self {
            dialer,
            clock,
            inbound,
            servers: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Makes a call. The queue has no bound of its own: the engine bounds the calls under way.
    pub(super) fn call(&mut self, server: ServerAddress, job: Job) {
        let Err(mpsc::error::SendError(job)) = self.queue(&server).send(job) else {
            return;
        };
        // The server's task has ended between: once more with a new one.
        self.servers.remove(&server);
        let _ = self.queue(&server).send(job);
    }

    fn queue(&mut self, server: &ServerAddress) -> &mpsc::UnboundedSender<Job> {
        let Self {
            dialer,
            clock,
            inbound,
            servers,
            tasks,
        } = self;
        while tasks.try_join_next().is_some() {}
        servers.entry(server.clone()).or_insert_with(|| {
            let (jobs, queue) = mpsc::unbounded_channel();
            let caller = Caller {
                dialer: Arc::clone(dialer),
                clock: Arc::clone(clock),
                inbound: inbound.clone(),
                server: server.clone(),
                connection: None,
                calls: JoinSet::new(),
            };
            tasks.spawn(caller.run(queue));
            jobs
        })
    }
}

/// The task of one server.
struct Caller<D> {
    dialer: Arc<D>,
    clock: Arc<dyn Clock>,
    inbound: mpsc::Sender<Inbound>,
    server: ServerAddress,
    connection: Option<Connection>,
    calls: JoinSet<()>,
}

impl<D: Dialer> Caller<D> {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        loop {
            let idle = self.calls.is_empty() && self.connection.is_some();
            let clock = Arc::clone(&self.clock);
            tokio::select! {
                biased;
                job = queue.recv() => match job {
                    Some(job) => self.start(job, &mut queue).await,
                    None => break,
                },
                Some(_) = self.calls.join_next(), if !self.calls.is_empty() => {}
                () = clock.sleep(IDLE_MS), if idle => self.close(),
            }
        }
        self.close();
    }

    /// Connects if there is no connection, and lets the call run beside the others.
    async fn start(&mut self, job: Job, queue: &mut mpsc::UnboundedReceiver<Job>) {
        let begun_ms = self.clock.monotonic_ms();
        let connection = match self.open(job.deadline_ms).await {
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
        let spent_ms = self.clock.monotonic_ms().saturating_sub(begun_ms);
        let spent_ms = u32::try_from(spent_ms).unwrap_or(u32::MAX);
        // 0 would mean the default.
        let deadline_ms = job.deadline_ms.saturating_sub(spent_ms).max(1);
        let inbound = self.inbound.clone();
        self.calls.spawn(async move {
            let outcome = connect::call(&connection, job.call, deadline_ms).await;
            let _ = inbound
                .send(Inbound::Response {
                    id: job.id,
                    outcome,
                })
                .await;
        });
    }

    async fn open(&mut self, deadline_ms: u32) -> Result<Connection, RequestFailure> {
        if let Some(connection) = self
            .connection
            .as_ref()
            .filter(|connection| connection.link().close_reason().is_none())
        {
            return Ok(connection.clone());
        }
        self.connection = None;
        let clock = Arc::clone(&self.clock);
        let attempt = connect::connect(
            &*self.dialer,
            Arc::clone(&clock),
            &self.server,
            Plane::Anonymous,
        );
        match within(&*clock, u64::from(deadline_ms), attempt).await {
            Some(Ok(connection)) => Ok(self.connection.insert(connection).clone()),
            Some(Err(failure)) => Err(RequestFailure::Link(failure)),
            None => Err(RequestFailure::Timeout),
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
