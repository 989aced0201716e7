// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What ends an alarm, and what does not.

use waxwing_engine::command::{Evidence, Held};
use waxwing_engine::notice::AlarmKind;
use waxwing_engine::{Answer, Command, CommandError, Table};
use waxwing_proto::AccountKey;

use crate::conversation::acquainted;
use crate::devices::link;
use crate::trust::link_by;
use crate::world::World;

fn code_of(world: &mut World, whose: &'static str, about: AccountKey) -> String {
    match world.ask(whose, Command::Verification { contact: about }) {
        Ok(Answer::Verification(verification)) => verification.qr_payload,
        other => panic!("{other:?}"),
    }
}

fn fingerprint(world: &mut World, whose: &'static str, about: AccountKey) -> Evidence {
    match world.ask(whose, Command::Verification { contact: about }) {
        Ok(Answer::Verification(verification)) => Evidence::Fingerprint(verification.fingerprint),
        other => panic!("{other:?}"),
    }
}

fn verify(
    world: &mut World,
    who: &'static str,
    contact: AccountKey,
    evidence: Evidence,
) -> Result<Answer, CommandError> {
    world.ask(who, Command::Verify { contact, evidence })
}

/// Alice's tablet removes her phone: bob is told that this may be a thief.
fn suspicious(seed: u64) -> World {
    let mut world = acquainted(seed);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "alice", "tablet");
    world.send("tablet", bob, "hello").unwrap();
    world.sleep(60_000);
    let phone = world.relay.accounts[&alice].newest().devices()[0].id();
    world
        .ask("tablet", Command::RemoveDevice { device: phone })
        .unwrap();
    world.sleep(60_000);
    world.send("bob", alice, "one").unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.send("bob", alice, "two"),
        Err(CommandError::TrustBlocked(AlarmKind::SuspiciousRemoval))
    );
    world
}

/// [IDN-64].
#[test]
fn account_keys_say_nothing_about_devices() {
    let mut world = suspicious(221);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let incomplete = Err(CommandError::EvidenceIncomplete(
        AlarmKind::SuspiciousRemoval,
    ));
    let keys = fingerprint(&mut world, "bob", alice);
    assert_eq!(verify(&mut world, "bob", alice, keys), incomplete);
    let compared = Evidence::SafetyNumberCompared;
    assert_eq!(verify(&mut world, "bob", alice, compared), incomplete);
    // A code that the phone showed before: the same account key, an older head.
    let old = code_of(&mut world, "alice", bob);
    let evidence = Evidence::QrPayload(old);
    assert_eq!(verify(&mut world, "bob", alice, evidence), incomplete);
    world.crash("bob");
    assert_eq!(
        world.send("bob", alice, "two"),
        Err(CommandError::TrustBlocked(AlarmKind::SuspiciousRemoval))
    );
    let Ok(Answer::Contacts(contacts)) = world.ask("bob", Command::ListContacts) else {
        panic!("contacts");
    };
    assert!(!contacts[0].verified);
    let code = code_of(&mut world, "tablet", bob);
    let evidence = Evidence::QrPayload(code);
    assert_eq!(verify(&mut world, "bob", alice, evidence), Ok(Answer::Done));
    world.sleep(60_000);
    assert_eq!(world.texts("tablet", bob).last().unwrap(), "one");
}

/// [IDN-64]: a server that adds an alarm which keys settle must not thereby end one that they do not.
#[test]
fn a_second_alarm_hides_none() {
    let mut world = suspicious(222);
    let alice = world.account("alice");
    let mallory = world.register("mallory", 3);
    world.relay.other_names.insert("alice".to_owned(), mallory);
    // Bob knows alice by her own word only: her link makes the address hers.
    world.befriend("bob", "tablet");
    let by_name = Command::AddContactByName {
        name: "alice".parse().unwrap(),
        label: Some("new alice".to_owned()),
    };
    world.ask("bob", by_name).unwrap();
    assert_eq!(
        world.send("bob", alice, "two"),
        Err(CommandError::TrustBlocked(AlarmKind::KeyChanged))
    );
    let keys = fingerprint(&mut world, "bob", alice);
    assert_eq!(
        verify(&mut world, "bob", alice, keys),
        Err(CommandError::EvidenceIncomplete(
            AlarmKind::SuspiciousRemoval
        ))
    );
    assert_eq!(
        world.send("bob", alice, "two"),
        Err(CommandError::TrustBlocked(AlarmKind::SuspiciousRemoval))
    );
}

/// [IDN-65].
#[test]
fn the_account_key_ends_what_devices_began() {
    let mut world = suspicious(223);
    let alice = world.account("alice");
    world.add_client("new phone");
    let recover = Command::Recover {
        words: World::words(1),
        server: World::server_link(),
    };
    world.ask("new phone", recover).unwrap();
    // Bob does nothing: he looks for it by himself.
    world.sleep(2 * 60 * 60 * 1000);
    let Ok(Answer::Contacts(contacts)) = world.ask("bob", Command::ListContacts) else {
        panic!("contacts");
    };
    assert_eq!(contacts[0].alarm, Some(AlarmKind::Recovered));
    world.send("bob", alice, "two").unwrap();
    world.sleep(60_000);
    world.client("new phone").account = Some(alice);
    let bob = world.account("bob");
    assert_eq!(world.texts("new phone", bob), ["one", "two"]);
}

/// [IDN-64].
#[test]
fn a_rollback_ends_with_a_complete_code_only() {
    let mut world = acquainted(224);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let old = world.relay.accounts[&alice].newest().as_bytes().clone();
    link(&mut world, "alice", "tablet");
    world.send("bob", alice, "one").unwrap();
    world.sleep(60_000);
    link(&mut world, "alice", "laptop");
    world.relay.lies.insert(alice, old);
    world.send("bob", alice, "two").unwrap();
    world.sleep(60_000);
    let blocked = Err(CommandError::TrustBlocked(AlarmKind::Rollback));
    assert_eq!(world.send("bob", alice, "three"), blocked);
    let incomplete = Err(CommandError::EvidenceIncomplete(AlarmKind::Rollback));
    let keys = fingerprint(&mut world, "bob", alice);
    assert_eq!(verify(&mut world, "bob", alice, keys), incomplete);
    // Alice's devices have a later head than bob: her code makes him look for it.
    world.relay.lies.clear();
    let code = code_of(&mut world, "alice", bob);
    let evidence = Evidence::QrPayload(code.clone());
    let _first = verify(&mut world, "bob", alice, evidence);
    world.settle();
    let evidence = Evidence::QrPayload(code);
    assert_eq!(verify(&mut world, "bob", alice, evidence), Ok(Answer::Done));
    world.sleep(60_000);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "two");
}

fn own_alarm(world: &mut World, name: &'static str) -> (Option<AlarmKind>, u32) {
    match world.ask(name, Command::Status) {
        Ok(Answer::Status(status)) => (status.own_alarm, status.manifest_version),
        other => panic!("{other:?}"),
    }
}

#[test]
fn alarms_about_the_own_devices_end_when_the_user_has_looked() {
    let mut world = acquainted(225);
    let alice = world.account("alice");
    link(&mut world, "alice", "tablet");
    // The server goes back to an older list: whoever asks is not shown the tablet.
    let account = world.relay.accounts.get_mut(&alice).unwrap();
    let newest = account.manifests.pop().unwrap();
    world.go_offline("alice");
    world.go_online("alice");
    world.crash("alice");
    world.sleep(60_000);
    assert_eq!(
        own_alarm(&mut world, "alice"),
        (Some(AlarmKind::Rollback), 2)
    );
    // What was looked at has to be what there is.
    assert_eq!(
        world.ask("alice", Command::ConfirmDevices { version: 1 }),
        Err(CommandError::DevicesChanged)
    );
    assert_eq!(own_alarm(&mut world, "alice").0, Some(AlarmKind::Rollback));
    // Until then nothing is encrypted to them: what this device sends has no copy.
    let bob = world.account("bob");
    // Nor is anybody linked, who would be given what does not leave.
    world.add_client("laptop");
    let server = World::server_link();
    let Ok(Answer::LinkCode(code)) = world.ask("laptop", Command::Link { server }) else {
        panic!("a code");
    };
    assert_eq!(
        world.ask("alice", Command::InspectDevice { code }),
        Err(CommandError::TrustBlocked(AlarmKind::Rollback))
    );
    world.send("alice", bob, "not for the tablet").unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.texts("bob", alice).last().unwrap(),
        "not for the tablet"
    );
    assert_eq!(
        world.waiting("alice"),
        [(None, 1, Some(Held::Alarm(AlarmKind::Rollback)))]
    );
    assert_eq!(world.texts("tablet", bob), [] as [&str; 0]);
    let account = world.relay.accounts.get_mut(&alice).unwrap();
    account.manifests.push(newest);
    world.sleep(3_600_000);
    assert_eq!(world.texts("tablet", bob), [] as [&str; 0]);
    assert_eq!(
        world.ask("alice", Command::ConfirmDevices { version: 2 }),
        Ok(Answer::Done)
    );
    world.sleep(60_000);
    assert_eq!(world.waiting("alice"), []);
    assert_eq!(world.texts("tablet", bob), ["not for the tablet"]);
    assert_eq!(own_alarm(&mut world, "alice").0, None);
    world.crash("alice");
    assert_eq!(own_alarm(&mut world, "alice").0, None);
}

/// [IDN-66]: a contact's word about this account's devices is shown, and holds nothing back.
#[test]
fn a_contact_that_names_another_list_of_ours_is_an_alarm_and_no_more() {
    let mut world = acquainted(235);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "alice", "tablet");
    world.send("bob", alice, "one").unwrap();
    world.sleep(60_000);
    let second = world.relay.accounts[&alice].manifests.clone();
    link(&mut world, "alice", "laptop");
    let branch = world.relay.accounts[&alice].manifests.clone();
    // To bob another version 3 is shown, which the tablet signed as it had not seen the first.
    world.relay.accounts.get_mut(&alice).unwrap().manifests = second;
    world.go_offline("alice");
    world
        .client("tablet")
        .rows
        .retain(|key, _| key.table != Table::Manifests || key.order <= 2);
    world.crash("tablet");
    world.sleep(60_000);
    link_by(&mut world, "tablet", "other");
    // The first text was sealed for the devices of before; the second names the list.
    for text in ["two", "three"] {
        world.send("bob", alice, text).unwrap();
        world.sleep(60_000);
    }
    world.go_offline("tablet");
    world.go_offline("other");
    world.relay.accounts.get_mut(&alice).unwrap().manifests = branch;
    // The tablet's own words, which would prove it, are held back; bob's come.
    let phone = world.client("alice").device();
    let stored = &mut world.relay.mailboxes.get_mut(&phone).unwrap().stored;
    let bobs = stored.pop().unwrap();
    *stored = vec![bobs];
    world.go_online("alice");
    world.sleep(60_000);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "three");
    assert_eq!(
        own_alarm(&mut world, "alice"),
        (Some(AlarmKind::ListContested), 3)
    );
    let before = world.texts("laptop", bob).len();
    world
        .send("alice", bob, "and the laptop hears of it")
        .unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("laptop", bob).len(), before + 1);
    assert_eq!(
        world.ask("alice", Command::ConfirmDevices { version: 3 }),
        Ok(Answer::Done)
    );
    assert_eq!(own_alarm(&mut world, "alice").0, None);
}

/// Two people compare codes before either has sent anything: neither holds a manifest of the other.
#[test]
fn codes_without_manifests_raise_nothing() {
    let mut world = World::new(226);
    let alice = world.register("alice", 1);
    let bob = world.register("bob", 2);
    world.befriend("alice", "bob");
    world.befriend("bob", "alice");
    for (who, whom, about) in [("alice", "bob", alice), ("bob", "alice", bob)] {
        let code = code_of(&mut world, whom, about);
        let contact = if who == "alice" { bob } else { alice };
        let evidence = Evidence::QrPayload(code);
        assert_eq!(verify(&mut world, who, contact, evidence), Ok(Answer::Done));
        assert_eq!(own_alarm(&mut world, who).0, None);
    }
}
