// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mailboxes: one a device, filled by senders, emptied by acknowledgements.

use core::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, EnvelopeId};

use crate::server::{DeliveryIdKind, Outcome};
use crate::{Day, StoreError};

/// A place in one mailbox. Positions grow, are never used twice, and the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl Position {
    /// Before the first envelope.
    pub const START: Self = Self(0);
}

/// One envelope for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressedEnvelope {
    /// The device whose mailbox it is for.
    pub device: DeviceId,
    /// Chosen by the sender and repeated on a retry.
    pub envelope_id: EnvelopeId,
    /// The envelope, at most [`waxwing_proto::limits::ENVELOPE_SIZE_MAX`].
    pub envelope: Bytes,
}

/// A sending: one content for some devices of one account.
#[derive(Debug, Clone)]
pub struct Append {
    /// The capability that was used; the account is the one that it belongs to.
    pub delivery_id: DeliveryId,
    /// The manifest version that the list of devices was made from.
    pub manifest_version: u32,
    /// At most one for each device.
    pub envelopes: Vec<AddressedEnvelope>,
    /// Stored with each envelope, so that it can expire.
    pub today: Day,
}

/// Every envelope is durable, now or from an earlier attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The account that was written to.
    pub account: AccountKey,
    /// The devices that have something new, each with its position. Duplicates are not among them.
    pub stored: Vec<(DeviceId, Position)>,
}

/// Why nothing was stored, for any of the devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefusal {
    /// The delivery id was revoked, its account was closed, or there never was one.
    #[error("the delivery id is not valid")]
    DeliveryIdGone,
    /// The version is not the newest one, or the newest one does not list one of the devices.
    #[error("the list of devices is stale")]
    StaleDevices {
        /// The exact bytes of the newest manifest.
        manifest: Bytes,
    },
    /// A mailbox has no room in the share of this kind of delivery id. What it holds stays.
    #[error("a mailbox is full")]
    MailboxFull,
}

/// An envelope as its device receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEnvelope {
    /// Its place in the mailbox.
    pub position: Position,
    /// The sender's id for it.
    pub envelope_id: EnvelopeId,
    /// The capability that was used.
    pub delivery_id: DeliveryId,
    /// The envelope.
    pub envelope: Bytes,
}

/// Envelopes that reached the retention limit and were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiredCount {
    /// The day on which they had arrived.
    pub day: Day,
    /// How many of that day.
    pub count: u32,
}

/// Whom a delivery id leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The account.
    pub account: AccountKey,
    /// For whom the id was made.
    pub kind: DeliveryIdKind,
    /// The number of the account's newest manifest.
    pub manifest_version: u32,
    /// The devices that it lists.
    pub devices: Arc<[DeviceId]>,
}

/// Mailboxes.
pub trait MailboxStore: Send + Sync + 'static {
    /// Whom a delivery id leads to as the newest step left it, durable or not. [`MailboxStore::append`]
    /// decides on it again; a refusal because of it is for a step that waits until what it saw is
    /// durable, as [`AccountStore::account_by_delivery_id`](super::AccountStore::account_by_delivery_id).
    fn recipient(
        &self,
        delivery_id: DeliveryId,
    ) -> impl Future<Output = Result<Option<Recipient>, StoreError>> + Send;

    /// For each sending puts all its envelopes into their mailboxes, or none. Every sending is a step of
    /// its own, decided in the order given and after what was decided before it; what becomes of one
    /// does not touch the others. They are answered together, in the same order.
    ///
    /// An envelope whose (delivery id, envelope id) its mailbox holds or remembers is a duplicate and
    /// a success. Envelopes are remembered after their deletion, the newest
    /// [`waxwing_proto::limits::REMEMBERED_ENVELOPE_IDS_MAX`] of a mailbox and for one day at least
    /// while that bound allows. Strangers share a small part of each mailbox, and a part of it is
    /// kept for the account's own devices.
    fn append_all(
        &self,
        appends: Vec<Append>,
    ) -> impl Future<Output = Vec<Outcome<Appended, AppendRefusal>>> + Send;

    /// [`MailboxStore::append_all`] of one sending.
    fn append(
        &self,
        append: Append,
    ) -> impl Future<Output = Outcome<Appended, AppendRefusal>> + Send {
        let appending = self.append_all(vec![append]);
        async move {
            let answer = appending.await.pop();
            answer.unwrap_or(Err(StoreError::Bug("a sending without an answer")))
        }
    }

    /// The envelopes after `after`, in order, at most `max_count` and at most `max_bytes` of
    /// envelopes, but the first one in any case. Only what is durable is shown, and a position
    /// is never shown before the ones below it. Empty for an unknown device.
    fn read(
        &self,
        account: AccountKey,
        device: DeviceId,
        after: Position,
        max_count: usize,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<StoredEnvelope>, StoreError>> + Send;

    /// Deletes the envelopes at these positions. Positions that hold nothing are passed over.
    fn acknowledge(
        &self,
        account: AccountKey,
        device: DeviceId,
        positions: Vec<Position>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes every envelope that arrived more than
    /// [`waxwing_proto::limits::RETENTION_DAYS`] before `today` and counts it for its owner; forgets
    /// remembered envelope ids that a call at least two days before has seen, which is 24 hours before at the
    /// least. To be called once a day. Answers how many envelopes were deleted.
    fn expire(&self, today: Day) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// What [`MailboxStore::expire`] has counted for a device and the device has not acknowledged, oldest
    /// day first, at most [`waxwing_proto::limits::EXPIRED_DAYS_MAX`] days.
    fn expired_counts(
        &self,
        account: AccountKey,
        device: DeviceId,
    ) -> impl Future<Output = Result<Vec<ExpiredCount>, StoreError>> + Send;

    /// Forgets counts that the device holds. One that differs from the stored one, because more has been
    /// counted since, stays as it is and is told again.
    fn acknowledge_expired(
        &self,
        account: AccountKey,
        device: DeviceId,
        held: Vec<ExpiredCount>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
