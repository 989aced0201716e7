// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Envelopes that make a device try keys, in numbers.

use waxwing_engine::{Answer, Command};
use waxwing_proto::{DeviceId, limits};

use crate::conversation::acquainted;
use crate::world::World;

/// How many of one kind the budget pays for at once.
const AT_ONCE: u64 = limits::TRIAL_BUDGET_US_MAX / limits::TRIAL_HANDSHAKE_US;
/// More than that; no more than a server hands over at a time.
const BEYOND: u64 = 40;

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
        mailbox.stored.push(waxwing_proto::v1::StoredEnvelope {
            position: mailbox.position,
            envelope: envelope.into(),
            ..genuine.clone()
        });
    }
    mailbox.position += 1;
    mailbox.stored.push(waxwing_proto::v1::StoredEnvelope {
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

/// [ENV-62]: beyond the budget they wait, nothing is lost, and known contacts are not held up.
#[test]
fn a_flood_of_forged_handshakes_waits_and_holds_nobody_up() {
    let (mut world, device) = flooded(231);
    let alice = world.account("alice");
    let bob = world.account("bob");
    world.send("bob", alice, "in the middle of it").unwrap();
    world.client("alice").network = true;
    // The back-off of a connection that was lost, and no more.
    let mut slept = 0;
    while world.texts("alice", bob).last().unwrap() != "in the middle of it" {
        world.sleep(100);
        slept += 100;
        assert!(slept < 60_000, "held up");
    }
    let tried = unopenable(&mut world);
    assert!(
        (AT_ONCE..AT_ONCE + BEYOND).contains(&tried),
        "{tried} were tried"
    );
    let left = world.relay.mailboxes[&device].stored.len() as u64;
    assert!(left >= AT_ONCE + BEYOND + 1 - tried, "{left} are left");
    // One for each 50 ms; the stranger's own is behind them, and is not lost.
    let rate = limits::TRIAL_HANDSHAKE_US / limits::TRIAL_BUDGET_US_PER_MS;
    world.sleep((BEYOND + 2) * rate);
    assert_eq!(unopenable(&mut world), AT_ONCE + BEYOND);
    assert!(world.relay.mailboxes[&device].stored.is_empty());
    let mallory = world.account("mallory");
    assert_eq!(world.texts("alice", mallory), ["hello"]);
}

/// A budget that a crash or a new connection does not fill again would lose what waits; one that it does
/// not keep would be none.
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
