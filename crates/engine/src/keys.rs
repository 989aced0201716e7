// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where each kind of row lies. Every key of the profile is made here.

use waxwing_proto::{AccountKey, DeviceId, MessageId};

use crate::row::{RowKey, Table};

/// The order number of this device's secrets in the account table.
pub(crate) const DEVICE_SECRETS_ORDER: u64 = 1;
/// The order number of a device's clock in the sessions table.
pub(crate) const SESSION_CLOCK_ORDER: u64 = 1;
/// The order number of the counters in the account table.
pub(crate) const COUNTERS_ORDER: u64 = 2;

/// The scope of contents that lack receipts.
const UNRECEIPTED: u8 = b'w';
/// What stands before the number in the scope of the envelopes of one shipment.
const ENVELOPES: u8 = b'e';
/// Parts that the envelope for one device may take.
pub(crate) const ENVELOPE_PARTS_MAX: u64 = 4;

const fn global(table: Table, order: u64) -> RowKey {
    RowKey {
        table,
        scope: Vec::new(),
        order,
    }
}

fn scoped(table: Table, scope: &[u8], order: u64) -> RowKey {
    RowKey {
        table,
        scope: scope.to_vec(),
        order,
    }
}

pub(crate) const fn account() -> RowKey {
    global(Table::Account, 0)
}

pub(crate) const fn device_secrets() -> RowKey {
    global(Table::Account, DEVICE_SECRETS_ORDER)
}

pub(crate) const fn counters() -> RowKey {
    global(Table::Account, COUNTERS_ORDER)
}

pub(crate) const fn progress() -> RowKey {
    global(Table::Progress, 0)
}

pub(crate) fn contact(account: &AccountKey) -> RowKey {
    scoped(Table::Contacts, account.as_bytes(), 0)
}

pub(crate) fn manifest(account: &AccountKey) -> RowKey {
    scoped(Table::Manifests, account.as_bytes(), 0)
}

/// Versions of the own manifest lie one beside the other.
pub(crate) fn own_manifest(account: &AccountKey, version: u32) -> RowKey {
    scoped(Table::Manifests, account.as_bytes(), version.into())
}

/// The scope of everything about one peer device.
pub(crate) fn device_scope(account: &AccountKey, device: &DeviceId) -> Vec<u8> {
    [account.as_bytes().as_slice(), device.as_bytes()].concat()
}

/// Order 0 is the set; a session has two rows, its hot state and its prefix, under its slot.
pub(crate) fn session_set(account: &AccountKey, device: &DeviceId) -> RowKey {
    RowKey {
        table: Table::Sessions,
        scope: device_scope(account, device),
        order: 0,
    }
}

/// Order 1 is free, since the first slot is 1: the times of the active session.
pub(crate) fn session_clock(account: &AccountKey, device: &DeviceId) -> RowKey {
    RowKey {
        table: Table::Sessions,
        scope: device_scope(account, device),
        order: SESSION_CLOCK_ORDER,
    }
}

pub(crate) fn session_hot(account: &AccountKey, device: &DeviceId, slot: u64) -> RowKey {
    RowKey {
        table: Table::Sessions,
        scope: device_scope(account, device),
        order: slot.saturating_mul(2),
    }
}

pub(crate) fn session_prefix(account: &AccountKey, device: &DeviceId, slot: u64) -> RowKey {
    RowKey {
        table: Table::Sessions,
        scope: device_scope(account, device),
        order: slot.saturating_mul(2).saturating_add(1),
    }
}

pub(crate) fn skipped_key(session: &[u8; 32], id: [u8; 8]) -> RowKey {
    scoped(Table::SkippedKeys, session, u64::from_be_bytes(id))
}

pub(crate) fn kem_row(session: &[u8; 32], row: u8) -> RowKey {
    scoped(Table::KemRows, session, row.into())
}

pub(crate) fn sent_hashes(session: &[u8; 32], row: [u8; 8]) -> RowKey {
    scoped(Table::SentHashes, session, u64::from_be_bytes(row))
}

pub(crate) fn handshake(id: &[u8; 32]) -> RowKey {
    scoped(Table::Handshakes, id, 0)
}

pub(crate) const fn prekey(id: u32) -> RowKey {
    global(Table::Prekeys, id as u64)
}

pub(crate) fn message(account: &AccountKey, cursor: u64) -> RowKey {
    scoped(Table::Messages, account.as_bytes(), cursor)
}

/// Where a message lies that came from the account. A peer chooses the ids of its messages, so an id
/// counts within one conversation and one direction only.
pub(crate) fn message_index(account: &AccountKey, id: &MessageId) -> RowKey {
    let scope = [account.as_bytes().as_slice(), id.as_bytes()].concat();
    RowKey {
        table: Table::MessageIndex,
        scope,
        order: 0,
    }
}

/// Where a message lies that this account sent, on any of its devices. The contact knows its id, and must
/// not be able to take its place.
pub(crate) fn sent_index(account: &AccountKey, id: &MessageId) -> RowKey {
    RowKey {
        order: 1,
        ..message_index(account, id)
    }
}

pub(crate) const fn unread(cursor: u64) -> RowKey {
    global(Table::Unread, cursor)
}

pub(crate) const fn shipment(number: u64) -> RowKey {
    global(Table::Outbox, number)
}

/// A content that a server has accepted, until the receipts are there.
pub(crate) fn unreceipted(number: u64) -> RowKey {
    scoped(Table::Outbox, &[UNRECEIPTED], number)
}

/// Whether a row of the outbox is such a content.
pub(crate) fn is_unreceipted_scope(scope: &[u8]) -> bool {
    scope == [UNRECEIPTED]
}

pub(crate) fn envelope_scope(number: u64) -> Vec<u8> {
    let mut scope = vec![ENVELOPES];
    scope.extend_from_slice(&number.to_be_bytes());
    scope
}

/// The shipment whose envelopes lie in this scope.
pub(crate) fn shipment_of_envelope_scope(scope: &[u8]) -> Option<u64> {
    let (first, number) = scope.split_first()?;
    (*first == ENVELOPES)
        .then(|| number.try_into().ok().map(u64::from_be_bytes))
        .flatten()
}

pub(crate) fn envelope_part(number: u64, index: u32, part: u64) -> RowKey {
    RowKey {
        table: Table::Outbox,
        scope: envelope_scope(number),
        order: u64::from(index)
            .saturating_mul(ENVELOPE_PARTS_MAX)
            .saturating_add(part),
    }
}
