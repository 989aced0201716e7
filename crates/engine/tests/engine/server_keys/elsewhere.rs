// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How contacts on another server learn of the keys, and how seldom.

use bytes::Bytes;
use prost::Message as _;
use waxwing_engine::{RowKey, Table};
use waxwing_proto::{KeyPin, ServerAddress, limits, v1};

use super::{FIRST, HOME, SECOND, THIRD, home, restart, route, row_of};
use crate::world::World;

const AWAY: &str = "away.example";
/// Contacts elsewhere get one content for it in so long.
const PAUSE_MS: u64 = limits::CONTROL_HOURS_MIN as u64 * 3_600_000;

/// [TRN-96], [TRN-97]: although nobody writes, and the process dies meanwhile.
#[test]
fn contacts_elsewhere_are_told() {
    let mut world = World::new(705);
    world.register("alice", 1);
    world.register_at(AWAY, "bob", 2);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.befriend("alice", "bob");
    world.befriend("bob", "alice");
    world.send("alice", bob, "hello").unwrap();
    world.send("bob", alice, "hello").unwrap();
    world.sleep(120_000);
    assert_eq!(route(&world, "bob", alice), [FIRST]);
    for (now, next) in [(FIRST, SECOND), (SECOND, THIRD)] {
        restart(&mut world, HOME, &[now, next]);
        assert_eq!(route(&world, "bob", alice), [now]);
        world.crash("alice");
        world.sleep(700_000);
        assert_eq!(route(&world, "bob", alice), [now, next]);
        restart(&mut world, HOME, &[next]);
        world.send("bob", alice, "after it").unwrap();
        world.sleep(60_000);
        assert!(world.texts("alice", bob).contains(&"after it".to_owned()));
        // The key that is no more is forgotten with the next word.
        world.send("alice", bob, "and back").unwrap();
        world.sleep(60_000);
        assert_eq!(route(&world, "bob", alice), [next]);
        world.sleep(PAUSE_MS);
    }
    assert_eq!(route(&world, "alice", bob), [FIRST]);
}

/// [TRN-96].
#[test]
fn contacts_elsewhere_are_told_once() {
    let mut world = World::new(707);
    world.register("alice", 1);
    world.register_at(AWAY, "bob", 2);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.befriend("alice", "bob");
    world.befriend("bob", "alice");
    world.send("alice", bob, "hello").unwrap();
    world.send("bob", alice, "hello").unwrap();
    world.sleep(3_600_000);
    let accepted = |world: &mut World| {
        let before = world.relay.accepted;
        world.sleep(700_000);
        world.relay.accepted - before
    };
    assert_eq!(accepted(&mut world), 0);
    restart(&mut world, HOME, &[FIRST, SECOND]);
    assert_eq!(accepted(&mut world), 1);
    restart(&mut world, HOME, &[FIRST, SECOND]);
    assert_eq!(accepted(&mut world), 0);
    // A change that brings no new key is not worth a content of its own.
    restart(&mut world, HOME, &[SECOND]);
    assert_eq!(accepted(&mut world), 0);
    // A text that leaves before is enough.
    restart(&mut world, HOME, &[SECOND, THIRD]);
    world.send("alice", bob, "hello again").unwrap();
    world.settle();
    assert_eq!(route(&world, "bob", alice), [SECOND, THIRD]);
    // The receipt for it, and nothing else.
    assert_eq!(accepted(&mut world), 1);
}

/// [TRN-96]: a server that tells another key at each login makes nobody write more often.
#[test]
fn contacts_elsewhere_are_told_once_in_six_hours() {
    let mut world = World::new(710);
    world.register("alice", 1);
    world.register_at(AWAY, "bob", 2);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.befriend("alice", "bob");
    world.befriend("bob", "alice");
    world.send("alice", bob, "hello").unwrap();
    world.send("bob", alice, "hello").unwrap();
    world.sleep(3_600_000);
    let before = world.relay.accepted;
    let mut newest = FIRST;
    // As long as a first one may take, and the pause after it.
    for number in 20..=82 {
        newest = KeyPin([number; 32]);
        restart(&mut world, HOME, &[FIRST, newest]);
        world.sleep(PAUSE_MS / 62);
    }
    assert!((1..=2).contains(&(world.relay.accepted - before)));
    // Nor is it put off by those that follow fast.
    world.sleep(2 * PAUSE_MS);
    let before_them = world.relay.accepted;
    for number in (20..=u8::MAX).cycle().take(700) {
        newest = KeyPin([number; 32]);
        restart(&mut world, HOME, &[FIRST, newest]);
        world.sleep(999);
    }
    assert_eq!(world.relay.accepted, before_them + 1);
    world.sleep(PAUSE_MS + 700_000);
    assert_eq!(route(&world, "bob", alice), [FIRST, newest]);
    assert!(world.relay.accepted - before_them <= 2);
    assert!(world.relay.accepted - before <= 4);
}

/// [TRN-96]: what waits anyway is enough, and what became of a contact that cannot be reached is not piled up.
#[test]
fn no_content_of_its_own_is_put_behind_one_that_waits() {
    let mut world = World::new(714);
    world.register("alice", 1);
    world.register_at(AWAY, "bob", 2);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.befriend("alice", "bob");
    world.befriend("bob", "alice");
    world.send("alice", bob, "hello").unwrap();
    world.send("bob", alice, "hello").unwrap();
    world.sleep(3_600_000);
    let waiting = |world: &World| {
        let rows = world.clients["alice"].rows.keys();
        let is_shipment = |key: &&RowKey| key.table == Table::Outbox && key.scope.is_empty();
        rows.filter(is_shipment).count()
    };
    world.client("alice").anonymous_cut = true;
    world.send("alice", bob, "sealed").unwrap();
    world.send("alice", bob, "not sealed").unwrap();
    for number in 20..30 {
        restart(&mut world, HOME, &[FIRST, KeyPin([number; 32])]);
        world.sleep(PAUSE_MS);
        assert_eq!(waiting(&world), 2);
    }
    world.client("alice").anonymous_cut = false;
    world.sleep(700_000);
    assert_eq!(waiting(&world), 0);
    assert_eq!(route(&world, "bob", alice), [FIRST, KeyPin([29; 32])]);
}

/// [TRN-96]: what is overdue when a client comes back leaves at no one instant.
#[test]
fn contacts_elsewhere_are_not_told_in_the_instant_of_a_return() {
    let mut world = World::new(711);
    world.register("alice", 1);
    let alice = world.account("alice");
    for name in ["bob", "carol"] {
        let away = if name == "bob" { AWAY } else { "far.example" };
        world.register_at(away, name, if name == "bob" { 2 } else { 3 });
        let account = world.account(name);
        world.befriend("alice", name);
        world.befriend(name, "alice");
        world.send("alice", account, "hello").unwrap();
        world.send(name, alice, "hello").unwrap();
    }
    world.sleep(3_600_000);
    for (list, dies) in [([FIRST, SECOND], false), ([FIRST, THIRD], true)] {
        let before = world.relay.accepted;
        restart(&mut world, HOME, &list);
        world.go_offline("alice");
        world.sleep(700_000);
        if dies {
            world.crash("alice");
        }
        world.go_online("alice");
        world.sleep(900);
        assert_eq!(world.relay.accepted, before);
        world.sleep(700_000);
        assert_eq!(world.relay.accepted, before + 2);
        assert_eq!(route(&world, "bob", alice), list);
        assert_eq!(route(&world, "carol", alice), list);
        world.sleep(PAUSE_MS);
    }
}

/// [TRN-97]: who was told of no other key is helped by a new link.
#[test]
fn a_new_link_names_the_new_key_of_a_contact() {
    let mut world = World::new(713);
    world.register("alice", 1);
    world.register_at(AWAY, "bob", 2);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.befriend("alice", "bob");
    world.befriend("bob", "alice");
    world.send("alice", bob, "hello").unwrap();
    world.send("bob", alice, "hello").unwrap();
    world.sleep(120_000);
    restart(&mut world, HOME, &[FIRST, SECOND]);
    restart(&mut world, HOME, &[SECOND]);
    assert_eq!(route(&world, "bob", alice), [FIRST]);
    let given = |world: &World| row_of(world, "bob", alice).delivery_id;
    let before = given(&world);
    world.befriend("bob", "alice");
    assert_eq!(route(&world, "bob", alice), [SECOND]);
    assert_eq!(given(&world), before);
    world.send("bob", alice, "by the new link").unwrap();
    world.sleep(1_000);
    let text = "by the new link".to_owned();
    assert!(world.texts("alice", bob).contains(&text));
}

/// [TRN-96]: the bound of a batch holds, and what was owed at a death in between is owed after it.
#[test]
fn many_contacts_are_owed_the_address_in_several_batches() {
    const MANY: u16 = 1500;
    let mut world = World::new(708);
    world.register("alice", 1);
    let away = ServerAddress {
        host: AWAY.parse().unwrap(),
        ..World::server()
    };
    for number in 1..=MANY {
        let row = v1::ContactRow {
            label: format!("somebody {number}"),
            server: Some(away.to_wire()),
            delivery_id: Bytes::from(vec![1; 16]),
            given_delivery_id: Bytes::from(vec![2; 16]),
            given_active: true,
            given_used: true,
            request: v1::contact_state::Request::Accepted.into(),
            ..v1::ContactRow::default()
        };
        let mut account = [0; 32];
        account[..2].copy_from_slice(&number.to_be_bytes());
        let key = RowKey {
            table: Table::Contacts,
            scope: account.to_vec(),
            order: 0,
        };
        let rows = &mut world.client("alice").rows;
        rows.insert(key, row.encode_to_vec());
    }
    world.crash("alice");
    world.settle();
    world.client("alice").dies_after_commits = Some(2);
    restart(&mut world, HOME, &[FIRST, SECOND]);
    assert!(world.clients["alice"].crashes > 1);
    assert_eq!(home(&world, "alice"), [FIRST, SECOND]);
    let is_owed = |(key, row): (&RowKey, &Vec<u8>)| {
        let is_contact = key.table == Table::Contacts;
        let row = is_contact.then(|| v1::ContactRow::decode(row.as_slice()).unwrap());
        row.is_some_and(|row| row.address_due && row.address_leaves_at_ms > 0)
    };
    let owed = world.clients["alice"].rows.iter().filter(|it| is_owed(*it));
    assert_eq!(owed.count(), usize::from(MANY));
}
