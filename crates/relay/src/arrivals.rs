// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Envelopes on their way from a sending to a subscription that is there: what has just been stored need
//! not be read again.
//!
//! The mailbox stays the truth. An envelope is taken from here only where it comes right after the last
//! one that was handed over; in every other case the subscription looks into the mailbox.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use waxwing_proto::limits::{ARRIVALS_BYTES_MAX, EPHEMERAL_WAITING_MAX};
use waxwing_storage::server::{Position, StoredEnvelope};

/// Envelopes that wait for one subscription; after more it looks into the mailbox.
const WAITING_MAX: usize = 64;

/// What comes after what was handed over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    Envelope(StoredEnvelope),
    /// Only the mailbox knows.
    Look,
}

/// The envelopes that have arrived for one subscription.
#[derive(Debug, Default)]
pub struct Arrivals(Mutex<Waiting>);

/// What becomes of an envelope that arrives.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// The subscription takes it at once.
    AsItIs,
    /// It may wait for a while: as a copy, since the frame that it came in may be ten times as long, and
    /// within a bound.
    Copies,
    #[default]
    Nothing,
}

#[derive(Debug, Default)]
struct Waiting {
    keeping: Keeping,
    /// Whether the mailbox has something that is not here.
    look: bool,
    envelopes: VecDeque<StoredEnvelope>,
    /// What is in no mailbox.
    ephemeral: Vec<StoredEnvelope>,
}

impl Arrivals {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Envelopes are in the mailbox, durably.
    pub fn put(&self, envelopes: &[StoredEnvelope]) {
        let mut waiting = self.waiting();
        for envelope in envelopes {
            waiting.put(envelope);
        }
    }

    /// Something is in the mailbox, durably.
    pub fn look(&self) {
        self.waiting().look = true;
    }

    /// An envelope that is not stored. Dropped where the subscription does not keep up.
    pub fn offer(&self, envelope: &StoredEnvelope) {
        let mut waiting = self.waiting();
        if waiting.ephemeral.len() < EPHEMERAL_WAITING_MAX {
            waiting.ephemeral.push(envelope.clone());
        }
    }

    /// Takes what is not stored, in order.
    pub(crate) fn take_ephemeral(&self) -> Vec<StoredEnvelope> {
        core::mem::take(&mut self.waiting().ephemeral)
    }

    /// What comes after a position. From now on envelopes are kept.
    pub(crate) fn next(&self, after: Position) -> Next {
        let mut waiting = self.waiting();
        waiting.keeping = Keeping::AsItIs;
        while let Some(first) = waiting.envelopes.front() {
            // It was read from the mailbox meanwhile.
            if first.position <= after {
                waiting.envelopes.pop_front();
                continue;
            }
            if first.position.0 == after.0.saturating_add(1) {
                let first = waiting.envelopes.pop_front();
                return first.map_or(Next::Nothing, Next::Envelope);
            }
            // Between them there may be one that comes here later, or was put there earlier.
            waiting.look = true;
            waiting.envelopes.clear();
        }
        if core::mem::take(&mut waiting.look) {
            Next::Look
        } else {
            Next::Nothing
        }
    }

    /// Keeps little until the next call of [`Arrivals::next`]: the subscription takes it a little later.
    pub(crate) fn delay(&self) {
        let mut waiting = self.waiting();
        if waiting.keeping == Keeping::AsItIs {
            waiting.keeping = Keeping::Copies;
            let there = core::mem::take(&mut waiting.envelopes);
            for envelope in there {
                waiting.look |= !waiting.has_room_for(&envelope);
                if !waiting.look {
                    waiting.envelopes.push_back(copy(&envelope));
                }
            }
        }
    }

    /// Keeps nothing until the next call of [`Arrivals::next`]: the subscription cannot take it.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.keeping = Keeping::Nothing;
        waiting.look |= !waiting.envelopes.is_empty();
        waiting.envelopes.clear();
    }
}

impl Waiting {
    fn put(&mut self, envelope: &StoredEnvelope) {
        let kept = match self.keeping {
            _ if self.look || self.envelopes.len() >= WAITING_MAX => None,
            Keeping::AsItIs => Some(envelope.clone()),
            Keeping::Copies if self.has_room_for(envelope) => Some(copy(envelope)),
            Keeping::Copies | Keeping::Nothing => None,
        };
        match kept {
            Some(envelope) => self.envelopes.push_back(envelope),
            None => self.look = true,
        }
    }

    fn has_room_for(&self, envelope: &StoredEnvelope) -> bool {
        let sizes = self.envelopes.iter().map(|it| it.envelope.len());
        sizes.fold(envelope.envelope.len(), usize::saturating_add) <= ARRIVALS_BYTES_MAX
    }
}

fn copy(envelope: &StoredEnvelope) -> StoredEnvelope {
    StoredEnvelope {
        envelope: Bytes::copy_from_slice(&envelope.envelope),
        ..envelope.clone()
    }
}

#[cfg(test)]
mod tests {
    use waxwing_proto::{DeliveryId, EnvelopeId};

    use super::*;

    fn at(position: u64) -> StoredEnvelope {
        StoredEnvelope {
            position: Position(position),
            envelope_id: EnvelopeId::new([1; 16]),
            delivery_id: DeliveryId::new([2; 16]),
            envelope: Bytes::from_static(b"sealed"),
        }
    }

    fn after(arrivals: &Arrivals, position: u64) -> Next {
        arrivals.next(Position(position))
    }

    #[test]
    fn what_follows_is_handed_over_in_order() {
        let arrivals = Arrivals::default();
        assert_eq!(after(&arrivals, 4), Next::Nothing);
        for position in 4..=6 {
            arrivals.put(&[at(position)]);
        }
        assert_eq!(after(&arrivals, 4), Next::Envelope(at(5)));
        assert_eq!(after(&arrivals, 5), Next::Envelope(at(6)));
        assert_eq!(after(&arrivals, 6), Next::Nothing);
    }

    #[test]
    fn a_gap_is_looked_for_in_the_mailbox() {
        let arrivals = Arrivals::default();
        assert_eq!(after(&arrivals, 4), Next::Nothing);
        arrivals.put(&[at(6)]);
        assert_eq!(after(&arrivals, 4), Next::Look);
        // It was there; the one before it comes late.
        arrivals.put(&[at(5)]);
        assert_eq!(after(&arrivals, 6), Next::Nothing);
        arrivals.look();
        arrivals.put(&[at(7)]);
        assert_eq!(after(&arrivals, 6), Next::Look);
        assert_eq!(after(&arrivals, 7), Next::Nothing);
    }

    #[test]
    fn nothing_is_kept_for_one_that_does_not_take_it() {
        let arrivals = Arrivals::default();
        arrivals.put(&[at(1)]);
        assert_eq!(after(&arrivals, 0), Next::Look);
        arrivals.put(&[at(1)]);
        arrivals.close();
        arrivals.put(&[at(2)]);
        assert!(arrivals.waiting().envelopes.is_empty());
        assert_eq!(after(&arrivals, 0), Next::Look);
        for position in 1..100 {
            arrivals.put(&[at(position)]);
        }
        assert_eq!(arrivals.waiting().envelopes.len(), WAITING_MAX);
        for position in 0..64 {
            assert_eq!(after(&arrivals, position), Next::Envelope(at(position + 1)));
        }
        assert_eq!(after(&arrivals, 64), Next::Look);
    }

    #[test]
    fn what_is_not_stored_is_taken_once_and_bounded() {
        let arrivals = Arrivals::default();
        for position in 0..20 {
            arrivals.offer(&at(position));
        }
        let taken = arrivals.take_ephemeral();
        assert_eq!(taken.len(), EPHEMERAL_WAITING_MAX);
        assert_eq!(taken[0], at(0));
        assert!(arrivals.take_ephemeral().is_empty());
        assert_eq!(after(&arrivals, 0), Next::Nothing);
    }

    #[test]
    fn little_is_kept_for_one_that_takes_it_later() {
        let large = |position| StoredEnvelope {
            envelope: Bytes::from(vec![7; ARRIVALS_BYTES_MAX / 4]),
            ..at(position)
        };
        let arrivals = Arrivals::default();
        arrivals.delay();
        arrivals.put(&[at(1)]);
        assert_eq!(after(&arrivals, 0), Next::Look, "it was not open");
        let first = large(1);
        arrivals.put(core::slice::from_ref(&first));
        arrivals.delay();
        for position in 2..=4 {
            arrivals.put(&[large(position)]);
        }
        assert!(
            arrivals
                .waiting()
                .envelopes
                .iter()
                .all(|it| { it.envelope.as_ptr() != first.envelope.as_ptr() })
        );
        arrivals.put(&[at(5)]);
        for position in 0..4 {
            assert_eq!(
                after(&arrivals, position),
                Next::Envelope(large(position + 1))
            );
        }
        assert_eq!(after(&arrivals, 4), Next::Look);
        assert_eq!(after(&arrivals, 5), Next::Nothing);
    }
}
