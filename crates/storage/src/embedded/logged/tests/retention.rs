// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The retention limit: damaged envelopes, and acknowledgements that come at the same moment.

use super::super::retention::{Found, delete, find};
use super::*;
use crate::Day;
use crate::conformance::world::TODAY;
use crate::log::MailboxKey;
use crate::server::ExpiredCount;

struct Place {
    folder: MemoryFolder,
    store: EmbeddedStore<LoggedKeyValue>,
    _rows: TempDir,
}

impl Place {
    /// A mailbox with envelopes of these days, each with its number.
    async fn with(days: &[u32]) -> Self {
        let folder = MemoryFolder::new();
        let (store, rows) = store_in(&folder, OPTIONS.limits).await;
        register_with_contact(&store, 1, &[1]).await;
        let place = Self {
            folder,
            store,
            _rows: rows,
        };
        for (number, days) in (0..).zip(days) {
            place.send(number, *days).await;
        }
        place
    }

    async fn send(&self, number: u8, days: u32) {
        let mut append = sending(contact_id(1, 1), &[1], number.into(), &[number; 200]);
        append.today = TODAY.plus(days);
        send(&self.store, append).await.unwrap();
    }

    /// Damages the envelope of a number.
    fn damage(&self, number: u8) {
        let bytes = self.folder.bytes("00000001.segment").unwrap();
        let body = [number; 200];
        let at = bytes.windows(body.len()).position(|window| window == body);
        self.folder
            .damage("00000001.segment", at.unwrap(), &[!number]);
    }

    fn log(&self) -> &DeliveryLog {
        self.store.key_value.delivery_log().unwrap()
    }

    async fn expire(&self, days: u32) -> u64 {
        self.store.expire(TODAY.plus(days)).await.unwrap()
    }

    /// What its owner is told: days and counts.
    async fn counts(&self) -> Vec<(u32, u32)> {
        let counts = self.store.expired_counts(account(1), device(1)).await;
        let told = |one: &ExpiredCount| (one.day.days_since(TODAY), one.count);
        counts.unwrap().iter().map(told).collect()
    }

    /// How many envelopes the mailbox has, damaged ones too.
    fn held(&self) -> u64 {
        self.log().held().envelopes
    }

    async fn acknowledge(&self, position: u64) {
        let gone = vec![Position(position)];
        let acknowledged = self.store.acknowledge(account(1), device(1), gone);
        acknowledged.await.unwrap();
    }
}

/// [BOX-22], [BOX-77].
#[tokio::test]
async fn damaged_envelopes_go_with_the_ones_around_them() {
    // 0 and 1 say no day, as 3 and 5; 6 is not too old yet.
    let place = Place::with(&[0, 1, 2, 2, 3, 3, 40, 41]).await;
    for number in [0, 1, 3, 5, 7] {
        place.damage(number);
    }
    assert_eq!(
        place.expire(47).await,
        0,
        "the first that can be read is of day 2"
    );
    assert_eq!(place.expire(48).await, 4);
    assert_eq!(place.counts().await, [(2, 4)]);
    assert_eq!(place.expire(49).await, 2);
    assert_eq!(place.counts().await, [(2, 4), (3, 2)]);
    assert_eq!(place.held(), 2);
}

/// [BOX-22], [BOX-77].
#[tokio::test]
async fn where_nothing_can_be_read_damaged_envelopes_go_some_time_after_that_was_seen() {
    let place = Place::with(&[0, 0, 0]).await;
    for number in 0..3 {
        place.damage(number);
    }
    assert_eq!(place.expire(10).await, 0);
    assert_eq!(place.counts().await, []);
    // One that comes later and goes in time changes nothing.
    place.send(3, 20).await;
    assert_eq!(place.expire(20).await, 0);
    place.acknowledge(4).await;
    assert_eq!(place.expire(55).await, 0);
    place.send(4, 56).await;
    assert_eq!(place.expire(56).await, 3);
    assert_eq!(place.counts().await, [(10, 3)]);
    assert_eq!(place.held(), 1);
    // What was noted is gone, and damage that comes later is no older than it is.
    place.damage(4);
    assert_eq!(place.expire(57).await, 0);
    assert_eq!(place.expire(102).await, 0);
    assert_eq!(place.expire(103).await, 1);
    assert_eq!(place.counts().await, [(10, 3), (57, 1)]);
}

/// What was noted of an envelope that goes with another one is not left for later ones.
#[tokio::test]
async fn what_was_noted_of_damage_goes_with_it() {
    let place = Place::with(&[0, 9]).await;
    place.damage(0);
    assert_eq!(place.expire(10).await, 0);
    assert_eq!(place.expire(55).await, 2);
    assert_eq!(place.counts().await, [(9, 2)]);
    place.send(2, 56).await;
    place.damage(2);
    assert_eq!(place.expire(57).await, 0);
    assert_eq!(place.held(), 1);
}

/// [BOX-22]: its owner has it, and is not told that it was lost.
#[tokio::test]
async fn what_is_acknowledged_while_it_expires_is_not_counted() {
    let place = Place::with(&[0, 0, 0]).await;
    let of = MailboxKey {
        account: account(1),
        device: device(1),
    };
    let found = || find(place.log(), &of, |day: Day| day == TODAY).unwrap();
    let Found::Expired(expired) = found() else {
        panic!("nothing is damaged");
    };
    assert_eq!(expired.len(), 3);
    // Between the look and the turn.
    place.acknowledge(2).await;
    assert_eq!(delete(&place.store, of, expired).await, Ok(0));
    assert_eq!((place.held(), place.counts().await.len()), (2, 0));
    assert_eq!(place.expire(46).await, 2);
    assert_eq!(place.counts().await, [(0, 2)]);
    assert_eq!(found(), Found::Expired(Vec::new()));
}
