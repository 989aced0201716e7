// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removing everything of an account or a device: decided in one batch, carried out in bounded ones.
//!
//! The first batch takes the account or device out of use and leaves a removal row; the batches
//! after it delete the rows; the last one deletes the removal row. They are queued together, before
//! any other step; where a full disk takes no more of them, no other step writes before the rest is queued, and
//! a store that opens with a removal row left carries it out first. So nobody ever builds on half of a removal.

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeviceId};

use super::key_value::{Batch, KeyRange, KeyValue, MailboxChange, Order};
use super::records::{
    AccountDeliveryIdRow, EnvelopeDigestRow, EnvelopeRow, ExpiredCountRow, MailboxRow, ManifestRow,
    OneTimePrekeyRow, PrekeyCounterRow, Record, RememberedEnvelopeRow, RemovalRow, SignedPrekeyRow,
    fixed, key,
};
use super::rows::{PARTS, Step};
use crate::StoreError;

/// Rows that one batch deletes.
const ROWS_PER_BATCH: usize = 1024;

/// Tables whose keys begin with account and device.
const DEVICE_TABLES: &[u8] = &[
    SignedPrekeyRow::TABLE.prefix,
    OneTimePrekeyRow::TABLE.prefix,
    PrekeyCounterRow::TABLE.prefix,
    MailboxRow::TABLE.prefix,
    EnvelopeRow::TABLE.prefix,
    EnvelopeDigestRow::TABLE.prefix,
    RememberedEnvelopeRow::TABLE.prefix,
    ExpiredCountRow::TABLE.prefix,
];

/// Further tables whose keys begin with the account.
const ACCOUNT_TABLES: &[u8] = &[
    ManifestRow::TABLE.prefix,
    AccountDeliveryIdRow::TABLE.prefix,
];

/// What is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    Account(AccountKey),
    Device(AccountKey, DeviceId),
}

impl Removal {
    fn mailboxes(&self) -> MailboxChange {
        match self {
            Self::Account(account) => MailboxChange::RemoveAccount(*account),
            Self::Device(account, device) => MailboxChange::RemoveMailbox(*account, *device),
        }
    }

    fn row(&self) -> (Bytes, RemovalRow) {
        let (account, device, whole_account) = match self {
            Self::Account(account) => (account, DeviceId::new([0; DeviceId::LENGTH]), true),
            Self::Device(account, device) => (account, *device, false),
        };
        (
            key::<RemovalRow>(&[account.as_bytes(), device.as_bytes()]),
            RemovalRow { whole_account },
        )
    }

    fn from_row(row_key: &[u8], row: &RemovalRow) -> Result<Self, StoreError> {
        let table = RemovalRow::TABLE.name;
        let damaged = StoreError::Corrupt { what: table };
        let (account, device) = row_key
            .get(1..)
            .and_then(|ids| ids.split_at_checked(AccountKey::LENGTH))
            .ok_or(damaged)?;
        let account = fixed(account, table)?;
        Ok(if row.whole_account {
            Self::Account(account)
        } else {
            Self::Device(account, fixed(device, table)?)
        })
    }

    /// What the keys of the rows to delete begin with.
    fn prefixes(&self) -> Vec<Vec<u8>> {
        let (tables, owner): (Vec<u8>, Vec<u8>) = match self {
            Self::Account(account) => (
                [DEVICE_TABLES, ACCOUNT_TABLES].concat(),
                account.as_bytes().to_vec(),
            ),
            Self::Device(account, device) => (
                DEVICE_TABLES.to_vec(),
                [account.as_bytes().as_slice(), device.as_bytes()].concat(),
            ),
        };
        let rows = tables
            .iter()
            .map(|table| [&[*table], owner.as_slice()].concat());
        let parts = tables
            .iter()
            .map(|table| [&[PARTS, *table], owner.as_slice()].concat());
        rows.chain(parts).collect()
    }
}

/// Queues the first batch of removals. What follows from it is left to [`finish`].
///
/// # Errors
/// Nothing of it was taken: nothing is removed, then or later.
pub(crate) fn begin<K: KeyValue>(
    key_value: &K,
    mut first: Batch,
    removals: &[Removal],
) -> Result<(), StoreError> {
    let mut step = Step::new(key_value);
    for removal in removals {
        let (row_key, row) = removal.row();
        step.put(row_key, &row)?;
    }
    first.extend(step.into_batch());
    let mailboxes = removals.iter().map(Removal::mailboxes).collect();
    // Whoever waits for what is queued later waits for this.
    drop(key_value.apply_with(first, mailboxes)?);
    Ok(())
}

/// The removals that a crash or a full disk left unfinished.
pub(crate) fn left<K: KeyValue>(key_value: &K) -> Result<Vec<Removal>, StoreError> {
    let table = RemovalRow::TABLE;
    let rows = Step::new(key_value).scan_bytes(
        &KeyRange::prefix(&[table.prefix]),
        usize::MAX,
        table.name,
        |_| true,
    )?;
    rows.iter()
        .map(|row| Removal::from_row(&row.key, &RemovalRow::read(&row.value)?))
        .collect()
}

/// Queues everything that follows from removals which have begun, and takes each that has ended off the list.
/// An empty batch queued after this waits for all of it.
///
/// # Errors
/// [`StoreError::Busy`] where the disk has no room even for that: those that are left go on where they were.
pub(crate) fn finish<K: KeyValue>(
    key_value: &K,
    removals: &mut Vec<Removal>,
) -> Result<(), StoreError> {
    while let Some(removal) = removals.first() {
        sweep(key_value, removal)?;
        removals.remove(0);
    }
    Ok(())
}

fn sweep<K: KeyValue>(key_value: &K, removal: &Removal) -> Result<(), StoreError> {
    for prefix in removal.prefixes() {
        let range = KeyRange::prefix(&prefix);
        loop {
            let scan = key_value.scan(&range, Order::Ascending, ROWS_PER_BATCH)?;
            if scan.rows.is_empty() {
                break;
            }
            let batch: Batch = scan.rows.into_iter().map(|row| (row.key, None)).collect();
            drop(key_value.apply_with(batch, Vec::new())?);
        }
    }
    let (row_key, _) = removal.row();
    drop(key_value.apply_with(Batch::from([(row_key, None)]), Vec::new())?);
    Ok(())
}
