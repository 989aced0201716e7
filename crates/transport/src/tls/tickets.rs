// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Session tickets (RFC 8446, section 4.6.1) as a server keeps them: each serves once, over restarts
//! too, and lies sealed under a key that is replaced every day.
//!
//! T4: the tickets themselves are random names and hold nothing, so that each can be spent. What they
//! stand for is in a [`TicketStore`].

mod generation;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::StoresServerSessions;
use waxwing_proto::limits;
use zeroize::Zeroizing;

use self::generation::{Generation, KEY_SIZE, NONCE_SIZE, decode, encode};
use crate::seams::{Clock, Entropy};

pub use self::store::{MemoryTickets, TicketPlace, TicketStore};

/// How far ahead of this server's clock a time may be that it has written itself, in seconds, before it
/// counts as one of a clock that was wrong.
const CLOCK_SLACK_S: u64 = 3600;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct State {
    newest: Option<Generation>,
    older: Option<Generation>,
    /// The sessions that were put into the newest generation.
    count: usize,
}

/// A server's tickets. Shared by its listeners.
pub struct Tickets {
    store: Arc<dyn TicketStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    state: Mutex<State>,
}

impl Tickets {
    /// The tickets that `store` has, and those to come. Keys that cannot be read are replaced, which
    /// costs each client a full handshake.
    #[must_use]
    pub fn new(
        store: Arc<dyn TicketStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let mut state = State::default();
        if let Some(keys) = store.keys() {
            (state.newest, state.older) = decode(&keys);
        }
        match &state.newest {
            Some(newest) => state.count = store.count(newest.number),
            // Whatever lies there, nothing opens it any more.
            None => store.clear(),
        }
        Self {
            store,
            clock,
            entropy,
            state: Mutex::new(state),
        }
    }

    fn now_s(&self) -> u64 {
        self.clock.wall_ms() / 1000
    }

    /// Begins a generation where there is none that takes more. The one before the last, and its key,
    /// are gone then.
    fn renew(&self, state: &mut State, now_s: u64) {
        // TRN-82.
        let is_usable = |newest: &Generation| {
            !newest.is_over(now_s) && state.count < limits::TICKETS_PER_GENERATION_MAX
        };
        if state.newest.as_ref().is_some_and(is_usable) {
            return;
        }
        let mut secret = Zeroizing::new([0; KEY_SIZE]);
        self.entropy.fill(secret.as_mut_slice());
        let last = state.newest.as_ref().map_or(0, |newest| newest.number);
        let next = Generation::new(last.saturating_add(1), now_s, secret);
        state.older = state.newest.take();
        state.newest = next;
        state.count = 0;
        let kept = [state.newest.as_ref(), state.older.as_ref()];
        self.store.replace_keys(&encode(&kept));
        self.store.forget_below(last);
    }
}

impl StoresServerSessions for Tickets {
    fn put(&self, ticket: Vec<u8>, session: Vec<u8>) -> bool {
        let session = Zeroizing::new(session);
        // A part of it is the client's choice, its server name.
        if session.len() > limits::TICKET_SESSION_SIZE_MAX {
            return false;
        }
        let now_s = self.now_s();
        let mut state = lock(&self.state);
        self.renew(&mut state, now_s);
        let mut nonce = [0; NONCE_SIZE];
        self.entropy.fill(&mut nonce);
        let sealed = state.newest.as_ref().and_then(|newest| {
            let place = newest.place(&ticket)?;
            Some((place, newest.seal(place, (now_s, &session), nonce)?))
        });
        let Some((place, sealed)) = sealed else {
            return false;
        };
        state.count = state.count.saturating_add(1);
        drop(state);
        self.store.put(place, sealed);
        true
    }

    /// Never: a ticket that is looked at is spent.
    fn get(&self, _ticket: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        // TRN-83.
        let now_s = self.now_s();
        let state = lock(&self.state);
        let generations = [state.newest.as_ref(), state.older.as_ref()];
        for generation in generations.into_iter().flatten() {
            let place = generation.place(ticket)?;
            if let Some(sealed) = self.store.take(place) {
                let (then_s, session) = generation.open(place, sealed)?;
                let is_valid = now_s.saturating_sub(then_s) < limits::TICKET_LIFETIME_S
                    && then_s <= now_s.saturating_add(CLOCK_SLACK_S);
                return is_valid.then_some(session);
            }
        }
        None
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl core::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tickets(..)")
    }
}
