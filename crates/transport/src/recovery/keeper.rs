// SPDX-License-Identifier: Apache-2.0 OR MIT
//! [`Keeper`]: one connection that is kept up.

use std::sync::Arc;

use waxwing_proto::ServerAddress;

use super::attempts::{Attempts, KeptPins};
use super::pace::Pace;
use super::renewal::Renewal;
use super::signals::{Signals, Watch};
use super::silence::Silence;
use crate::close::{CloseCode, CloseReason};
use crate::elsewhere::Elsewhere;
use crate::error::{CallError, LinkError};
use crate::link::{Dialer, Plane};
use crate::rpc::{Connection, FirstCall};
use crate::seams::{BoxFuture, Clock, Entropy};

/// A connection that lived this long makes the next delay short again, in milliseconds.
const STABLE_MS: u64 = 10_000;
/// The round trip that is assumed where a link does not measure it, in milliseconds.
const ROUND_TRIP_MS: u64 = 250;
/// By how much an answer may be later than usual on any path, in milliseconds.
const JITTER_MS_MIN: u64 = 10;

/// Attempts at the other address that a server has named before its own is tried again.
const AWAY_FAILURES_MAX: u32 = 2;

/// What happened to the connection.
#[derive(Debug)]
pub enum Kept {
    /// It is up. An earlier one that was up until now has been closed: the new one answered first, or is over
    /// the transport that is preferred.
    Up(Connection),
    /// It was lost, or an attempt failed; the next follows by itself.
    Down(CallError),
}

/// Keeps a connection to one server up, for as long as [`Keeper::next`] is called.
pub struct Keeper<D: ?Sized> {
    home: ServerAddress,
    /// Failures in a row at the other address that the server has named; `None` at home.
    away: Option<u32>,
    attempts: Attempts<D>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    signals: Watch,
    changes: u64,
    pace: Pace,
    current: Option<Current>,
    /// A fresh connection while the older one may still answer after a change of network.
    spare: Option<Connection>,
    /// Until when it may.
    answers_until_ms: u64,
    renewal: Renewal,
    is_waiting: bool,
}

/// The connection that is up.
struct Current {
    connection: Connection,
    closed: BoxFuture<'static, CloseReason>,
    begun_ms: u64,
    /// `None` on links that cannot be silent without being over.
    silence: Option<Silence>,
}

impl Current {
    fn round_trip_ms(&self) -> u64 {
        let measured = self.connection.link().round_trip_ms();
        measured.unwrap_or(ROUND_TRIP_MS)
    }

    /// Whether the peer has been heard since the last probe.
    fn is_heard(&mut self, now_ms: u64) -> bool {
        let signs = self.connection.link().signs_of_life();
        match (&mut self.silence, signs) {
            (Some(silence), Some(signs)) => silence.observe(now_ms, signs),
            _ => true,
        }
    }
}

enum Turn {
    Attempt(Result<Connection, CallError>),
    Closed(CloseReason),
    Signal,
    Due,
}

impl<D: Dialer + ?Sized> Keeper<D> {
    /// Nothing is sent before [`Keeper::next`] is called.
    #[must_use]
    pub fn new(
        (dialer, clock, entropy): (Arc<D>, Arc<dyn Clock>, Arc<dyn Entropy>),
        server: ServerAddress,
        plane: Plane,
        signals: &Signals,
    ) -> Self {
        let mut signals = signals.watch();
        let changes = signals.take().changes;
        Self {
            attempts: Attempts::new(dialer, Arc::clone(&clock), server.clone(), plane),
            home: server,
            away: None,
            clock,
            entropy,
            signals,
            changes,
            pace: Pace::new(),
            current: None,
            spare: None,
            answers_until_ms: 0,
            renewal: Renewal::none(),
            is_waiting: false,
        }
    }

    /// Lets a call go out behind the greeting of each connection, see [`Connection::dial`]. Of
    /// several that are tried beside each other one is used, and the calls on the others are given
    /// up.
    #[must_use]
    pub fn calling(mut self, first: Arc<dyn FirstCall>) -> Self {
        self.attempts.set_first(Some(first));
        self
    }

    /// The keys that the server may show, to be replaced when others are known.
    #[must_use]
    pub fn key_pins(&self) -> KeptPins {
        self.attempts.key_pins().clone()
    }

    /// Waits for the next change. Cancellation safe; while it is not called nothing is retried.
    pub async fn next(&mut self) -> Kept {
        loop {
            let now_ms = self.clock.monotonic_ms();
            self.take_signals(now_ms);
            if self.act(now_ms) {
                return Kept::Down(CallError::LinkLost(LinkError::TimedOut));
            }
            if let Some(kept) = self.settle_spare(now_ms) {
                return kept;
            }
            if let Some(connection) = self.renewed(now_ms) {
                return Kept::Up(connection);
            }
            match self.turn(self.due_ms(now_ms)).await {
                Turn::Signal | Turn::Due => {}
                // The spare one takes its place.
                Turn::Closed(_) if self.has_open_spare() => self.current = None,
                Turn::Closed(reason) => {
                    self.spare = None;
                    return self.lost(CallError::LinkLost(LinkError::Closed(reason)));
                }
                Turn::Attempt(Ok(connection)) => {
                    if let Some(connection) = self.taken(connection) {
                        return Kept::Up(connection);
                    }
                }
                Turn::Attempt(Err(error)) => {
                    if let Some(error) = self.failed(error) {
                        return Kept::Down(error);
                    }
                }
            }
        }
    }

    fn take_signals(&mut self, now_ms: u64) {
        let known = self.signals.take();
        let is_waiting = known.waiting > 0;
        self.is_waiting = is_waiting;
        self.pace.set_waiting(now_ms, is_waiting);
        if let Some(silence) = self.current.as_mut().and_then(|it| it.silence.as_mut()) {
            silence.set_waiting(now_ms, is_waiting);
        }
        if known.changes != self.changes {
            self.changes = known.changes;
            self.network_changed(now_ms);
        }
    }

    fn network_changed(&mut self, now_ms: u64) {
        // TRN-60.
        self.pace.network_changed(now_ms);
        // They go out from the old network.
        self.attempts.give_up();
        self.spare = None;
        self.renewal.give_up(now_ms);
        if let Some(current) = &mut self.current {
            current.is_heard(now_ms);
            let round_trip_ms = current.round_trip_ms();
            current.connection.link().probe();
            if let Some(silence) = &mut current.silence {
                silence.moved(now_ms, round_trip_ms);
            }
            let half_ms = (round_trip_ms >> 1).max(JITTER_MS_MIN);
            self.answers_until_ms = now_ms.saturating_add(round_trip_ms).saturating_add(half_ms);
            self.race(now_ms);
        }
    }

    /// Starts a fresh connection beside the one that may be dead.
    fn race(&mut self, now_ms: u64) {
        if self.pace.due_ms(now_ms) <= now_ms {
            self.pace.began(now_ms);
            self.attempts.start();
        }
    }

    /// Does what is due. Gives whether an attempt had to make room for a new one, and nothing is up.
    fn act(&mut self, now_ms: u64) -> bool {
        let is_eager = self.pace.is_eager(now_ms);
        let Some(current) = &mut self.current else {
            if self.pace.due_ms(now_ms) > now_ms {
                return false;
            }
            self.pace.began(now_ms);
            return self.attempts.start();
        };
        let round_trip_ms = current.round_trip_ms();
        let is_heard = current.is_heard(now_ms);
        if is_heard && !self.renewal.is_under_way() && !self.attempts.is_empty() {
            // It lives: the race is over.
            self.attempts.give_up();
        }
        // TRN-90, TRN-63.
        if self.renewal.due_ms().max(self.pace.asked_ms()) <= now_ms {
            if is_heard && self.attempts.is_empty() && self.spare.is_none() {
                self.renewal.began();
                self.attempts.start();
            } else {
                self.renewal.put_off(now_ms);
            }
        }
        let is_due = |silence: &Silence| silence.due_ms(is_eager, round_trip_ms) <= now_ms;
        if !current.silence.as_ref().is_some_and(is_due) {
            return false;
        }
        current.connection.link().probe();
        let mut is_suspect = false;
        if let Some(silence) = &mut current.silence {
            is_suspect = silence.probes() > 0;
            silence.probed(now_ms);
        }
        // TRN-61.
        if is_suspect {
            self.pace.began(now_ms);
            self.attempts.start();
        }
        false
    }

    fn due_ms(&self, now_ms: u64) -> u64 {
        let is_eager = self.pace.is_eager(now_ms);
        let due_ms = match &self.current {
            None => self.pace.due_ms(now_ms),
            Some(current) => current.silence.as_ref().map_or(u64::MAX, |silence| {
                silence.look_ms(now_ms, is_eager, current.round_trip_ms())
            }),
        };
        let due_ms = match &self.spare {
            Some(_) => due_ms.min(self.answers_until_ms),
            None => due_ms,
        };
        let due_ms = match &self.current {
            Some(_) => due_ms.min(self.renewal.due_ms().max(self.pace.asked_ms())),
            None => due_ms,
        };
        // Something that is due was just done; the bound makes a mistake here cost little.
        due_ms.max(now_ms.saturating_add(1))
    }

    async fn turn(&mut self, due_ms: u64) -> Turn {
        let current = &mut self.current;
        let closed = async move {
            match current {
                Some(current) => current.closed.as_mut().await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = closed => Turn::Closed(reason),
            outcome = self.attempts.next() => Turn::Attempt(outcome),
            () = self.signals.changed() => Turn::Signal,
            () = self.clock.sleep_until(due_ms) => Turn::Due,
        }
    }

    fn lost(&mut self, error: CallError) -> Kept {
        let now_ms = self.clock.monotonic_ms();
        if let Some(gone) = self.current.take() {
            if now_ms.saturating_sub(gone.begun_ms) >= STABLE_MS {
                self.pace.succeeded();
            }
            self.go(gone.connection.link().elsewhere());
        }
        let random = self.random();
        self.pace.lost(now_ms, random, error.retry_after_ms());
        if error.retry_after_ms().is_some() {
            // The server does not want to be called now, by an attempt under way neither.
            self.attempts.give_up();
        }
        Kept::Down(error)
    }

    /// From now on attempts go to the address that the server has named, or home.
    fn go(&mut self, elsewhere: Option<Elsewhere>) {
        // TRN-71.
        let mut server = self.home.clone();
        self.away = elsewhere.map(|elsewhere| {
            (server.host, server.port) = (elsewhere.host, elsewhere.port);
            0
        });
        self.attempts.set_server(server);
    }

    /// An attempt succeeded. Gives the connection if it is the one to use from now on.
    fn taken(&mut self, connection: Connection) -> Option<Connection> {
        let now_ms = self.clock.monotonic_ms();
        self.attempts.give_up();
        self.renewal.ended(now_ms);
        if let Some(current) = &mut self.current {
            if current.is_heard(now_ms) {
                if let Some(other) = self.renewal.keep(connection) {
                    other.link().close(CloseCode::Done);
                }
                return None;
            }
            // TRN-60. A resumed one is up after one round trip, when the older one can have answered too:
            // what is under way on that need not be sent again.
            if now_ms < self.answers_until_ms {
                self.spare = Some(connection);
                return None;
            }
        }
        Some(self.use_from_now(connection))
    }

    fn has_open_spare(&mut self) -> bool {
        let spare = self.spare.as_ref();
        let is_open = spare.is_some_and(|spare| spare.link().close_reason().is_none());
        is_open || self.renewal.has_better()
    }

    /// Uses the spare connection where the older one did not answer in time, and gives what changed.
    fn settle_spare(&mut self, now_ms: u64) -> Option<Kept> {
        let spare = self.spare.take()?;
        let closed = spare.link().close_reason();
        let is_heard = self
            .current
            .as_mut()
            .map(|current| current.is_heard(now_ms));
        match (is_heard, closed) {
            (Some(true), _) => {
                spare.link().close(CloseCode::Done);
                None
            }
            // The older one is looked after as before.
            (Some(false), Some(_)) => None,
            (Some(false), None) if now_ms < self.answers_until_ms => {
                self.spare = Some(spare);
                None
            }
            (_, None) => Some(Kept::Up(self.use_from_now(spare))),
            // What the server asked for at its end counts.
            (None, Some(reason)) => {
                self.go(spare.link().elsewhere());
                Some(self.lost(CallError::LinkLost(LinkError::Closed(reason))))
            }
        }
    }

    /// Gives the connection over the preferred transport when its moment has come.
    fn renewed(&mut self, now_ms: u64) -> Option<Connection> {
        if !self.renewal.has_better() {
            return None;
        }
        let is_heard = self.current.as_mut().is_some_and(|it| it.is_heard(now_ms));
        if self.is_waiting && is_heard {
            return None;
        }
        let better = self.renewal.take()?;
        Some(self.use_from_now(better))
    }

    fn use_from_now(&mut self, connection: Connection) -> Connection {
        if let Some(older) = self.current.take() {
            older.connection.link().close(CloseCode::Done);
        }
        let now_ms = self.clock.monotonic_ms();
        self.away = self.away.map(|_| 0);
        let link = connection.link();
        self.renewal = Renewal::of(now_ms, link.transport(), self.attempts.preferred());
        self.current = Some(Current {
            closed: link.closed(),
            begun_ms: now_ms,
            silence: link
                .signs_of_life()
                .map(|signs| Silence::new(now_ms, signs)),
            connection: connection.clone(),
        });
        connection
    }

    /// An attempt failed. Gives the error if nothing is up.
    fn failed(&mut self, error: CallError) -> Option<CallError> {
        let now_ms = self.clock.monotonic_ms();
        let random = self.random();
        self.pace.failed(now_ms, random, error.retry_after_ms());
        self.renewal.ended(now_ms);
        self.away = self.away.map(|failures| failures.saturating_add(1));
        if self.away >= Some(AWAY_FAILURES_MAX) {
            self.go(None);
        }
        self.current.is_none().then_some(error)
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl<D: ?Sized> core::fmt::Debug for Keeper<D> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Keeper")
            .field("pace", &self.pace)
            .field("is_up", &self.current.is_some())
            .finish_non_exhaustive()
    }
}
