// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was taken from a sending stream and has not ended.

use std::collections::BTreeMap;

use waxwing_proto::limits;

/// The calls of one stream that are under way, each at a place of its own.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    next: u64,
    bytes: usize,
    calls: BTreeMap<u64, Call>,
}

#[derive(Debug)]
struct Call {
    /// The client's name for it.
    number: u32,
    /// When the client stops waiting; `None` once it was told that this was then.
    deadline_at_ms: Option<u64>,
    /// Bytes of envelopes.
    bytes: usize,
}

impl UnderWay {
    /// Whether another call may be taken.
    pub(super) fn has_room(&self) -> bool {
        // TRN-89.
        self.calls.len() < limits::SENDINGS_UNDER_WAY_MAX
            && self.bytes < limits::SENDINGS_UNDER_WAY_BYTES_MAX
    }

    /// Notes a call and gives its place.
    pub(super) fn begin(&mut self, number: u32, deadline_at_ms: u64, bytes: usize) -> u64 {
        let place = self.next;
        self.next = self.next.wrapping_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        let deadline_at_ms = Some(deadline_at_ms);
        self.calls.insert(
            place,
            Call {
                number,
                deadline_at_ms,
                bytes,
            },
        );
        place
    }

    /// The call has ended. Its number, if the client still waits for it.
    pub(super) fn finish(&mut self, place: u64) -> Option<u32> {
        let call = self.calls.remove(&place)?;
        self.bytes = self.bytes.saturating_sub(call.bytes);
        call.deadline_at_ms.map(|_| call.number)
    }

    /// When the first deadline passes.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let deadlines = self.calls.values().filter_map(|call| call.deadline_at_ms);
        deadlines.min()
    }

    /// The numbers of the calls whose deadline has passed. Each is named once; the calls go on.
    pub(super) fn late(&mut self, now_ms: u64) -> Vec<u32> {
        let late = self.calls.values_mut().filter_map(|call| {
            let passed = call.deadline_at_ms.take_if(|at_ms| *at_ms <= now_ms);
            passed.map(|_| call.number)
        });
        late.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_for_so_many_calls_and_bytes() {
        let mut calls = UnderWay::default();
        let places: Vec<u64> = (0..64).map(|number| calls.begin(number, 10, 1)).collect();
        assert!(!calls.has_room());
        assert_eq!(calls.finish(places[5]), Some(5));
        assert!(calls.has_room());
        // What came is taken; nothing after it.
        let large = calls.begin(99, 10, limits::SENDINGS_UNDER_WAY_BYTES_MAX);
        assert_eq!(calls.finish(places[6]), Some(6));
        assert!(!calls.has_room());
        assert_eq!(calls.finish(large), Some(99));
        assert!(calls.has_room());
        assert_eq!(calls.finish(large), None);
    }

    #[test]
    fn a_late_call_is_named_once_and_keeps_its_place() {
        let mut calls = UnderWay::default();
        let first = calls.begin(1, 20, 0);
        let second = calls.begin(2, 10, 0);
        assert_eq!(calls.next_deadline_ms(), Some(10));
        assert_eq!(calls.late(9), Vec::<u32>::new());
        assert_eq!(calls.late(10), [2]);
        assert_eq!(calls.late(10), Vec::<u32>::new());
        assert_eq!(calls.next_deadline_ms(), Some(20));
        assert_eq!(calls.finish(second), None);
        assert_eq!(calls.finish(first), Some(1));
        assert_eq!(calls.next_deadline_ms(), None);
    }
}
