// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The retention limit of mailboxes in the delivery log.
//!
//! An envelope that is damaged says no day. It goes with the one before it that can be read, or with the one
//! after it. Where neither is too old it goes when it has been seen for as long as an envelope is kept:
//! the day on which it was seen first is noted as a count of that day that is 0.

use crate::embedded::expiry;
use crate::embedded::key_value::{KeyRange, KeyValue, MailboxChange};
use crate::embedded::mailboxes::Mailbox;
use crate::embedded::records::{ExpiredCountRow, Record};
use crate::embedded::rows::Step;
use crate::embedded::server::EmbeddedStore;
use crate::log::{Change, DeliveryLog, MailboxKey, Turn};
use crate::server::Position;
use crate::{Day, StoreError};

/// Mailboxes that are looked at together.
const PAGE_MAILBOXES: usize = 128;
/// Envelopes that are looked at together; about as many are deleted in one step.
const PAGE_ENVELOPES: usize = 64;

/// See [`crate::server::MailboxStore::expire`].
pub(in crate::embedded) async fn expire<K: KeyValue>(
    store: &EmbeddedStore<K>,
    log: &DeliveryLog,
    today: Day,
) -> Result<u64, StoreError> {
    // BOX-11, BOX-22.
    let mut deleted = 0_u64;
    let mut after = None;
    loop {
        let page = log.mailboxes_after(after, PAGE_MAILBOXES);
        let Some(last) = page.last() else { break };
        after = Some(*last);
        for mailbox in page {
            let count = expire_mailbox(store, log, mailbox, today).await?;
            deleted = deleted.saturating_add(count);
        }
    }
    let forgotten = log.facts().forgotten;
    if forgotten.is_none_or(|last| expiry::is_time_to_forget(last, today)) {
        let committed = log.turn()?.commit(vec![Change::Forget(today)])?;
        committed.durable().await?;
    }
    expiry::free_names(store, today).await?;
    // On a day without forgetting this is done by every call, of which there is one a day.
    if forgotten != Some(today) {
        store.key_value.forget_deleted();
    }
    Ok(deleted)
}

/// Deletes and counts the envelopes of a mailbox that are too old. Answers how many.
async fn expire_mailbox<K: KeyValue>(
    store: &EmbeddedStore<K>,
    log: &DeliveryLog,
    mailbox: MailboxKey,
    today: Day,
) -> Result<u64, StoreError> {
    let is_too_old = |day: Day| today.days_since(day) > store.limits.retention_days;
    let mut deleted = 0_u64;
    loop {
        let found = find(log, &mailbox, is_too_old)?;
        let expired = match found {
            Found::Expired(expired) => expired,
            Found::Damaged(positions) => match note(store, mailbox, today).await? {
                Some(seen) if is_too_old(seen) => {
                    positions.into_iter().map(|at| (at, seen)).collect()
                }
                _ => return Ok(deleted),
            },
        };
        if expired.is_empty() {
            return Ok(deleted);
        }
        let count = delete(store, mailbox, expired).await?;
        deleted = deleted.saturating_add(count);
    }
}

/// Envelopes with the days on which they came.
pub(super) type Expired = Vec<(Position, Day)>;

/// What lies at the front of a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Some that are too old, or nothing to do.
    Expired(Expired),
    /// Damaged ones, with none before them that can be read and none after them that is too old.
    Damaged(Vec<Position>),
}

/// Looks for envelopes that are too old.
pub(super) fn find(
    log: &DeliveryLog,
    mailbox: &MailboxKey,
    is_too_old: impl Fn(Day) -> bool,
) -> Result<Found, StoreError> {
    let mut expired = Expired::new();
    let mut damaged = Vec::new();
    let mut after = Position::START;
    // Most mailboxes hold nothing that is too old: one look at the oldest says so.
    let mut count = 1;
    'pages: while expired.len() < PAGE_ENVELOPES {
        let page = log.arrivals(mailbox, after, count)?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        count = PAGE_ENVELOPES;
        for (position, arrival) in page {
            let before = expired.last().map(|(_, day)| *day);
            match arrival.map(|arrival| arrival.day).or(before) {
                Some(day) if is_too_old(day) => {
                    expired.extend(damaged.drain(..).map(|at| (at, day)));
                    expired.push((position, day));
                }
                Some(_) => break 'pages,
                None => damaged.push(position),
            }
        }
    }
    Ok(if damaged.is_empty() {
        Found::Expired(expired)
    } else {
        Found::Damaged(damaged)
    })
}

/// The days on which damaged envelopes of a mailbox were seen first, as keys of their rows.
fn noted<K: KeyValue>(
    step: &mut Step<'_, K>,
    mailbox: &Mailbox,
) -> Result<Vec<bytes::Bytes>, StoreError> {
    let range = KeyRange::prefix(&mailbox.key::<ExpiredCountRow>(&[]));
    let rows = step.scan_bytes(&range, usize::MAX, ExpiredCountRow::TABLE.name, |_| true)?;
    let mut keys = Vec::new();
    for row in rows {
        if ExpiredCountRow::read(&row.value)?.count == 0 {
            keys.push(row.key);
        }
    }
    Ok(keys)
}

/// The day on which damaged envelopes of a mailbox were seen first; `None` where that is today, which is
/// noted.
async fn note<K: KeyValue>(
    store: &EmbeddedStore<K>,
    mailbox: MailboxKey,
    today: Day,
) -> Result<Option<Day>, StoreError> {
    let held = held(&mailbox);
    let noted = store.write(|step| {
        if let Some(first) = noted(step, &held)?.first() {
            return expiry::day_in(first).map(Some);
        }
        let key = held.key::<ExpiredCountRow>(&today.0.to_be_bytes());
        if step.get::<ExpiredCountRow>(&key)?.is_none() {
            step.put(key, &ExpiredCountRow::default())?;
        }
        Ok(None)
    });
    match noted.await {
        // It is noted on a day on which the disk has room for it; what is too old is deleted today.
        Err(StoreError::Busy { .. }) => Ok(None),
        noted => noted,
    }
}

const fn held(mailbox: &MailboxKey) -> Mailbox {
    Mailbox {
        account: mailbox.account,
        device: mailbox.device,
    }
}

/// Deletes and counts envelopes; none of them where one has gone meanwhile, which is none that expired.
/// Answers how many.
pub(super) async fn delete<K: KeyValue>(
    store: &EmbeddedStore<K>,
    mailbox: MailboxKey,
    expired: Expired,
) -> Result<u64, StoreError> {
    let deleted = u64::try_from(expired.len()).unwrap_or(u64::MAX);
    let durable = {
        store.key_value.admit()?;
        let _steps = store.turn()?;
        let mut step = Step::new(&store.key_value);
        let held = held(&mailbox);
        // All that is damaged at the front goes with this.
        for key in noted(&mut step, &held)? {
            step.delete(key)?;
        }
        for (_, arrived) in &expired {
            let count_key = held.key::<ExpiredCountRow>(&arrived.0.to_be_bytes());
            let mut counted = step.get::<ExpiredCountRow>(&count_key)?.unwrap_or_default();
            counted.count = counted.count.saturating_add(1);
            step.put(count_key, &counted)?;
        }
        let positions: Vec<_> = expired.into_iter().map(|(position, _)| position).collect();
        // Acknowledgements do not wait for this turn, only for the log's.
        let are_held = |turn: &mut Turn<'_>| turn.holds(&mailbox, &positions);
        let change = MailboxChange::Acknowledge(mailbox.account, mailbox.device, positions.clone());
        let batch = step.into_batch();
        store.key_value.apply_if(batch, vec![change], &are_held)?
    };
    match durable {
        Some(durable) => durable.await.map(|()| deleted),
        None => Ok(0),
    }
}
