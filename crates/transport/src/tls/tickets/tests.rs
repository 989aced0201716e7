// SPDX-License-Identifier: Apache-2.0 OR MIT

use core::sync::atomic::{AtomicU64, Ordering};

use super::generation::KEYS_FORMAT;
use super::*;
use crate::seams::BoxFuture;

const DAY_MS: u64 = limits::TICKET_LIFETIME_S * 1000;

/// A wall clock that is set by hand.
#[derive(Debug)]
struct Wall(AtomicU64);

impl Clock for Wall {
    fn monotonic_ms(&self) -> u64 {
        0
    }

    fn wall_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn sleep_until(&self, _: u64) -> BoxFuture<'static, ()> {
        Box::pin(core::future::pending())
    }
}

/// Each draw is another one.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes()[0]);
    }
}

struct Server {
    store: Arc<MemoryTickets>,
    clock: Arc<Wall>,
    entropy: Arc<Counting>,
    tickets: Tickets,
}

impl Server {
    fn new() -> Self {
        let store = Arc::new(MemoryTickets::default());
        let clock = Arc::new(Wall(AtomicU64::new(1_700_000_000_000)));
        let entropy = Arc::new(Counting::default());
        let tickets = Tickets::new(
            Arc::clone(&store) as Arc<_>,
            Arc::clone(&clock) as Arc<_>,
            Arc::clone(&entropy) as Arc<_>,
        );
        Self {
            store,
            clock,
            entropy,
            tickets,
        }
    }

    fn restart(&mut self) {
        self.tickets = Tickets::new(
            Arc::clone(&self.store) as Arc<_>,
            Arc::clone(&self.clock) as Arc<_>,
            Arc::clone(&self.entropy) as Arc<_>,
        );
    }

    fn issue(&self, number: u64) {
        let session = number.to_be_bytes().repeat(8);
        assert!(self.tickets.put(ticket(number), session));
    }

    fn is_honoured(&self, number: u64) -> bool {
        let session = self.tickets.take(&ticket(number));
        assert!(
            session
                .as_ref()
                .is_none_or(|it| *it == number.to_be_bytes().repeat(8))
        );
        session.is_some()
    }

    fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn stored(&self) -> usize {
        lock(&self.store.sessions).len()
    }
}

fn ticket(number: u64) -> Vec<u8> {
    let mut ticket = vec![0xaa; 32];
    ticket[..8].copy_from_slice(&number.to_be_bytes());
    ticket
}

/// TRN-83.
#[test]
fn a_ticket_serves_once_and_over_a_restart() {
    let mut server = Server::new();
    for number in 0..100 {
        server.issue(number);
    }
    assert!(server.is_honoured(0));
    assert!(!server.is_honoured(0));
    assert!(!server.is_honoured(1_000));
    server.restart();
    assert!(!server.is_honoured(0));
    assert!((1..100).all(|number| server.is_honoured(number)));
    assert_eq!(server.stored(), 0);
    assert_eq!(server.tickets.get(&ticket(1)), None);
}

/// TRN-82, TRN-83.
#[test]
fn a_ticket_ends_after_a_day_and_its_key_after_two() {
    let mut server = Server::new();
    server.issue(1);
    server.issue(2);
    let first_key = server.store.keys().unwrap()[17..49].to_vec();
    server.pass(DAY_MS - 1_000);
    assert!(server.is_honoured(1));
    server.issue(3);
    server.pass(1_000);
    assert!(!server.is_honoured(2), "a day old");
    // The generation is over, its tickets are not.
    server.issue(4);
    assert!(server.is_honoured(3));
    server.pass(DAY_MS);
    server.issue(5);
    let keys = server.store.keys().unwrap();
    assert!(!keys.windows(first_key.len()).any(|it| it == first_key));
    server.restart();
    assert!(server.is_honoured(5));
}

#[test]
fn there_are_never_more_than_two_generations() {
    let server = Server::new();
    let count = u64::try_from(limits::TICKETS_PER_GENERATION_MAX).unwrap();
    for number in 0..3 * count {
        server.issue(number);
        assert!(server.stored() <= 2 * limits::TICKETS_PER_GENERATION_MAX);
    }
    assert!(!server.is_honoured(count - 1), "the oldest made room");
    assert!(server.is_honoured(count));
    assert!(server.is_honoured(3 * count - 1));
}

#[test]
fn a_restart_does_not_begin_the_count_anew() {
    let mut server = Server::new();
    let count = u64::try_from(limits::TICKETS_PER_GENERATION_MAX).unwrap();
    for number in 0..count {
        server.issue(number);
    }
    server.restart();
    server.issue(count);
    let newest = lock(&server.tickets.state).newest.as_ref().unwrap().number;
    assert_eq!(newest, 2);
}

#[test]
fn what_lies_in_the_store_shows_neither_ticket_nor_session() {
    let server = Server::new();
    server.issue(7);
    let sessions = lock(&server.store.sessions);
    let (place, sealed) = sessions.first_key_value().unwrap();
    assert_ne!(place.id, ticket(7)[..16]);
    let plain = 7_u64.to_be_bytes().repeat(2);
    assert!(!sealed.windows(plain.len()).any(|it| it == plain));
}

#[test]
fn a_session_that_a_client_made_long_is_not_kept() {
    let server = Server::new();
    let longest = vec![1; limits::TICKET_SESSION_SIZE_MAX];
    assert!(server.tickets.put(ticket(1), longest.clone()));
    assert!(!server.tickets.put(ticket(2), [longest, vec![1]].concat()));
    assert_eq!(server.stored(), 1);
}

#[test]
fn a_changed_session_or_key_costs_a_full_handshake_and_nothing_else() {
    let mut server = Server::new();
    server.issue(1);
    server.issue(2);
    for sealed in lock(&server.store.sessions).values_mut().take(1) {
        sealed[20] ^= 1;
    }
    let honoured = [1, 2].map(|number| server.is_honoured(number));
    assert_eq!(honoured.iter().filter(|it| **it).count(), 1);
    server.issue(3);
    for keys in [&[][..], &[9; 97], &[KEYS_FORMAT; 40]] {
        server.store.replace_keys(keys);
        server.restart();
        assert!(!server.is_honoured(3));
        server.issue(4);
        assert!(server.is_honoured(4));
    }
}

#[test]
fn a_clock_that_was_wrong_is_survived() {
    let server = Server::new();
    server.pass(100 * DAY_MS);
    server.issue(1);
    server.clock.0.fetch_sub(100 * DAY_MS, Ordering::Relaxed);
    assert!(!server.is_honoured(1), "written in a future that never was");
    server.issue(2);
    let state = lock(&server.tickets.state);
    assert_eq!(state.newest.as_ref().unwrap().began_s, 1_700_000_000);
}
