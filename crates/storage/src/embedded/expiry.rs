// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The retention limit: what is too old is deleted, counted for its owner, and forgotten.

use waxwing_proto::limits;

use super::key_value::{KeyRange, KeyValue};
use super::mailboxes::Mailbox;
use super::records::{EnvelopeRow, ExpiredCountRow, HeldNameRow, MailboxRow, Record, fixed};
use super::rows::Step;
use super::server::{EmbeddedStore, ServerLimits};
use crate::server::ExpiredCount;
use crate::{Day, StoreError};

/// Mailboxes that are looked at in one step.
const PAGE_MAILBOXES: usize = 128;
/// Envelopes that one step deletes.
const ENVELOPES_PER_STEP: usize = 64;
/// Remembered envelopes that one step forgets.
const FORGOTTEN_PER_STEP: u64 = 1024;
/// How many days after the last time remembered envelopes are forgotten again: those that were remembered then.
/// Between two days that follow each other there may be minutes; with a day between them there are 24 hours.
const FORGETTING_DAYS: u32 = 2;

/// Whether it is time to forget what was remembered when something was forgotten last.
pub(super) const fn is_time_to_forget(last: Day, today: Day) -> bool {
    today.days_since(last) >= FORGETTING_DAYS
}

/// See [`crate::server::MailboxStore::expire`].
pub(super) async fn expire<K: KeyValue>(
    store: &EmbeddedStore<K>,
    today: Day,
) -> Result<u64, StoreError> {
    let table = MailboxRow::TABLE;
    let mut range = KeyRange::prefix(&[table.prefix]);
    let mut deleted = 0_u64;
    loop {
        let page = store
            .look(|step| step.scan_bytes(&range, PAGE_MAILBOXES, table.name, |_| true))
            .await?;
        let Some(last) = page.last() else { break };
        range = range.after(&last.key);
        for row in &page {
            let mailbox = mailbox_of(&row.key)?;
            deleted = deleted.saturating_add(expire_mailbox(store, mailbox, today).await?);
        }
    }
    free_names(store, today).await?;
    Ok(deleted)
}

async fn expire_mailbox<K: KeyValue>(
    store: &EmbeddedStore<K>,
    mailbox: Mailbox,
    today: Day,
) -> Result<u64, StoreError> {
    let mut deleted = 0_u64;
    loop {
        let count = store
            .write(|step| delete_expired(step, mailbox, today, &store.limits))
            .await?;
        if count == 0 {
            break;
        }
        deleted = deleted.saturating_add(count);
    }
    while !store
        .write(|step| forget_remembered(step, mailbox, today))
        .await?
    {}
    Ok(deleted)
}

/// Deletes and counts some of the envelopes that are too old. Answers how many.
fn delete_expired<K: KeyValue>(
    step: &mut Step<'_, K>,
    mailbox: Mailbox,
    today: Day,
    limits: &ServerLimits,
) -> Result<u64, StoreError> {
    // BOX-22.
    let range = KeyRange::prefix(&mailbox.key::<EnvelopeRow>(&[]));
    let rows = step.scan_bytes(&range, ENVELOPES_PER_STEP, EnvelopeRow::TABLE.name, |row| {
        EnvelopeRow::read(&row.value)
            .is_ok_and(|envelope| today.days_since(Day(envelope.arrived)) > limits.retention_days)
    })?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut mailbox_row = mailbox.row(step)?;
    let mut deleted = 0_u64;
    for row in rows {
        let envelope = EnvelopeRow::read(&row.value)?;
        mailbox.delete(step, &mut mailbox_row, row.key, &envelope, limits)?;
        let count_key = mailbox.key::<ExpiredCountRow>(&envelope.arrived.to_be_bytes());
        let mut counted = step.get::<ExpiredCountRow>(&count_key)?.unwrap_or_default();
        counted.count = counted.count.saturating_add(1);
        step.put(count_key, &counted)?;
        deleted = deleted.saturating_add(1);
    }
    step.put(mailbox.key::<MailboxRow>(&[]), &mailbox_row)?;
    Ok(deleted)
}

/// Forgets some of the envelope ids that were remembered when this was done last. Answers whether nothing
/// is left to do today.
fn forget_remembered<K: KeyValue>(
    step: &mut Step<'_, K>,
    mailbox: Mailbox,
    today: Day,
) -> Result<bool, StoreError> {
    // BOX-11.
    let mut row = mailbox.row(step)?;
    let is_idle = row.remembered_first == row.remembered_end;
    if is_idle || !is_time_to_forget(Day(row.remembered_mark_day), today) {
        return Ok(true);
    }
    let first = row
        .remembered_mark
        .min(row.remembered_first.saturating_add(FORGOTTEN_PER_STEP));
    mailbox.forget_below(step, &mut row, first)?;
    let is_done = row.remembered_first >= row.remembered_mark;
    if is_done {
        row.remembered_mark = row.remembered_end;
        row.remembered_mark_day = today.0;
    }
    step.put(mailbox.key::<MailboxRow>(&[]), &row)?;
    Ok(is_done)
}

/// Removes the rows of names that are free again.
pub(super) async fn free_names<K: KeyValue>(
    store: &EmbeddedStore<K>,
    today: Day,
) -> Result<(), StoreError> {
    let table = HeldNameRow::TABLE;
    store
        .write(|step| {
            let range = KeyRange::prefix(&[table.prefix]);
            for row in step.scan_bytes(&range, usize::MAX, table.name, |_| true)? {
                if HeldNameRow::read(&row.value)?.free_from <= today.0 {
                    step.delete(row.key)?;
                }
            }
            Ok(())
        })
        .await
}

/// See [`crate::server::MailboxStore::expired_counts`].
pub(super) async fn counts<K: KeyValue>(
    store: &EmbeddedStore<K>,
    mailbox: Mailbox,
) -> Result<Vec<ExpiredCount>, StoreError> {
    // BOX-40.
    let table = ExpiredCountRow::TABLE;
    let range = KeyRange::prefix(&mailbox.key::<ExpiredCountRow>(&[]));
    store
        .look(|step| {
            let rows = step.scan_bytes(&range, limits::EXPIRED_DAYS_MAX, table.name, |_| true)?;
            let mut counts = Vec::new();
            for row in &rows {
                let count = ExpiredCountRow::read(&row.value)?.count;
                // What is noted of damaged envelopes is no count yet.
                if count > 0 {
                    let day = day_in(&row.key)?;
                    counts.push(ExpiredCount { day, count });
                }
            }
            Ok(counts)
        })
        .await
}

/// The day at the end of a count's key.
pub(super) fn day_in(count_key: &[u8]) -> Result<Day, StoreError> {
    let table = ExpiredCountRow::TABLE.name;
    let day = count_key.last_chunk();
    let day = day.ok_or(StoreError::Corrupt { what: table })?;
    Ok(Day(u32::from_be_bytes(*day)))
}

/// See [`crate::server::MailboxStore::acknowledge_expired`].
pub(super) async fn acknowledge_counts<K: KeyValue>(
    store: &EmbeddedStore<K>,
    mailbox: Mailbox,
    held: Vec<ExpiredCount>,
) -> Result<(), StoreError> {
    store
        .write(|step| {
            for expired in held.iter().take(limits::EXPIRED_DAYS_MAX) {
                let key = mailbox.key::<ExpiredCountRow>(&expired.day.0.to_be_bytes());
                let stored = step.get::<ExpiredCountRow>(&key)?;
                if stored.is_some_and(|stored| stored.count == expired.count) {
                    step.delete(key)?;
                }
            }
            Ok(())
        })
        .await
}

fn mailbox_of(mailbox_key: &[u8]) -> Result<Mailbox, StoreError> {
    let table = MailboxRow::TABLE.name;
    let (account, device) = mailbox_key
        .get(1..)
        .and_then(|ids| ids.split_at_checked(waxwing_proto::AccountKey::LENGTH))
        .ok_or(StoreError::Corrupt { what: table })?;
    Ok(Mailbox {
        account: fixed(account, table)?,
        device: fixed(device, table)?,
    })
}
