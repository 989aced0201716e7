// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that changes its key: what clients keep of what it tells, and who reaches whom afterwards.

mod elsewhere;

use bytes::Bytes;
use prost::Message as _;
use waxwing_engine::notice::ServerKeys;
use waxwing_engine::{Command, Notice, RowKey, Table};
use waxwing_identity::ServerLink;
use waxwing_proto::{AccountKey, KeyPin, ServerAddress, v1};

use crate::conversation::acquainted;
use crate::devices::link_at;
use crate::world::World;

const HOME: &str = "home.example";
/// The key that every server of these worlds begins with, and those that follow it.
const FIRST: KeyPin = KeyPin([7; 32]);
const SECOND: KeyPin = KeyPin([8; 32]);
const THIRD: KeyPin = KeyPin([9; 32]);

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
