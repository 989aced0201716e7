// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules for disclosure: everything that is stored is shown, under a reviewed name.

use std::collections::BTreeSet;

use waxwing_proto::{AccountName, InviteToken};

use super::ServerPlace;
use super::world::{
    TODAY, account, contact_id, device, open, own_id, public_id, publication,
    register_with_contact, rows_of, send, sending,
};
use crate::server::{DISCLOSURE_FIELDS, DisclosedRow, Position, Store};

/// Fills every table that a finished step can leave rows in.
pub async fn fill<S: Store>(store: &S) {
    register_with_contact(store, 1, &[1, 2]).await;
    register_with_contact(store, 2, &[1]).await;
    register_with_contact(store, 3, &[1]).await;
    let token = InviteToken::new([4; 16]);
    store.create_invite(token, 2, None).await.unwrap();
    let published = store.publish_prekeys(account(1), device(1), publication(1, 3));
    published.await.unwrap().unwrap();
    for id in [public_id(1), own_id(1), contact_id(1, 1)] {
        send(store, sending(id, &[1, 2], 1, b"sealed"))
            .await
            .unwrap();
    }
    store
        .acknowledge(account(1), device(1), vec![Position(1)])
        .await
        .unwrap();
    let mut old = sending(public_id(2), &[1], 1, b"sealed");
    old.today = crate::Day(TODAY.0 - 100);
    send(store, old).await.unwrap();
    assert_eq!(store.expire(TODAY).await.unwrap(), 1);
    store
        .close_account(account(3), TODAY)
        .await
        .unwrap()
        .unwrap();
}

async fn walk<S: Store>(store: &S) -> Vec<DisclosedRow> {
    let mut rows = Vec::new();
    store.walk(&mut |row| rows.push(row)).await.unwrap();
    rows
}

/// Every field that a row shows is in the reviewed list, and every table shows rows.
pub async fn every_field_of_every_row_is_shown_and_reviewed<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    fill(&store).await;
    let reviewed: BTreeSet<&str> = DISCLOSURE_FIELDS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(": ")?.0))
        .collect();
    let mut shown = BTreeSet::new();
    for row in walk(&store).await {
        for (field, _) in &row.fields {
            let name = format!("{}.{field}", row.table);
            assert!(reviewed.contains(name.as_str()), "{name} is not reviewed");
            shown.insert(name);
        }
        let is_tied = !["store", "held_names", "invites", "log"].contains(&row.table);
        assert_eq!(row.owner.is_some(), is_tied, "{}", row.table);
    }
    // A removal row is never left behind, and the format row is no table's. Where one of a table's
    // fields is shown all of them are; which tables there are is the implementation's.
    let table_of = |name: &str| name.split('.').next().unwrap().to_owned();
    let tables: BTreeSet<String> = shown.iter().map(|name| table_of(name)).collect();
    assert!(tables.contains("envelopes") && tables.contains("accounts"));
    let missing: Vec<_> = reviewed
        .iter()
        .filter(|name| tables.contains(&table_of(name)) && !shown.contains(**name))
        .collect();
    assert!(missing.is_empty(), "never shown: {missing:?}");
}

/// Nothing of a closed account is left but a hash that is not its name.
pub async fn a_closed_account_is_disclosed_nowhere<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    fill(&store).await;
    assert!(rows_of(&store, 3).await.is_empty());
    let name: AccountName = "user-3".parse().unwrap();
    let traces = [
        account(3).to_hex(),
        contact_id(3, 1).to_hex(),
        name.to_string(),
    ];
    let rows = walk(&store).await;
    assert!(rows.iter().any(|row| row.table == "held_names"));
    for row in rows {
        for (field, value) in row.fields {
            let value = value.to_string();
            let leaks = traces.iter().any(|trace| value.contains(trace.as_str()));
            assert!(!leaks, "{}.{field} shows a closed account", row.table);
        }
    }
}
