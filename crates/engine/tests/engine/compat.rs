// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole profile as an older version stored it: every table, opened, read and used.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost::Message as _;
use waxwing_engine::notice::Body;
use waxwing_engine::{Answer, Command, Event, RowKey, Table};
use waxwing_proto::v1;

use crate::conversation::acquainted;
use crate::devices::link;
use crate::golden::Golden;
use crate::world::World;

/// The profile that is stored.
const NAME: &str = "alice";

/// Envelopes for the stored profile that have not come when it is stored.
struct Coming {
    /// Its key is a skipped row.
    late: v1::StoredEnvelope,
    /// The next one of the session.
    next: v1::StoredEnvelope,
    /// Of a stranger: it opens a session with a one-time pair.
    first: v1::StoredEnvelope,
}

/// A profile with something in every table.
fn live() -> (World, Coming) {
    let mut world = acquainted(91);
    let (alice, bob) = (world.account(NAME), world.account("bob"));
    let tablet = link(&mut world, NAME, "tablet");
    for name in ["carol", "dave"] {
        world.register(name, if name == "carol" { 3 } else { 4 });
        world.befriend(name, NAME);
    }
    world
        .send("dave", alice, "a stranger\u{2019}s request")
        .unwrap();
    world.send("bob", alice, "an answer").unwrap();
    world.send(NAME, bob, "a turn").unwrap();
    world.sleep(60_000);
    world.go_offline(NAME);
    let take = |world: &mut World, from: &'static str, text: &str| {
        world.send(from, alice, text).unwrap();
        let id = world.clients[NAME].device();
        let mailbox = world.relay.mailboxes.get_mut(&id).unwrap();
        mailbox.stored.pop().unwrap()
    };
    let late = take(&mut world, "bob", "late");
    world.send("bob", alice, "arrives").unwrap();
    world.go_online(NAME);
    world.go_offline(NAME);
    let next = take(&mut world, "bob", "next");
    let first = take(&mut world, "carol", "hello from carol");
    world.tell(
        NAME,
        Command::Send {
            contact: bob,
            body: "in the outbox".to_owned(),
        },
    );
    world.tell(NAME, Command::RemoveDevice { device: tablet });
    world.settle();
    (world, Coming { late, next, first })
}

fn table_name(table: Table) -> String {
    format!("{table:?}").to_lowercase()
}

/// Rows one after the other: table, scope, order and value, each length before its bytes.
fn encode<'a>(rows: impl Iterator<Item = (&'a RowKey, &'a Vec<u8>)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in rows {
        bytes.push(key.table as u8);
        bytes.extend_from_slice(&(key.scope.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&key.scope);
        bytes.extend_from_slice(&key.order.to_be_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
        bytes.extend_from_slice(value);
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Vec<(RowKey, Vec<u8>)> {
    let mut take = |length: usize| {
        let (taken, rest) = bytes.split_at(length);
        bytes = rest;
        (taken.to_vec(), rest.is_empty())
    };
    let number = |bytes: Vec<u8>| {
        bytes
            .iter()
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    let mut rows = Vec::new();
    loop {
        let table = number(take(1).0);
        let table = Table::ALL.iter().find(|it| **it as u64 == table).unwrap();
        let length = number(take(2).0) as usize;
        let scope = take(length).0;
        let order = number(take(8).0);
        let length = number(take(4).0) as usize;
        let (value, is_last) = take(length);
        let key = RowKey {
            table: *table,
            scope,
            order,
        };
        rows.push((key, value));
        if is_last {
            return rows;
        }
    }
}

/// What the profile says about itself, without a network.
fn read(world: &mut World) -> String {
    let mut text = String::new();
    let Ok(Answer::Status(status)) = world.ask(NAME, Command::Status) else {
        panic!("status");
    };
    let Ok(Answer::Contacts(contacts)) = world.ask(NAME, Command::ListContacts) else {
        panic!("contacts");
    };
    let Ok(Answer::Devices(devices)) = world.ask(NAME, Command::ListDevices) else {
        panic!("devices");
    };
    writeln!(
        text,
        "{} version {} outbox {} requests {} devices {}",
        status.address,
        status.manifest_version,
        status.outbox,
        status.requests,
        devices.len()
    )
    .unwrap();
    for contact in contacts {
        writeln!(
            text,
            "{} {} verified {} request {} devices {}",
            contact.label, contact.address, contact.verified, contact.request, contact.devices
        )
        .unwrap();
        for message in world.history(NAME, contact.account) {
            let body = match &message.body {
                Body::Text(text) => text.clone(),
                other => format!("{other:?}"),
            };
            writeln!(text, "  {:?} {:?} {body}", message.direction, message.state).unwrap();
        }
    }
    let unread = Command::Unread {
        after: 0,
        limit: 500,
    };
    let Ok(Answer::Messages(messages)) = world.ask(NAME, unread) else {
        panic!("unread");
    };
    writeln!(text, "unread {}", messages.len()).unwrap();
    text
}

/// A world in which the profile is opened from rows, and nobody answers.
fn reopened(rows: impl IntoIterator<Item = (RowKey, Vec<u8>)>) -> World {
    let mut world = World::new(92);
    world.add_client(NAME);
    world.client(NAME).rows = rows.into_iter().collect();
    world.go_offline(NAME);
    world.crash(NAME);
    world
}

/// What the golden files are made from, once.
struct Made {
    rows: BTreeMap<RowKey, Vec<u8>>,
    coming: Coming,
    said: String,
}

impl Made {
    fn now() -> Self {
        let (mut world, coming) = live();
        let rows = world.client(NAME).rows.clone();
        let said = read(&mut reopened(rows.clone()));
        Self { rows, coming, said }
    }
}

#[test]
fn a_profile_of_an_older_version_is_opened_and_used() {
    let mut made = None;
    let mut golden = Golden::open("engine");
    let mut rows = Vec::new();
    for table in Table::ALL {
        let name = table_name(*table);
        let stored = golden.bytes(&name, "the rows of one table of a profile", || {
            let rows = &made.get_or_insert_with(Made::now).rows;
            let of_table = rows.iter().filter(|(key, _)| key.table == *table);
            encode(of_table)
        });
        assert!(!stored.is_empty(), "{table:?} has no golden row");
        let decoded = decode(&stored);
        assert_eq!(
            encode(decoded.iter().map(|(key, value)| (key, value))),
            stored
        );
        rows.extend(decoded);
    }
    let said = golden.bytes("answers", "what the profile says about itself", || {
        let made = made.get_or_insert_with(Made::now);
        made.said.clone().into_bytes()
    });
    let mut coming = Vec::new();
    for name in ["late", "next", "first"] {
        coming.push(golden.bytes(
            &format!("envelope-{name}"),
            "an envelope for the profile",
            || {
                let coming = &made.get_or_insert_with(Made::now).coming;
                let envelope = match name {
                    "late" => &coming.late,
                    "next" => &coming.next,
                    _ => &coming.first,
                };
                envelope.encode_to_vec()
            },
        ));
    }
    golden.finish();

    let mut world = reopened(rows);
    assert_eq!(read(&mut world), String::from_utf8(said).unwrap());
    for (position, bytes) in coming.iter().enumerate() {
        let mut envelope = v1::StoredEnvelope::decode(bytes.as_slice()).unwrap();
        envelope.position = 1_000_000 + position as u64;
        let event = v1::delivery::Event::Envelope(envelope);
        let now = world.now;
        world.client(NAME).handle(now, Event::Delivery(event));
        world.settle();
    }
    let after = read(&mut world);
    for text in ["late", "next", "hello from carol"] {
        assert!(
            after.contains(&format!("Incoming Received {text}\n")),
            "{text}: {after}"
        );
    }
}
