// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several devices of one account: linking, removal, recovery, and what the others see of it.

use prost::Message as _;
use waxwing_engine::notice::{AlarmKind, Body, LinkingStep, Message, MessageState};
use waxwing_engine::{Answer, Command, CommandError, Notice, Table};
use waxwing_identity::ServerLink;
use waxwing_proto::{DeviceId, v1};

use crate::conversation::acquainted;
use crate::world::World;

/// Links a new profile to an account; returns the new device.
pub(crate) fn link(world: &mut World, first: &'static str, new: &'static str) -> DeviceId {
    link_at(world, World::server_link(), first, new)
}

/// The same, where the server is known by other keys.
pub(crate) fn link_at(
    world: &mut World,
    server: ServerLink,
    first: &'static str,
    new: &'static str,
) -> DeviceId {
    world.add_client(new);
    let Ok(Answer::LinkCode(code)) = world.ask(new, Command::Link { server }) else {
        panic!("a code");
    };
    let Ok(Answer::DeviceOffer {
        device,
        safety_words,
    }) = world.ask(first, Command::InspectDevice { code })
    else {
        panic!("an offer");
    };
    world.settle();
    let shown = world
        .notices(new)
        .into_iter()
        .find_map(|notice| match notice {
            Notice::Linking(LinkingStep::Compare {
                address,
                safety_words,
            }) => Some((address, safety_words)),
            _ => None,
        });
    let (address, words) = shown.unwrap();
    assert_eq!(address, format!("{first}@home.example"));
    assert_eq!(words, safety_words);
    assert_eq!(words.split(' ').count(), 6);
    world.tell(new, Command::ConfirmLink { same: true });
    let approved = world.ask(first, Command::ApproveDevice { device });
    assert_eq!(approved, Ok(Answer::Done));
    world.sleep(60_000);
    let account = world.account(first);
    world.client(new).account = Some(account);
    let notices = world.notices(new);
    assert!(
        notices.contains(&Notice::Linking(LinkingStep::Complete)),
        "{notices:?}"
    );
    device
}

/// [ENV-9].
#[test]
fn a_linked_device_receives_what_comes_and_what_the_other_sends() {
    let mut world = acquainted(11);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let devices_before = world.client("bob").sent_to.len();
    link(&mut world, "alice", "tablet");
    let Ok(Answer::Contacts(contacts)) = world.ask("tablet", Command::ListContacts) else {
        panic!("contacts");
    };
    assert_eq!(contacts.len(), 1);
    assert_eq!(
        (contacts[0].account, contacts[0].label.as_str()),
        (bob, "bob")
    );

    world.send("bob", alice, "to both").unwrap();
    world.sleep(60_000);
    assert!(world.client("bob").sent_to.len() >= devices_before + 2);
    assert_eq!(world.texts("tablet", bob), ["to both"]);
    world.send("tablet", bob, "from the tablet").unwrap();
    world.sleep(60_000);
    world.send("alice", bob, "from the phone").unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.texts("bob", alice),
        ["hello bob", "to both", "from the tablet", "from the phone"]
    );
    assert_eq!(
        world.texts("alice", bob),
        ["hello bob", "to both", "from the tablet", "from the phone"]
    );
    assert_eq!(
        world.texts("tablet", bob),
        ["to both", "from the tablet", "from the phone"]
    );
    let last = world.history("tablet", bob).pop().unwrap();
    assert_eq!(
        last.state,
        MessageState::Delivered,
        "receipts reach every device"
    );
    assert!(!alarmed(&mut world, "bob"));
}

pub(crate) fn alarmed(world: &mut World, name: &'static str) -> bool {
    world
        .notices(name)
        .iter()
        .any(|notice| matches!(notice, Notice::Alarm(_)))
}

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
fn decisions_travel_between_the_devices() {
    let mut world = acquainted(12);
    let bob = world.account("bob");
    link(&mut world, "alice", "tablet");
    let label = "Robert".to_owned();
    world
        .ask(
            "tablet",
            Command::RenameContact {
                contact: bob,
                label,
            },
        )
        .unwrap();
    world.sleep(60_000);
    let found = world.ask(
        "alice",
        Command::FindContact {
            query: "Robert".to_owned(),
        },
    );
    assert!(matches!(found, Ok(Answer::Contact(contact)) if contact.account == bob));
    world
        .ask(
            "alice",
            Command::BlockContact {
                contact: bob,
                blocked: true,
            },
        )
        .unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.send("tablet", bob, "hello"),
        Err(CommandError::ContactBlocked)
    );
}

#[test]
fn a_verification_counts_on_every_device_and_lapses_with_the_verified_devices() {
    use waxwing_engine::command::Evidence;
    let mut world = acquainted(19);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "alice", "tablet");
    let fingerprint = match world.ask("bob", Command::Verification { contact: alice }) {
        Ok(Answer::Verification(verification)) => verification.own_fingerprint,
        other => panic!("{other:?}"),
    };
    let verify = Command::Verify {
        contact: bob,
        evidence: Evidence::Fingerprint(fingerprint),
    };
    world.ask("tablet", verify).unwrap();
    world.sleep(60_000);
    let verified = |world: &mut World| match world.ask("alice", Command::ListContacts) {
        Ok(Answer::Contacts(contacts)) => contacts[0].verified,
        other => panic!("{other:?}"),
    };
    assert!(verified(&mut world));
    world.send("bob", alice, "hello").unwrap();
    world.sleep(60_000);
    assert!(world.history("alice", bob).last().unwrap().verified);
    // All devices of bob are new: what was verified is gone.
    world.add_client("new phone");
    let recover = Command::Recover {
        words: World::words(2),
        server: World::server_link(),
    };
    world.ask("new phone", recover).unwrap();
    world.send("alice", bob, "is that you?").unwrap();
    world.sleep(60_000);
    assert!(!verified(&mut world));
    assert!(alarms(&mut world, "alice").contains(&AlarmKind::Recovered));
}

#[test]
fn a_device_that_is_not_the_one_of_the_code_is_refused() {
    let mut world = acquainted(13);
    world.add_client("tablet");
    world.add_client("mallory");
    let server = World::server_link();
    let Ok(Answer::LinkCode(code)) = world.ask("tablet", Command::Link { server }) else {
        panic!("a code");
    };
    // The server puts in keys of its own, sealed with what it does not have: any other bytes.
    let slot = (code.locator().to_wire(), 0);
    let mut value = world.relay.rendezvous[&slot].to_vec();
    *value.last_mut().unwrap() ^= 1;
    world.relay.rendezvous.insert(slot, value.into());
    assert_eq!(
        world.ask("alice", Command::InspectDevice { code }),
        Err(CommandError::LinkCodeMismatch)
    );
    assert!(
        world
            .notices("alice")
            .contains(&Notice::Linking(LinkingStep::Failed))
    );
}

#[test]
fn other_words_end_the_linking_on_both_sides() {
    let mut world = acquainted(14);
    world.add_client("tablet");
    let server = World::server_link();
    let Ok(Answer::LinkCode(code)) = world.ask("tablet", Command::Link { server }) else {
        panic!("a code");
    };
    let Ok(Answer::DeviceOffer { device, .. }) =
        world.ask("alice", Command::InspectDevice { code })
    else {
        panic!("an offer");
    };
    world.settle();
    world
        .ask("tablet", Command::ConfirmLink { same: false })
        .unwrap();
    assert_eq!(
        world.ask("alice", Command::ApproveDevice { device }),
        Err(CommandError::LinkCodeMismatch)
    );
    // The profile is empty again: it can be linked or registered.
    let command = world.register_command("tablet", 9);
    assert!(world.ask("tablet", command).is_ok());
}

/// [IDN-30].
#[test]
fn nothing_is_encrypted_to_a_removed_device() {
    let mut world = acquainted(15);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let tablet = link(&mut world, "alice", "tablet");
    world.send("bob", alice, "to both").unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.ask("alice", Command::RemoveDevice { device: tablet }),
        Ok(Answer::Done)
    );
    world.sleep(60_000);
    let before = world.client("bob").sent_to.len();
    world.send("bob", alice, "to the phone only").unwrap();
    world.send("alice", bob, "from the phone").unwrap();
    world.sleep(60_000);
    // Bob learns of the removal by the first refusal, whose envelopes were stored nowhere.
    let later: Vec<DeviceId> = world.client("bob").sent_to[before..].to_vec();
    assert_eq!(later.iter().filter(|device| **device == tablet).count(), 1);
    assert_eq!(world.texts("tablet", bob), ["to both"]);
    world.go_offline("tablet");
    world.go_online("tablet");
    let kinds = alarms(&mut world, "tablet");
    assert!(kinds.contains(&AlarmKind::RemovedFromAccount), "{kinds:?}");
    assert_eq!(
        world.send("tablet", bob, "still here"),
        Err(CommandError::Removed)
    );
    assert!(!alarmed(&mut world, "bob"));
    assert_eq!(world.texts("bob", alice).last().unwrap(), "from the phone");
}

/// [IDN-29].
#[test]
fn a_younger_device_that_removes_an_older_one_blocks_sending() {
    let mut world = acquainted(16);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "alice", "tablet");
    world.send("tablet", bob, "hello").unwrap();
    world.sleep(60_000);
    let Ok(Answer::Devices(devices)) = world.ask("tablet", Command::ListDevices) else {
        panic!("devices");
    };
    let phone = devices.iter().find(|device| !device.this_device).unwrap();
    world
        .ask("tablet", Command::RemoveDevice { device: phone.id })
        .unwrap();
    world.sleep(60_000);
    let sent = world.client("bob").sent_to.len();
    world.send("bob", alice, "one").unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.send("bob", alice, "two"),
        Err(CommandError::TrustBlocked(AlarmKind::SuspiciousRemoval))
    );
    world.sleep(600_000);
    // The attempt that learnt of it is the last one.
    assert!(world.client("bob").sent_to.len() <= sent + 2);
    let Ok(Answer::Verification(verification)) =
        world.ask("tablet", Command::Verification { contact: bob })
    else {
        panic!("verification");
    };
    world
        .ask(
            "bob",
            Command::Verify {
                contact: alice,
                evidence: waxwing_engine::command::Evidence::QrPayload(verification.qr_payload),
            },
        )
        .unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("tablet", bob).last().unwrap(), "one");
}

#[test]
fn recovery_takes_the_account_over_and_everybody_sees_it() {
    let mut world = acquainted(17);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.add_client("new phone");
    let recovered = world.ask(
        "new phone",
        Command::Recover {
            words: World::words(1),
            server: World::server_link(),
        },
    );
    assert!(
        matches!(&recovered, Ok(Answer::Registered { address, account, .. })
            if address == "alice@home.example" && *account == alice),
        "{recovered:?}"
    );
    world.sleep(60_000);
    world.send("bob", alice, "is that you?").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("new phone", bob), ["is that you?"]);
    assert!(alarms(&mut world, "bob").contains(&AlarmKind::Recovered));
    world.go_offline("alice");
    world.go_online("alice");
    assert!(alarms(&mut world, "alice").contains(&AlarmKind::RemovedFromAccount));
    assert_eq!(
        world.texts("alice", bob),
        ["hello bob"],
        "what is here can be read"
    );
    // The stranger that the new phone sees is bob: accepted again, the conversation goes on.
    world
        .ask("new phone", Command::AcceptContact { contact: bob })
        .unwrap();
    world.send("new phone", bob, "it is me").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("bob", alice).last().unwrap(), "it is me");
}

#[test]
fn words_without_an_account_are_told() {
    let mut world = World::new(18);
    world.add_client("nobody");
    let command = Command::Recover {
        words: World::words(77),
        server: World::server_link(),
    };
    assert_eq!(
        world.ask("nobody", command),
        Err(CommandError::AccountUnknown)
    );
    let command = world.register_command("nobody", 5);
    assert!(world.ask("nobody", command).is_ok());
}

/// [IDN-68]: whoever writes sees that one more device reads along, once, and that one reads no more.
#[test]
fn a_contacts_devices_are_shown_in_the_conversation() {
    let mut world = acquainted(21);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let tablet = link(&mut world, "alice", "tablet");
    world.send("bob", alice, "hello").unwrap();
    world.sleep(60_000);
    world.send("tablet", bob, "hello too").unwrap();
    world.sleep(60_000);
    world
        .ask("alice", Command::RemoveDevice { device: tablet })
        .unwrap();
    world.sleep(60_000);
    world.send("bob", alice, "only to the phone").unwrap();
    world.sleep(60_000);
    world.crash("bob");
    let changed = |added, removed, listed| Body::DevicesChanged {
        added,
        removed,
        listed,
    };
    let text = |text: &str| Body::Text(text.to_owned());
    let history = world.history("bob", alice);
    let bodies: Vec<&Body> = history.iter().map(|message| &message.body).collect();
    let expected = [
        &text("hello bob"),
        &changed(1, 0, 2),
        &text("hello"),
        &text("hello too"),
        &text("only to the phone"),
        &changed(0, 1, 1),
    ];
    assert_eq!(bodies, expected);
    assert_eq!(history[1].device, tablet);
    // Nothing is answered by it, and the account's own devices are no conversation.
    let history = world.history("alice", bob);
    let is_text = |message: &Message| matches!(message.body, Body::Text(_));
    assert!(history.len() == 4 && history.iter().all(is_text));
}

/// [ENV-14]: a content is one for all devices, and any of them may be the one whose session begins with it.
#[test]
fn the_first_content_of_any_devices_session_names_the_heads() {
    let mut world = acquainted(20);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let tablet = link(&mut world, "bob", "tablet");
    world.send("alice", bob, "to both").unwrap();
    world.sleep(60_000);
    world.send("bob", alice, "from the phone").unwrap();
    world.sleep(60_000);
    // As if nothing had been said between the two before; the phone's session is an old one.
    let scope = [bob.as_bytes().as_slice(), tablet.as_bytes()].concat();
    let rows = &mut world.client("alice").rows;
    let before = rows.len();
    rows.retain(|key, _| key.table != Table::Sessions || key.scope != scope);
    assert!(rows.len() < before);
    world.crash("alice");
    world.relay.mailboxes_full = true;
    world.send("alice", bob, "anew").unwrap();
    let rows = world.client("alice").rows.iter();
    let waiting: Vec<v1::Content> = rows
        .filter(|(key, _)| key.table == Table::Outbox && key.scope.is_empty())
        .filter_map(|(_, row)| v1::ShipmentRow::decode(row.as_slice()).ok())
        .filter_map(|row| v1::Content::decode(row.content).ok())
        .collect();
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].own_head.is_some() && waiting[0].peer_head.is_some());
}
