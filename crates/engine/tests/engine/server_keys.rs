// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that changes its key: what clients keep of what it tells, and who reaches whom afterwards.

use bytes::Bytes;
use prost::Message as _;
use waxwing_engine::notice::ServerKeys;
use waxwing_engine::{Command, Notice, RowKey, Table};
use waxwing_identity::ServerLink;
use waxwing_proto::{AccountKey, KeyPin, ServerAddress, limits, v1};

use crate::conversation::acquainted;
use crate::devices::link_at;
use crate::world::World;

const HOME: &str = "home.example";
const AWAY: &str = "away.example";
/// The key that every server of these worlds begins with, and those that follow it.
const FIRST: KeyPin = KeyPin([7; 32]);
const SECOND: KeyPin = KeyPin([8; 32]);
const THIRD: KeyPin = KeyPin([9; 32]);

/// Contacts elsewhere get one content for it in so long.
const PAUSE_MS: u64 = limits::CONTROL_HOURS_MIN as u64 * 3_600_000;

fn told(pins: &[KeyPin]) -> Vec<Bytes> {
    pins.iter().map(|pin| pin.to_wire()).collect()
}

/// A server shows the first of these from now on and tells all of them; its connections are gone.
fn restart(world: &mut World, host: &str, pins: &[KeyPin]) {
    let keys = (pins[0], told(pins));
    world.relay.keys.insert(host.to_owned(), keys);
    let names: Vec<&'static str> = world.clients.keys().copied().collect();
    for name in names {
        let of_host = |home: &ServerAddress| home.host.as_str() == host;
        if world.client(name).home.as_ref().is_some_and(of_host) && world.client(name).network {
            world.go_offline(name);
            world.client(name).network = true;
        }
    }
    world.settle();
}

/// By which keys a client looks for its server.
fn home(world: &World, name: &'static str) -> Vec<KeyPin> {
    world.clients[name].home.clone().unwrap().key_pins
}

/// By which keys it looks for the server of its contact.
fn route(world: &World, name: &'static str, contact: AccountKey) -> Vec<KeyPin> {
    let row = row_of(world, name, contact);
    KeyPin::list_from_wire(&row.server.unwrap().key_pins).unwrap()
}

fn row_of(world: &World, name: &'static str, contact: AccountKey) -> v1::ContactRow {
    let mut rows = world.clients[name].rows.iter();
    let is_row = |key: &RowKey| key.table == Table::Contacts && key.scope == contact.as_bytes();
    let (_, row) = rows.find(|(key, _)| is_row(key)).unwrap();
    v1::ContactRow::decode(row.as_slice()).unwrap()
}

fn said(world: &mut World, name: &'static str) -> Vec<ServerKeys> {
    let keys = |notice: Notice| match notice {
        Notice::ServerKeys(keys) => Some(keys),
        _ => None,
    };
    world.notices(name).into_iter().filter_map(keys).collect()
}

/// [TRN-93], [TRN-94].
#[test]
fn what_the_server_tells_counts_from_then_on_and_over_restarts() {
    let mut world = World::new(701);
    world.register("alice", 1);
    restart(&mut world, HOME, &[FIRST]);
    assert_eq!(said(&mut world, "alice"), []);
    for (now, next) in [(FIRST, SECOND), (SECOND, THIRD)] {
        restart(&mut world, HOME, &[now, next]);
        assert_eq!(home(&world, "alice"), [now, next]);
        assert_eq!(said(&mut world, "alice"), [ServerKeys::Announced]);
        // What people hand out names both from now on.
        assert_eq!(world.link_of("alice").server().key_pins, [now, next]);
        world.crash("alice");
        world.settle();
        assert_eq!(home(&world, "alice"), [now, next]);
        assert_eq!(said(&mut world, "alice"), []);
        restart(&mut world, HOME, &[next]);
        assert_eq!(home(&world, "alice"), [next]);
        assert_eq!(said(&mut world, "alice"), [ServerKeys::Dropped]);
        world.crash("alice");
        world.settle();
        assert_eq!(home(&world, "alice"), [next]);
    }
}

/// [TRN-93].
#[test]
fn what_breaks_the_rules_changes_nothing() {
    let mut world = World::new(702);
    world.register("alice", 1);
    restart(&mut world, HOME, &[FIRST, SECOND]);
    said(&mut world, "alice");
    let mut short = told(&[FIRST, SECOND]);
    short[1] = short[1].slice(1..);
    let lists = [
        told(&[THIRD]),
        told(&[SECOND, THIRD]),
        told(&[FIRST, SECOND, THIRD]),
        told(&[FIRST, FIRST]),
        short,
        vec![Bytes::new()],
    ];
    for list in lists {
        restart(&mut world, HOME, &[FIRST]);
        restart(&mut world, HOME, &[FIRST, SECOND]);
        said(&mut world, "alice");
        world.relay.keys.insert(HOME.to_owned(), (FIRST, list));
        world.go_offline("alice");
        world.go_online("alice");
        assert_eq!(said(&mut world, "alice"), [ServerKeys::Refused]);
        assert_eq!(home(&world, "alice"), [FIRST, SECOND]);
        world.crash("alice");
        world.settle();
        assert_eq!(home(&world, "alice"), [FIRST, SECOND]);
    }
    // A server that tells nothing takes nothing away.
    said(&mut world, "alice");
    let logins = |world: &World| world.relay.calls.get("authenticate").copied();
    let before = logins(&world);
    world
        .relay
        .keys
        .insert(HOME.to_owned(), (SECOND, Vec::new()));
    world.go_offline("alice");
    world.go_online("alice");
    assert!(logins(&world) > before);
    assert_eq!(said(&mut world, "alice"), []);
    assert_eq!(home(&world, "alice"), [FIRST, SECOND]);
}

/// [TRN-93]: who stole tickets alone tells nobody a key.
#[test]
fn what_is_told_over_a_resumed_connection_changes_nothing() {
    let mut world = acquainted(709);
    let bob = world.account("bob");
    world.sleep(60_000);
    world.client("alice").resumes = true;
    for list in [&[FIRST, SECOND][..], &[FIRST], &[SECOND]] {
        let keys = (FIRST, told(list));
        world.relay.keys.insert(HOME.to_owned(), keys);
        world.go_offline("alice");
        world.go_online("alice");
        assert_eq!(said(&mut world, "alice"), []);
        assert_eq!(home(&world, "alice"), [FIRST]);
    }
    // The next handshake proves the key.
    world.client("alice").resumes = false;
    restart(&mut world, HOME, &[FIRST, SECOND]);
    assert_eq!(home(&world, "alice"), [FIRST, SECOND]);
    // [TRN-95]: one that proves none takes nothing from what was proved before.
    world.client("alice").resumes = true;
    world.go_offline("alice");
    world.go_online("alice");
    world.client("alice").called.clear();
    world.send("alice", bob, "hello").unwrap();
    world.sleep(60_000);
    let called = &world.clients["alice"].called;
    assert!(!called.is_empty());
    assert!(called.iter().all(|server| server.key_pins == [FIRST]));
}

/// [TRN-95]: neither of the two writes between, and links that are older than the change go on working.
#[test]
fn people_of_one_server_reach_each_other_after_its_changes() {
    let mut world = acquainted(703);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.sleep(60_000);
    let old_link = world.link_of("bob");
    for (now, next) in [(FIRST, SECOND), (SECOND, THIRD)] {
        restart(&mut world, HOME, &[now, next]);
        restart(&mut world, HOME, &[next]);
        world.send("alice", bob, "after it").unwrap();
        world.sleep(60_000);
        world.send("bob", alice, "and back").unwrap();
        world.sleep(60_000);
    }
    let texts = world.texts("bob", alice);
    assert_eq!(
        texts[texts.len() - 4..].join(", "),
        "after it, and back, after it, and back"
    );
    let link = old_link;
    let answer = world.ask("alice", Command::AddContact { link, label: None });
    assert!(answer.is_ok(), "{answer:?}");
    world.send("alice", bob, "by the old link").unwrap();
    world.sleep(60_000);
    assert!(
        world
            .texts("bob", alice)
            .contains(&"by the old link".to_owned())
    );
}

/// [TRN-94], [TRN-95]: more of them than the former keys that are known, and nobody writes between.
#[test]
fn people_of_one_server_reach_each_other_after_many_changes() {
    let mut world = acquainted(712);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.sleep(60_000);
    let mut now = FIRST;
    for number in 20..26 {
        let next = KeyPin([number; 32]);
        restart(&mut world, HOME, &[now, next]);
        restart(&mut world, HOME, &[next]);
        now = next;
    }
    assert_eq!(route(&world, "alice", bob), [now]);
    world.send("alice", bob, "after all").unwrap();
    world.sleep(60_000);
    assert!(world.texts("bob", alice).contains(&"after all".to_owned()));
}

/// [TRN-95]: what the server told one account tells nothing apart where nobody has a name.
#[test]
fn the_next_key_is_not_taken_where_somebody_else_is_named() {
    let mut world = acquainted(704);
    let bob = world.account("bob");
    world.sleep(60_000);
    restart(&mut world, HOME, &[FIRST, SECOND]);
    world.client("alice").called.clear();
    world.send("alice", bob, "hello").unwrap();
    world.register("carol", 3);
    let name = "carol".parse().unwrap();
    let by_name = Command::AddContactByName { name, label: None };
    world.ask("alice", by_name).unwrap();
    world.sleep(60_000);
    let called = &world.clients["alice"].called;
    assert!(!called.is_empty());
    assert!(called.iter().all(|server| server.key_pins == [FIRST]));
    restart(&mut world, HOME, &[SECOND]);
    world.client("alice").called.clear();
    world.send("alice", bob, "hello again").unwrap();
    world.sleep(60_000);
    let called = &world.clients["alice"].called;
    assert!(!called.is_empty());
    assert!(called.iter().all(|server| server.key_pins == [SECOND]));
}

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
    // Nor is it put off for ever.
    world.sleep(PAUSE_MS + 700_000);
    assert_eq!(route(&world, "bob", alice), [FIRST, newest]);
    assert!(world.relay.accepted - before <= 3);
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

/// [TRN-95]: a device that is new knows nothing of the keys that were.
#[test]
fn a_new_device_reaches_people_of_the_same_server() {
    let mut world = acquainted(706);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.sleep(60_000);
    restart(&mut world, HOME, &[FIRST, SECOND]);
    restart(&mut world, HOME, &[SECOND]);
    assert_eq!(route(&world, "alice", bob), [SECOND]);
    let server = ServerAddress {
        key_pins: vec![SECOND],
        ..World::server()
    };
    let server = ServerLink::new(server).unwrap();
    link_at(&mut world, server, "alice", "tablet");
    world.sleep(60_000);
    assert_eq!(route(&world, "tablet", bob), [SECOND]);
    world.send("tablet", bob, "from the tablet").unwrap();
    world.sleep(60_000);
    assert!(
        world
            .texts("bob", alice)
            .contains(&"from the tablet".to_owned())
    );
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
