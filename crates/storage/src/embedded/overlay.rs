// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes that are decided and not durable yet, laid over the rows that are.
//!
//! Steps decide on what this shows; mailbox reads leave out what this marks as pending.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::key_value::{Batch, Found, KeyRange, Order, Scan, ScannedRow};
use crate::StoreError;

/// The number of a batch, counted from 1 in the order of the calls.
pub(crate) type Sequence = u64;

/// The last write to each key that is not durable yet.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    writes: BTreeMap<Bytes, (Sequence, Option<Bytes>)>,
}

impl Overlay {
    /// Adds a batch.
    pub(crate) fn add(&mut self, sequence: Sequence, batch: &Batch) {
        for (key, value) in batch {
            self.writes.insert(key.clone(), (sequence, value.clone()));
        }
    }

    /// Removes what a batch added, except where a later batch wrote to the same key.
    pub(crate) fn remove(&mut self, sequence: Sequence, batch: &Batch) {
        for key in batch.keys() {
            if self.writes.get(key).is_some_and(|(at, _)| *at <= sequence) {
                self.writes.remove(key);
            }
        }
    }

    /// Drops every write.
    pub(crate) fn clear(&mut self) {
        self.writes.clear();
    }

    /// Every write that is not a removal.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.writes
            .iter()
            .filter_map(|(key, (_, value))| Some((key, value.as_ref()?)))
    }

    /// The write to a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Found> {
        self.writes.get(key).map(|(_, value)| Found {
            value: value.clone(),
            pending: true,
        })
    }

    /// How many rows below a range of these writes can hide.
    #[cfg(feature = "sled")]
    pub(crate) fn hidden_in(&self, range: &KeyRange) -> usize {
        if range.is_empty() {
            return 0;
        }
        let writes = self.writes.range(bounds(range));
        writes.filter(|(_, (_, value))| value.is_none()).count()
    }

    /// The first `limit` rows of `range` in `order`: these writes over the rows of `below`.
    pub(crate) fn scan<B>(
        &self,
        range: &KeyRange,
        order: Order,
        limit: usize,
        below: B,
    ) -> Result<Scan, StoreError>
    where
        B: DoubleEndedIterator<Item = Result<(Bytes, Bytes), StoreError>>,
    {
        if range.is_empty() {
            return Ok(Scan::default());
        }
        let above = self.writes.range(bounds(range));
        match order {
            Order::Ascending => merge(above, below, limit, |above, below| above <= below),
            Order::Descending => merge(above.rev(), below.rev(), limit, |above, below| {
                above >= below
            }),
        }
    }
}

fn bounds(range: &KeyRange) -> (Bound<Bytes>, Bound<Bytes>) {
    let end = range.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
    (Bound::Included(range.start.clone()), end)
}

/// Joins two orders into one. Where both have a key, the row above is the one that counts.
fn merge<'a>(
    above: impl Iterator<Item = (&'a Bytes, &'a (Sequence, Option<Bytes>))>,
    below: impl Iterator<Item = Result<(Bytes, Bytes), StoreError>>,
    limit: usize,
    is_first: impl Fn(&Bytes, &Bytes) -> bool,
) -> Result<Scan, StoreError> {
    let mut scan = Scan::default();
    let mut above = above.peekable();
    let mut below = below.peekable();
    while scan.rows.len() < limit {
        let next = match (above.peek(), below.peek()) {
            (_, Some(Err(error))) => return Err(*error),
            (None, None) => break,
            (Some(_), None) => Next::Above,
            (None, Some(Ok(_))) => Next::Below,
            (Some((above, _)), Some(Ok((below, _)))) if is_first(above, below) => Next::Above,
            (Some(_), Some(Ok(_))) => Next::Below,
        };
        match next {
            Next::Above => {
                let Some((key, (_, value))) = above.next() else {
                    break;
                };
                below.next_if(|row| row.as_ref().is_ok_and(|(below, _)| below == key));
                match value {
                    Some(value) => scan.rows.push(ScannedRow {
                        key: key.clone(),
                        value: value.clone(),
                        pending: true,
                    }),
                    None => scan.hides_pending = true,
                }
            }
            Next::Below => {
                let Some(row) = below.next() else { break };
                let (key, value) = row?;
                scan.rows.push(ScannedRow {
                    key,
                    value,
                    pending: false,
                });
            }
        }
    }
    Ok(scan)
}

enum Next {
    Above,
    Below,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> Bytes {
        Bytes::copy_from_slice(&[number])
    }

    proptest! {
        #[test]
        fn a_scan_shows_the_writes_over_the_rows(
            rows in proptest::collection::btree_map(0_u8..32, any::<u8>(), 0..20),
            writes in proptest::collection::btree_map(0_u8..32, any::<Option<u8>>(), 0..20),
            start in 0_u8..32,
            end in 0_u8..32,
            limit in 0_usize..40,
            is_descending in any::<bool>(),
        ) {
            let mut overlay = Overlay::default();
            overlay.add(1, &writes.iter().map(|(k, v)| (key(*k), v.map(key))).collect());
            let range = KeyRange { start: key(start), end: Some(key(end)) };
            let below = rows
                .iter()
                .filter(|(k, _)| (start..end).contains(k))
                .map(|(k, v)| Ok((key(*k), key(*v))))
                .collect::<Vec<_>>();
            let order = if is_descending { Order::Descending } else { Order::Ascending };
            let scan = overlay.scan(&range, order, limit, below.into_iter()).unwrap();

            let mut expected = rows.clone();
            for (k, v) in &writes {
                match v {
                    Some(v) => { expected.insert(*k, *v); }
                    None => { expected.remove(k); }
                }
            }
            let mut expected: Vec<_> = expected
                .into_iter()
                .filter(|(k, _)| (start..end).contains(k))
                .collect();
            if is_descending {
                expected.reverse();
            }
            let expected: Vec<_> = expected
                .into_iter()
                .take(limit)
                .map(|(k, v)| ScannedRow {
                    key: key(k),
                    value: key(v),
                    pending: writes.contains_key(&k),
                })
                .collect();
            prop_assert_eq!(scan.rows, expected);
        }
    }

    #[test]
    fn a_later_write_stays_when_an_earlier_one_is_durable() {
        let first: Batch = [(key(1), Some(key(1)))].into();
        let second: Batch = [(key(1), None)].into();
        let mut overlay = Overlay::default();
        overlay.add(1, &first);
        overlay.add(2, &second);
        overlay.remove(1, &first);
        assert_eq!(
            overlay.get(&[1]),
            Some(Found {
                value: None,
                pending: true
            })
        );
        overlay.remove(2, &second);
        assert_eq!(overlay.get(&[1]), None);
    }
}
