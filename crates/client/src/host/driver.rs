// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver: one task that runs one engine and carries its effects out.
//!
//! Effects are carried out in the order in which the engine gives them. Commits start at once, so
//! that several become durable together; everything behind them waits until the batch that it names
//! is durable. That is the host's half of "write before send".

mod exchange;

use core::future::Future;
use core::pin::Pin;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use waxwing_engine::{
    Answer, Batch, BatchId, CommandError, CommandId, Effect, Engine, Event, Now, RequestId,
};
use waxwing_storage::StoreError;
use waxwing_storage::client::ClientStore;
use waxwing_transport::recovery::Waiting;
use waxwing_transport::{Clock, Dialer, Entropy, EntropyRng, Signals};

use super::account_link::AccountLink;
use super::anonymous::AnonymousPlane;
use super::error::HostError;
use super::handle::{Asked, Desk, Handle};
use super::inbound::{self, Generation, Inbound};
use crate::sealed_store::{SealedStore, SealedStoreError};

/// How long an ending host waits for the answers to its last acknowledgements and to what it is sending:
/// of a text that has gone out, the copy for an own device may still be on its way.
const SETTLE_MS: u64 = 1_000;

type Commit = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What a driver runs over.
#[derive(Debug)]
pub struct Seams<S, D, C, E> {
    /// The rows.
    pub store: SealedStore<S>,
    /// The network.
    pub dialer: D,
    /// The time.
    pub clock: C,
    /// The randomness.
    pub entropy: E,
}

/// An engine and everything that it needs. [`Driver::run`] is its life.
pub struct Driver<S, D, C, E> {
    engine: Engine,
    store: SealedStore<S>,
    dialer: Arc<D>,
    clock: Arc<C>,
    entropy: Arc<E>,
    rng: EntropyRng,
    desk: Desk,
    /// Commits on their way to the disk, oldest first.
    commits: VecDeque<(BatchId, Commit)>,
    durable: BatchId,
    /// Effects that wait for a batch, or behind one that does.
    held: VecDeque<Effect>,
    replies: BTreeMap<CommandId, oneshot::Sender<Result<Answer, CommandError>>>,
    last_command: CommandId,
    inbound: mpsc::Receiver<Inbound>,
    inbound_sender: mpsc::Sender<Inbound>,
    account: Option<AccountLink>,
    last_generation: Generation,
    signals: Signals,
    /// Held while something waits for the account's connection to come back.
    unsent: Option<Waiting>,
    anonymous: AnonymousPlane<D>,
    calls: tokio::task::JoinSet<()>,
    /// Acknowledgements that the server has not confirmed.
    unconfirmed: usize,
    /// The sendings that were not answered yet.
    sending: BTreeSet<RequestId>,
}

impl<S, D, C, E> core::fmt::Debug for Driver<S, D, C, E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Driver(..)")
    }
}

/// Why the main loop woke up.
enum Turn {
    Durable(Result<(), StoreError>),
    Inbound(Inbound),
    Asked(Asked),
    Due,
    ShutDown,
}

impl<S: ClientStore, D: Dialer, C: Clock, E: Entropy> Driver<S, D, C, E> {
    /// Reads the profile and opens the engine. Nothing is sent before [`Driver::run`].
    ///
    /// # Errors
    /// [`HostError`].
    pub fn open(seams: Seams<S, D, C, E>) -> Result<(Self, Handle), HostError> {
        let Seams {
            store,
            dialer,
            clock,
            entropy,
        } = seams;
        let (dialer, clock, entropy) = (Arc::new(dialer), Arc::new(clock), Arc::new(entropy));
        let rng = EntropyRng::new(Arc::clone(&entropy) as Arc<dyn Entropy>);
        let engine = Engine::open(store.snapshot(Engine::snapshot_tables())?)?;
        let (handle, desk) = Handle::new();
        let (inbound_sender, inbound) = inbound::queue();
        let signals = handle.signals();
        let anonymous = AnonymousPlane::new(
            (
                Arc::clone(&dialer),
                Arc::clone(&clock) as Arc<dyn Clock>,
                Arc::clone(&entropy) as Arc<dyn Entropy>,
            ),
            signals.clone(),
            inbound_sender.clone(),
        );
        let driver = Self {
            engine,
            store,
            dialer,
            clock,
            entropy,
            rng,
            desk,
            commits: VecDeque::new(),
            durable: BatchId(0),
            held: VecDeque::new(),
            replies: BTreeMap::new(),
            last_command: CommandId(0),
            inbound,
            inbound_sender,
            account: None,
            last_generation: Generation(0),
            signals,
            unsent: None,
            anonymous,
            calls: tokio::task::JoinSet::new(),
            unconfirmed: 0,
            sending: BTreeSet::new(),
        };
        Ok((driver, handle))
    }

    /// Runs until [`Handle::shut_down`] or a fatal error. Dropping the future is a crash: what was
    /// not durable is lost, which by design nobody has been told of.
    ///
    /// # Errors
    /// [`HostError`]; the handle's users learn of it too.
    pub async fn run(mut self) -> Result<(), HostError> {
        let outcome = self.turns().await;
        let _ = self.desk.fate.set(outcome.err());
        outcome
    }

    async fn turns(&mut self) -> Result<(), HostError> {
        if self.store.is_behind() {
            self.engine
                .handle(now(&*self.clock), &mut self.rng, Event::StoreIsBehind);
        }
        let mut settle_until_ms = None;
        loop {
            self.pump()?;
            self.say_whether_something_waits();
            while self.calls.try_join_next().is_some() {}
            if let Some(until_ms) = settle_until_ms
                && self.is_settled(until_ms)
            {
                return Ok(());
            }
            let ending = settle_until_ms.is_some();
            let due_ms = [self.engine.poll_timeout(), settle_until_ms]
                .into_iter()
                .flatten()
                .min();
            match self.wait(due_ms, ending).await {
                Turn::Durable(outcome) => self.committed(outcome)?,
                Turn::Inbound(inbound) => self.take(inbound)?,
                Turn::Asked(asked) => self.ask(asked),
                Turn::Due => self.engine.handle_timeout(now(&*self.clock), &mut self.rng),
                Turn::ShutDown => {
                    settle_until_ms = Some(self.clock.monotonic_ms().saturating_add(SETTLE_MS));
                }
            }
        }
    }

    /// Waits for one thing. The order of the branches is their precedence.
    async fn wait(&mut self, due_ms: Option<u64>, ending: bool) -> Turn {
        let clock = Arc::clone(&self.clock);
        let due = async move {
            match due_ms {
                Some(at) => clock.sleep_until(at).await,
                None => core::future::pending().await,
            }
        };
        let commits = &mut self.commits;
        let durable = core::future::poll_fn(|context| match commits.front_mut() {
            Some((_, commit)) => commit.as_mut().poll(context),
            None => core::task::Poll::Pending,
        });
        tokio::select! {
            biased;
            outcome = durable => Turn::Durable(outcome),
            () = shut_down(&mut self.desk.shutdown), if !ending => Turn::ShutDown,
            Some(inbound) = self.inbound.recv() => Turn::Inbound(inbound),
            Some(asked) = self.desk.commands.recv(), if !ending => Turn::Asked(asked),
            () = due => Turn::Due,
        }
    }

    /// While a content waits and there is no connection, the transport tries more often. On a
    /// connection that is up, only what was sent on it and not answered waits for it.
    fn say_whether_something_waits(&mut self) {
        let is_down = self
            .account
            .as_ref()
            .is_some_and(|account| account.connection.is_none());
        if !(is_down && self.engine.has_unsent()) {
            self.unsent = None;
        } else if self.unsent.is_none() {
            self.unsent = Some(self.signals.wait());
        }
    }

    /// Whether an ending host may end: everything is durable and said, or the time is over and
    /// only the network is owed something.
    fn is_settled(&self, until_ms: u64) -> bool {
        let said = self.commits.is_empty() && self.held.is_empty();
        let online = self
            .account
            .as_ref()
            .is_some_and(|account| account.connection.is_some());
        let is_owed = self.unconfirmed > 0 || !self.sending.is_empty();
        said && (!is_owed || !online || self.clock.monotonic_ms() >= until_ms)
    }

    /// Takes effects from the engine and carries out what may be, until nothing moves.
    fn pump(&mut self) -> Result<(), HostError> {
        loop {
            while let Some(effect) = self.engine.poll_effect() {
                match effect {
                    Effect::Commit(batch) => self.commit(&batch)?,
                    // A read shows what is on its way to the disk, so it waits for nothing.
                    load @ Effect::Load { .. } => self.carry_out(load)?,
                    effect => self.held.push_back(effect),
                }
            }
            let ready = self
                .held
                .front()
                .is_some_and(|head| waits_for(head).is_none_or(|batch| batch <= self.durable));
            if !ready {
                return Ok(());
            }
            if let Some(effect) = self.held.pop_front() {
                self.carry_out(effect)?;
            }
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), HostError> {
        let durable = self.store.apply(batch, &mut self.rng)?;
        self.commits.push_back((batch.id, Box::pin(durable)));
        Ok(())
    }

    fn committed(&mut self, outcome: Result<(), StoreError>) -> Result<(), HostError> {
        let (batch, _) = self
            .commits
            .pop_front()
            .ok_or(HostError::Bug("no commit"))?;
        outcome.map_err(SealedStoreError::from)?;
        self.durable = batch;
        self.tell(Event::Committed(batch));
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        self.engine.handle(now(&*self.clock), &mut self.rng, event);
    }
}

fn now<C: Clock>(clock: &C) -> Now {
    Now {
        monotonic_ms: clock.monotonic_ms(),
        wall_ms: clock.wall_ms(),
    }
}

/// The batch that must be durable before an effect.
const fn waits_for(effect: &Effect) -> Option<BatchId> {
    match effect {
        Effect::Request { after, .. }
        | Effect::Acknowledge { after, .. }
        | Effect::Answer { after, .. }
        | Effect::Notify { after, .. } => *after,
        _ => None,
    }
}

/// Completes when the host is asked to end. A host without handles left goes on.
async fn shut_down(asked: &mut tokio::sync::watch::Receiver<bool>) {
    if asked.wait_for(|asked| *asked).await.is_err() {
        core::future::pending::<()>().await;
    }
}
