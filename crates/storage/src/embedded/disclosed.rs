// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns stored rows into named fields, and walks all of them.

use bytes::Bytes;
use waxwing_proto::AccountKey;

use super::format::{FORMAT_KEY, POSITION_KEY};
use super::key_value::{KeyRange, KeyValue};
#[cfg(feature = "sled")]
use super::logged;
use super::records::{KeyPart, TABLES, Table};
use super::rows::{PARTS, Step};
use super::server::EmbeddedStore;
use crate::server::{DisclosedRow, DisclosedValue, DisclosureStore};
use crate::{Day, Minute, StoreError};

/// Named values.
pub(crate) type Fields = Vec<(&'static str, DisclosedValue)>;

type Owner = Option<AccountKey>;

/// Rows that one look at the store shows.
const PAGE_ROWS: usize = 64;

pub(crate) fn bytes(name: &'static str, value: &Bytes, fields: &mut Fields, _: &mut Owner) {
    fields.push((name, DisclosedValue::Bytes(value.clone())));
}

pub(crate) fn owner(name: &'static str, value: &Bytes, fields: &mut Fields, owner: &mut Owner) {
    *owner = AccountKey::try_from(value.as_ref()).ok();
    fields.push((name, DisclosedValue::Bytes(value.clone())));
}

pub(crate) fn each_bytes(
    name: &'static str,
    values: &[Bytes],
    fields: &mut Fields,
    owner: &mut Owner,
) {
    for value in values {
        bytes(name, value, fields, owner);
    }
}

pub(crate) fn text(name: &'static str, value: &str, fields: &mut Fields, _: &mut Owner) {
    fields.push((name, DisclosedValue::Text(value.to_owned())));
}

pub(crate) fn number<N: Copy + Into<u64>>(
    name: &'static str,
    value: &N,
    fields: &mut Fields,
    _: &mut Owner,
) {
    fields.push((name, DisclosedValue::Number((*value).into())));
}

pub(crate) fn each_number(
    name: &'static str,
    values: &[u64],
    fields: &mut Fields,
    owner: &mut Owner,
) {
    for value in values {
        number(name, value, fields, owner);
    }
}

pub(crate) fn optional_number(
    name: &'static str,
    value: &Option<u32>,
    fields: &mut Fields,
    _: &mut Owner,
) {
    let shown = value.map_or(DisclosedValue::Absent, |number| {
        DisclosedValue::Number(number.into())
    });
    fields.push((name, shown));
}

pub(crate) fn flag(name: &'static str, value: &bool, fields: &mut Fields, owner: &mut Owner) {
    number(name, &u64::from(*value), fields, owner);
}

pub(crate) fn day(name: &'static str, value: &u32, fields: &mut Fields, _: &mut Owner) {
    fields.push((name, DisclosedValue::Day(Day(*value))));
}

pub(crate) fn minute(name: &'static str, value: &Option<u32>, fields: &mut Fields, _: &mut Owner) {
    let shown = value.map_or(DisclosedValue::Absent, |minute| {
        DisclosedValue::Minute(Minute(minute))
    });
    fields.push((name, shown));
}

/// Splits a key into its named parts.
fn key_fields(table: &Table, key: &[u8]) -> Result<(Owner, Fields), StoreError> {
    let damaged = StoreError::Corrupt { what: table.name };
    let mut rest = key.get(1..).ok_or(damaged)?;
    let mut owner = None;
    let mut fields = Fields::new();
    for (name, part) in table.key {
        let length = match part {
            KeyPart::Owner => AccountKey::LENGTH,
            KeyPart::Bytes(length) => *length,
            KeyPart::Text => rest.len(),
            KeyPart::Number4 | KeyPart::Day => 4,
            KeyPart::Number8 => 8,
        };
        let (bytes, tail) = rest.split_at_checked(length).ok_or(damaged)?;
        rest = tail;
        let number = bytes
            .iter()
            .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        let value = match part {
            KeyPart::Owner => {
                owner = AccountKey::try_from(bytes).ok();
                DisclosedValue::Bytes(Bytes::copy_from_slice(bytes))
            }
            KeyPart::Bytes(_) => DisclosedValue::Bytes(Bytes::copy_from_slice(bytes)),
            KeyPart::Text => {
                DisclosedValue::Text(String::from_utf8(bytes.to_vec()).map_err(|_| damaged)?)
            }
            KeyPart::Number4 | KeyPart::Number8 => DisclosedValue::Number(number),
            KeyPart::Day => DisclosedValue::Day(Day(u32::try_from(number).map_err(|_| damaged)?)),
        };
        fields.push((name, value));
    }
    if rest.is_empty() {
        Ok((owner, fields))
    } else {
        Err(damaged)
    }
}

impl<K: KeyValue> DisclosureStore for EmbeddedStore<K> {
    async fn walk(&self, visit: &mut (dyn FnMut(DisclosedRow) + Send)) -> Result<(), StoreError> {
        self.check_prefixes().await?;
        for table in TABLES {
            let mut range = KeyRange::prefix(&[table.prefix]);
            loop {
                let page = self
                    .look(|step: &mut Step<'_, K>| {
                        step.scan_bytes(&range, PAGE_ROWS, table.name, |_| true)
                    })
                    .await?;
                let Some(last) = page.last() else { break };
                range = range.after(&last.key);
                for row in &page {
                    let (key_owner, mut fields) = key_fields(table, &row.key)?;
                    let (value_owner, values) = (table.disclose)(&row.value)?;
                    fields.extend(values);
                    visit(DisclosedRow {
                        table: table.name,
                        owner: key_owner.or(value_owner),
                        fields,
                    });
                }
            }
        }
        #[cfg(feature = "sled")]
        if let Some(log) = self.key_value.delivery_log() {
            logged::walk(log, visit)?;
        }
        Ok(())
    }
}

impl<K: KeyValue> EmbeddedStore<K> {
    /// Fails when there is a row that belongs to no table, and that a walk would not show.
    async fn check_prefixes(&self) -> Result<(), StoreError> {
        let mut next = 0_u8;
        loop {
            let range = KeyRange {
                start: Bytes::copy_from_slice(&[next]),
                end: None,
            };
            let first = self.first_key(&range)?;
            let Some(&prefix) = first.as_deref().and_then(<[u8]>::first) else {
                return Ok(());
            };
            let is_known = prefix == PARTS
                || first.as_deref() == Some(FORMAT_KEY)
                || first.as_deref() == Some(POSITION_KEY)
                || TABLES.iter().any(|table| table.prefix == prefix);
            if !is_known {
                return Err(StoreError::Corrupt { what: "tables" });
            }
            let Some(following) = prefix.checked_add(1) else {
                return Ok(());
            };
            next = following;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::server::DISCLOSURE_FIELDS;

    /// The reviewed list has exactly the fields that the tables can store.
    #[test]
    fn every_field_that_can_be_stored_is_in_the_reviewed_list() {
        // BOX-14, BOX-15.
        let stored: BTreeSet<String> = TABLES
            .iter()
            .flat_map(|table| {
                let key = table.key.iter().map(|(name, _)| *name);
                key.chain(table.fields.iter().copied())
                    .map(|field| format!("{}.{field}", table.name))
            })
            .chain(["format.number".to_owned()])
            .chain(logged::LOG_TABLES.iter().flat_map(|(table, fields)| {
                fields.iter().map(move |field| format!("{table}.{field}"))
            }))
            .collect();
        let mut named = BTreeSet::new();
        for line in DISCLOSURE_FIELDS
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let (field, meaning) = line
                .split_once(": ")
                .expect("table.field: meaning; precision");
            assert!(meaning.contains("; "), "no precision: {line}");
            assert!(named.insert(field.to_owned()), "named twice: {field}");
        }
        assert_eq!(stored, named);
    }

    #[test]
    fn no_two_tables_share_a_prefix_or_a_name() {
        let prefixes: BTreeSet<u8> = TABLES.iter().map(|table| table.prefix).collect();
        let names: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!((prefixes.len(), names.len()), (TABLES.len(), TABLES.len()));
        assert!(!prefixes.contains(&PARTS) && !prefixes.contains(&0));
    }

    #[test]
    fn keys_split_into_their_parts() {
        let table = TABLES
            .iter()
            .find(|table| table.name == "envelopes")
            .unwrap();
        let key = [
            &[table.prefix][..],
            &[7; 32],
            &[8; 16],
            &5_u64.to_be_bytes(),
        ]
        .concat();
        let (owner, fields) = key_fields(table, &key).unwrap();
        assert_eq!(owner, Some(AccountKey::new([7; 32])));
        assert_eq!(
            fields.last(),
            Some(&("position", DisclosedValue::Number(5)))
        );
        assert!(key_fields(table, &key[..20]).is_err());
        assert!(key_fields(table, &[key, vec![0]].concat()).is_err());
    }
}
