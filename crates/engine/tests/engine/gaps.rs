// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Contents that do not come are shown after a day, and taken back when they come.

use waxwing_engine::notice::{Body, Direction};
use waxwing_engine::{Answer, Command, Notice};
use waxwing_proto::v1;

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

const HOUR_MS: u64 = 3600 * 1000;

/// Takes the newest envelope for a device of a client out of its mailbox.
fn steal(world: &mut World, from: &'static str) -> Vec<v1::StoredEnvelope> {
    let id = world.clients[from].device();
    let mailbox = world.relay.mailboxes.get_mut(&id).unwrap();
    core::mem::take(&mut mailbox.stored)
}

fn give_back(world: &mut World, to: &'static str, stolen: Vec<v1::StoredEnvelope>) {
    let id = world.clients[to].device();
    let mailbox = world.relay.mailboxes.get_mut(&id).unwrap();
    for mut envelope in stolen {
        mailbox.position += 1;
        envelope.position = mailbox.position;
        mailbox.stored.push(envelope);
    }
}

fn unread(world: &mut World, name: &'static str) -> Vec<Body> {
    let command = Command::Unread {
        after: 0,
        limit: 500,
    };
    let Ok(Answer::Messages(messages)) = world.ask(name, command) else {
        panic!("messages");
    };
    messages.into_iter().map(|message| message.body).collect()
}

/// Bob has lost the second and the third of alice's four texts.
fn with_a_gap(seed: u64) -> (World, Vec<v1::StoredEnvelope>) {
    let mut world = acquainted(seed);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("alice", bob, "one").unwrap();
    world.sleep(60_000);
    world.go_offline("bob");
    let mut stolen = Vec::new();
    for text in ["two", "three"] {
        world.send("alice", bob, text).unwrap();
        stolen.extend(steal(&mut world, "bob"));
    }
    assert_eq!(stolen.len(), 2);
    world.send("alice", bob, "four").unwrap();
    // Nobody sends anything again.
    world.go_offline("alice");
    world.go_online("bob");
    assert!(
        world
            .texts("bob", alice)
            .ends_with(&["one".to_owned(), "four".to_owned()])
    );
    (world, stolen)
}

/// [ENV-11]: each text has the number after the one before.
#[test]
fn what_is_missing_for_a_day_is_shown_and_taken_back() {
    // ENV-40.
    let (mut world, mut stolen) = with_a_gap(61);
    let alice = world.account("alice");
    world.sleep(23 * HOUR_MS);
    assert_eq!(
        world.history("bob", alice).last().unwrap().body,
        Body::Text("four".to_owned())
    );
    world.notices("bob");
    world.sleep(HOUR_MS);
    let history = world.history("bob", alice);
    let bodies: Vec<&Body> = history
        .iter()
        .rev()
        .take(3)
        .map(|message| &message.body)
        .collect();
    let text = |text: &str| Body::Text(text.to_owned());
    assert_eq!(bodies, [&text("four"), &Body::Missing(2), &text("one")]);
    let gap = &history[history.len() - 2];
    assert_eq!((gap.contact, gap.direction), (alice, Direction::Incoming));
    let told = world.notices("bob");
    assert!(
        told.iter().any(
            |notice| matches!(notice, Notice::Message(message) if message.body == Body::Missing(2))
        ),
        "a follower is told: {told:?}"
    );
    assert_eq!(unread(&mut world, "bob").last(), Some(&Body::Missing(2)));

    // One of them comes after all, then the other: the place is taken back.
    let last = stolen.pop().unwrap();
    give_back(&mut world, "bob", vec![last]);
    world.sleep(60_000);
    assert!(world.texts("bob", alice).contains(&"three".to_owned()));
    assert!(unread(&mut world, "bob").contains(&Body::Missing(1)));
    world.crash("bob");
    world.sleep(60_000);
    give_back(&mut world, "bob", stolen);
    world.sleep(60_000);
    assert!(
        world
            .texts("bob", alice)
            .ends_with(&["one", "two", "three", "four"].map(str::to_owned))
    );
    assert!(
        !unread(&mut world, "bob")
            .iter()
            .any(|body| matches!(body, Body::Missing(_)))
    );
}

#[test]
fn a_gap_survives_a_restart_before_it_is_shown() {
    let (mut world, _stolen) = with_a_gap(62);
    let alice = world.account("alice");
    world.sleep(12 * HOUR_MS);
    world.crash("bob");
    world.sleep(11 * HOUR_MS);
    assert!(!world.texts("bob", alice).contains(&"Missing(2)".to_owned()));
    world.crash("bob");
    world.sleep(2 * HOUR_MS);
    let shown = |world: &mut World| {
        world
            .texts("bob", alice)
            .iter()
            .filter(|text| *text == "Missing(2)")
            .count()
    };
    assert_eq!(shown(&mut world), 1);
    world.crash("bob");
    world.sleep(48 * HOUR_MS);
    assert_eq!(shown(&mut world), 1, "shown once, whatever restarts");
}

#[test]
fn late_contents_within_a_day_leave_no_trace() {
    let (mut world, stolen) = with_a_gap(63);
    let alice = world.account("alice");
    world.sleep(HOUR_MS);
    give_back(&mut world, "bob", stolen);
    world.sleep(48 * HOUR_MS);
    assert!(
        world
            .texts("bob", alice)
            .ends_with(&["one", "two", "three", "four"].map(str::to_owned))
    );
}

#[test]
fn a_device_that_was_linked_later_misses_nothing_from_before() {
    // ENV-41.
    let mut world = acquainted(64);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    for text in ["one", "two"] {
        world.send("bob", alice, text).unwrap();
    }
    world.sleep(60_000);
    link(&mut world, "alice", "tablet");
    world.send("bob", alice, "three").unwrap();
    world.send("alice", bob, "from the phone").unwrap();
    world.sleep(72 * HOUR_MS);
    assert_eq!(world.texts("tablet", bob), ["three", "from the phone"]);
}
