// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who of those that knock is let in: budgets for handshakes and for connections, in total and for
//! each address prefix.
//!
//! A source address is the sender's claim until the handshake, or a Retry (RFC 9000, section
//! 8.1.2), has shown that it receives there. So an exhausted budget of a prefix first costs a
//! newcomer a round trip, and only one that has shown its address is refused: nobody can shut
//! others out by writing their address on packets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waxwing_proto::limits;

use super::listener::ListenerSettings;
use super::windows::Windows;
use crate::link::AddressPrefix;

/// What is done with a newcomer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The handshake goes on.
    Accept(Place),
    /// It has to show its address first.
    Retry,
    /// It is told to go.
    Refuse,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    connecting: usize,
    connected: usize,
}

/// The counts of one listener. Bounded: a prefix is in it only while it has a place.
#[derive(Debug, Default)]
struct Counts {
    total: Count,
    /// What the windows of all can make the server hold, in bytes.
    granted: u64,
    prefixes: BTreeMap<AddressPrefix, Count>,
}

#[derive(Debug, Clone)]
pub(super) struct Admission {
    settings: ListenerSettings,
    counts: Arc<Mutex<Counts>>,
}

impl Admission {
    pub(super) fn new(settings: ListenerSettings) -> Self {
        Self {
            settings,
            counts: Arc::default(),
        }
    }

    /// Decides about a newcomer. `is_validated`: it has shown that it receives at its address.
    pub(super) fn decide(&self, prefix: AddressPrefix, is_validated: bool) -> Verdict {
        // TRN-66, TRN-67.
        let mut counts = lock(&self.counts);
        let (total, own) = (
            counts.total,
            counts.prefixes.get(&prefix).copied().unwrap_or_default(),
        );
        let all = total.connected.saturating_add(total.connecting);
        if all >= self.settings.connections_max || total.connecting >= limits::CONNECTING_MAX {
            return Verdict::Refuse;
        }
        let own_all = own.connected.saturating_add(own.connecting);
        let is_over = own.connecting >= limits::CONNECTING_PER_PREFIX_MAX
            || own_all >= self.settings.connections_per_prefix_max;
        let is_busy = total.connecting >= self.settings.retry_above;
        match (is_validated, is_over || is_busy) {
            (false, true) => return Verdict::Retry,
            (true, _) if is_over => return Verdict::Refuse,
            _ => {}
        }
        counts.total.connecting = total.connecting.saturating_add(1);
        let own = counts.prefixes.entry(prefix).or_default();
        own.connecting = own.connecting.saturating_add(1);
        let windows = Windows::next(counts.granted, self.settings.windows_full_max);
        counts.granted = counts.granted.saturating_add(windows.bytes());
        Verdict::Accept(Place {
            counts: Arc::clone(&self.counts),
            prefix,
            windows,
            is_connected: AtomicBool::new(false),
        })
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One handshake, or one connection, counted as long as this lives.
#[derive(Debug)]
pub(super) struct Place {
    counts: Arc<Mutex<Counts>>,
    prefix: AddressPrefix,
    windows: Windows,
    is_connected: AtomicBool,
}

impl Place {
    /// The handshake has ended well. Gives the windows that the connection gets.
    pub(super) fn connected(&self) -> Windows {
        self.leave();
        self.is_connected.store(true, Ordering::Relaxed);
        let mut counts = lock(&self.counts);
        counts.total.connected = counts.total.connected.saturating_add(1);
        let own = counts.prefixes.entry(self.prefix).or_default();
        own.connected = own.connected.saturating_add(1);
        self.windows
    }

    fn leave(&self) {
        let mut counts = lock(&self.counts);
        let lower = |count: &mut Count| {
            let place = if self.is_connected.load(Ordering::Relaxed) {
                &mut count.connected
            } else {
                &mut count.connecting
            };
            *place = place.saturating_sub(1);
            count.connected == 0 && count.connecting == 0
        };
        lower(&mut counts.total);
        if counts.prefixes.get_mut(&self.prefix).is_some_and(lower) {
            counts.prefixes.remove(&self.prefix);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
        let mut counts = lock(&self.counts);
        counts.granted = counts.granted.saturating_sub(self.windows.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: u8) -> AddressPrefix {
        AddressPrefix::of([192, 0, number, 1].into())
    }

    fn admission(connections_per_prefix_max: usize, retry_above: usize) -> Admission {
        Admission::new(ListenerSettings {
            connections_max: 10,
            connections_per_prefix_max,
            retry_above,
            ..ListenerSettings::default()
        })
    }

    #[test]
    fn places_are_given_back() {
        let admission = admission(10, 10);
        for _ in 0..3 {
            let mut places = Vec::new();
            for _ in 0..10 {
                let Verdict::Accept(place) = admission.decide(prefix(1), false) else {
                    panic!("no place");
                };
                place.connected();
                places.push(place);
            }
            assert!(matches!(admission.decide(prefix(2), true), Verdict::Refuse));
        }
        let counts = lock(&admission.counts);
        assert!(counts.prefixes.is_empty() && counts.granted == 0);
    }

    #[test]
    fn a_full_prefix_shuts_nobody_out_who_has_not_shown_its_address() {
        let admission = admission(2, 10);
        let places = [1, 1].map(|it| admission.decide(prefix(it), false));
        assert!(matches!(admission.decide(prefix(1), false), Verdict::Retry));
        assert!(matches!(admission.decide(prefix(1), true), Verdict::Refuse));
        assert!(matches!(
            admission.decide(prefix(2), false),
            Verdict::Accept(..)
        ));
        drop(places);
        assert!(matches!(
            admission.decide(prefix(1), false),
            Verdict::Accept(..)
        ));
    }

    /// TRN-24, TRN-67: what one customer of a provider has is one prefix, however many addresses that is.
    #[test]
    fn ipv6_addresses_are_counted_by_56_bits() {
        let of = |text: &str| AddressPrefix::of(text.parse().unwrap());
        let admission = admission(2, 10);
        let _places = ["2001:db8:1:100::1", "2001:db8:1:1ff:ffff::1"].map(|address| {
            let verdict = admission.decide(of(address), true);
            assert!(matches!(verdict, Verdict::Accept(..)), "{address}");
            verdict
        });
        let full = admission.decide(of("2001:db8:1:17f::2"), true);
        assert!(matches!(full, Verdict::Refuse));
        let next = admission.decide(of("2001:db8:1:200::1"), true);
        assert!(matches!(next, Verdict::Accept(..)));
    }

    #[test]
    fn under_load_everybody_shows_the_address() {
        let admission = admission(10, 1);
        let _place = admission.decide(prefix(1), false);
        assert!(matches!(admission.decide(prefix(2), false), Verdict::Retry));
        assert!(matches!(
            admission.decide(prefix(2), true),
            Verdict::Accept(..)
        ));
    }
}
