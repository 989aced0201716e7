// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Session tickets (RFC 8446, section 4.6.1) as a server keeps them: each serves once, over restarts
//! too, and lies sealed under a key that is replaced every day.
//!
//! T4: the tickets themselves are random names and hold nothing, as the library allows early data only
//! then. What they stand for is in a [`TicketStore`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use rustls::server::StoresServerSessions;
use waxwing_proto::limits;
use zeroize::Zeroizing;

use crate::seams::{Clock, Entropy};

/// How far ahead of this server's clock a time may be that it has written itself, in seconds, before it
/// counts as one of a clock that was wrong.
const CLOCK_SLACK_S: u64 = 3600;
const KEY_SIZE: usize = 32;
const NONCE_SIZE: usize = 12;
/// What begins the stored keys.
const KEYS_FORMAT: u8 = 1;
/// The number of a generation, when it began, its key.
const STORED_KEY_SIZE: usize = 8 + 8 + KEY_SIZE;

/// Where a session lies: in a generation, under a keyed hash of its ticket, so that a copy of the store
/// names no ticket that was seen on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketPlace {
    /// Generations grow; each has a key of its own.
    pub generation: u64,
    /// The keyed hash.
    pub id: [u8; 16],
}

/// What keeps sessions for tickets. Every method may be called from the task that moves packets: it must
/// not wait for a disk, and what is lost in a crash costs a client one full handshake.
pub trait TicketStore: core::fmt::Debug + Send + Sync + 'static {
    /// Keeps a sealed session, at most 1 KiB of it.
    fn put(&self, place: TicketPlace, sealed: Vec<u8>);
    /// Gives a session out and forgets it: of two callers at most one gets it.
    fn take(&self, place: TicketPlace) -> Option<Vec<u8>>;
    /// Forgets all generations below `generation`.
    fn forget_below(&self, generation: u64);
    /// How many sessions a generation has. Called once, at the start.
    fn count(&self, generation: u64) -> usize;
    /// The keys that were kept last. Called once, at the start.
    fn keys(&self) -> Option<Zeroizing<Vec<u8>>>;
    /// Keeps the keys in the place of those before, which are overwritten.
    fn replace_keys(&self, keys: &[u8]);
}

/// A [`TicketStore`] that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryTickets {
    sessions: Mutex<BTreeMap<TicketPlace, Vec<u8>>>,
    keys: Mutex<Option<Zeroizing<Vec<u8>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TicketStore for MemoryTickets {
    fn put(&self, place: TicketPlace, sealed: Vec<u8>) {
        lock(&self.sessions).insert(place, sealed);
    }

    fn take(&self, place: TicketPlace) -> Option<Vec<u8>> {
        lock(&self.sessions).remove(&place)
    }

    fn forget_below(&self, generation: u64) {
        lock(&self.sessions).retain(|place, _| place.generation >= generation);
    }

    fn count(&self, generation: u64) -> usize {
        let sessions = lock(&self.sessions);
        let of_generation = sessions.keys();
        of_generation
            .filter(|place| place.generation == generation)
            .count()
    }

    fn keys(&self) -> Option<Zeroizing<Vec<u8>>> {
        lock(&self.keys).clone()
    }

    fn replace_keys(&self, keys: &[u8]) {
        *lock(&self.keys) = Some(Zeroizing::new(keys.to_vec()));
    }
}

/// A day's tickets.
struct Generation {
    number: u64,
    began_s: u64,
    secret: Zeroizing<[u8; KEY_SIZE]>,
    naming: hmac::Key,
    sealing: LessSafeKey,
}

impl Generation {
    fn new(number: u64, began_s: u64, secret: Zeroizing<[u8; KEY_SIZE]>) -> Option<Self> {
        let root = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret.as_slice());
        let derive = |label: &[u8]| {
            let mut key = Zeroizing::new([0; KEY_SIZE]);
            let info = [label];
            let expanded = root.expand(&info, hkdf::HKDF_SHA256).ok()?;
            expanded.fill(key.as_mut_slice()).ok()?;
            Some(key)
        };
        let naming = derive(b"waxwing ticket name")?;
        let sealing = derive(b"waxwing ticket seal")?;
        let sealing = UnboundKey::new(&aead::AES_256_GCM, sealing.as_slice()).ok()?;
        Some(Self {
            number,
            began_s,
            secret,
            naming: hmac::Key::new(hmac::HMAC_SHA256, naming.as_slice()),
            sealing: LessSafeKey::new(sealing),
        })
    }

    fn place(&self, ticket: &[u8]) -> Option<TicketPlace> {
        let tag = hmac::sign(&self.naming, ticket);
        Some(TicketPlace {
            generation: self.number,
            id: *tag.as_ref().first_chunk()?,
        })
    }

    fn is_over(&self, now_s: u64) -> bool {
        now_s.saturating_sub(self.began_s) >= limits::TICKET_LIFETIME_S
            || self.began_s > now_s.saturating_add(CLOCK_SLACK_S)
    }

    /// The time and the session, sealed under the generation's key and bound to the place.
    fn seal(
        &self,
        place: TicketPlace,
        (now_s, session): (u64, Vec<u8>),
        nonce: [u8; NONCE_SIZE],
    ) -> Option<Vec<u8>> {
        let mut plain = Zeroizing::new(now_s.to_be_bytes().to_vec());
        plain.extend_from_slice(&Zeroizing::new(session));
        let aad = Aad::from(place.id);
        let tag = self.sealing.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            aad,
            plain.as_mut_slice(),
        );
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(&plain);
        sealed.extend_from_slice(tag.ok()?.as_ref());
        Some(sealed)
    }

    fn open(&self, place: TicketPlace, sealed: &mut [u8]) -> Option<(u64, Vec<u8>)> {
        let (nonce, sealed) = sealed.split_first_chunk_mut::<NONCE_SIZE>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .sealing
            .open_in_place(nonce, Aad::from(place.id), sealed);
        let (time, session) = plain.ok()?.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*time), session.to_vec()))
    }
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
            None => store.forget_below(u64::MAX),
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
        let now_s = self.now_s();
        let mut state = lock(&self.state);
        self.renew(&mut state, now_s);
        let mut nonce = [0; NONCE_SIZE];
        self.entropy.fill(&mut nonce);
        let sealed = state.newest.as_ref().and_then(|newest| {
            let place = newest.place(&ticket)?;
            Some((place, newest.seal(place, (now_s, session), nonce)?))
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
            if let Some(mut sealed) = self.store.take(place) {
                let (then_s, session) = generation.open(place, &mut sealed)?;
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

fn encode(generations: &[Option<&Generation>]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 + 2 * STORED_KEY_SIZE));
    bytes.push(KEYS_FORMAT);
    for generation in generations.iter().flatten() {
        bytes.extend_from_slice(&generation.number.to_be_bytes());
        bytes.extend_from_slice(&generation.began_s.to_be_bytes());
        bytes.extend_from_slice(generation.secret.as_slice());
    }
    bytes
}

/// The newest generation and the one before it.
fn decode(bytes: &[u8]) -> (Option<Generation>, Option<Generation>) {
    let Some((&KEYS_FORMAT, keys)) = bytes.split_first() else {
        return (None, None);
    };
    let mut generations = keys.chunks_exact(STORED_KEY_SIZE).map(|stored| {
        let (number, stored) = stored.split_first_chunk::<8>()?;
        let (began_s, secret) = stored.split_first_chunk::<8>()?;
        let secret = Zeroizing::new(*secret.first_chunk::<KEY_SIZE>()?);
        Generation::new(
            u64::from_be_bytes(*number),
            u64::from_be_bytes(*began_s),
            secret,
        )
    });
    let newest = generations.next().flatten();
    (newest, generations.next().flatten())
}

#[cfg(test)]
mod tests;
