// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which devices are connected at the moment: so that a removed device is cut off, and that a
//! device has one delivery stream at a time. In memory only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use waxwing_transport::{CloseCode, Link};

use crate::wake::Mailbox;

/// The live connections and delivery streams of devices.
#[derive(Default)]
pub(crate) struct Live {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    next: u64,
    links: BTreeMap<(Mailbox, u64), Link>,
    streams: BTreeMap<Mailbox, (u64, Arc<Notify>)>,
}

impl Live {
    fn tables(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists the connection of a device, as long as the guard lives.
    pub(crate) fn connect(self: &Arc<Self>, mailbox: Mailbox, link: Link) -> LiveConnection {
        let mut tables = self.tables();
        let number = tables.next;
        tables.next = tables.next.wrapping_add(1);
        tables.links.insert((mailbox, number), link);
        LiveConnection {
            live: Arc::clone(self),
            key: (mailbox, number),
        }
    }

    /// Closes every connection of a device that is no longer listed.
    pub(crate) fn cut_off(&self, mailbox: Mailbox) {
        let tables = self.tables();
        for (_, link) in tables.links.range((mailbox, 0)..=(mailbox, u64::MAX)) {
            link.close(CloseCode::Revoked);
        }
    }

    /// The devices of `account` that are connected.
    pub(crate) fn connected(&self, account: waxwing_proto::AccountKey) -> Vec<Mailbox> {
        let first = Mailbox {
            account,
            device: waxwing_proto::DeviceId::new([0; 16]),
        };
        let last = Mailbox {
            account,
            device: waxwing_proto::DeviceId::new([0xff; 16]),
        };
        let tables = self.tables();
        let range = tables.links.range((first, 0)..=(last, u64::MAX));
        let mut mailboxes: Vec<Mailbox> = range.map(|((mailbox, _), _)| *mailbox).collect();
        mailboxes.dedup();
        mailboxes
    }

    /// Opens the delivery stream of a device and ends the one that it had.
    pub(crate) fn open_stream(self: &Arc<Self>, mailbox: Mailbox) -> LiveStream {
        let ended = Arc::new(Notify::new());
        let mut tables = self.tables();
        let number = tables.next;
        tables.next = tables.next.wrapping_add(1);
        let before = tables.streams.insert(mailbox, (number, Arc::clone(&ended)));
        if let Some((_, older)) = before {
            older.notify_one();
        }
        LiveStream {
            live: Arc::clone(self),
            mailbox,
            number,
            ended,
        }
    }

    /// Ends every delivery stream.
    pub(crate) fn end_streams(&self) {
        for (_, ended) in self.tables().streams.values() {
            ended.notify_one();
        }
    }
}

/// A connection that is listed as long as this lives.
pub(crate) struct LiveConnection {
    live: Arc<Live>,
    key: (Mailbox, u64),
}

impl Drop for LiveConnection {
    fn drop(&mut self) {
        self.live.tables().links.remove(&self.key);
    }
}

/// A delivery stream that is listed until it is superseded or dropped.
pub(crate) struct LiveStream {
    live: Arc<Live>,
    mailbox: Mailbox,
    number: u64,
    ended: Arc<Notify>,
}

impl LiveStream {
    /// Completes when the same device has opened another stream, or all have to end. Cancellation safe.
    pub(crate) async fn has_to_end(&self) {
        self.ended.notified().await;
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        let mut tables = self.live.tables();
        if tables
            .streams
            .get(&self.mailbox)
            .is_some_and(|(number, _)| *number == self.number)
        {
            tables.streams.remove(&self.mailbox);
        }
    }
}
