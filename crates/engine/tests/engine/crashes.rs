// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process dies at every commit of a conversation, right after it and right before it. Nothing is
//! lost, nothing is shown twice.

use waxwing_engine::notice::MessageState;
use waxwing_engine::{Answer, Command};

use crate::conversation::acquainted;
use crate::world::World;

/// Where the process dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    After(u64),
    Before(u64),
}

fn doom(world: &mut World, name: &'static str, death: Death) {
    let client = world.client(name);
    match death {
        Death::After(commits) => client.dies_after_commits = Some(commits),
        Death::Before(commit) => client.dies_before_commit = Some(commit),
    }
}

/// Sends until the outbox took it: the user repeats what was not answered, and only that.
fn send_surely(world: &mut World, from: &'static str, to: &'static str, body: &str) {
    let contact = world.account(to);
    for _ in 0..4 {
        let before = world.client(from).crashes;
        let id = world.tell(
            from,
            Command::Send {
                contact,
                body: body.to_owned(),
            },
        );
        world.settle();
        match world.client(from).answers.remove(&id) {
            Some(answer) => {
                assert!(matches!(answer, Ok(Answer::Queued { .. })), "{answer:?}");
                return;
            }
            None => {
                assert!(world.client(from).crashes > before);
                // It may have been durable although nobody was told.
                if world.texts(from, contact).iter().any(|text| text == body) {
                    return;
                }
            }
        }
    }
    panic!("not queued");
}

fn conversation(seed: u64, victim: &'static str, death: Death) -> bool {
    let mut world = acquainted(seed);
    doom(&mut world, victim, death);
    let crashes = world.client(victim).crashes;
    let mut expected = vec!["hello bob".to_owned()];
    for round in 0..3 {
        let (there, back) = (format!("there {round}"), format!("back {round}"));
        send_surely(&mut world, "alice", "bob", &there);
        world.sleep(40_000);
        send_surely(&mut world, "bob", "alice", &back);
        world.sleep(40_000);
        expected.push(there);
        expected.push(back);
    }
    world.sleep(400_000);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    assert_eq!(world.texts("alice", bob), expected, "{victim} {death:?}");
    assert_eq!(world.texts("bob", alice), expected, "{victim} {death:?}");
    for (name, contact) in [("alice", bob), ("bob", alice)] {
        for message in world.history(name, contact) {
            let settled = matches!(
                message.state,
                MessageState::Delivered | MessageState::Received
            );
            assert!(settled, "{victim} {death:?}: {message:?}");
        }
    }
    assert!(
        world
            .relay
            .mailboxes
            .values()
            .all(|mailbox| mailbox.stored.is_empty())
    );
    for name in ["alice", "bob"] {
        assert!(
            !crate::devices::alarmed(&mut world, name),
            "{name} {death:?}"
        );
    }
    world.client(victim).crashes > crashes
}

/// [SES-38], [SES-39], [BOX-21].
#[test]
fn a_conversation_survives_a_death_at_every_commit() {
    for victim in ["alice", "bob"] {
        for after in [true, false] {
            let mut deaths = 0;
            for commit in 1.. {
                let death = if after {
                    Death::After(commit)
                } else {
                    Death::Before(commit)
                };
                if !conversation(100, victim, death) {
                    break;
                }
                deaths += 1;
            }
            assert!(deaths > 10, "{victim} died {deaths} times");
        }
    }
}

#[test]
fn a_first_contact_survives_a_death_at_every_commit() {
    let first_contact = |death: Death, victim: &'static str| {
        let mut world = World::new(7);
        let alice = world.register("alice", 1);
        world.register("bob", 2);
        let bob = world.befriend("alice", "bob");
        doom(&mut world, victim, death);
        send_surely(&mut world, "alice", "bob", "one");
        send_surely(&mut world, "alice", "bob", "two");
        world.sleep(400_000);
        assert_eq!(
            world.texts("bob", alice),
            ["one", "two"],
            "{victim} {death:?}"
        );
        assert_eq!(
            world.texts("alice", bob),
            ["one", "two"],
            "{victim} {death:?}"
        );
        world.client(victim).crashes > 0
    };
    for victim in ["alice", "bob"] {
        for commit in (1..).take_while(|commit| first_contact(Death::After(*commit), victim)) {
            first_contact(Death::Before(commit), victim);
        }
    }
}

#[test]
fn a_registration_survives_a_death_at_every_commit() {
    let mut deaths = 0;
    for commit in 1.. {
        let mut world = World::new(8);
        world.add_client("alice");
        let command = world.register_command("alice", 1);
        doom(&mut world, "alice", Death::After(commit));
        let id = world.tell("alice", command);
        world.sleep(120_000);
        let died = world.client("alice").crashes > 0;
        let answered = world.client("alice").answers.remove(&id).is_some();
        assert!(died || answered);
        let Ok(Answer::Status(status)) = world.ask("alice", Command::Status) else {
            panic!("status");
        };
        assert!(status.online, "after a death at commit {commit}");
        assert_eq!(status.address, "alice@home.example");
        assert_eq!(world.relay.accounts.len(), 1);
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 3, "{deaths}");
}
