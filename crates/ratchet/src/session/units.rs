// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a KEM epoch has to carry across, in units of 32 bytes: an encapsulation key is 37 units, an
//! answer (ciphertext and confirmation) 35. Any units may be lost or come twice, in any order.

use waxwing_crypto::KemSecret768;

use crate::RatchetError;

/// Bytes of a unit.
pub(crate) const UNIT_LENGTH: usize = 32;
/// Bytes of the confirmation behind the ciphertext.
pub(crate) const CONFIRMATION_LENGTH: usize = 32;

const MALFORMED: RatchetError = RatchetError::Malformed("epoch units");

/// One of the two messages of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The owner's encapsulation key.
    Key,
    /// The other side's ciphertext and confirmation.
    Answer,
}

impl Part {
    /// Bytes of the whole.
    pub(crate) const fn length(self) -> usize {
        match self {
            Self::Key => KemSecret768::ENCAPSULATION_KEY_LENGTH,
            Self::Answer => KemSecret768::CIPHERTEXT_LENGTH.saturating_add(CONFIRMATION_LENGTH),
        }
    }

    /// Units of the whole.
    pub(crate) const fn units(self) -> u8 {
        match self {
            Self::Key => 37,
            Self::Answer => 35,
        }
    }

    /// Whether the part has units at these places.
    ///
    /// # Errors
    /// [`RatchetError::Malformed`].
    pub(crate) fn check_run(self, first: u8, bytes: &[u8]) -> Result<(), RatchetError> {
        let whole = !bytes.is_empty() && bytes.len().is_multiple_of(UNIT_LENGTH);
        let end = usize::from(first).saturating_add(bytes.len() / UNIT_LENGTH);
        if whole && end <= usize::from(self.units()) {
            Ok(())
        } else {
            Err(MALFORMED)
        }
    }
}

/// Which units of a part are meant: bit `i`, from the lowest, for unit `i`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UnitMap(u64);

impl UnitMap {
    pub(crate) const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// Every unit of a part.
    pub(crate) fn all_of(part: Part) -> Self {
        (0..part.units()).fold(Self::default(), Self::with)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, unit: u8) -> bool {
        self.0 & bit(unit) != 0
    }

    pub(crate) fn with(self, unit: u8) -> Self {
        Self(self.0 | bit(unit))
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every unit of a part is meant.
    pub(crate) fn is_all_of(self, part: Part) -> bool {
        let all = Self::all_of(part).0;
        self.0 & all == all
    }
}

fn bit(unit: u8) -> u64 {
    1_u64.checked_shl(unit.into()).unwrap_or(0)
}

/// Consecutive units as they stand in an item or in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u8,
    pub(crate) bytes: Vec<u8>,
}

/// The units of one part that have arrived.
pub(crate) struct Units {
    part: Part,
    held: UnitMap,
    bytes: Vec<u8>,
    /// Where each stored run begins. Runs do not overlap.
    runs: Vec<u8>,
}

impl Units {
    pub(crate) fn new(part: Part) -> Self {
        Self {
            part,
            held: UnitMap::default(),
            bytes: vec![0; part.length()],
            runs: Vec::new(),
        }
    }

    pub(crate) const fn held(&self) -> UnitMap {
        self.held
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.held.is_all_of(self.part)
    }

    /// The bytes, which are whole once [`Units::is_complete`].
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the stored runs begin.
    pub(crate) fn runs(&self) -> &[u8] {
        &self.runs
    }

    /// Takes what is new of the units from `first` on, and returns it in runs. The first to arrive
    /// of a unit counts; a peer that sends another one later gains nothing.
    ///
    /// # Errors
    /// [`RatchetError::Malformed`] for units that the part does not have.
    pub(crate) fn take(&mut self, first: u8, bytes: &[u8]) -> Result<Vec<Run>, RatchetError> {
        self.part.check_run(first, bytes)?;
        let chunks = bytes.chunks_exact(UNIT_LENGTH);
        let mut runs: Vec<Run> = Vec::new();
        let mut extends = false;
        for (unit, chunk) in (first..=u8::MAX).zip(chunks) {
            let at = usize::from(unit).saturating_mul(UNIT_LENGTH);
            let place = self.bytes.get_mut(at..at.saturating_add(UNIT_LENGTH));
            let place = place.ok_or(MALFORMED)?;
            if self.held.has(unit) {
                extends = false;
                continue;
            }
            place.copy_from_slice(chunk);
            self.held = self.held.with(unit);
            match runs.last_mut().filter(|_| extends) {
                Some(run) => run.bytes.extend_from_slice(chunk),
                None => {
                    self.runs.push(unit);
                    runs.push(Run {
                        first: unit,
                        bytes: chunk.to_vec(),
                    });
                }
            }
            extends = true;
        }
        Ok(runs)
    }

    /// A second copy, to which an arrival is added.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            part: self.part,
            held: self.held,
            bytes: self.bytes.clone(),
            runs: self.runs.clone(),
        }
    }
}

/// The units that go next, least recently sent first: round from `cursor`, without those that the
/// peer holds, at most as many as fit into `room` with `overhead` for each run. Returns where each
/// run begins and how many units it has, and the next cursor.
pub(crate) fn next_units(
    part: Part,
    held_by_peer: UnitMap,
    cursor: u8,
    mut room: usize,
    overhead: usize,
) -> (Vec<(u8, u8)>, u8) {
    // SES-95.
    let mut runs: Vec<(u8, u8)> = Vec::new();
    let mut next = cursor;
    let start = if cursor < part.units() { cursor } else { 0 };
    for unit in (start..part.units()).chain(0..start) {
        if held_by_peer.has(unit) {
            continue;
        }
        let last = runs.last_mut();
        let run = last.filter(|(first, count)| first.checked_add(*count) == Some(unit));
        let cost = match run {
            Some(_) => UNIT_LENGTH,
            None => UNIT_LENGTH.saturating_add(overhead),
        };
        let Some(left) = room.checked_sub(cost) else {
            break;
        };
        room = left;
        match run {
            Some((_, count)) => *count = count.saturating_add(1),
            None => runs.push((unit, 1)),
        }
        next = unit.saturating_add(1);
    }
    (runs, next)
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "the tests count some tens of units"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_parts_are_whole_units() {
        for part in [Part::Key, Part::Answer] {
            assert_eq!(part.length(), usize::from(part.units()) * UNIT_LENGTH);
            assert!(UnitMap::all_of(part).is_all_of(part));
        }
        assert!(UnitMap::all_of(Part::Key).is_all_of(Part::Answer));
        assert!(!UnitMap::all_of(Part::Answer).is_all_of(Part::Key));
    }

    #[test]
    fn only_what_is_new_becomes_a_run() {
        let mut units = Units::new(Part::Answer);
        assert_eq!(units.take(3, &[1; 64]).unwrap().len(), 1);
        let runs = units.take(2, &[2; 128]).unwrap();
        let places: Vec<_> = runs
            .iter()
            .map(|run| (run.first, run.bytes.len()))
            .collect();
        assert_eq!(places, [(2, 32), (5, 32)]);
        assert_eq!(
            units.bytes()[64..192],
            [[2; 32], [1; 32], [1; 32], [2; 32]].concat()
        );
        assert_eq!(units.runs(), [3, 2, 5]);
        assert!(units.take(2, &[3; 128]).unwrap().is_empty());
    }

    #[test]
    fn units_outside_the_part_are_refused() {
        for (first, length) in [(35, 32), (34, 64), (0, 0), (0, 31), (255, 64), (0, 36 * 32)] {
            let mut units = Units::new(Part::Answer);
            assert!(
                units.take(first, &vec![0; length]).is_err(),
                "{first} {length}"
            );
        }
    }

    #[test]
    fn the_least_recently_sent_goes_first() {
        let none = UnitMap::default();
        let (runs, next) = next_units(Part::Key, none, 0, 8 + 12 * 32 + 31, 8);
        assert_eq!((runs, next), (vec![(0, 12)], 12));
        let (runs, next) = next_units(Part::Key, none, 36, 400, 8);
        assert_eq!((runs, next), (vec![(36, 1), (0, 11)], 11));
        let held = none.with(1).with(2);
        let (runs, next) = next_units(Part::Key, held, 0, 8 + 32 + 8 + 32, 8);
        assert_eq!((runs, next), (vec![(0, 1), (3, 1)], 4));
        let all = UnitMap::all_of(Part::Key);
        assert_eq!(next_units(Part::Key, all, 5, 400, 8).0, []);
        assert_eq!(next_units(Part::Key, none, 5, 39, 8), (vec![], 5));
    }

    proptest! {
        /// However units are lost and repeated, each missing one is sent once in every round.
        #[test]
        fn every_unit_has_its_turn(
            held in any::<u64>(), mut cursor in 0_u8..=37, room in 40_usize..500,
        ) {
            let held = UnitMap::new(held);
            let missing = (0..37).filter(|unit| !held.has(*unit)).count();
            let mut sent = 0;
            let mut seen = UnitMap::default();
            while sent < missing {
                let (runs, next) = next_units(Part::Key, held, cursor, room, 8);
                prop_assert!(!runs.is_empty());
                for unit in runs.iter().flat_map(|(first, count)| *first..first + count) {
                    prop_assert!(!held.has(unit));
                    if sent < missing {
                        prop_assert!(!seen.has(unit));
                    }
                    seen = seen.with(unit);
                    sent += 1;
                }
                cursor = next;
            }
        }
    }
}
