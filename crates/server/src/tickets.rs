// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where session tickets lie: beside the store, as nothing is lost with them.

use std::path::Path;
use std::sync::Arc;

use waxwing_storage::embedded::tickets::TicketTable;
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::tls::{TicketPlace, TicketStore, Tickets};
use zeroize::Zeroizing;

#[derive(Debug)]
struct OnDisk(TicketTable);

impl TicketStore for OnDisk {
    fn put(&self, place: TicketPlace, sealed: Vec<u8>) {
        self.0.put(place.generation, place.id, sealed);
    }

    fn take(&self, place: TicketPlace) -> Option<Vec<u8>> {
        self.0.take(place.generation, place.id)
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn forget_below(&self, generation: u64) {
        self.0.forget_below(generation);
    }

    fn count(&self, generation: u64) -> usize {
        self.0.count(generation)
    }

    fn keys(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.0.keys().map(Zeroizing::new)
    }

    fn replace_keys(&self, keys: &[u8]) {
        self.0.replace_keys(keys);
    }
}

/// The tickets in `folder`. Without them the server works, and every handshake is a full one.
pub(crate) fn open(folder: &Path) -> Option<Arc<Tickets>> {
    match TicketTable::open(folder) {
        Ok(table) => Some(Arc::new(Tickets::new(
            Arc::new(OnDisk(table)),
            Arc::new(SystemClock::new()),
            Arc::new(SystemEntropy),
        ))),
        Err(error) => {
            tracing::warn!(%error, "no session tickets: every handshake is a full one");
            None
        }
    }
}
