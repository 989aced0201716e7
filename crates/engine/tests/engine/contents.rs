// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands in a content beside its text, as it lies in the outbox before it is sealed, and contents
//! that come more than once.

use prost::Message as _;
use waxwing_engine::notice::Body;
use waxwing_engine::{Answer, Command, Notice, Table};
use waxwing_proto::v1::shipment_row::Kind;
use waxwing_proto::{limits, v1};

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

const DAY: u64 = 86_400_000;

/// The contents that wait in a client's outbox, in their order.
fn waiting(world: &World, name: &'static str) -> Vec<(Kind, v1::Content)> {
    let rows = world.clients[name].rows.iter();
    rows.filter(|(key, _)| key.table == Table::Outbox && key.scope.is_empty())
        .map(|(_, row)| v1::ShipmentRow::decode(row.as_slice()).unwrap())
        .map(|row| {
            let kind = row.kind();
            (kind, v1::Content::decode(row.content).unwrap())
        })
        .collect()
}

fn without_receipts(world: &mut World) {
    for name in ["alice", "bob"] {
        let off = Command::SetReceipts {
            delivered: Some(false),
            read: Some(false),
            on_their_own: None,
        };
        world.ask(name, off).unwrap();
    }
}

/// [BOX-24]: whoever gets no receipt sends the content again, in other envelopes.
#[test]
fn a_content_that_comes_in_several_envelopes_is_shown_once() {
    let mut world = acquainted(331);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("bob", alice, "hello alice").unwrap();
    world.sleep(60_000);
    without_receipts(&mut world);
    world.notices("bob");
    let device = world.clients["bob"].device();
    let before = world.relay.witness.arrivals(device).len();
    world.send("alice", bob, "one text").unwrap();
    world.sleep(2 * DAY);
    world.crash("bob");
    world.sleep(8 * DAY);
    let after = world.relay.witness.arrivals(device).len();
    assert!(after - before >= 3, "{} envelopes", after - before);
    assert_eq!(
        world.texts("bob", alice),
        ["hello bob", "hello alice", "one text"]
    );
    let told = world.notices("bob");
    let told = told.iter().filter(|notice| {
        matches!(notice, Notice::Message(message) if message.body == Body::Text("one text".to_owned()))
    });
    assert_eq!(told.count(), 1);
    let unread = Command::Unread {
        after: 0,
        limit: 500,
    };
    let Ok(Answer::Messages(unread)) = world.ask("bob", unread) else {
        panic!("messages");
    };
    assert_eq!(unread.len(), 2, "{unread:?}");
}

/// [ENV-12]: what the other has said was seen by what it said next, so the last of it is the newest.
#[test]
fn the_newest_that_was_seen_stands_for_what_came_before() {
    let mut world = acquainted(332);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    for number in 0..10 {
        world.send("bob", alice, &format!("{number}")).unwrap();
    }
    world.sleep(60_000);
    let newest = world.history("alice", bob).pop().unwrap();
    assert_eq!(newest.body, Body::Text("9".to_owned()));
    world.relay.mailboxes_full = true;
    for text in ["first answer", "second answer"] {
        world.send("alice", bob, text).unwrap();
    }
    let waiting = waiting(&world, "alice");
    let texts: Vec<&v1::Content> = waiting
        .iter()
        .filter(|(kind, _)| *kind == Kind::Text)
        .map(|(_, content)| content)
        .collect();
    assert_eq!(texts.len(), 2);
    assert_eq!(texts[0].seen, [newest.id.to_wire()]);
    assert_eq!(texts[1].seen, [texts[0].message_id.clone()]);
}

/// [ENV-12]: ten that know nothing of each other are all newest, and eight of them are named.
#[test]
fn at_most_eight_newest_contents_are_named() {
    let mut world = acquainted(333);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("bob", alice, "hello alice").unwrap();
    world.sleep(60_000);
    world.go_offline("bob");
    for number in 0..10 {
        world.send("bob", alice, &format!("{number}")).unwrap();
    }
    // As ten devices would have written them at one moment.
    for (key, value) in &mut world.client("bob").rows {
        if key.table == Table::Outbox && key.scope.is_empty() {
            let mut row = v1::ShipmentRow::decode(value.as_slice()).unwrap();
            let mut content = v1::Content::decode(row.content.clone()).unwrap();
            content.seen.clear();
            row.content = content.encode_to_vec().into();
            *value = row.encode_to_vec();
        }
    }
    world.crash("bob");
    world.go_online("bob");
    let history = world.history("alice", bob);
    // In the order in which they came.
    let came: Vec<bytes::Bytes> = (0..10)
        .map(|number| Body::Text(format!("{number}")))
        .map(|body| history.iter().find(|message| message.body == body).unwrap())
        .map(|message| message.id.to_wire())
        .collect();
    world.relay.mailboxes_full = true;
    world.send("alice", bob, "an answer").unwrap();
    let (_, answer) = waiting(&world, "alice").pop().unwrap();
    assert_eq!(answer.seen, came[10 - limits::SEEN_REFERENCES_MAX..]);
}

/// [ENV-11]: texts count from 1 in each conversation, and what shows nothing does not count.
#[test]
fn only_what_is_shown_has_a_sequence() {
    let mut world = acquainted(334);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "bob", "tablet");
    world.register("carol", 3);
    let carol = world.befriend("bob", "carol");
    world.sleep(60_000);
    world.send("alice", bob, "for a receipt").unwrap();
    world.settle();
    world.relay.mailboxes_full = true;
    // The receipt leaves on its own, and stays in the outbox.
    world.sleep(60_000);
    for (contact, text) in [(alice, "one"), (alice, "two"), (carol, "another one")] {
        world.send("bob", contact, text).unwrap();
    }
    let rename = Command::RenameContact {
        contact: alice,
        label: "Alice".to_owned(),
    };
    world.ask("bob", rename).unwrap();
    world.sleep(60_000);
    let waiting = waiting(&world, "bob");
    let mut counted = Vec::new();
    let mut silent = Vec::new();
    for (kind, content) in &waiting {
        match kind {
            Kind::Text => counted.push(content.sequence),
            _ => {
                silent.push(*kind);
                assert_eq!(content.sequence, 0, "{kind:?}");
            }
        }
    }
    assert_eq!(counted, [1, 2, 1]);
    for kind in [Kind::Receipt, Kind::AccountState] {
        assert!(silent.contains(&kind), "{silent:?}");
    }
}
