// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the engine keeps: rows in named tables, written in atomic batches.
//!
//! Values are plain here. The host seals each value, bound to its key, and replaces `scope` by a
//! keyed hash before a store sees it, so that the store learns neither contents nor contacts.

use zeroize::Zeroizing;

/// The tables of a profile. The numbers are part of the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Table {
    /// One row: this account and device, its secrets, server and settings.
    Account = 1,
    /// One row an account: the contact, its trust and its addresses. Scope: account key.
    Contacts = 2,
    /// One row an account: the newest accepted manifest. Scope: account key.
    Manifests = 3,
    /// One row a peer device: its sessions' hot state. Scope: account key and device id.
    Sessions = 4,
    /// Skipped message keys. Scope: session id; order: step and number.
    SkippedKeys = 5,
    /// This device's prekey secrets. Order: prekey id.
    Prekeys = 6,
    /// Visible contents in order of arrival. Scope: account key of the conversation.
    Messages = 7,
    /// Message ids that were seen, and where the message lies. Scope: account key and message id.
    MessageIndex = 8,
    /// Contents on their way out, oldest first.
    Outbox = 9,
    /// What has not been shown by `receive` yet, in order of arrival.
    Unread = 10,
    /// A change of devices, a recovery or a linking under way.
    Progress = 11,
    /// Handshakes that were seen, against replays.
    Handshakes = 12,
    /// The KEM epoch under way of each session. Scope: session id; order: the row's name.
    KemRows = 17,
    /// Hashes of what was sent in each session's last two own chains. Scope: session id; order: step
    /// and number.
    SentHashes = 18,
}

impl Table {
    /// All tables.
    pub const ALL: &'static [Self] = &[
        Self::Account,
        Self::Contacts,
        Self::Manifests,
        Self::Sessions,
        Self::SkippedKeys,
        Self::Prekeys,
        Self::Messages,
        Self::MessageIndex,
        Self::Outbox,
        Self::Unread,
        Self::Progress,
        Self::Handshakes,
        Self::KemRows,
        Self::SentHashes,
    ];
}

/// The key of a row: a table, a scope that may be empty, and a place in the scope's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The table.
    pub table: Table,
    /// What the row is about; at most 64 bytes. Hashed with a key before it is stored.
    pub scope: Vec<u8>,
    /// The place among the rows of the same scope. Kept readable for range scans.
    pub order: u64,
}

/// A row as it is read back.
#[derive(Clone)]
pub struct Row {
    /// Where it lies.
    pub key: RowKey,
    /// Its plain value.
    pub value: Zeroizing<Vec<u8>>,
}

/// One change in a batch: a new value, or none to delete the row.
#[derive(Clone)]
pub struct RowWrite {
    /// Where it lies.
    pub key: RowKey,
    /// The plain value; at most 60 KiB. `None` deletes.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

/// Numbers the batches of one run of the engine, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Changes that become durable together or not at all; at most 256 KiB.
#[derive(Clone)]
pub struct Batch {
    /// Its number.
    pub id: BatchId,
    /// The changes, at most one for a key.
    pub writes: Vec<RowWrite>,
}

/// Which rows to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowRange {
    /// Exactly these rows; those that do not exist are left out.
    Keys(Vec<RowKey>),
    /// Rows of one scope with `order < before`, newest first, at most `limit`.
    Before {
        /// The table.
        table: Table,
        /// The scope.
        scope: Vec<u8>,
        /// Exclusive upper bound; `u64::MAX` for the newest.
        before: u64,
        /// Most rows.
        limit: usize,
    },
    /// Rows of one scope with `order > after`, oldest first, at most `limit`.
    After {
        /// The table.
        table: Table,
        /// The scope.
        scope: Vec<u8>,
        /// Exclusive lower bound.
        after: u64,
        /// Most rows.
        limit: usize,
    },
}
