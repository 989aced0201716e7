// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was taken from a sending stream and has not ended.

use std::collections::BTreeMap;

use waxwing_proto::limits;

/// The calls of one stream that are under way, in groups that end together.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    next: u64,
    count: usize,
    bytes: usize,
    groups: BTreeMap<u64, Vec<Call>>,
}

#[derive(Debug)]
pub(super) struct Call {
    /// The client's name for it.
    pub(super) number: u32,
    /// When the client stops waiting; `None` once it was told that this was then.
    pub(super) deadline_at_ms: Option<u64>,
    /// Bytes of envelopes.
    pub(super) bytes: usize,
}

impl UnderWay {
    /// Whether another call may be taken, besides those of a group that is not under way yet.
    pub(super) fn has_room(&self, group: &[Call]) -> bool {
        // TRN-89.
        let bytes = bytes_of(group).saturating_add(self.bytes);
        self.count.saturating_add(group.len()) < limits::SENDINGS_UNDER_WAY_MAX
            && bytes < limits::SENDINGS_UNDER_WAY_BYTES_MAX
    }

    /// Notes a group of calls and gives its place.
    pub(super) fn begin(&mut self, group: Vec<Call>) -> u64 {
        let place = self.next;
        self.next = self.next.wrapping_add(1);
        self.count = self.count.saturating_add(group.len());
        self.bytes = self.bytes.saturating_add(bytes_of(&group));
        self.groups.insert(place, group);
        place
    }

    /// A group has ended. The number of each of its calls for which the client still waits.
    pub(super) fn finish(&mut self, place: u64) -> impl Iterator<Item = Option<u32>> + use<> {
        let group = self.groups.remove(&place).unwrap_or_default();
        self.count = self.count.saturating_sub(group.len());
        self.bytes = self.bytes.saturating_sub(bytes_of(&group));
        let calls = group.into_iter();
        calls.map(|call| call.deadline_at_ms.map(|_| call.number))
    }

    /// When the first deadline passes.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let calls = self.groups.values().flatten();
        calls.filter_map(|call| call.deadline_at_ms).min()
    }

    /// The numbers of the calls whose deadline has passed. Each is named once; the calls go on.
    pub(super) fn late(&mut self, now_ms: u64) -> Vec<u32> {
        let calls = self.groups.values_mut().flatten();
        let late = calls.filter_map(|call| {
            let passed = call.deadline_at_ms.take_if(|at_ms| *at_ms <= now_ms);
            passed.map(|_| call.number)
        });
        late.collect()
    }
}

fn bytes_of(group: &[Call]) -> usize {
    let sizes = group.iter().map(|call| call.bytes);
    sizes.fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: u32, deadline_at_ms: u64, bytes: usize) -> Call {
        Call {
            number,
            deadline_at_ms: Some(deadline_at_ms),
            bytes,
        }
    }

    fn finish(calls: &mut UnderWay, place: u64) -> Vec<Option<u32>> {
        calls.finish(place).collect()
    }

    #[test]
    fn room_is_for_so_many_calls_and_bytes() {
        let mut calls = UnderWay::default();
        let some: Vec<Call> = (0..62).map(|number| call(number, 10, 1)).collect();
        assert!(calls.has_room(&some));
        let first = calls.begin(some);
        let second = calls.begin(vec![call(62, 10, 1)]);
        assert!(calls.has_room(&[]));
        assert!(!calls.has_room(&[call(63, 10, 1)]));
        calls.begin(vec![call(63, 10, 1)]);
        assert!(!calls.has_room(&[]));
        assert_eq!(finish(&mut calls, second), [Some(62)]);
        assert!(calls.has_room(&[]));
        // What came is taken; nothing after it.
        let large = call(99, 10, limits::SENDINGS_UNDER_WAY_BYTES_MAX);
        assert!(!calls.has_room(core::slice::from_ref(&large)));
        let large = calls.begin(vec![large]);
        assert_eq!(finish(&mut calls, first).len(), 62);
        assert!(!calls.has_room(&[]));
        assert_eq!(finish(&mut calls, large), [Some(99)]);
        assert!(calls.has_room(&[]));
        assert_eq!(finish(&mut calls, large), []);
    }

    #[test]
    fn a_late_call_is_named_once_and_keeps_its_place() {
        let mut calls = UnderWay::default();
        let first = calls.begin(vec![call(1, 20, 0), call(3, 10, 0), call(4, 30, 0)]);
        let second = calls.begin(vec![call(2, 10, 0)]);
        assert_eq!(calls.next_deadline_ms(), Some(10));
        assert_eq!(calls.late(9), Vec::<u32>::new());
        assert_eq!(calls.late(10), [3, 2]);
        assert_eq!(calls.late(10), Vec::<u32>::new());
        assert_eq!(calls.next_deadline_ms(), Some(20));
        assert_eq!(finish(&mut calls, second), [None]);
        assert_eq!(finish(&mut calls, first), [Some(1), None, Some(4)]);
        assert_eq!(calls.next_deadline_ms(), None);
    }
}
