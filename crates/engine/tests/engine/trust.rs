// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Servers that lie, and devices that should not exist.

use waxwing_engine::command::Evidence;
use waxwing_engine::notice::AlarmKind;
use waxwing_engine::{Answer, Command, CommandError, Notice, Table};
use waxwing_identity::DeviceManifest;

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

fn alarms(world: &mut World, name: &'static str) -> Vec<AlarmKind> {
    world
        .notices(name)
        .iter()
        .filter_map(|notice| match notice {
            Notice::Alarm(alarm) => Some(alarm.kind),
            _ => None,
        })
        .collect()
}

#[test]
fn another_key_blocks_and_nothing_is_encrypted_to_it() {
    let mut world = World::new(21);
    world.register("alice", 1);
    world.register("bob", 2);
    let mallory = world.register("mallory", 3);
    let bob = world.befriend("alice", "bob");
    // The server shows mallory's manifest and prekeys for bob's delivery id.
    let lie = world.relay.accounts[&mallory].newest().as_bytes().clone();
    world.relay.lies.insert(bob, lie);
    world.send("alice", bob, "secret").unwrap();
    world.sleep(600_000);
    assert!(world.client("alice").sent_to.is_empty());
    assert_eq!(alarms(&mut world, "alice"), [AlarmKind::KeyChanged]);
    assert_eq!(
        world.send("alice", bob, "secret"),
        Err(CommandError::TrustBlocked(AlarmKind::KeyChanged))
    );
    world.crash("alice");
    world.sleep(60_000);
    assert_eq!(
        world.send("alice", bob, "secret"),
        Err(CommandError::TrustBlocked(AlarmKind::KeyChanged))
    );
    // The lie ends, the user compares keys: what was queued leaves.
    world.relay.lies.clear();
    let alice = world.befriend("bob", "alice");
    let verification = Command::Verification { contact: alice };
    let Ok(Answer::Verification(shown)) = world.ask("bob", verification) else {
        panic!("verification");
    };
    let wrong = Evidence::Fingerprint("00".repeat(32));
    assert_eq!(
        world.ask(
            "alice",
            Command::Verify {
                contact: bob,
                evidence: wrong
            }
        ),
        Err(CommandError::EvidenceMismatch)
    );
    let evidence = Evidence::QrPayload(shown.qr_payload);
    world
        .ask(
            "alice",
            Command::Verify {
                contact: bob,
                evidence,
            },
        )
        .unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("bob", alice), ["secret"]);
    let Ok(Answer::Contact(contact)) = world.ask(
        "alice",
        Command::FindContact {
            query: "bob".to_owned(),
        },
    ) else {
        panic!("contact");
    };
    assert!(contact.verified && contact.alarm.is_none() && contact.devices == 1);
}

#[test]
fn a_name_that_changes_hands_is_an_alarm() {
    let mut world = acquainted(22);
    let bob = world.account("bob");
    let mallory = world.register("mallory", 3);
    world.relay.other_names.insert("bob".to_owned(), mallory);
    let added = world.ask(
        "alice",
        Command::AddContactByName {
            name: "bob".parse().unwrap(),
            label: Some("new bob".to_owned()),
        },
    );
    assert!(
        matches!(added, Ok(Answer::Contact(contact)) if contact.account == mallory && !contact.verified)
    );
    assert_eq!(alarms(&mut world, "alice"), [AlarmKind::KeyChanged]);
    assert!(matches!(
        world.send("alice", bob, "hello"),
        Err(CommandError::TrustBlocked(AlarmKind::KeyChanged))
    ));
}

#[test]
fn a_contact_by_name_is_unverified_and_can_be_written_to() {
    let mut world = World::new(23);
    let alice = world.register("alice", 1);
    world.register("bob", 2);
    let by_name = |name: &str| Command::AddContactByName {
        name: name.parse().unwrap(),
        label: None,
    };
    assert_eq!(
        world.ask("alice", by_name("nobody")),
        Err(CommandError::ContactUnknown)
    );
    let Ok(Answer::Contact(contact)) = world.ask("alice", by_name("bob")) else {
        panic!("contact");
    };
    assert!(!contact.verified);
    world.send("alice", contact.account, "hello").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("bob", alice), ["hello"]);
}

/// [IDN-25]: two devices sign the same version; the server shows each branch to somebody else.
#[test]
fn equivocation_blocks_sending() {
    let mut world = acquainted(24);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "alice", "tablet");
    world.send("bob", alice, "one").unwrap();
    world.sleep(60_000);
    let version_2: Vec<DeviceManifest> = world.relay.accounts[&alice].manifests.clone();
    link(&mut world, "alice", "laptop");
    let branch = world.relay.accounts[&alice].newest().clone();
    world.send("bob", alice, "two").unwrap();
    world.sleep(60_000);
    // The server goes back to version 2 and lets the tablet sign another version 3.
    world.relay.accounts.get_mut(&alice).unwrap().manifests = version_2;
    world.go_offline("alice");
    let tablet_rows = world.client("tablet").rows.clone();
    let rolled_back: std::collections::BTreeMap<_, _> = tablet_rows
        .into_iter()
        .filter(|(key, _)| key.table != Table::Manifests || key.order <= 2)
        .collect();
    world.client("tablet").rows = rolled_back;
    world.crash("tablet");
    world.sleep(60_000);
    link_by(&mut world, "tablet", "other");
    let other = world.relay.accounts[&alice].newest().clone();
    assert_eq!(other.version(), branch.version());
    assert_ne!(other.hash(), branch.hash());
    let sent = world.client("bob").sent_to.len();
    world.send("bob", alice, "three").unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.send("bob", alice, "four"),
        Err(CommandError::TrustBlocked(AlarmKind::Equivocation))
    );
    assert!(alarms(&mut world, "bob").contains(&AlarmKind::Equivocation));
    let devices: Vec<_> = world.client("bob").sent_to[sent..].to_vec();
    let added = other.devices().last().unwrap().id();
    assert!(
        !devices.contains(&added),
        "nothing was encrypted to the new branch"
    );
    assert_eq!(world.texts("bob", alice).len(), 4);
    let _ = bob;
}

/// As `link`, for a device whose account the world knows under another name.
pub(crate) fn link_by(world: &mut World, first: &'static str, new: &'static str) {
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
    assert_eq!(
        world.ask(first, Command::ApproveDevice { device }),
        Ok(Answer::Done)
    );
    world.sleep(60_000);
}

/// [IDN-24].
#[test]
fn an_older_manifest_is_a_rollback() {
    let mut world = acquainted(25);
    let alice = world.account("alice");
    let old = world.relay.accounts[&alice].newest().as_bytes().clone();
    link(&mut world, "alice", "tablet");
    world.send("bob", alice, "one").unwrap();
    world.sleep(60_000);
    // A third device makes the list stale, and the server answers with version 1.
    link(&mut world, "alice", "laptop");
    world.relay.lies.insert(alice, old);
    world.send("bob", alice, "two").unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.send("bob", alice, "three"),
        Err(CommandError::TrustBlocked(AlarmKind::Rollback))
    );
}

/// [IDN-34].
#[test]
fn a_restored_store_stops() {
    let mut world = acquainted(26);
    let bob = world.account("bob");
    let old = world.client("alice").rows.clone();
    world.crash("alice");
    world.sleep(60_000);
    world.send("alice", bob, "later than the copy").unwrap();
    world.sleep(60_000);
    world.client("alice").rows = old;
    world.crash("alice");
    let sent = world.client("alice").sent_to.len();
    world.sleep(60_000);
    assert!(alarms(&mut world, "alice").contains(&AlarmKind::RestoredStore));
    let _queued_or_refused = world.send("alice", bob, "from the past");
    world.sleep(600_000);
    assert_eq!(world.client("alice").sent_to.len(), sent);
}
