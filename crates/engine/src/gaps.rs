// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Contents that did not come: each sending device counts its visible contents of a conversation, so
//! a number that is skipped is a content that is late or lost. It is shown when it is late for a day,
//! and taken back when it comes after all.

use waxwing_proto::{AccountKey, DeviceId, MessageId, limits, v1};

use crate::codec;
use crate::engine::{Engine, Turn};
use crate::error::EngineError;
use crate::keys;
use crate::messages;
use crate::notice::Notice;
use crate::row::Table;
use crate::timers::Timer;

/// How long a content may be late before its gap is shown, in milliseconds.
const SHOWN_AFTER_MS: u64 = 24 * 3600 * 1000;

/// Sequence numbers, both ends included.
pub(crate) type Range = (u64, u64);

/// Contents of one device that were noticed as missing together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) device: DeviceId,
    /// Whether the device is one of this account.
    pub(crate) own: bool,
    /// In order, never empty.
    pub(crate) ranges: Vec<Range>,
    pub(crate) noticed_at_ms: u64,
    /// When the content that showed the gap says it was sent.
    pub(crate) sent_at_ms: u64,
    /// Its place in the history, once it is shown.
    pub(crate) shown: Option<(u64, MessageId)>,
}

/// A content whose sequence number is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) device: DeviceId,
    pub(crate) own: bool,
    /// 0 for a content that shows nothing.
    pub(crate) sequence: u64,
    pub(crate) sent_at_ms: u64,
    pub(crate) now_ms: u64,
    /// Whether the count of a device that was not heard before begins at 1.
    pub(crate) from_one: bool,
}

/// The sequences of one conversation's sending devices. What a peer can make it hold is bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sequences {
    /// The highest number of each device, the device that was heard last at the end.
    highest: Vec<(DeviceId, u64)>,
    /// Oldest first.
    gaps: Vec<Gap>,
}

impl Sequences {
    /// Counts an arrival. Gives back the gap that it filled, whole or in part, where that is shown.
    pub(crate) fn note(&mut self, arrival: &Arrival) -> Option<Gap> {
        // ENV-40, ENV-41.
        let sequence = arrival.sequence;
        if sequence == 0 {
            return None;
        }
        let place = self
            .highest
            .iter()
            .position(|(device, _)| *device == arrival.device);
        let before = match place.map(|place| self.highest.remove(place)) {
            Some((_, highest)) => highest,
            None if arrival.from_one => 0,
            None => sequence.saturating_sub(1),
        };
        self.highest.push((arrival.device, before.max(sequence)));
        let excess = self
            .highest
            .len()
            .saturating_sub(limits::SEQUENCE_SENDERS_MAX);
        self.highest.drain(..excess);
        if sequence <= before {
            return self.fill(&arrival.device, sequence);
        }
        let first = before.saturating_add(1);
        if first < sequence {
            self.gaps.push(Gap {
                device: arrival.device,
                own: arrival.own,
                ranges: vec![(first, sequence.saturating_sub(1))],
                noticed_at_ms: arrival.now_ms,
                sent_at_ms: arrival.sent_at_ms,
                shown: None,
            });
            self.forget_oldest();
        }
        None
    }

    fn fill(&mut self, device: &DeviceId, sequence: u64) -> Option<Gap> {
        let holds = |(first, last): &Range| (*first..=*last).contains(&sequence);
        let place = self
            .gaps
            .iter()
            .position(|gap| gap.device == *device && gap.ranges.iter().any(holds))?;
        let gap = self.gaps.get_mut(place)?;
        gap.ranges = gap
            .ranges
            .iter()
            .flat_map(|range| without(*range, sequence))
            .collect();
        let gap = gap.clone();
        if gap.ranges.is_empty() {
            self.gaps.remove(place);
        }
        self.forget_oldest();
        gap.shown.is_some().then_some(gap)
    }

    /// A gap that is forgotten stays in the history where it is shown, and is not taken back.
    fn forget_oldest(&mut self) {
        while self.range_count() > limits::SEQUENCE_GAPS_MAX && !self.gaps.is_empty() {
            self.gaps.remove(0);
        }
    }

    fn range_count(&self) -> usize {
        self.gaps.iter().map(|gap| gap.ranges.len()).sum()
    }

    /// When the next gap is to be shown, by the wall clock.
    fn due_at_ms(&self) -> Option<u64> {
        self.gaps
            .iter()
            .filter(|gap| gap.shown.is_none())
            .map(|gap| gap.noticed_at_ms.saturating_add(SHOWN_AFTER_MS))
            .min()
    }

    /// The gaps as fields of a row.
    pub(crate) fn gaps_to_wire(&self) -> Vec<v1::Gap> {
        self.gaps
            .iter()
            .map(|gap| v1::Gap {
                device_id: gap.device.to_wire(),
                own: gap.own,
                ranges: ranges_to_wire(&gap.ranges),
                noticed_at_ms: gap.noticed_at_ms,
                sent_at_ms: gap.sent_at_ms,
                cursor: gap.shown.map_or(0, |(cursor, _)| cursor),
                message_id: gap.shown.map(|(_, id)| id.to_wire()).unwrap_or_default(),
            })
            .collect()
    }

    /// The highest numbers as fields of a row.
    pub(crate) fn senders_to_wire(&self) -> Vec<v1::SenderSequence> {
        self.highest
            .iter()
            .map(|(device, highest)| v1::SenderSequence {
                device_id: device.to_wire(),
                highest: *highest,
            })
            .collect()
    }

    /// Reads the fields of a row.
    pub(crate) fn from_wire(
        senders: &[v1::SenderSequence],
        gaps: &[v1::Gap],
    ) -> Result<Self, EngineError> {
        let table = Table::Contacts;
        let mut sequences = Self::default();
        for sender in senders {
            let device = codec::fixed(&sender.device_id, table)?;
            sequences.highest.push((device, sender.highest));
        }
        for gap in gaps {
            let id = codec::optional(&gap.message_id, table)?;
            sequences.gaps.push(Gap {
                device: codec::fixed(&gap.device_id, table)?,
                own: gap.own,
                ranges: ranges_from_wire(&gap.ranges),
                noticed_at_ms: gap.noticed_at_ms,
                sent_at_ms: gap.sent_at_ms,
                shown: id.map(|id| (gap.cursor, id)),
            });
        }
        Ok(sequences)
    }
}

/// A range without one number that it holds; unchanged where it does not hold it.
fn without((first, last): Range, number: u64) -> Vec<Range> {
    if !(first..=last).contains(&number) {
        return vec![(first, last)];
    }
    let below = number
        .checked_sub(1)
        .filter(|end| *end >= first)
        .map(|end| (first, end));
    let above = number
        .checked_add(1)
        .filter(|begin| *begin <= last)
        .map(|begin| (begin, last));
    below.into_iter().chain(above).collect()
}

pub(crate) fn ranges_to_wire(ranges: &[Range]) -> Vec<v1::SequenceRange> {
    ranges
        .iter()
        .map(|(first, last)| v1::SequenceRange {
            first: *first,
            last: *last,
        })
        .collect()
}

fn ranges_from_wire(ranges: &[v1::SequenceRange]) -> Vec<Range> {
    ranges
        .iter()
        .map(|range| (range.first, range.last))
        .collect()
}

/// How many contents ranges stand for.
pub(crate) fn count(ranges: &[v1::SequenceRange]) -> u64 {
    ranges.iter().fold(0, |sum, range| {
        let count = range.last.saturating_sub(range.first).saturating_add(1);
        sum.saturating_add(count)
    })
}

impl Engine {
    /// Counts a content that arrived from a device of the contact or, `own`, of this account, whatever
    /// becomes of it.
    pub(crate) fn note_sequence(
        &mut self,
        turn: &Turn<'_>,
        account: &AccountKey,
        (device, own): (DeviceId, bool),
        content: &v1::Content,
    ) {
        let arrival = Arrival {
            device,
            own,
            sequence: content.sequence,
            sent_at_ms: content.sent_at_ms,
            now_ms: turn.now.wall_ms,
            from_one: self.holds_whole_history(),
        };
        let Some(contact) = self.contacts.get_mut(account) else {
            return;
        };
        let before = contact.sequences.clone();
        let filled = contact.sequences.note(&arrival);
        let changed = contact.sequences != before;
        if let Some(gap) = filled {
            self.redraw_gap(account, &gap);
        }
        if changed {
            self.save_contact(account);
            self.arm_gaps(turn);
        }
    }

    /// A gap that is shown has become smaller, or is gone.
    fn redraw_gap(&mut self, account: &AccountKey, gap: &Gap) {
        let Some((cursor, id)) = gap.shown else {
            return;
        };
        if gap.ranges.is_empty() {
            self.journal.delete(keys::message(account, cursor));
            self.journal.delete(keys::message_index(account, &id));
            self.journal.delete(keys::unread(cursor));
        } else {
            let verified = self.is_verified(account);
            let row = messages::row_of_gap(gap, id, verified);
            self.journal
                .put(keys::message(account, cursor), codec::encode(&row));
        }
    }

    fn is_verified(&self, account: &AccountKey) -> bool {
        self.contacts
            .get(account)
            .is_some_and(|contact| contact.verified)
    }

    /// Sets the timer to the next gap that becomes due.
    pub(crate) fn arm_gaps(&mut self, turn: &Turn<'_>) {
        let due_at_ms = self
            .contacts
            .values()
            .filter_map(|contact| contact.sequences.due_at_ms())
            .min();
        if let Some(due_at_ms) = due_at_ms {
            // A clock that jumped back must not put it off for longer than a fresh one.
            let delay_ms = due_at_ms
                .saturating_sub(turn.now.wall_ms)
                .min(SHOWN_AFTER_MS);
            self.timers.set(Timer::Gaps, turn.after_ms(delay_ms));
        }
    }

    /// Writes the gaps that have become due into the history, where they are read like messages.
    pub(crate) fn show_gaps(&mut self, turn: &mut Turn<'_>) {
        // ENV-40.
        let now_ms = turn.now.wall_ms;
        let is_due = |gap: &Gap| {
            gap.shown.is_none() && gap.noticed_at_ms.saturating_add(SHOWN_AFTER_MS) <= now_ms
        };
        let due: Vec<(AccountKey, usize)> = self
            .contacts
            .values()
            .flat_map(|contact| {
                let places = contact.sequences.gaps.iter().enumerate();
                places
                    .filter(|(_, gap)| is_due(gap))
                    .map(|(place, _)| (contact.account, place))
            })
            .collect();
        for (account, place) in due {
            let id = MessageId::new(turn.id());
            let Some(gap) = self
                .contacts
                .get(&account)
                .and_then(|contact| contact.sequences.gaps.get(place))
                .cloned()
            else {
                continue;
            };
            let row = messages::row_of_gap(&gap, id, self.is_verified(&account));
            let state = v1::message_index_row::State::Received;
            let cursor = self.put_message(&account, &row, state, true);
            if let Some(gap) = self
                .contacts
                .get_mut(&account)
                .and_then(|contact| contact.sequences.gaps.get_mut(place))
            {
                gap.shown = Some((cursor, id));
            }
            self.save_contact(&account);
            if let Some(message) = messages::message_of(account, cursor, &row, state) {
                self.notify(Notice::Message(message));
            }
            if self.journal.is_large() {
                self.journal.checkpoint();
            }
        }
        self.arm_gaps(turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arrival(device: u8, sequence: u64) -> Arrival {
        Arrival {
            device: DeviceId::new([device; 16]),
            own: false,
            sequence,
            sent_at_ms: 1,
            now_ms: 1000,
            from_one: true,
        }
    }

    fn missing(sequences: &Sequences) -> Vec<Range> {
        let gaps = sequences.gaps.iter();
        gaps.flat_map(|gap| gap.ranges.clone()).collect()
    }

    #[test]
    fn what_is_skipped_is_missing_until_it_comes() {
        // ENV-40.
        let mut sequences = Sequences::default();
        for sequence in [1, 2, 6] {
            assert_eq!(sequences.note(&arrival(1, sequence)), None);
        }
        assert_eq!(missing(&sequences), [(3, 5)]);
        assert_eq!(sequences.due_at_ms(), Some(1000 + SHOWN_AFTER_MS));
        sequences.note(&arrival(1, 4));
        assert_eq!(missing(&sequences), [(3, 3), (5, 5)]);
        // A second device counts for itself, and what shows nothing does not count.
        sequences.note(&arrival(2, 1));
        sequences.note(&arrival(2, 0));
        sequences.note(&arrival(1, 3));
        sequences.note(&arrival(1, 3));
        assert_eq!(missing(&sequences), [(5, 5)]);
        sequences.note(&arrival(1, 5));
        assert_eq!(sequences.gaps, []);
        assert_eq!(sequences.due_at_ms(), None);
    }

    #[test]
    fn a_device_that_came_later_begins_with_what_it_hears() {
        // ENV-41.
        let late = |sequence| Arrival {
            from_one: false,
            ..arrival(1, sequence)
        };
        let mut sequences = Sequences::default();
        sequences.note(&late(7));
        assert_eq!(missing(&sequences), []);
        sequences.note(&late(9));
        assert_eq!(missing(&sequences), [(8, 8)]);
        let mut whole = Sequences::default();
        whole.note(&arrival(1, 3));
        assert_eq!(missing(&whole), [(1, 2)]);
    }

    #[test]
    fn a_peer_that_counts_wildly_is_bounded() {
        let mut sequences = Sequences::default();
        for step in 1..2000 {
            sequences.note(&arrival(1, step * 3));
        }
        for device in 0..100 {
            sequences.note(&arrival(device, u64::MAX));
        }
        assert!(sequences.range_count() <= limits::SEQUENCE_GAPS_MAX);
        assert!(sequences.highest.len() <= limits::SEQUENCE_SENDERS_MAX);
        let ranges = ranges_to_wire(&[(0, u64::MAX), (0, u64::MAX)]);
        assert_eq!(count(&ranges), u64::MAX);
    }

    proptest! {
        /// In whatever order they come: when all are there, nothing is missing, and until then exactly
        /// those are missing that are below the highest and have not come.
        #[test]
        fn every_order_ends_without_gaps(order in Just((1..=20_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut sequences = Sequences::default();
            let mut come = std::collections::BTreeSet::new();
            for sequence in order {
                sequences.note(&arrival(1, sequence));
                come.insert(sequence);
                let highest = *come.last().unwrap();
                let mut held: Vec<u64> = missing(&sequences)
                    .into_iter()
                    .flat_map(|(first, last)| first..=last)
                    .collect();
                held.sort_unstable();
                let expected: Vec<u64> = (1..highest).filter(|it| !come.contains(it)).collect();
                prop_assert_eq!(held, expected);
                let (senders, gaps) = (sequences.senders_to_wire(), sequences.gaps_to_wire());
                prop_assert_eq!(&Sequences::from_wire(&senders, &gaps).unwrap(), &sequences);
            }
            prop_assert!(sequences.gaps.is_empty());
        }
    }
}
