// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Short-lived places where two devices of one person meet. In memory only, bounded, each slot
//! written once. The server sees a locator and sealed bytes; see `docs/spec/01-identity.md`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use waxwing_proto::{RendezvousLocator, limits};

const LIFETIME_MS: u64 = limits::RENDEZVOUS_LIFETIME_SECONDS * 1000;

/// Why a slot was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RendezvousError {
    /// The slot holds another value.
    #[error("the slot is written already")]
    Taken,
    /// No slot of that number, or too long a value, or an empty one.
    #[error("no such slot, or a value of a wrong size")]
    Malformed,
    /// The server has no room for another place until the oldest expires.
    #[error("too many rendezvous places")]
    Full {
        /// Milliseconds until the oldest place expires.
        retry_after_ms: u64,
    },
}

struct Place {
    expires_ms: u64,
    slots: BTreeMap<u32, Bytes>,
}

/// All live places of one server.
#[derive(Default)]
pub(crate) struct Rendezvous {
    places: BTreeMap<RendezvousLocator, Place>,
    by_expiry: BTreeSet<(u64, RendezvousLocator)>,
}

impl Rendezvous {
    /// Writes one slot. Writing the same value again succeeds: a retry must not fail.
    ///
    /// # Errors
    /// [`RendezvousError`]; nothing is changed then.
    pub(crate) fn put(
        &mut self,
        locator: RendezvousLocator,
        slot: u32,
        value: Bytes,
        now_ms: u64,
    ) -> Result<(), RendezvousError> {
        // IDN-45.
        if slot >= limits::RENDEZVOUS_SLOTS_MAX
            || value.is_empty()
            || value.len() > limits::RENDEZVOUS_VALUE_SIZE_MAX
        {
            return Err(RendezvousError::Malformed);
        }
        self.expire(now_ms);
        if let Some(place) = self.places.get_mut(&locator) {
            return match place.slots.get(&slot) {
                Some(stored) if *stored == value => Ok(()),
                Some(_) => Err(RendezvousError::Taken),
                None => {
                    place.slots.insert(slot, value);
                    Ok(())
                }
            };
        }
        if self.places.len() >= limits::RENDEZVOUS_MAX {
            let oldest = self
                .by_expiry
                .first()
                .map_or(now_ms, |(expires_ms, _)| *expires_ms);
            return Err(RendezvousError::Full {
                retry_after_ms: oldest.saturating_sub(now_ms),
            });
        }
        let expires_ms = now_ms.saturating_add(LIFETIME_MS);
        let slots = BTreeMap::from([(slot, value)]);
        self.places.insert(locator, Place { expires_ms, slots });
        self.by_expiry.insert((expires_ms, locator));
        Ok(())
    }

    /// The value of a slot, when it is written and has not expired.
    #[must_use]
    pub(crate) fn get(&self, locator: RendezvousLocator, slot: u32, now_ms: u64) -> Option<Bytes> {
        let place = self.places.get(&locator)?;
        (place.expires_ms > now_ms).then_some(())?;
        place.slots.get(&slot).cloned()
    }

    /// Forgets what has expired.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        while let Some((expires_ms, locator)) = self.by_expiry.first().copied() {
            if expires_ms > now_ms {
                return;
            }
            self.by_expiry.remove(&(expires_ms, locator));
            self.places.remove(&locator);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locator(n: u16) -> RendezvousLocator {
        let [a, b] = n.to_be_bytes();
        let mut bytes = [0; 16];
        bytes[0] = a;
        bytes[1] = b;
        RendezvousLocator::new(bytes)
    }

    /// [IDN-45].
    #[test]
    fn a_slot_is_written_once_and_a_retry_succeeds() {
        let mut rendezvous = Rendezvous::default();
        let one = Bytes::from_static(b"one");
        rendezvous.put(locator(1), 0, one.clone(), 0).unwrap();
        rendezvous.put(locator(1), 0, one.clone(), 5).unwrap();
        let other = rendezvous.put(locator(1), 0, Bytes::from_static(b"two"), 5);
        assert_eq!(other, Err(RendezvousError::Taken));
        assert_eq!(rendezvous.get(locator(1), 0, 5), Some(one));
        assert_eq!(rendezvous.get(locator(1), 1, 5), None);
        assert_eq!(rendezvous.get(locator(2), 0, 5), None);
    }

    /// [IDN-45].
    #[test]
    fn a_place_expires_and_can_then_be_made_anew() {
        let mut rendezvous = Rendezvous::default();
        rendezvous
            .put(locator(1), 0, Bytes::from_static(b"one"), 0)
            .unwrap();
        assert!(rendezvous.get(locator(1), 0, LIFETIME_MS - 1).is_some());
        assert!(rendezvous.get(locator(1), 0, LIFETIME_MS).is_none());
        rendezvous
            .put(locator(1), 0, Bytes::from_static(b"two"), LIFETIME_MS)
            .unwrap();
        assert_eq!(
            rendezvous.get(locator(1), 0, LIFETIME_MS),
            Some(Bytes::from_static(b"two"))
        );
    }

    /// [IDN-45].
    #[test]
    fn sizes_and_the_number_of_places_are_bounded() {
        let mut rendezvous = Rendezvous::default();
        let malformed = Err(RendezvousError::Malformed);
        let value = Bytes::from_static(b"x");
        let long = Bytes::from(vec![0; limits::RENDEZVOUS_VALUE_SIZE_MAX + 1]);
        let slots = limits::RENDEZVOUS_SLOTS_MAX;
        assert_eq!(
            rendezvous.put(locator(1), slots, value.clone(), 0),
            malformed
        );
        assert_eq!(rendezvous.put(locator(1), 0, Bytes::new(), 0), malformed);
        assert_eq!(rendezvous.put(locator(1), 0, long, 0), malformed);
        for n in 0..u16::try_from(limits::RENDEZVOUS_MAX).unwrap() {
            rendezvous.put(locator(n), 0, value.clone(), 0).unwrap();
        }
        assert_eq!(
            rendezvous.put(locator(u16::MAX), 0, value.clone(), 1000),
            Err(RendezvousError::Full {
                retry_after_ms: LIFETIME_MS - 1000
            })
        );
        rendezvous.put(locator(3), 1, value.clone(), 1000).unwrap();
        rendezvous
            .put(locator(u16::MAX), 0, value, LIFETIME_MS)
            .unwrap();
    }
}
