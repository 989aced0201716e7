// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many connections there are, by the key exchange that they were set up with: what an operator
//! may know about them. In memory only, and tied to nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use waxwing_transport::{KeyExchange, Link};

/// The connections of one relay, counted.
#[derive(Debug, Default)]
pub struct Census {
    // A handful of names: the map has no more entries than there are key exchanges.
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Census {
    /// How many connections there are at this moment, by the name of their key exchange.
    #[must_use]
    pub fn by_key_exchange(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let present = counts.iter().filter(|(_, count)| **count > 0);
        present.map(|(name, count)| (*name, *count)).collect()
    }

    /// Counts a link as long as the guard lives.
    pub(crate) fn count(self: &Arc<Self>, link: &Link) -> Counted {
        let group = link.negotiated_group();
        self.change(group, |count| count.saturating_add(1));
        Counted {
            census: Arc::clone(self),
            group,
        }
    }

    fn change(&self, group: KeyExchange, change: impl Fn(u64) -> u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(group.as_str()).or_default();
        *count = change(*count);
    }
}

/// A link that is counted.
pub(crate) struct Counted {
    census: Arc<Census>,
    group: KeyExchange,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census
            .change(self.group, |count| count.saturating_sub(1));
    }
}
