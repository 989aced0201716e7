// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What costs what, and counts that stay right.

use waxwing_proto::{AccountKey, DeliveryId, DeviceId};

use super::*;

fn mailbox() -> MailboxKey {
    MailboxKey {
        account: AccountKey::new([1; 32]),
        device: DeviceId::new([2; 16]),
    }
}

fn entry(position: u64) -> Entry {
    Entry {
        position,
        fingerprint: position.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        place: Place {
            segment: 1,
            offset: 64,
        },
        length: 188,
        share: 0,
    }
}

fn filled(count: u64) -> Index {
    let mut index = Index {
        remembered_max: 4,
        ..Index::default()
    };
    for position in 1..=count {
        let kind = DeliveryIdKind::Public;
        index.add(mailbox(), DeliveryId::new([7; 16]), kind, entry(position));
    }
    index
}

/// The bytes that the tables of a mailbox take: the entries, and of the table of fingerprints eight
/// bytes and a control byte for each place, of which a power of two is there and an eighth is empty.
fn tables(held: &Mailbox) -> usize {
    let eighths = held.known.capacity().saturating_mul(8);
    let places = eighths.div_euclid(7).next_power_of_two();
    let entries = held.entries.capacity().saturating_mul(size_of::<Entry>());
    entries.saturating_add(places.saturating_mul(9))
}

/// At every length on the way up and on the way down.
#[test]
fn an_envelope_costs_at_most_sixty_four_bytes() {
    assert_eq!(size_of::<Entry>(), 32);
    let mut index = Index::default();
    let mut worst = 0;
    let mut look = |index: &Index| {
        let held = &index.mailboxes[&mailbox()];
        let count = held.entries.len();
        if count >= 64 {
            let bytes = tables(held);
            worst = worst.max(bytes / count);
            assert!(bytes <= count * 64, "{bytes} for {count}");
        }
    };
    for position in 1..=10_000 {
        let kind = DeliveryIdKind::Public;
        index.add(mailbox(), DeliveryId::new([7; 16]), kind, entry(position));
        look(&index);
    }
    for position in 1..=10_000 {
        index.acknowledge(&mailbox(), position..=position);
        look(&index);
    }
    assert!(worst > 40, "{worst}");
}

#[test]
fn acknowledgements_become_ranges_and_leave_counts_right() {
    let mut index = filled(10);
    assert_eq!(index.live[&1], 10 * 224);
    let ranges = index.acknowledge(&mailbox(), [2, 3, 4, 4, 9, 77].into_iter());
    assert_eq!(
        ranges,
        [Range { first: 2, count: 3 }, Range { first: 9, count: 1 }]
    );
    let held = &index.mailboxes[&mailbox()];
    assert_eq!(held.held().envelopes, 6);
    assert_eq!(held.held(), held.held_strangers());
    assert_eq!(held.held_under(&DeliveryId::new([7; 16])).bytes, 600);
    assert_eq!(index.live_bytes, 6 * 224);
    index.remove_mailbox(&mailbox());
    assert!(index.live.is_empty());
    assert_eq!((index.live_bytes, index.entries), (0, 0));
}

#[test]
fn the_newest_are_remembered_and_a_day_later_forgotten() {
    let mut index = filled(10);
    index.acknowledge(&mailbox(), 1..=6);
    let knows = |index: &Index, position| {
        let held = &index.mailboxes[&mailbox()];
        held.has_seen(Fingerprint(entry(position).fingerprint))
    };
    assert!(!knows(&index, 2) && knows(&index, 3) && knows(&index, 10));
    let held = index.mailboxes.get_mut(&mailbox()).unwrap();
    held.forget_older();
    assert_eq!(held.remembered.len(), 4);
    index.acknowledge(&mailbox(), 7..=7);
    let held = index.mailboxes.get_mut(&mailbox()).unwrap();
    held.forget_older();
    assert_eq!(held.remembered.len(), 1);
    assert!(!knows(&index, 6) && knows(&index, 7) && knows(&index, 8));
}

#[test]
fn a_share_that_is_empty_gives_way() {
    let mut held = Mailbox::default();
    let id = |number| DeliveryId::new([number; 16]);
    assert_eq!(held.share_of(id(1), DeliveryIdKind::Contact), 0);
    held.push(entry(1));
    assert_eq!(held.share_of(id(2), DeliveryIdKind::Own), 1);
    assert_eq!(held.share_of(id(3), DeliveryIdKind::Contact), 1);
    assert_eq!(held.share_of(id(1), DeliveryIdKind::Contact), 0);
    assert_eq!(held.held_own(), Held::default());
}
