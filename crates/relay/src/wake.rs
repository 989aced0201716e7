// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam over which a sending tells a subscription that there is something new: [`WakeBus`].
//!
//! Wakes are hints: one that is lost costs time, never a message, because the mailbox is the truth
//! and every subscription also looks by itself now and then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use waxwing_proto::{AccountKey, DeviceId};
use waxwing_storage::server::StoredEnvelope;

use crate::arrivals::Arrivals;

/// One mailbox: a device of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mailbox {
    /// The account.
    pub account: AccountKey,
    /// Its device.
    pub device: DeviceId,
}

/// Carries hints from senders to subscriptions, on one machine or between several.
pub trait WakeBus: Send + Sync + 'static {
    /// Watches a mailbox until the watch is dropped.
    fn watch(&self, mailbox: Mailbox) -> Watch;

    /// Says that a mailbox has something new, and what, in the order of the positions. To be called once that
    /// is durable.
    fn arrived(&self, mailbox: Mailbox, envelopes: &[StoredEnvelope]);

    /// Hands over an envelope that is not stored. Dropped where nobody watches, and where a
    /// watcher does not keep up.
    fn offer(&self, mailbox: Mailbox, envelope: StoredEnvelope);
}

/// A subscription's end of the bus.
pub struct Watch {
    notify: Arc<Notify>,
    arrivals: Arc<Arrivals>,
    _registration: Box<dyn Send + Sync>,
}

impl Watch {
    /// Makes a watch for an implementation of [`WakeBus`]: `notify` has one permit for all that
    /// `arrivals` was told since the last look; `registration` ends the watch when it is dropped. A bus
    /// that does not carry envelopes tells `arrivals` to look.
    #[must_use]
    pub fn new(
        notify: Arc<Notify>,
        arrivals: Arc<Arrivals>,
        registration: Box<dyn Send + Sync>,
    ) -> Self {
        Self {
            notify,
            arrivals,
            _registration: registration,
        }
    }

    /// Completes at the next wake; at once when there was one since the last time. Cancellation
    /// safe.
    pub(crate) fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }

    /// What has arrived.
    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }
}

/// A [`WakeBus`] within one process.
#[derive(Default)]
pub struct InProcessWakeBus {
    watchers: Arc<Mutex<Watchers>>,
}

#[derive(Default)]
struct Watchers {
    next: u64,
    by_mailbox: BTreeMap<(Mailbox, u64), Watcher>,
}

struct Watcher {
    notify: Arc<Notify>,
    arrivals: Arc<Arrivals>,
}

struct Registration {
    watchers: Arc<Mutex<Watchers>>,
    key: (Mailbox, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.by_mailbox.remove(&self.key);
    }
}

impl InProcessWakeBus {
    fn each(&self, mailbox: Mailbox, mut act: impl FnMut(&Watcher)) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let range = (mailbox, 0)..=(mailbox, u64::MAX);
        for (_, watcher) in watchers.by_mailbox.range(range) {
            act(watcher);
        }
    }
}

impl WakeBus for InProcessWakeBus {
    fn watch(&self, mailbox: Mailbox) -> Watch {
        let notify = Arc::new(Notify::new());
        let arrivals = Arc::new(Arrivals::default());
        let watcher = Watcher {
            notify: Arc::clone(&notify),
            arrivals: Arc::clone(&arrivals),
        };
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (mailbox, watchers.next);
        watchers.next = watchers.next.wrapping_add(1);
        watchers.by_mailbox.insert(key, watcher);
        let registration = Registration {
            watchers: Arc::clone(&self.watchers),
            key,
        };
        Watch::new(notify, arrivals, Box::new(registration))
    }

    fn arrived(&self, mailbox: Mailbox, envelopes: &[StoredEnvelope]) {
        self.each(mailbox, |watcher| {
            watcher.arrivals.put(envelopes);
            watcher.notify.notify_one();
        });
    }

    fn offer(&self, mailbox: Mailbox, envelope: StoredEnvelope) {
        self.each(mailbox, |watcher| {
            watcher.arrivals.offer(&envelope);
            watcher.notify.notify_one();
        });
    }
}
