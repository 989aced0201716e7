// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From format 1, where mailboxes were rows, to the delivery log.

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeliveryId, EnvelopeId};

use crate::embedded::delivery_ids::kind_from_row;
use crate::embedded::key_value::{Batch, KeyRange, KeyValue, Order};
use crate::embedded::mailboxes::Mailbox;
use crate::embedded::records::{
    EnvelopeDigestRow, EnvelopeRow, MailboxRow, Record, RememberedEnvelopeRow, fixed,
};
use crate::embedded::rows::{PARTS, Step, WholeRow};
use crate::log::{Arrival, Change, DeliveryLog, MailboxKey};
use crate::server::{DeliveryIdKind, Position};
use crate::{Day, StoreError};

/// Rows that are looked at together.
const PAGE: usize = 64;
/// Rows that one batch deletes.
const ROWS_PER_BATCH: usize = 1024;

/// Moves every mailbox from rows into the log, with the positions of its envelopes, and deletes the
/// rows. What a mailbox remembers is not moved: only a retry of what was fetched just before is
/// stored again then, and its receiver notices.
///
/// The rows are those of a copy, and the log is new: a move that was cut is begun anew.
pub(in crate::embedded) async fn move_mailboxes<K: KeyValue>(
    rows: &K,
    log: &DeliveryLog,
) -> Result<(), StoreError> {
    let table = MailboxRow::TABLE;
    let mut range = KeyRange::prefix(&[table.prefix]);
    loop {
        let page = Step::new(rows).scan_bytes(&range, PAGE, table.name, |_| true)?;
        let Some(last) = page.last() else { break };
        range = range.after(&last.key);
        for row in &page {
            move_mailbox(rows, log, row).await?;
        }
    }
    for table in [
        MailboxRow::TABLE,
        EnvelopeRow::TABLE,
        EnvelopeDigestRow::TABLE,
        RememberedEnvelopeRow::TABLE,
    ] {
        for prefix in [vec![table.prefix], vec![PARTS, table.prefix]] {
            delete_all(rows, &prefix).await?;
        }
    }
    Ok(())
}

async fn move_mailbox<K: KeyValue>(
    rows: &K,
    log: &DeliveryLog,
    row: &WholeRow,
) -> Result<(), StoreError> {
    let table = MailboxRow::TABLE.name;
    let damaged = StoreError::Corrupt { what: table };
    let (account, device) = row
        .key
        .get(1..)
        .and_then(|ids| ids.split_at_checked(AccountKey::LENGTH))
        .ok_or(damaged)?;
    let mailbox = Mailbox {
        account: fixed(account, table)?,
        device: fixed(device, table)?,
    };
    let key = MailboxKey {
        account: mailbox.account,
        device: mailbox.device,
    };
    let held = MailboxRow::read(&row.value)?;
    let table = EnvelopeRow::TABLE.name;
    let mut range = KeyRange::prefix(&mailbox.key::<EnvelopeRow>(&[]));
    let mut last_position = 0_u64;
    loop {
        let page = Step::new(rows).scan_bytes(&range, PAGE, table, |_| true)?;
        let Some(last) = page.last() else { break };
        range = range.after(&last.key);
        let mut committed = Vec::with_capacity(page.len());
        for envelope in &page {
            let position = envelope
                .key
                .last_chunk()
                .map(|bytes| u64::from_be_bytes(*bytes))
                .ok_or(StoreError::Corrupt { what: table })?;
            last_position = position;
            let row = EnvelopeRow::read(&envelope.value)?;
            let arrival = Arrival {
                envelope_id: fixed(&row.envelope_id, table)?,
                delivery_id: fixed(&row.delivery_id, table)?,
                kind: kind_from_row(row.kind)?,
                day: Day(row.arrived),
                body: row.envelope,
            };
            let prepared = log.prepare(key, &arrival);
            let change = Change::Import(prepared, Position(position));
            committed.push(log.turn()?.commit(vec![change])?);
        }
        for one in committed {
            one.durable().await?;
        }
    }
    if held.last_position > last_position {
        let group = use_up(log, key, Position(held.last_position));
        log.turn()?.commit(group)?.durable().await?;
    }
    Ok(())
}

/// Positions are never used twice: the last one comes and goes again where its envelope has gone.
pub(super) fn use_up(log: &DeliveryLog, mailbox: MailboxKey, position: Position) -> Vec<Change> {
    let arrival = Arrival {
        envelope_id: EnvelopeId::new([0; EnvelopeId::LENGTH]),
        delivery_id: DeliveryId::new([0; DeliveryId::LENGTH]),
        kind: DeliveryIdKind::Own,
        day: Day(0),
        body: Bytes::new(),
    };
    vec![
        Change::Import(log.prepare(mailbox, &arrival), position),
        Change::Acknowledge(mailbox, vec![position]),
    ]
}

async fn delete_all<K: KeyValue>(rows: &K, prefix: &[u8]) -> Result<(), StoreError> {
    let range = KeyRange::prefix(prefix);
    loop {
        let scan = rows.scan(&range, Order::Ascending, ROWS_PER_BATCH)?;
        if scan.rows.is_empty() {
            return Ok(());
        }
        let batch: Batch = scan.rows.into_iter().map(|row| (row.key, None)).collect();
        rows.apply(batch).await?;
    }
}
