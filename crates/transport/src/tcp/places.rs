// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who has a place at a listener: so many in total, and so many of one network, as handshakes and as
//! connections. Over TCP an address is shown by the connection itself, so whoever is too many is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use waxwing_proto::limits;

use super::budget::{Counted, Gauge};
use super::shared::lock;
use crate::link::AddressPrefix;

/// What one network has.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    connecting: usize,
    connected: usize,
}

/// The places of one listener. Bounded: a network is in it only while it has one.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Gauge>,
    max: usize,
    per_prefix_max: usize,
    by_prefix: Mutex<HashMap<AddressPrefix, Count>>,
}

impl Places {
    pub(super) fn new(max: usize, per_prefix_max: usize) -> Self {
        Self {
            all: Arc::default(),
            max,
            per_prefix_max,
            by_prefix: Mutex::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.all.count()
    }

    /// Completes when nobody has a place.
    pub(super) async fn emptied(&self) {
        self.all.emptied().await;
    }

    /// A place for a handshake, until it is dropped. `None` when all are taken, or when the network has
    /// as many as one may have: the places must not all belong to one that never ends.
    pub(super) fn enter(self: &Arc<Self>, prefix: AddressPrefix) -> Option<Place> {
        // TRN-67.
        let counted = self.all.enter(self.max)?;
        let mut by_prefix = lock(&self.by_prefix);
        let own = by_prefix.get(&prefix).copied().unwrap_or_default();
        if own.connecting >= limits::CONNECTING_PER_PREFIX_MAX
            || own.connecting.saturating_add(own.connected) >= self.per_prefix_max
        {
            return None;
        }
        let own = by_prefix.entry(prefix).or_default();
        own.connecting = own.connecting.saturating_add(1);
        drop(by_prefix);
        Some(Place {
            places: Arc::clone(self),
            prefix,
            is_connected: false,
            _counted: counted,
        })
    }
}

/// One handshake, or one connection, counted as long as this lives.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    prefix: AddressPrefix,
    is_connected: bool,
    _counted: Counted,
}

impl Place {
    /// The handshake has ended well.
    pub(super) fn connected(mut self) -> Self {
        let mut by_prefix = lock(&self.places.by_prefix);
        if let Some(own) = by_prefix.get_mut(&self.prefix) {
            own.connecting = own.connecting.saturating_sub(1);
            own.connected = own.connected.saturating_add(1);
        }
        drop(by_prefix);
        self.is_connected = true;
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_prefix = lock(&self.places.by_prefix);
        let Some(own) = by_prefix.get_mut(&self.prefix) else {
            return;
        };
        let count = if self.is_connected {
            &mut own.connected
        } else {
            &mut own.connecting
        };
        *count = count.saturating_sub(1);
        if own.connecting == 0 && own.connected == 0 {
            by_prefix.remove(&self.prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: u8) -> AddressPrefix {
        AddressPrefix::of(std::net::IpAddr::from([10, number, 0, 1]))
    }

    #[test]
    fn connections_of_one_network_are_counted_as_long_as_they_live() {
        let places = Arc::new(Places::new(10, 3));
        let mut held: Vec<Place> = (0..3)
            .map(|_| places.enter(prefix(1)).unwrap().connected())
            .collect();
        assert!(places.enter(prefix(1)).is_none());
        assert!(places.enter(prefix(2)).is_some());
        held.pop();
        let handshake = places.enter(prefix(1)).unwrap();
        assert!(places.enter(prefix(1)).is_none());
        drop(handshake);
        assert!(places.enter(prefix(1)).is_some());
        drop(held);
        assert!(lock(&places.by_prefix).is_empty());
        assert_eq!(places.count(), 0);
    }

    /// TRN-24, TRN-67.
    #[test]
    fn ipv6_addresses_are_counted_by_56_bits() {
        let of = |text: &str| AddressPrefix::of(text.parse().unwrap());
        let places = Arc::new(Places::new(10, 2));
        let _held = ["2001:db8:1:100::1", "2001:db8:1:1ff:ffff::1"]
            .map(|address| places.enter(of(address)).unwrap().connected());
        assert!(places.enter(of("2001:db8:1:17f::2")).is_none());
        assert!(places.enter(of("2001:db8:1:200::1")).is_some());
    }

    #[test]
    fn all_networks_share_the_places_of_the_listener() {
        let places = Arc::new(Places::new(2, 3));
        let held = [1, 2].map(|number| places.enter(prefix(number)).unwrap());
        assert!(places.enter(prefix(3)).is_none());
        drop(held);
        assert!(places.enter(prefix(3)).is_some());
    }
}
