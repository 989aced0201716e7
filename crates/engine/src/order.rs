// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The display order of a conversation: what a content refers to comes before it; among the rest the
//! earlier `sent_at` first, then the smaller id. The same on every device that has the same contents.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_proto::MessageId;

use crate::notice::Message;

/// Sorts messages, each with the ids that it refers to.
pub(crate) fn in_display_order(list: Vec<(Message, Vec<MessageId>)>) -> Vec<Message> {
    // ENV-13.
    let present: BTreeSet<MessageId> = list.iter().map(|(message, _)| message.id).collect();
    let mut waiting_for: BTreeMap<MessageId, BTreeSet<MessageId>> = BTreeMap::new();
    let mut needed_by: BTreeMap<MessageId, Vec<MessageId>> = BTreeMap::new();
    let mut ready: BTreeSet<(u64, MessageId)> = BTreeSet::new();
    let mut messages: BTreeMap<MessageId, Message> = BTreeMap::new();
    for (message, refers_to) in list {
        let known: BTreeSet<MessageId> = refers_to
            .into_iter()
            .filter(|id| present.contains(id) && *id != message.id)
            .collect();
        for id in &known {
            needed_by.entry(*id).or_default().push(message.id);
        }
        if known.is_empty() {
            ready.insert((message.sent_at_ms, message.id));
        } else {
            waiting_for.insert(message.id, known);
        }
        messages.insert(message.id, message);
    }
    let mut ordered = Vec::with_capacity(messages.len());
    loop {
        // A peer can make a cycle of references; then time and id alone decide.
        let next = ready.pop_first().map(|(_, id)| id).or_else(|| {
            waiting_for
                .keys()
                .filter_map(|id| messages.get(id))
                .min_by_key(|message| (message.sent_at_ms, message.id))
                .map(|message| message.id)
        });
        let Some(id) = next else { break };
        waiting_for.remove(&id);
        if let Some(message) = messages.remove(&id) {
            ordered.push(message);
        }
        for later in needed_by.remove(&id).unwrap_or_default() {
            let Some(missing) = waiting_for.get_mut(&later) else {
                continue;
            };
            missing.remove(&id);
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
    use crate::notice::{Body, Direction, MessageState};
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
        let list = list
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
    fn cycles_lose_nothing() {
        let list = vec![
            (message(2, 5), vec![1]),
            (message(1, 5), vec![2]),
            (message(3, 1), vec![3]),
        ];
        assert_eq!(order(list), vec![3, 1, 2]);
    }
}
