// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What travels in the slack of a padded content: items of `type (u8, not 0) || u16(length) ||
//! bytes`. Type 4 is the acknowledgement, type 2 a run of units of a KEM epoch, type 3 the map of the
//! units held; type 1 was an acknowledgement by another hash. What a version does not know it steps over; an item never makes a bucket larger.

use super::kem::Epochs;
use super::units::{UNIT_LENGTH, UnitMap, next_units};
use crate::RatchetError;

const ITEM_HEADER: usize = 3;
const END: u8 = 0;
const ACKNOWLEDGEMENT: u8 = 4;
const ACKNOWLEDGEMENT_LENGTH: u16 = 12;
const UNITS: u8 = 2;
/// Epoch and first unit.
const UNITS_HEADER: usize = 5;
const HELD: u8 = 3;
/// Epoch and map.
const HELD_LENGTH: u16 = 12;

const MALFORMED: RatchetError = RatchetError::Malformed("padding");

/// The newest envelope of the peer's latest chain that was opened: its number and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) n: u32,
    pub(crate) hash: [u8; 8],
}

/// A run of units of a KEM epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnitsItem<'a> {
    pub(crate) epoch: u32,
    pub(crate) first: u8,
    pub(crate) bytes: &'a [u8],
}

/// Which units the sender holds of what it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldItem {
    pub(crate) epoch: u32,
    pub(crate) held: UnitMap,
}

/// The items of one content.
#[derive(Debug, Default)]
pub(crate) struct Slack<'a> {
    pub(crate) receipt: Option<Receipt>,
    pub(crate) held: Option<HeldItem>,
    pub(crate) units: Vec<UnitsItem<'a>>,
}

/// Room for items behind a content.
pub(crate) struct SlackWriter<'a> {
    room: &'a mut [u8],
}

impl<'a> SlackWriter<'a> {
    /// `room` is all zeros.
    pub(crate) const fn new(room: &'a mut [u8]) -> Self {
        Self { room }
    }

    /// Whether a unit fits behind an acknowledgement: only then an epoch makes anything new.
    pub(crate) const fn has_room_for_unit(&self) -> bool {
        self.room.len() >= ITEM_HEADER + 12 + ITEM_HEADER + UNITS_HEADER + UNIT_LENGTH
    }

    /// Writes everything that fits, the most useful first.
    pub(crate) fn write(&mut self, receipt: Option<&Receipt>, epochs: &mut Epochs) {
        // ENV-4, ENV-60, SES-40, SES-95.
        if let Some(receipt) = receipt {
            let n = receipt.n.to_be_bytes();
            self.push(
                ACKNOWLEDGEMENT,
                ACKNOWLEDGEMENT_LENGTH,
                &[&n, &receipt.hash],
            );
        }
        if epochs.failed {
            return;
        }
        let epoch = epochs.number.to_be_bytes();
        if let Some(held) = epochs.held() {
            let bits = held.bits().to_be_bytes();
            self.push(HELD, HELD_LENGTH, &[&epoch, &bits]);
        }
        let Some((part, bytes)) = epochs.sending() else {
            return;
        };
        let (runs, next) = next_units(
            part,
            epochs.held_by_peer,
            epochs.cursor,
            self.room.len(),
            ITEM_HEADER.saturating_add(UNITS_HEADER),
        );
        for (first, count) in runs {
            let start = usize::from(first).saturating_mul(UNIT_LENGTH);
            let length = usize::from(count).saturating_mul(UNIT_LENGTH);
            let units = bytes.get(start..start.saturating_add(length));
            let item = UNITS_HEADER.saturating_add(length);
            if let (Some(units), Ok(item)) = (units, u16::try_from(item)) {
                self.push(UNITS, item, &[&epoch, &[first], units]);
            }
        }
        epochs.cursor = next;
    }

    /// Writes an item, if it fits. `length` is that of all parts together.
    fn push(&mut self, kind: u8, length: u16, parts: &[&[u8]]) {
        let whole = ITEM_HEADER.saturating_add(length.into());
        let room = core::mem::take(&mut self.room);
        if whole > room.len() {
            self.room = room;
            return;
        }
        let (mut item, rest) = room.split_at_mut(whole);
        self.room = rest;
        let [high, low] = length.to_be_bytes();
        for part in core::iter::once(&[kind, high, low][..]).chain(parts.iter().copied()) {
            if let Some((place, after)) = item.split_at_mut_checked(part.len()) {
                place.copy_from_slice(part);
                item = after;
            } else {
                return;
            }
        }
    }
}

/// Takes the items of a slack apart. The peer made it, and is authenticated; it is still not
/// trusted.
pub(crate) fn read(mut slack: &[u8]) -> Result<Slack<'_>, RatchetError> {
    // ENV-4, ENV-60, ENV-61.
    let mut items = Slack::default();
    while let Some((&kind, after)) = slack.split_first()
        && kind != END
    {
        let (length, after) = after.split_first_chunk().ok_or(MALFORMED)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (body, after) = after.split_at_checked(length).ok_or(MALFORMED)?;
        match kind {
            ACKNOWLEDGEMENT => items.receipt = Some(read_receipt(body).ok_or(MALFORMED)?),
            HELD => items.held = Some(read_held(body).ok_or(MALFORMED)?),
            UNITS => items.units.push(read_units(body).ok_or(MALFORMED)?),
            _ => {}
        }
        slack = after;
    }
    // Without a branch for each byte.
    if slack.iter().fold(0, |seen, byte| seen | byte) != 0 {
        return Err(MALFORMED);
    }
    Ok(items)
}

fn read_receipt(body: &[u8]) -> Option<Receipt> {
    let (n, hash) = body.split_first_chunk()?;
    Some(Receipt {
        n: u32::from_be_bytes(*n),
        hash: hash.try_into().ok()?,
    })
}

fn read_held(body: &[u8]) -> Option<HeldItem> {
    let (epoch, bits) = body.split_first_chunk()?;
    Some(HeldItem {
        epoch: u32::from_be_bytes(*epoch),
        held: UnitMap::new(u64::from_be_bytes(bits.try_into().ok()?)),
    })
}

fn read_units(body: &[u8]) -> Option<UnitsItem<'_>> {
    let (epoch, body) = body.split_first_chunk()?;
    let (first, bytes) = body.split_first()?;
    let whole = !bytes.is_empty() && bytes.len().is_multiple_of(UNIT_LENGTH);
    whole.then_some(UnitsItem {
        epoch: u32::from_be_bytes(*epoch),
        first: *first,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use crate::SessionId;
    use crate::session::kem_row::KemChanges;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const RECEIPT: Receipt = Receipt {
        n: 7,
        hash: [1, 2, 3, 4, 5, 6, 7, 8],
    };

    fn offering() -> Epochs {
        let mut epochs = Epochs::first();
        let rng = &mut ChaCha20Rng::from_seed([1; 32]);
        let id = SessionId::new([2; 32]);
        let changes = &mut KemChanges::default();
        epochs
            .prepare(Role::Responder, &id, true, rng, changes)
            .unwrap();
        assert!(!changes.is_empty());
        epochs
    }

    #[test]
    fn what_is_written_comes_back() {
        let mut room = vec![0; 410];
        let mut epochs = offering();
        SlackWriter::new(&mut room).write(Some(&RECEIPT), &mut epochs);
        let slack = read(&room).unwrap();
        assert_eq!(slack.receipt, Some(RECEIPT));
        assert_eq!(slack.held, None);
        let [units] = slack.units.as_slice() else {
            panic!("{slack:?}");
        };
        // 410 is the slack of a content of 100 bytes.
        assert_eq!(
            (units.epoch, units.first, units.bytes.len()),
            (1, 0, 12 * 32)
        );
        assert_eq!(epochs.cursor, 12);
    }

    #[test]
    fn a_small_slack_carries_what_fits() {
        for (room, receipt, units) in [
            (0, false, 0),
            (14, false, 0),
            (15, true, 0),
            (54, true, 0),
            (55, true, 1),
        ] {
            let mut bytes = vec![0; room];
            SlackWriter::new(&mut bytes).write(Some(&RECEIPT), &mut offering());
            let slack = read(&bytes).unwrap();
            assert_eq!(slack.receipt.is_some(), receipt, "{room}");
            assert_eq!(slack.units.len(), units, "{room}");
            assert_eq!(SlackWriter::new(&mut bytes).has_room_for_unit(), units > 0);
        }
    }

    /// [ENV-4], [ENV-60], [ENV-61].
    #[test]
    fn unknown_items_are_stepped_over_and_bad_ones_refused() {
        let good = [
            &[1, 0, 2, 9, 9, 4, 0, 12, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8][..],
            &[3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0],
        ]
        .concat();
        let slack = read(&good).unwrap();
        assert_eq!(slack.receipt, Some(RECEIPT));
        assert_eq!(slack.held.unwrap().held.bits(), 258);
        for bad in [
            &[4][..],
            &[4, 0],
            &[9, 0, 1],
            &[4, 0, 11, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7],
            &[3, 0, 11, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1],
            &[2, 0, 5, 0, 0, 0, 1, 0],
            &[2, 0, 6, 0, 0, 0, 1, 0, 0],
            &[0, 1],
            // Two bytes that have the same bits.
            &[0, 1, 1],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
