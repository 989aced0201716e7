// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The life of prekey pairs on the device that made them: when they are made, and when they are destroyed.

use std::collections::BTreeSet;

use waxwing_engine::{Answer, Command, RowKey, Table};
use waxwing_identity::PrekeyPair;
use waxwing_proto::{DeviceId, EnvelopeId, limits};
use waxwing_ratchet::PrekeySecret;

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

const DAY: u64 = 86_400_000;

/// The one-time pairs that the server can hand out of a device.
fn on_server(world: &World, device: DeviceId) -> BTreeSet<u32> {
    let pairs = world.relay.prekeys[&device].one_time.iter();
    pairs
        .map(|pair| PrekeyPair::decode(pair).unwrap().id())
        .collect()
}

/// The one-time secrets in the rows of a client, in the order of their ids.
fn one_time_secrets(world: &World, name: &'static str) -> Vec<u32> {
    let rows = world.clients[name].rows.iter();
    rows.filter(|(key, _)| key.table == Table::Prekeys)
        .map(|(_, row)| PrekeySecret::decode(&row[8..]).unwrap())
        .filter(|secret| secret.head().is_none())
        .map(|secret| secret.id())
        .collect()
}

/// [PRE-16], [SES-17]: not before, and not later. Envelopes that show nothing use up none.
#[test]
fn a_one_time_secret_goes_in_the_batch_that_stores_its_session() {
    let mut world = World::new(301);
    let alice = world.register("alice", 1);
    world.register("bob", 2);
    let bob = world.befriend("alice", "bob");
    world.sleep(60_000);
    let device = world.clients["bob"].device();
    let before = on_server(&world, device);
    world.go_offline("bob");
    world.send("alice", bob, "hello").unwrap();
    let used: Vec<u32> = before
        .difference(&on_server(&world, device))
        .copied()
        .collect();
    assert_eq!(used.len(), 1);
    let secret = RowKey {
        table: Table::Prekeys,
        scope: Vec::new(),
        order: u64::from(used[0]),
    };
    // Somebody on the way damages the content of the first one.
    let mailbox = world.relay.mailboxes.get_mut(&device).unwrap();
    let mut damaged = mailbox.stored[0].clone();
    let mut bytes = damaged.envelope.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    damaged.envelope = bytes.into();
    damaged.envelope_id = EnvelopeId::new([1; 16]).to_wire();
    let good = core::mem::replace(&mut mailbox.stored[0], damaged);
    world.go_online("bob");
    let rows = &world.clients["bob"].rows;
    assert!(rows.keys().all(|key| key.table != Table::Messages));
    assert!(rows.contains_key(&secret));

    let mailbox = world.relay.mailboxes.get_mut(&device).unwrap();
    assert!(mailbox.stored.is_empty());
    mailbox.position += 1;
    let position = mailbox.position;
    mailbox
        .stored
        .push(waxwing_proto::v1::StoredEnvelope { position, ..good });
    world.client("bob").batches = Some(Vec::new());
    world.sleep(60_000);
    assert_eq!(world.texts("bob", alice), ["hello"]);
    assert!(!world.clients["bob"].rows.contains_key(&secret));
    let batches = world.client("bob").batches.take().unwrap();
    let destroys =
        |batch: &&std::collections::BTreeMap<RowKey, bool>| batch.get(&secret) == Some(&false);
    let batch = batches.iter().find(destroys).unwrap();
    let is_session = |(key, stored): (&RowKey, &bool)| *stored && key.table == Table::Sessions;
    assert!(batch.iter().any(is_session), "{batch:?}");
    let first_session = batches
        .iter()
        .find(|batch| batch.iter().any(is_session))
        .unwrap();
    assert!(first_session.contains_key(&secret));
    // The others are for others.
    let left = one_time_secrets(&world, "bob").into_iter().collect();
    assert_eq!(on_server(&world, device), left);
}

/// [PRE-16]: a server that loses every pair makes a device keep 400 secrets, the newest.
#[test]
fn one_time_secrets_are_bounded_and_the_oldest_go() {
    let mut world = World::new(302);
    world.relay.forgets_prekeys = true;
    let alice = world.register("alice", 1);
    let device = world.relay.accounts[&alice].newest().devices()[0].id();
    let mut published = Vec::new();
    for _ in 0..100 {
        if published.len() > limits::ONE_TIME_SECRETS_MAX + 100 {
            break;
        }
        world.sleep(60_000);
        published = world.relay.witness.one_time_pairs(device);
    }
    assert!(published.len() > limits::ONE_TIME_SECRETS_MAX + 100);
    let newest = &published[published.len() - limits::ONE_TIME_SECRETS_MAX..];
    assert_eq!(one_time_secrets(&world, "alice"), newest);
    // After a restart they are still these.
    world.crash("alice");
    world.sleep(60_000);
    assert!(one_time_secrets(&world, "alice").len() <= limits::ONE_TIME_SECRETS_MAX);
}

/// [PRE-4], [PRE-10]: the relay of these worlds takes no pair whose id is not above those that it has seen,
/// of either kind; here the process dies at every commit of a registration and of two rounds of
/// publications, right after it and right before it.
#[test]
fn ids_of_pairs_only_rise_over_deaths_at_every_commit() {
    for before in [false, true] {
        let mut deaths = 0;
        for commit in 1.. {
            let mut world = World::new(303);
            world.add_client("alice");
            let command = world.register_command("alice", 1);
            let client = world.client("alice");
            match before {
                false => client.dies_after_commits = Some(commit),
                true => client.dies_before_commit = Some(commit),
            }
            world.tell("alice", command);
            world.sleep(120_000);
            if world.relay.accounts.is_empty() {
                // Nothing was durable: the user begins anew.
                assert!(before && commit == 1);
                deaths += 1;
                continue;
            }
            let device = world.clients["alice"].device();
            let take = |world: &mut World| {
                let prekeys = world.relay.prekeys.get_mut(&device).unwrap();
                prekeys.one_time.truncate(90);
            };
            take(&mut world);
            world.sleep(2 * 3_600_000);
            take(&mut world);
            world.sleep(3 * DAY);
            let offered = on_server(&world, device);
            assert_eq!(offered.len(), limits::ONE_TIME_PREKEYS_MAX);
            // Whatever is handed out has a secret here.
            let held = one_time_secrets(&world, "alice");
            assert!(offered.iter().all(|id| held.contains(id)));
            if world.client("alice").crashes == 0 {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 8, "{deaths}");
    }
}

/// [PRE-8]: on every device, also on those that only hear of the change.
#[test]
fn every_manifest_version_brings_a_new_signed_pair() {
    let mut world = acquainted(304);
    let alice = world.account("alice");
    let check = |world: &World, version: u32| {
        let newest = world.relay.accounts[&alice].newest();
        assert_eq!(newest.version(), version);
        for entry in newest.devices() {
            let prekeys = &world.relay.prekeys[&entry.id()];
            let pair = PrekeyPair::decode(&prekeys.signed).unwrap();
            assert_eq!(pair.head(), Some(&newest.head()), "of version {version}");
        }
    };
    check(&world, 1);
    link(&mut world, "alice", "tablet");
    check(&world, 2);
    let laptop = link(&mut world, "alice", "laptop");
    check(&world, 3);
    let removed = world.ask("tablet", Command::RemoveDevice { device: laptop });
    assert_eq!(removed, Ok(Answer::Done));
    // The phone hears of it on its next connection.
    world.go_offline("alice");
    world.go_online("alice");
    check(&world, 4);
}

/// [PRE-8]: without a new version, after two days and not before.
#[test]
fn a_signed_pair_is_two_days_old_at_most() {
    let mut world = World::new(305);
    let alice = world.register("alice", 1);
    let device = world.relay.accounts[&alice].newest().devices()[0].id();
    let first = world.relay.prekeys[&device].signed_id;
    // It looks once an hour.
    world.sleep(2 * DAY - 3_600_000);
    assert_eq!(world.relay.prekeys[&device].signed_id, first);
    world.sleep(2 * 3_600_000);
    assert_ne!(world.relay.prekeys[&device].signed_id, first);
}
