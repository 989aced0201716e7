// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The display order of a conversation: what a content refers to comes before it; among the rest the
//! earlier `sent_at` first, then the smaller id. The same on every device that has the same contents.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_proto::MessageId;

use crate::notice::{Direction, Message};

/// An id counts for one direction: a contact may send a content under the id of one that it received,
/// and neither may hide the other.
type Key = (MessageId, bool);

const BOTH: [bool; 2] = [false, true];

fn key_of(message: &Message) -> Key {
    (message.id, message.direction == Direction::Outgoing)
}

/// Sorts messages, each with the ids that it refers to.
pub(crate) fn in_display_order(list: Vec<(Message, Vec<MessageId>)>) -> Vec<Message> {
    // ENV-13, BOX-42.
    let present: BTreeSet<Key> = list.iter().map(|(message, _)| key_of(message)).collect();
    let mut waiting_for: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
    let mut needed_by: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
    let mut ready: BTreeSet<(u64, Key)> = BTreeSet::new();
    let mut messages: BTreeMap<Key, Message> = BTreeMap::new();
    for (message, refers_to) in list {
        let key = key_of(&message);
        let known: BTreeSet<Key> = refers_to
            .into_iter()
            .flat_map(|id| BOTH.map(|outgoing| (id, outgoing)))
            .filter(|other| present.contains(other) && *other != key)
            .collect();
        for other in &known {
            needed_by.entry(*other).or_default().push(key);
        }
        if known.is_empty() {
            ready.insert((message.sent_at_ms, key));
        } else {
            waiting_for.insert(key, known);
        }
        messages.insert(key, message);
    }
    let mut ordered = Vec::with_capacity(messages.len());
    loop {
        // A peer can make a cycle of references; then time and id alone decide.
        let next = ready.pop_first().map(|(_, key)| key).or_else(|| {
            waiting_for
                .keys()
                .filter_map(|key| messages.get_key_value(key))
                .min_by_key(|(key, message)| (message.sent_at_ms, **key))
                .map(|(key, _)| *key)
        });
        let Some(key) = next else { break };
        waiting_for.remove(&key);
        if let Some(message) = messages.remove(&key) {
            ordered.push(message);
        }
        for later in needed_by.remove(&key).unwrap_or_default() {
            let Some(missing) = waiting_for.get_mut(&later) else {
                continue;
            };
            missing.remove(&key);
            if missing.is_empty() {
                waiting_for.remove(&later);
                if let Some(message) = messages.get(&later) {
                    ready.insert((message.sent_at_ms, later));
                }
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{Body, MessageState};
    use waxwing_proto::{AccountKey, DeviceId};

    fn message(id: u8, sent_at_ms: u64) -> Message {
        Message {
            id: MessageId::new([id; 16]),
            cursor: id.into(),
            contact: AccountKey::new([1; 32]),
            direction: Direction::Incoming,
            device: DeviceId::new([1; 16]),
            sent_at_ms,
            received_at_ms: 0,
            body: Body::Text(String::new()),
            state: MessageState::Received,
            verified: false,
        }
    }

    fn order(list: Vec<(Message, Vec<u8>)>) -> Vec<u8> {
        let list: Vec<_> = list
            .into_iter()
            .map(|(message, refers)| {
                let refers = refers.into_iter().map(|id| MessageId::new([id; 16]));
                (message, refers.collect())
            })
            .collect();
        in_display_order(list)
            .iter()
            .map(|message| message.id.as_bytes()[0])
            .collect()
    }

    #[test]
    fn references_beat_clocks_and_clocks_beat_ids() {
        let list = vec![
            (message(1, 900), vec![]),
            // The answer's clock is far behind.
            (message(2, 100), vec![1]),
            (message(4, 950), vec![]),
            (message(3, 950), vec![9]),
        ];
        assert_eq!(order(list), vec![1, 2, 3, 4]);
    }

    #[test]
    fn one_id_in_both_directions_is_two_messages() {
        let mut own = message(2, 7);
        own.direction = Direction::Outgoing;
        let list = vec![
            (own, vec![]),
            (message(2, 5), vec![]),
            (message(3, 1), vec![2]),
        ];
        assert_eq!(order(list), vec![2, 2, 3]);
    }

    #[test]
    fn cycles_lose_nothing() {
        let list = vec![
            (message(2, 5), vec![1]),
            (message(1, 5), vec![2]),
            (message(3, 1), vec![3]),
        ];
        assert_eq!(order(list), vec![3, 1, 2]);
    }
}
