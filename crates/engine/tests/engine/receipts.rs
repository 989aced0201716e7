// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Delivered and read receipts: when they leave, to whom, and how they are switched off.

use prost::Message as _;
use waxwing_engine::command::ReceiptSettings;
use waxwing_engine::notice::{AlarmKind, MessageState};
use waxwing_engine::{Answer, Command, Table};
use waxwing_proto::{AccountKey, v1};

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

fn state(world: &mut World, name: &'static str, contact: AccountKey) -> MessageState {
    world.history(name, contact).last().unwrap().state
}

/// What `receive` does after it has printed everything.
fn show_everything(world: &mut World, name: &'static str) {
    let answer = world.ask(name, Command::MarkShown { up_to: u64::MAX });
    assert_eq!(answer, Ok(Answer::Done));
}

fn set(world: &mut World, name: &'static str, change: [Option<bool>; 3]) -> ReceiptSettings {
    let [delivered, read, on_their_own] = change;
    let command = Command::SetReceipts {
        delivered,
        read,
        on_their_own,
    };
    match world.ask(name, command) {
        Ok(Answer::Receipts(settings)) => settings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_delivered_and_then_read() {
    // ENV-42, ENV-43.
    let mut world = acquainted(71);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("alice", bob, "lunch?").unwrap();
    assert_eq!(state(&mut world, "alice", bob), MessageState::OnServer);
    world.sleep(60_000);
    assert_eq!(state(&mut world, "alice", bob), MessageState::Delivered);
    world.sleep(3_600_000);
    assert_eq!(
        state(&mut world, "alice", bob),
        MessageState::Delivered,
        "not before it is shown"
    );
    show_everything(&mut world, "bob");
    world.sleep(60_000);
    assert_eq!(state(&mut world, "alice", bob), MessageState::Read);
    assert_eq!(state(&mut world, "bob", alice), MessageState::Received);
    // Shown again, it is not told again.
    let before = world.client("bob").sent_to.len();
    show_everything(&mut world, "bob");
    world.sleep(600_000);
    assert_eq!(world.client("bob").sent_to.len(), before);
}

#[test]
fn what_was_shown_at_once_takes_one_envelope() {
    let mut world = acquainted(72);
    let bob = world.account("bob");
    world.sleep(600_000);
    let before = world.client("bob").sent_to.len();
    for text in ["one", "two", "three"] {
        world.send("alice", bob, text).unwrap();
    }
    show_everything(&mut world, "bob");
    world.sleep(60_000);
    assert_eq!(
        world.client("bob").sent_to.len(),
        before + 1,
        "batched, and read implies delivered"
    );
    assert_eq!(state(&mut world, "alice", bob), MessageState::Read);
}

/// A process may end before the delay is over: what is due leaves with a later one.
#[test]
fn a_short_life_only_puts_receipts_off() {
    let mut world = acquainted(73);
    let bob = world.account("bob");
    world.sleep(600_000);
    world.send("alice", bob, "lunch?").unwrap();
    show_everything(&mut world, "bob");
    let begun = world.now.monotonic_ms;
    // Each life is shorter than the shortest delay.
    while state(&mut world, "alice", bob) < MessageState::Read {
        world.crash("bob");
        world.sleep(700);
        assert!(world.now.monotonic_ms - begun < 60_000, "it never leaves");
    }
}

#[test]
fn either_kind_can_be_switched_off() {
    // ENV-44.
    let mut world = acquainted(74);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.sleep(60_000);
    let shown = set(&mut world, "bob", [None, Some(false), None]);
    assert_eq!(
        (shown.delivered, shown.read, shown.on_their_own),
        (true, false, true)
    );
    world.crash("bob");
    world.send("alice", bob, "unread").unwrap();
    world.sleep(60_000);
    show_everything(&mut world, "bob");
    world.sleep(600_000);
    assert_eq!(state(&mut world, "alice", bob), MessageState::Delivered);
    let shown = set(&mut world, "bob", [Some(false), None, None]);
    assert!(!shown.delivered && !shown.read);
    world.send("alice", bob, "silent").unwrap();
    world.sleep(60_000);
    show_everything(&mut world, "bob");
    world.sleep(600_000);
    assert_eq!(state(&mut world, "alice", bob), MessageState::OnServer);
    // What became due while it was off is not made up for, however soon it is switched on.
    world.send("alice", bob, "as silent").unwrap();
    world.settle();
    show_everything(&mut world, "bob");
    set(&mut world, "bob", [Some(true), Some(true), None]);
    world.sleep(600_000);
    assert_eq!(state(&mut world, "alice", bob), MessageState::OnServer);
    world.send("alice", bob, "heard").unwrap();
    world.send("bob", alice, "yes").unwrap();
    show_everything(&mut world, "bob");
    world.sleep(60_000);
    let states: Vec<MessageState> = world
        .history("alice", bob)
        .iter()
        .rev()
        .filter(|message| message.state != MessageState::Received)
        .take(4)
        .map(|message| message.state)
        .collect();
    assert_eq!(
        states,
        [
            MessageState::Read,
            MessageState::OnServer,
            MessageState::OnServer,
            MessageState::Delivered
        ]
    );
}

#[test]
fn receipts_can_wait_for_a_text_to_ride_on() {
    // ENV-43, ENV-44.
    let mut world = acquainted(75);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.sleep(600_000);
    set(&mut world, "bob", [None, None, Some(false)]);
    world.send("alice", bob, "one").unwrap();
    world.send("alice", bob, "two").unwrap();
    show_everything(&mut world, "bob");
    world.sleep(24 * 3_600_000);
    assert_eq!(state(&mut world, "alice", bob), MessageState::OnServer);
    let before = world.client("bob").sent_to.len();
    world.send("bob", alice, "an answer").unwrap();
    world.settle();
    assert_eq!(
        world.client("bob").sent_to.len(),
        before + 1,
        "the text alone"
    );
    let read = world
        .history("alice", bob)
        .iter()
        .filter(|message| message.state == MessageState::Read)
        .count();
    // The greeting that made them acquainted is one of them.
    assert_eq!(read, 3);
}

#[test]
fn a_stranger_learns_nothing_before_the_acceptance() {
    // ENV-42, SES-23.
    let mut world = World::new(76);
    world.register("alice", 1);
    world.register("bob", 2);
    let bob = world.befriend("alice", "bob");
    let alice = world.account("alice");
    world.send("alice", bob, "you do not know me").unwrap();
    world.sleep(60_000);
    show_everything(&mut world, "bob");
    world.sleep(600_000);
    assert_eq!(world.client("bob").sent_to, []);
    assert_eq!(state(&mut world, "alice", bob), MessageState::OnServer);
    world
        .ask("bob", Command::AcceptContact { contact: alice })
        .unwrap();
    world.sleep(60_000);
    assert_eq!(state(&mut world, "alice", bob), MessageState::Read);
}

#[test]
fn more_than_one_receipt_holds_is_told_whole() {
    let mut world = acquainted(77);
    let bob = world.account("bob");
    // A stranger's contents wait for an answer: the first receipt is one.
    world.sleep(60_000);
    let sent = 530;
    for _ in 0..sent {
        let command = Command::Send {
            contact: bob,
            body: "again".to_owned(),
        };
        world.tell("alice", command);
        world.settle();
    }
    show_everything(&mut world, "bob");
    world.sleep(120_000);
    let read = |world: &mut World| {
        let mut before = None;
        let mut count = 0;
        loop {
            let command = Command::History {
                contact: bob,
                before,
                limit: 500,
            };
            let Ok(Answer::Messages(page)) = world.ask("alice", command) else {
                panic!("messages");
            };
            let Some(first) = page.iter().map(|message| message.cursor).min() else {
                return count;
            };
            before = Some(first);
            count += page
                .iter()
                .filter(|message| message.state == MessageState::Read)
                .count();
        }
    };
    assert!(read(&mut world) >= sent);
}

/// Alice sends two texts to a bob who is away, and forgets that she sent the first, as the original of a
/// copied device would never have known.
fn receipts_for_something_foreign(world: &mut World) -> Option<AlarmKind> {
    let bob = world.account("bob");
    world.go_offline("bob");
    world.send("alice", bob, "not mine").unwrap();
    world.sleep(1000);
    let rows = &mut world.client("alice").rows;
    let (forgotten, _) = rows
        .iter()
        .filter(|(key, _)| key.table == Table::MessageIndex && key.order == 1)
        .max_by_key(|(_, row)| {
            let row = v1::MessageIndexRow::decode(row.as_slice()).unwrap();
            row.cursor
        })
        .unwrap();
    let forgotten = forgotten.clone();
    rows.remove(&forgotten);
    world.crash("alice");
    world.go_online("bob");
    world.sleep(600_000);
    match world.ask("alice", Command::Status) {
        Ok(Answer::Status(status)) => status.own_alarm,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_receipt_for_what_was_never_sent_is_an_alarm_of_the_only_device() {
    // SES-112.
    let mut world = acquainted(79);
    let bob = world.account("bob");
    world.send("alice", bob, "mine").unwrap();
    world.sleep(60_000);
    let alarm = receipts_for_something_foreign(&mut world);
    assert_eq!(alarm, Some(AlarmKind::ClonedDevice));
    // One of several devices cannot know what the others sent.
    let mut world = acquainted(80);
    link(&mut world, "alice", "tablet");
    assert_eq!(receipts_for_something_foreign(&mut world), None);
}
