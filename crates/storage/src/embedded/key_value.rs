// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam below the stores: ordered keys, atomic batches, and a future for durability.

use core::future::Future;
use std::collections::BTreeMap;

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeviceId};

use crate::StoreError;
#[cfg(feature = "sled")]
use crate::embedded::logged::Routes;
#[cfg(feature = "log")]
use crate::log::{DeliveryLog, Turn};
use crate::server::Position;

/// Writes that happen together or not at all. `None` removes the key.
pub type Batch = BTreeMap<Bytes, Option<Bytes>>;

/// The size of a batch: the bytes of its keys and values.
#[must_use]
pub fn batch_size(batch: &Batch) -> usize {
    batch
        .iter()
        .map(|(key, value)| {
            key.len()
                .saturating_add(value.as_ref().map_or(0, Bytes::len))
        })
        .fold(0, usize::saturating_add)
}

/// Keys from `start` on, below `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key of the range.
    pub start: Bytes,
    /// The first key after the range; `None` for all that follow.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self {
            start: Bytes::new(),
            end: None,
        }
    }

    /// Every key that starts with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            start: Bytes::copy_from_slice(prefix),
            end: successor(prefix),
        }
    }

    /// The keys of this range that come after `key`.
    #[must_use]
    pub fn after(self, key: &[u8]) -> Self {
        let mut start = key.to_vec();
        start.push(0);
        Self {
            start: self.start.max(Bytes::from(start)),
            end: self.end,
        }
    }

    /// The keys of this range that come before `key`.
    #[must_use]
    pub fn before(self, key: &[u8]) -> Self {
        let key = Bytes::copy_from_slice(key);
        let end = self
            .end
            .map_or_else(|| key.clone(), |end| end.min(key.clone()));
        Self {
            start: self.start,
            end: Some(end),
        }
    }

    /// Whether no key can be in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// The first key that no longer starts with `prefix`.
fn successor(prefix: &[u8]) -> Option<Bytes> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            return Some(Bytes::from(key));
        }
    }
    None
}

/// What is stored at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value that the last batch given to [`KeyValue::apply`] left.
    pub value: Option<Bytes>,
    /// Whether that batch is not durable yet.
    pub pending: bool,
}

/// A row of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedRow {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// Whether the batch that wrote it is not durable yet.
    pub pending: bool,
}

/// From which end a range is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Lowest key first.
    Ascending,
    /// Highest key first.
    Descending,
}

/// The rows of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// In the order that was asked for.
    pub rows: Vec<ScannedRow>,
    /// Whether a removal that is not durable yet hides a key of the range.
    pub hides_pending: bool,
}

/// An ordered store of bytes. Reads show the effect of every batch given to
/// [`KeyValue::apply`] so far, durable or not, and say which.
pub trait KeyValue: Send + Sync + 'static {
    /// The value at a key.
    ///
    /// # Errors
    /// The store cannot be read, or stopped.
    fn get(&self, key: &[u8]) -> Result<Found, StoreError>;

    /// The first `limit` rows of a range.
    ///
    /// # Errors
    /// The store cannot be read, or stopped.
    fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Scan, StoreError>;

    /// Takes a batch. It takes effect before this returns; the future resolves when it and every
    /// batch before it are durable. An empty batch waits for the ones before it and costs nothing
    /// when there are none. Batches become durable in the order of the calls, so after a crash a
    /// prefix of them is there. After the first error of a batch that was taken the store is stopped for good.
    /// Whoever decides on more before it waits asks [`KeyValue::apply_with`] whether the batch was taken.
    fn apply(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<Self>;

    /// Whether the store knows that it has lost batches that were durable.
    fn is_behind(&self) -> bool {
        false
    }

    /// Whether another step may be taken now.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where too much waits to be written already; [`StoreError::Stopped`].
    fn admit(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Lets go of copies of what was deleted, soon. Costs as much as everything that is stored.
    fn forget_deleted(&self) {}

    /// The log that keeps the mailboxes; `None` where they are rows as everything else.
    #[cfg(feature = "log")]
    fn delivery_log(&self) -> Option<&DeliveryLog> {
        None
    }

    /// Whom delivery ids lead to, kept beside [`KeyValue::delivery_log`].
    #[cfg(feature = "sled")]
    fn routes(&self) -> Option<&Routes> {
        None
    }

    /// Takes a batch and changes of the mailboxes in the delivery log as one: both are there
    /// after a crash, or neither. Without a log the changes are passed over: the mailboxes are rows.
    ///
    /// # Errors
    /// Nothing of either was taken, as where a batch makes no room on a full disk ([`StoreError::Busy`]).
    fn apply_with(
        &self,
        batch: Batch,
        changes: Vec<MailboxChange>,
    ) -> Result<impl Future<Output = Result<(), StoreError>> + Send + use<Self>, StoreError> {
        drop(changes);
        Ok(self.apply(batch))
    }

    /// As [`KeyValue::apply_with`], where `holds` says so of what the mailboxes hold in the turn that commits it;
    /// otherwise nothing is taken and the answer is `None`.
    ///
    /// # Errors
    /// As [`KeyValue::apply_with`].
    #[cfg(feature = "log")]
    fn apply_if(
        &self,
        batch: Batch,
        changes: Vec<MailboxChange>,
        holds: &dyn Fn(&mut Turn<'_>) -> Result<bool, StoreError>,
    ) -> Result<Option<impl Future<Output = Result<(), StoreError>> + Send + use<Self>>, StoreError>
    {
        // Without a log there is nothing that it could be asked of.
        let _ = holds;
        self.apply_with(batch, changes).map(Some)
    }
}

/// A change of mailboxes that goes together with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailboxChange {
    /// Every mailbox of an account goes.
    RemoveAccount(AccountKey),
    /// One mailbox goes.
    RemoveMailbox(AccountKey, DeviceId),
    /// Envelopes of one mailbox go.
    Acknowledge(AccountKey, DeviceId, Vec<Position>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_its_successor_begins() {
        assert_eq!(successor(&[1, 2]), Some(Bytes::from_static(&[1, 3])));
        assert_eq!(successor(&[1, 0xff]), Some(Bytes::from_static(&[2])));
        assert_eq!(successor(&[0xff]), None);
        assert_eq!(KeyRange::prefix(&[]), KeyRange::all());
    }

    #[test]
    fn a_range_after_its_last_key_is_empty() {
        let range = KeyRange::prefix(&[7]).after(&[8]);
        assert!(range.is_empty());
        assert!(!KeyRange::prefix(&[7]).after(&[7, 1]).is_empty());
        assert!(KeyRange::prefix(&[7]).before(&[6]).is_empty());
        assert!(KeyRange::all().before(&[6]).end.is_some());
    }
}
