// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where sealed sessions lie: the seam, and one in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use zeroize::Zeroizing;

use super::lock;

/// Where a session lies: in a generation, under a keyed hash of its ticket, so that a copy of the store
/// names no ticket that was seen on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketPlace {
    /// Generations grow; each has a key of its own.
    pub generation: u64,
    /// The keyed hash.
    pub id: [u8; 16],
}

/// What keeps sessions for tickets. What is lost costs a client one full handshake, so nothing has to be
/// durable. Methods are called from the task that moves packets, and must not wait for a disk, except
/// where they say so.
pub trait TicketStore: core::fmt::Debug + Send + Sync + 'static {
    /// Keeps a sealed session, of [`TICKET_SESSION_SIZE_MAX`](waxwing_proto::limits::TICKET_SESSION_SIZE_MAX)
    /// bytes and 36 more at most.
    fn put(&self, place: TicketPlace, sealed: Vec<u8>);
    /// Gives a session out and forgets it: of two callers at most one gets it.
    fn take(&self, place: TicketPlace) -> Option<Vec<u8>>;
    /// Forgets everything. Called at the start at most, and may wait.
    fn clear(&self);
    /// Forgets all generations below `generation`, now or soon.
    fn forget_below(&self, generation: u64);
    /// How many sessions a generation has. Called once, at the start, and may wait.
    fn count(&self, generation: u64) -> usize;
    /// The keys that were kept last. Called once, at the start, and may wait.
    fn keys(&self) -> Option<Zeroizing<Vec<u8>>>;
    /// Keeps the keys in the place of those before, which are overwritten. Once for a generation, and
    /// may wait for one sync: the older key is to be gone.
    fn replace_keys(&self, keys: &[u8]);
}

/// A [`TicketStore`] that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryTickets {
    pub(super) sessions: Mutex<BTreeMap<TicketPlace, Vec<u8>>>,
    keys: Mutex<Option<Zeroizing<Vec<u8>>>>,
}

impl TicketStore for MemoryTickets {
    fn put(&self, place: TicketPlace, sealed: Vec<u8>) {
        lock(&self.sessions).insert(place, sealed);
    }

    fn take(&self, place: TicketPlace) -> Option<Vec<u8>> {
        lock(&self.sessions).remove(&place)
    }

    fn clear(&self) {
        lock(&self.sessions).clear();
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
