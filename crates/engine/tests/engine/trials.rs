// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Envelopes that make a device try keys, in numbers.

use waxwing_engine::{Answer, Command, Event};
use waxwing_proto::{DeviceId, limits, v1};

use crate::conversation::acquainted;
use crate::world::World;

/// How many of one kind the budget pays for at once.
const AT_ONCE: u64 = limits::TRIAL_BUDGET_US_MAX / limits::TRIAL_HANDSHAKE_US;
/// More than that, and more than a server hands over at a time.
const BEYOND: u64 = 200;
/// What one costs while half of the window waits, in milliseconds.
const EACH_MS: u64 = limits::TRIAL_HANDSHAKE_US / limits::TRIAL_BUDGET_US_PER_MS_PRESSED;

/// Alice is offline, and in her mailbox lies a stranger's first envelope, and copies of it with other
/// ephemeral keys.
fn flooded(seed: u64) -> (World, DeviceId) {
    let mut world = acquainted(seed);
    let device = world.client("alice").device();
    world.register("mallory", 7);
    world.befriend("mallory", "alice");
    world.sleep(60_000);
    world.go_offline("alice");
    let alice = world.account("alice");
    world.send("mallory", alice, "hello").unwrap();
    let mailbox = world.relay.mailboxes.get_mut(&device).unwrap();
    let genuine = mailbox.stored.pop().unwrap();
    for number in 0..AT_ONCE + BEYOND {
        let mut envelope = genuine.envelope.to_vec();
        // Version, suite, two ids, `EK` ([SES-14]).
        envelope[11..19].copy_from_slice(&number.to_be_bytes());
        mailbox.position += 1;
        mailbox.stored.push(v1::StoredEnvelope {
            position: mailbox.position,
            envelope: envelope.into(),
            ..genuine.clone()
        });
    }
    mailbox.position += 1;
    mailbox.stored.push(v1::StoredEnvelope {
        position: mailbox.position,
        ..genuine
    });
    (world, device)
}

fn unopenable(world: &mut World) -> u64 {
    match world.ask("alice", Command::Status) {
        Ok(Answer::Status(status)) => status.unopenable,
        other => panic!("{other:?}"),
    }
}

/// [ENV-8], [ENV-62]: beyond the budget they wait, nothing is lost, and known contacts are held up for a moment.
#[test]
fn a_flood_of_forged_handshakes_waits_and_holds_nobody_up() {
    let (mut world, device) = flooded(231);
    let alice = world.account("alice");
    let bob = world.account("bob");
    world.send("bob", alice, "behind all of it").unwrap();
    world.client("alice").network = true;
    // The back-off of a connection that was lost.
    while unopenable(&mut world) == 0 {
        world.sleep(10);
    }
    let tried = unopenable(&mut world);
    assert!(
        (AT_ONCE..AT_ONCE + BEYOND).contains(&tried),
        "{tried} were tried at once"
    );
    let stored = world.relay.mailboxes[&device].stored.len() as u64;
    assert!(stored >= BEYOND, "{stored} are left");
    assert_eq!(world.texts("alice", bob).len(), 1);
    // The last window is tried at the lower rate; bob's is in it, and goes past the others.
    world.sleep((AT_ONCE + BEYOND - tried) * EACH_MS);
    assert_eq!(
        world.texts("alice", bob).last().unwrap(),
        "behind all of it"
    );
    world.sleep(40 * limits::TRIAL_HANDSHAKE_US / limits::TRIAL_BUDGET_US_PER_MS);
    assert_eq!(unopenable(&mut world), AT_ONCE + BEYOND);
    assert!(world.relay.mailboxes[&device].stored.is_empty());
    let mallory = world.account("mallory");
    assert_eq!(world.texts("alice", mallory), ["hello"]);
}

/// What is in no mailbox is in no window either: of it there is no end, and it must not take the room of
/// what is stored.
#[test]
fn a_flood_of_what_is_not_stored_is_dropped() {
    let (mut world, device) = flooded(233);
    let alice = world.account("alice");
    let bob = world.account("bob");
    let forged = world.relay.mailboxes[&device].stored[0].clone();
    world.client("alice").network = true;
    while unopenable(&mut world) == 0 {
        world.sleep(10);
    }
    for number in 0..20_000_u32 {
        let mut envelope = forged.envelope.to_vec();
        envelope[11..19].copy_from_slice(&[&[9; 4][..], &number.to_be_bytes()].concat());
        let envelope = v1::StoredEnvelope {
            position: 0,
            envelope: envelope.into(),
            ..forged.clone()
        };
        let event = Event::Delivery(v1::delivery::Event::Envelope(envelope));
        let now = world.now;
        world.client("alice").handle(now, event);
    }
    assert!(unopenable(&mut world) < AT_ONCE + 20);
    world.send("bob", alice, "still here").unwrap();
    world.sleep(10_000);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "still here");
    assert!(world.relay.mailboxes[&device].stored.is_empty());
    let mallory = world.account("mallory");
    assert_eq!(world.texts("alice", mallory), ["hello"]);
}

/// What waits comes again on the next connection; a budget that this would fill would be none.
#[test]
fn a_new_connection_brings_what_waited_and_no_new_budget() {
    let (mut world, device) = flooded(232);
    world.client("alice").network = true;
    world.sleep(1);
    let mut slept = 0;
    while unopenable(&mut world) == 0 {
        world.sleep(10);
        slept += 10;
        assert!(slept < 60_000);
    }
    world.settle();
    let tried = unopenable(&mut world);
    assert!(tried < AT_ONCE + BEYOND, "{tried}");
    world.go_offline("alice");
    world.client("alice").network = true;
    world.settle();
    assert!(unopenable(&mut world) <= tried + 1);
    world.sleep(60_000);
    assert!(world.relay.mailboxes[&device].stored.is_empty());
    let mallory = world.account("mallory");
    assert_eq!(world.texts("alice", mallory), ["hello"]);
}
