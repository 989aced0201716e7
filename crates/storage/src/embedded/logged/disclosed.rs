// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the delivery log holds, as named fields.

use crate::StoreError;
use crate::log::{Arrival, DeliveryLog, MailboxKey};
use crate::server::{DeliveryIdKind, DisclosedRow, DisclosedValue, Position};

/// The log's tables and their fields, those that rows have too left out.
#[cfg(test)]
pub(in crate::embedded) const LOG_TABLES: &[(&str, &[&str])] = &[
    (
        "log",
        &["log_id", "fingerprint_key", "forgotten", "position"],
    ),
    (
        "log_mailboxes",
        &["account", "device", "last_position", "remembered"],
    ),
    (
        "log_shares",
        &[
            "account",
            "device",
            "delivery_id",
            "kind",
            "envelopes",
            "bytes",
        ],
    ),
    (
        "log_fingerprints",
        &["account", "device", "order", "fingerprint"],
    ),
];

/// Mailboxes that are looked at together.
const PAGE_MAILBOXES: usize = 64;
/// Envelopes that are looked at together.
const PAGE_ENVELOPES: usize = 64;

fn bytes(bytes: &[u8]) -> DisclosedValue {
    DisclosedValue::Bytes(bytes::Bytes::copy_from_slice(bytes))
}

fn number(count: usize) -> DisclosedValue {
    DisclosedValue::Number(u64::try_from(count).unwrap_or(u64::MAX))
}

const fn kind(kind: DeliveryIdKind) -> DisclosedValue {
    DisclosedValue::Number(match kind {
        DeliveryIdKind::Public => 1,
        DeliveryIdKind::Own => 2,
        DeliveryIdKind::Contact => 3,
    })
}

fn row(
    table: &'static str,
    mailbox: &MailboxKey,
    fields: Vec<(&'static str, DisclosedValue)>,
) -> DisclosedRow {
    let mut all = vec![
        ("account", bytes(mailbox.account.as_bytes())),
        ("device", bytes(mailbox.device.as_bytes())),
    ];
    all.extend(fields);
    DisclosedRow {
        table,
        owner: Some(mailbox.account),
        fields: all,
    }
}

/// Shows everything that the log holds.
pub(in crate::embedded) fn walk(
    log: &DeliveryLog,
    visit: &mut (dyn FnMut(DisclosedRow) + Send),
) -> Result<(), StoreError> {
    let facts = log.facts();
    visit(DisclosedRow {
        table: "log",
        owner: None,
        fields: vec![
            ("log_id", bytes(&facts.log)),
            ("fingerprint_key", bytes(&facts.fingerprint_key)),
            (
                "forgotten",
                facts
                    .forgotten
                    .map_or(DisclosedValue::Absent, DisclosedValue::Day),
            ),
            ("position", DisclosedValue::Number(facts.position.0)),
        ],
    });
    let mut after = None;
    loop {
        let page = log.mailboxes_after(after, PAGE_MAILBOXES);
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(*last);
        for mailbox in page {
            walk_mailbox(log, &mailbox, visit)?;
        }
    }
}

fn walk_mailbox(
    log: &DeliveryLog,
    mailbox: &MailboxKey,
    visit: &mut (dyn FnMut(DisclosedRow) + Send),
) -> Result<(), StoreError> {
    let (state, shares, remembered) = {
        let mut turn = log.turn()?;
        let Some(held) = turn.mailbox(mailbox)? else {
            return Ok(());
        };
        (
            (held.last_position(), held.remembered_count()),
            held.shares().collect::<Vec<_>>(),
            held.remembered().collect::<Vec<_>>(),
        )
    };
    visit(row(
        "log_mailboxes",
        mailbox,
        vec![
            ("last_position", DisclosedValue::Number(state.0.0)),
            ("remembered", number(state.1)),
        ],
    ));
    for (delivery_id, of, held) in shares {
        visit(row(
            "log_shares",
            mailbox,
            vec![
                ("delivery_id", bytes(delivery_id.as_bytes())),
                ("kind", kind(of)),
                ("envelopes", DisclosedValue::Number(held.envelopes)),
                ("bytes", DisclosedValue::Number(held.bytes)),
            ],
        ));
    }
    for (order, fingerprint) in remembered.into_iter().enumerate() {
        visit(row(
            "log_fingerprints",
            mailbox,
            vec![
                ("order", number(order)),
                ("fingerprint", bytes(&fingerprint.to_be_bytes())),
            ],
        ));
    }
    let mut after = Position::START;
    loop {
        let page = log.arrivals(mailbox, after, PAGE_ENVELOPES)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = *last;
        for (position, arrival) in page {
            visit(envelope(mailbox, position, arrival));
        }
    }
}

fn envelope(mailbox: &MailboxKey, position: Position, arrival: Option<Arrival>) -> DisclosedRow {
    let mut fields = vec![("position", DisclosedValue::Number(position.0))];
    // One that is damaged has its position alone.
    if let Some(arrival) = arrival {
        fields.extend([
            ("envelope_id", bytes(arrival.envelope_id.as_bytes())),
            ("delivery_id", bytes(arrival.delivery_id.as_bytes())),
            ("kind", kind(arrival.kind)),
            ("arrived", DisclosedValue::Day(arrival.day)),
            ("envelope", DisclosedValue::Bytes(arrival.body)),
        ]);
    }
    row("envelopes", mailbox, fields)
}
