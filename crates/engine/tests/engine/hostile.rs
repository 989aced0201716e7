// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Servers that answer so as to keep a client busy, and contacts who write so as to fill it. Each of these
//! worlds has to come to rest: `settle` panics where it does not.

use prost::Message as _;
use waxwing_engine::{Answer, Command, Event, Notice, Table};
use waxwing_proto::{AccountKey, limits, v1};

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

fn calls(world: &World, kind: &str) -> u64 {
    world.relay.calls.get(kind).copied().unwrap_or(0)
}

/// All that a server hands out, and the claim that there is more.
fn endless(manifests: Vec<bytes::Bytes>) -> v1::FetchManifestsResponse {
    v1::FetchManifestsResponse {
        manifests,
        more: true,
        proof: bytes::Bytes::new(),
    }
}

fn version(world: &mut World, name: &'static str) -> u32 {
    match world.ask(name, Command::Status) {
        Ok(Answer::Status(status)) => status.manifest_version,
        other => panic!("{other:?}"),
    }
}

/// [IDN-27].
#[test]
fn a_contacts_server_that_withholds_versions_is_left_alone_for_a_while() {
    let mut world = acquainted(201);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let first = world.relay.accounts[&bob].newest().as_bytes().clone();
    link(&mut world, "bob", "tablet");
    link(&mut world, "bob", "laptop");
    let newest = world.relay.accounts[&bob].newest().as_bytes().clone();
    world.relay.lies.insert(bob, newest);
    world.relay.chain_lies.insert(bob, endless(vec![first]));
    world.relay.calls.clear();
    world.send("alice", bob, "hello").unwrap();
    world.settle();
    assert!(calls(&world, "manifests") <= 4, "{:?}", world.relay.calls);
    world.sleep(60 * 60 * 1000);
    assert!(calls(&world, "manifests") <= 80, "{:?}", world.relay.calls);
    // The server comes to its senses, and what was queued arrives.
    world.relay.chain_lies.clear();
    world.sleep(10 * 60 * 1000);
    assert_eq!(world.texts("bob", alice).last().unwrap(), "hello");
}

/// [IDN-24], [IDN-27].
#[test]
fn the_own_server_that_withholds_versions_is_left_alone_for_a_while() {
    let mut world = acquainted(202);
    let alice = world.account("alice");
    link(&mut world, "alice", "tablet");
    world.go_offline("alice");
    // As if the tablet had admitted two more meanwhile.
    for name in ["laptop", "desktop"] {
        link_with(&mut world, "tablet", name);
    }
    let newest = world.relay.accounts[&alice].newest().clone();
    assert_eq!(newest.version(), 4);
    world
        .relay
        .chain_lies
        .insert(alice, endless(vec![newest.as_bytes().clone()]));
    world.relay.calls.clear();
    world.client("alice").network = true;
    let now = world.now;
    world.client("alice").handle(
        now,
        Event::LinkDown(waxwing_engine::LinkFailure::Unreachable),
    );
    world.settle();
    assert!(calls(&world, "manifests") <= 6, "{:?}", world.relay.calls);
    world.sleep(60 * 60 * 1000);
    assert!(calls(&world, "manifests") <= 120, "{:?}", world.relay.calls);
    assert_eq!(version(&mut world, "alice"), 2);
    world.relay.chain_lies.clear();
    world.sleep(10 * 60 * 1000);
    assert_eq!(version(&mut world, "alice"), 4);
}

/// Links a new profile by a device that the world knows under another name than its account.
fn link_with(world: &mut World, first: &'static str, new: &'static str) {
    world.add_client(new);
    let server = World::server_link();
    let Ok(Answer::LinkCode(code)) = world.ask(new, Command::Link { server }) else {
        panic!("a code");
    };
    let Ok(Answer::DeviceOffer { device, .. }) = world.ask(first, Command::InspectDevice { code })
    else {
        panic!("an offer");
    };
    world.settle();
    world.tell(new, Command::ConfirmLink { same: true });
    let approved = world.ask(first, Command::ApproveDevice { device });
    assert_eq!(approved, Ok(Answer::Done));
    world.sleep(60_000);
}

/// [IDN-63]: only as long as the numbers rise.
#[test]
fn a_recovery_does_not_gather_for_ever() {
    let mut world = World::new(203);
    let alice = world.register("alice", 1);
    let first = world.relay.accounts[&alice].newest().as_bytes().clone();
    world.relay.chain_lies.insert(alice, endless(vec![first]));
    world.add_client("new phone");
    let recover = Command::Recover {
        words: World::words(1),
        server: World::server_link(),
    };
    let recovered = world.ask("new phone", recover);
    assert!(
        matches!(recovered, Ok(Answer::Registered { .. })),
        "{recovered:?}"
    );
}

/// [IDN-62].
#[test]
fn a_recovery_builds_on_what_the_account_key_signed() {
    let mut world = acquainted(204);
    let alice = world.account("alice");
    let first = world.relay.accounts[&alice].newest().clone();
    let stolen = link(&mut world, "alice", "stolen");
    // The thief adds and removes devices of his own.
    for name in ["one", "two"] {
        link_with(&mut world, "stolen", name);
        let added = world.relay.accounts[&alice]
            .newest()
            .devices()
            .last()
            .unwrap()
            .id();
        world
            .ask("stolen", Command::RemoveDevice { device: added })
            .unwrap();
        world.sleep(10_000);
    }
    let newest = world.relay.accounts[&alice].newest().clone();
    assert_eq!(newest.revoked().len(), 2);
    world.add_client("new phone");
    let recover = Command::Recover {
        words: World::words(1),
        server: World::server_link(),
    };
    world.ask("new phone", recover).unwrap();
    let recovered = world.relay.accounts[&alice].newest().clone();
    assert_eq!(recovered.version(), newest.version() + 1);
    assert_eq!(*recovered.previous(), first.hash());
    assert_eq!(recovered.revoked(), [first.devices()[0].id()]);
    assert_eq!(recovered.devices().len(), 1);
    assert!(recovered.device(&stolen).is_none());
}

#[test]
fn a_new_device_does_not_gather_for_ever() {
    let mut world = World::new(205);
    let alice = world.register("alice", 1);
    let first = world.relay.accounts[&alice].newest().as_bytes().clone();
    world.relay.chain_lies.insert(alice, endless(vec![first]));
    link_with(&mut world, "alice", "tablet");
    assert_eq!(version(&mut world, "tablet"), 0);
    world.relay.chain_lies.clear();
    world.sleep(10_000);
    assert_eq!(version(&mut world, "tablet"), 2);
}

#[test]
fn a_server_that_answers_waits_at_once_does_not_set_the_pace() {
    let mut world = World::new(206);
    world.register("alice", 1);
    world.relay.impatient = true;
    world.add_client("tablet");
    let server = World::server_link();
    let Ok(Answer::LinkCode(code)) = world.ask("tablet", Command::Link { server }) else {
        panic!("a code");
    };
    world.relay.calls.clear();
    world.sleep(10_000);
    assert!(calls(&world, "slot") <= 25, "{:?}", world.relay.calls);
    let offer = world.ask("alice", Command::InspectDevice { code });
    assert!(matches!(offer, Ok(Answer::DeviceOffer { .. })), "{offer:?}");
}

#[test]
fn a_server_that_forgets_prekeys_does_not_keep_a_device_making_them() {
    let mut world = World::new(207);
    world.relay.forgets_prekeys = true;
    world.register("alice", 1);
    world.settle();
    assert!(calls(&world, "publish") <= 6, "{:?}", world.relay.calls);
    world.sleep(60 * 60 * 1000);
    let before = calls(&world, "publish");
    world.relay.forgets_prekeys = false;
    world.sleep(60 * 60 * 1000);
    // All that are wanted are made in the end.
    let prekeys = world.relay.prekeys.values().next().unwrap();
    assert!(
        prekeys.one_time.len() >= limits::ONE_TIME_PREKEYS_MAX,
        "{before}"
    );
}

#[test]
fn a_server_cannot_send_a_client_away_for_weeks() {
    let mut world = acquainted(212);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.relay.busy = true;
    world.send("alice", bob, "hello").unwrap();
    world.settle();
    world.relay.busy = false;
    world.sleep(u64::from(limits::RETRY_AFTER_MS_MAX) + 60_000);
    assert_eq!(world.texts("bob", alice).last().unwrap(), "hello");
}

/// A contact whose server takes nothing for it, and who goes on writing.
#[test]
fn receipts_that_cannot_leave_do_not_fill_the_outbox() {
    let mut world = acquainted(208);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "bob", "tablet");
    world
        .relay
        .lies
        .insert(bob, bytes::Bytes::from_static(b"no manifest"));
    for number in 0..20 {
        world.send("bob", alice, &format!("{number}")).unwrap();
        world.sleep(60_000);
    }
    let Ok(Answer::Status(status)) = world.ask("alice", Command::Status) else {
        panic!("status");
    };
    assert!(status.outbox <= 2, "{}", status.outbox);
    // When it takes something again, every receipt arrives.
    world.relay.lies.clear();
    world.sleep(20 * 60_000);
    let delivered = world
        .history("bob", alice)
        .iter()
        .filter(|message| message.state == waxwing_engine::notice::MessageState::Delivered)
        .count();
    assert_eq!(delivered, 20);
}

/// Makes a client believe that it was answered, so that nothing stops it.
pub(crate) fn unbridled(world: &mut World, name: &'static str, contact: AccountKey) {
    for (key, value) in &mut world.client(name).rows {
        if key.table == Table::Contacts && key.scope == contact.as_bytes() {
            let mut row = v1::ContactRow::decode(value.as_slice()).unwrap();
            row.answered = true;
            *value = row.encode_to_vec();
        }
    }
    world.crash(name);
    world.sleep(1000);
}

/// [BOX-44].
#[test]
fn what_is_kept_of_a_stranger_is_bounded() {
    let mut world = World::new(209);
    let alice = world.register("alice", 1);
    world.register("mallory", 2);
    world.befriend("mallory", "alice");
    world.settle();
    unbridled(&mut world, "mallory", alice);
    let mallory = world.account("mallory");
    for number in 0..limits::REQUEST_CONTENTS_MAX + 20 {
        world.send("mallory", alice, &format!("{number}")).unwrap();
    }
    world.sleep(60_000);
    let kept = world
        .client("alice")
        .rows
        .keys()
        .filter(|key| key.table == Table::Messages)
        .count();
    assert_eq!(kept, limits::REQUEST_CONTENTS_MAX);
    // Whoever is accepted is heard again.
    world
        .ask("alice", Command::AcceptContact { contact: mallory })
        .unwrap();
    world.send("mallory", alice, "at last").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("alice", mallory).last().unwrap(), "at last");
}

/// A server that hands over more than may be unacknowledged, while a delivery waits for rows.
#[test]
fn a_server_cannot_make_the_inbox_grow() {
    let mut world = acquainted(210);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.go_offline("alice");
    world.send("bob", alice, "hello").unwrap();
    world.settle();
    let device = world.relay.accounts[&alice].newest().devices()[0].id();
    // It is handed over by hand, again and again, before the first one is committed.
    let mailbox = world.relay.mailboxes.get_mut(&device).unwrap();
    let stored = core::mem::take(&mut mailbox.stored);
    assert_eq!(stored.len(), 1);
    world.client("alice").network = true;
    world.settle();
    let now = world.now;
    let before = world.relay.acknowledged;
    for position in 0..1000 {
        let envelope = v1::StoredEnvelope {
            position: 1_000_000 + position,
            ..stored[0].clone()
        };
        let delivery = v1::delivery::Event::Envelope(envelope);
        world.client("alice").handle(now, Event::Delivery(delivery));
    }
    world.settle();
    let taken = world.relay.acknowledged - before;
    assert!(taken <= limits::UNACKNOWLEDGED_MAX as u64 + 3, "{taken}");
    let heard = world.texts("alice", bob);
    assert_eq!(heard.iter().filter(|text| *text == "hello").count(), 1);
}

/// [BOX-41].
#[test]
fn expired_messages_are_told_until_the_user_was_told() {
    let mut world = acquainted(211);
    let alice = world.account("alice");
    let device = world.relay.accounts[&alice].newest().devices()[0].id();
    let expired = v1::ExpiredCount {
        day: 20_000,
        count: 3,
    };
    world.go_offline("alice");
    world.relay.expired.push((device, expired));
    // It dies before it has stored what it was told: the server still has it.
    world.client("alice").dies_before_commit = Some(1);
    world.client("alice").network = true;
    world.crash("alice");
    world.settle();
    assert_eq!(world.client("alice").crashes, 2);
    assert_eq!(world.relay.told_expired, 2);
    world.sleep(60_000);
    let told = Notice::Expired {
        day: 20_000,
        count: 3,
    };
    assert!(world.notices("alice").contains(&told));
    assert!(world.relay.expired.is_empty());
    // Nobody watched: it is still there after a restart, and told once.
    world.crash("alice");
    world.sleep(60_000);
    let Ok(Answer::Expired(list)) = world.ask("alice", Command::ListExpired) else {
        panic!("a list");
    };
    assert_eq!((list.len(), list[0].day, list[0].count), (1, 20_000, 3));
    world
        .ask("alice", Command::MarkExpiredShown { shown: list })
        .unwrap();
    world.crash("alice");
    assert_eq!(
        world.ask("alice", Command::ListExpired),
        Ok(Answer::Expired(Vec::new()))
    );
}

/// [BOX-46]: whoever has begun very many sessions begins no more until the old ones are forgotten. Others do.
#[test]
fn handshakes_of_one_account_are_bounded() {
    let mut world = World::new(213);
    let alice = world.register("alice", 1);
    let mallory = world.register("mallory", 2);
    world.register("carol", 3);
    // As if mallory's had come before.
    for number in 0..limits::HANDSHAKES_PER_ACCOUNT_MAX {
        let mut scope = vec![7; 32];
        scope[..8].copy_from_slice(&number.to_be_bytes());
        let key = waxwing_engine::RowKey {
            table: Table::Handshakes,
            scope: scope.clone(),
            order: 0,
        };
        let mut row = 1_u32.to_be_bytes().to_vec();
        row.extend_from_slice(&scope);
        row.extend_from_slice(mallory.as_bytes());
        world.client("alice").rows.insert(key, row);
    }
    world.crash("alice");
    world.sleep(1000);
    for name in ["mallory", "carol"] {
        world.befriend(name, "alice");
        world.send(name, alice, name).unwrap();
    }
    world.sleep(60_000);
    let Ok(Answer::Contacts(contacts)) = world.ask("alice", Command::ListContacts) else {
        panic!("contacts");
    };
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0].account, world.account("carol"));
}

/// [SES-18]: a session may outlive the signed pair that it began with; what it leaves goes with it.
#[test]
fn handshakes_do_not_outlive_session_and_signed_pair() {
    let mut world = acquainted(216);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let remembered = |world: &mut World| {
        let rows = world.client("bob").rows.keys();
        rows.filter(|key| key.table == Table::Handshakes).count()
    };
    let day = 86_400_000;
    assert_eq!(remembered(&mut world), 1);
    // The pair is replaced after two days and destroyed at a drain of eight days later.
    for _ in 0..12 {
        world.sleep(day);
        world.send("bob", alice, "still here").unwrap();
        world.send("alice", bob, "so am I").unwrap();
        world.go_offline("bob");
        world.go_online("bob");
    }
    assert_eq!(remembered(&mut world), 1, "the session lives");
    let tablet = link(&mut world, "alice", "tablet");
    world.send("tablet", bob, "and here").unwrap();
    world.sleep(60_000);
    assert_eq!(remembered(&mut world), 2);
    // The phone is taken off the account, and its session with it.
    let phone = world.client("alice").device();
    assert_ne!(phone, tablet);
    let removed = world.ask("tablet", Command::RemoveDevice { device: phone });
    assert_eq!(removed, Ok(Answer::Done));
    world.sleep(60_000);
    world.send("tablet", bob, "without the phone").unwrap();
    world.sleep(60_000);
    world.go_offline("bob");
    world.go_online("bob");
    assert_eq!(remembered(&mut world), 1);
}

/// [BOX-45]: accounts cost nothing, so a session must not cost less than a request.
#[test]
fn a_stranger_without_a_content_leaves_nothing() {
    let mut world = World::new(214);
    let alice = world.register("alice", 1);
    world.register("mallory", 2);
    world.befriend("mallory", "alice");
    world.go_offline("mallory");
    world.send("mallory", alice, "hello").unwrap();
    for (key, value) in &mut world.client("mallory").rows {
        if key.table == Table::Outbox && key.scope.is_empty() {
            let mut row = v1::ShipmentRow::decode(value.as_slice()).unwrap();
            // A field of length 127 that ends after one byte.
            row.content = bytes::Bytes::from_static(&[0x0a, 0x7f, 0x00]);
            *value = row.encode_to_vec();
        }
    }
    world.crash("mallory");
    let pairs = |world: &mut World| -> Vec<waxwing_engine::RowKey> {
        let rows = world.client("alice").rows.keys();
        rows.filter(|key| key.table == Table::Prekeys)
            .cloned()
            .collect()
    };
    let before = pairs(&mut world);
    world.go_online("mallory");
    assert!(world.client("mallory").sent_to.len() == 1);
    let after = pairs(&mut world);
    assert!(before.iter().all(|key| after.contains(key)));
    let left = |world: &mut World| {
        let rows = world.client("alice").rows.keys();
        rows.filter(|key| {
            matches!(
                key.table,
                Table::Sessions | Table::Handshakes | Table::Contacts | Table::Manifests
            )
        })
        .count()
    };
    // Her own manifest.
    assert_eq!(left(&mut world), 1);
}
