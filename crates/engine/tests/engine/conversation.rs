// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two people talk.

use waxwing_engine::command::Held;
use waxwing_engine::notice::{Direction, MessageState};
use waxwing_engine::{Answer, Command, CommandError, Notice};
use waxwing_proto::v1;

use crate::world::World;

/// Alice knows bob by his link; bob has accepted her.
pub(crate) fn acquainted(seed: u64) -> World {
    let mut world = World::new(seed);
    world.register("alice", 1);
    world.register("bob", 2);
    let bob = world.befriend("alice", "bob");
    world.send("alice", bob, "hello bob").unwrap();
    world.sleep(1000);
    let alice = world.account("alice");
    world
        .ask("bob", Command::AcceptContact { contact: alice })
        .unwrap();
    world.settle();
    world
}

#[test]
fn the_first_conversation() {
    let mut world = acquainted(1);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("bob", alice, "hello alice").unwrap();
    world.send("alice", bob, "how are you?").unwrap();
    world.sleep(60_000);
    let expected = ["hello bob", "hello alice", "how are you?"];
    assert_eq!(world.texts("alice", bob), expected);
    assert_eq!(world.texts("bob", alice), expected);
    let directions: Vec<Direction> = world
        .history("alice", bob)
        .iter()
        .map(|message| message.direction)
        .collect();
    assert_eq!(
        directions,
        [
            Direction::Outgoing,
            Direction::Incoming,
            Direction::Outgoing
        ]
    );
    assert!(
        world
            .relay
            .mailboxes
            .values()
            .all(|mailbox| mailbox.stored.is_empty())
    );
}

#[test]
fn a_stranger_is_a_request_and_gets_no_receipt_before_the_acceptance() {
    let mut world = World::new(2);
    let alice = world.register("alice", 1);
    world.register("bob", 2);
    let bob = world.befriend("alice", "bob");
    world.send("alice", bob, "hello").unwrap();
    world.sleep(600_000);
    assert_eq!(world.texts("bob", alice), ["hello"]);
    assert_eq!(
        world.send("bob", alice, "who are you?"),
        Err(CommandError::RequestPending)
    );
    assert_eq!(world.history("alice", bob)[0].state, MessageState::OnServer);
    let Ok(Answer::Contacts(contacts)) = world.ask("bob", Command::ListContacts) else {
        panic!("contacts");
    };
    assert!(contacts[0].request && !contacts[0].verified);
    assert!(
        contacts[0].label.starts_with("alice-"),
        "{}",
        contacts[0].label
    );
    world
        .ask("bob", Command::AcceptContact { contact: alice })
        .unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.history("alice", bob)[0].state,
        MessageState::Delivered
    );
}

#[test]
fn what_is_written_offline_leaves_later_in_order() {
    let mut world = acquainted(3);
    let bob = world.account("bob");
    let alice = world.account("alice");
    world.go_offline("alice");
    for body in ["one", "two", "three"] {
        assert!(matches!(
            world.send("alice", bob, body),
            Ok(Answer::Queued { .. })
        ));
    }
    world.crash("alice");
    world.sleep(10_000);
    assert_eq!(world.texts("bob", alice), ["hello bob"]);
    world.go_online("alice");
    assert_eq!(
        world.texts("bob", alice),
        ["hello bob", "one", "two", "three"]
    );
    let states: Vec<MessageState> = world
        .history("alice", bob)
        .iter()
        .map(|message| message.state)
        .collect();
    assert!(states.iter().all(|state| *state == MessageState::Delivered));
}

/// [ENV-13].
#[test]
fn both_write_first_at_the_same_moment() {
    let mut world = World::new(4);
    let alice = world.register("alice", 1);
    world.register("bob", 2);
    let bob = world.befriend("alice", "bob");
    world.befriend("bob", "alice");
    world.go_offline("alice");
    world.go_offline("bob");
    world.send("alice", bob, "from alice").unwrap();
    world.send("bob", alice, "from bob").unwrap();
    // Both take prekeys before either envelope arrives.
    world.client("alice").network = true;
    world.client("bob").network = true;
    world.sleep(60_000);
    for round in 0..4 {
        world.send("alice", bob, &format!("a{round}")).unwrap();
        world.send("bob", alice, &format!("b{round}")).unwrap();
        world.sleep(60_000);
    }
    assert_eq!(world.texts("alice", bob).len(), 10);
    let mut left = world.texts("alice", bob);
    let mut right = world.texts("bob", alice);
    assert_eq!(left, right, "the same order on both sides");
    left.sort();
    right.sort();
    assert_eq!(left, right);
    for name in ["alice", "bob"] {
        let notices = world.notices(name);
        assert!(
            !notices
                .iter()
                .any(|notice| matches!(notice, Notice::Alarm(_))),
            "{notices:?}"
        );
    }
}

#[test]
fn lost_answers_double_nothing() {
    let mut world = acquainted(5);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    for count in 1..4 {
        world.client("alice").lose_answers = count;
        world.send("alice", bob, &format!("n{count}")).unwrap();
        world.sleep(120_000);
    }
    assert_eq!(world.texts("bob", alice), ["hello bob", "n1", "n2", "n3"]);
}

#[test]
fn a_full_mailbox_keeps_the_message_here() {
    let mut world = acquainted(6);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.relay.mailboxes_full = true;
    world.send("alice", bob, "later").unwrap();
    world.sleep(600_000);
    assert_eq!(world.texts("bob", alice), ["hello bob"]);
    let full = Some(Held::Refused(v1::ErrorCode::MailboxFull));
    assert_eq!(world.waiting("alice"), [(Some("bob".to_owned()), 1, full)]);
    world.relay.mailboxes_full = false;
    world.sleep(600_000);
    assert_eq!(world.waiting("alice"), []);
    assert_eq!(world.texts("bob", alice), ["hello bob", "later"]);
}
