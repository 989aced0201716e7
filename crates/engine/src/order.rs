// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The display order of a conversation: what a content refers to comes before it; among the rest the
//! earlier `sent_at` first, then the smaller id. The same on every device that has the same contents.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_proto::MessageId;

use crate::notice::{Direction, Message};

/// What decides where a message stands among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub id: MessageId,
    /// Whether this account wrote it. An id counts for one direction: a contact may send a content
    /// under the id of one that it received, and neither may hide the other.
    pub outgoing: bool,
    /// When the writer's clock said it was written, in milliseconds since the Unix epoch. The writer
    /// controls it.
    pub sent_at_ms: u64,
    /// The messages that its writer had seen. The writer controls them.
    pub seen: Vec<MessageId>,
}

impl Message {
    /// Where it stands among others.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            id: self.id,
            outgoing: self.direction == Direction::Outgoing,
            sent_at_ms: self.sent_at_ms,
            seen: self.seen.clone(),
        }
    }
}

type Key = (MessageId, bool);

const BOTH: [bool; 2] = [false, true];

/// Sorts what stands at the places. The order depends on the set alone, not on the order in which it
/// is given; a host that read a conversation in pages sorts all of them at once. Of two items at the
/// place of one message the later is kept.
pub fn in_display_order<T>(list: impl IntoIterator<Item = (Place, T)>) -> Vec<T> {
    // ENV-13, BOX-42.
    let list: BTreeMap<Key, (Place, T)> = list
        .into_iter()
        .map(|(place, item)| ((place.id, place.outgoing), (place, item)))
        .collect();
    let mut missing: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
    let mut needed_by: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
    let mut ready: BTreeSet<(u64, Key)> = BTreeSet::new();
    let mut held: BTreeSet<(u64, Key)> = BTreeSet::new();
    for (key, (place, _)) in &list {
        let known: BTreeSet<Key> = place
            .seen
            .iter()
            .flat_map(|id| BOTH.map(|outgoing| (*id, outgoing)))
            .filter(|other| other != key && list.contains_key(other))
            .collect();
        for other in &known {
            needed_by.entry(*other).or_default().push(*key);
        }
        if known.is_empty() {
            ready.insert((place.sent_at_ms, *key));
        } else {
            held.insert((place.sent_at_ms, *key));
            missing.insert(*key, known);
        }
    }
    let mut items = list;
    let mut ordered = Vec::with_capacity(items.len());
    // A peer can make a cycle of references; then time and id alone decide.
    while let Some((_, key)) = ready.pop_first().or_else(|| held.pop_first()) {
        missing.remove(&key);
        if let Some((_, item)) = items.remove(&key) {
            ordered.push(item);
        }
        for later in needed_by.remove(&key).unwrap_or_default() {
            let Some(others) = missing.get_mut(&later) else {
                continue;
            };
            others.remove(&key);
            if others.is_empty() {
                missing.remove(&later);
                if let Some((place, _)) = items.get(&later) {
                    held.remove(&(place.sent_at_ms, later));
                    ready.insert((place.sent_at_ms, later));
                }
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: u8, sent_at_ms: u64, seen: &[u8]) -> Place {
        Place {
            id: MessageId::new([id; 16]),
            outgoing: false,
            sent_at_ms,
            seen: seen.iter().map(|id| MessageId::new([*id; 16])).collect(),
        }
    }

    fn order(list: Vec<Place>) -> Vec<u8> {
        let forwards = list.iter().cloned().map(|place| (place.clone(), place));
        let forwards = in_display_order(forwards);
        let backwards = list.into_iter().rev().map(|place| (place.clone(), place));
        assert_eq!(forwards, in_display_order(backwards));
        forwards
            .iter()
            .map(|place| place.id.as_bytes()[0])
            .collect()
    }

    /// [ENV-13].
    #[test]
    fn references_beat_clocks_and_clocks_beat_ids() {
        let list = vec![
            place(1, 900, &[]),
            // The answer's clock is far behind.
            place(2, 100, &[1]),
            place(4, 950, &[]),
            place(3, 950, &[9]),
        ];
        assert_eq!(order(list), vec![1, 2, 3, 4]);
    }

    #[test]
    fn one_id_in_both_directions_is_two_messages() {
        let mut own = place(2, 7, &[]);
        own.outgoing = true;
        let list = vec![own, place(2, 5, &[]), place(3, 1, &[2])];
        assert_eq!(order(list), vec![2, 2, 3]);
    }

    #[test]
    fn cycles_lose_nothing() {
        let list = vec![place(2, 5, &[1]), place(1, 5, &[2]), place(3, 1, &[3])];
        assert_eq!(order(list), vec![3, 1, 2]);
    }

    #[test]
    fn a_long_conversation_of_cycles_is_sorted_quickly() {
        let ids = |n: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            MessageId::new(id)
        };
        let list = (0..50_000_u32).map(|n| {
            let place = Place {
                id: ids(n),
                outgoing: false,
                sent_at_ms: 1,
                seen: vec![ids(n ^ 1)],
            };
            (place, n)
        });
        // One of each pair breaks its cycle and the other follows at once.
        assert_eq!(in_display_order(list), (0..50_000).collect::<Vec<_>>());
    }
}
