// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Kinds that nobody knows yet, switches, bounds, ids that are gone, keys that grow old.

use prost::Message as _;
use waxwing_engine::command::Held;
use waxwing_engine::event::LinkFailure;
use waxwing_engine::notice::{AlarmKind, Body, MessageState};
use waxwing_engine::{Answer, Command, CommandError, Event, Notice, Table};
use waxwing_proto::v1;

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

/// [ENV-15].
#[test]
fn an_unknown_kind_is_kept_and_shown_as_such() {
    let mut world = acquainted(31);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.go_offline("alice");
    world.send("alice", bob, "a poll").unwrap();
    // A later version wrote the content that waits in the outbox.
    for (key, value) in &mut world.client("alice").rows {
        if key.table == Table::Outbox && key.scope.is_empty() {
            let mut row = v1::ShipmentRow::decode(value.as_slice()).unwrap();
            let mut content = v1::Content::decode(row.content.clone()).unwrap();
            content.kind = None;
            let mut bytes = content.encode_to_vec();
            // Field 90, length-delimited, two bytes.
            bytes.extend_from_slice(&[0xd2, 0x05, 0x02, 0x08, 0x01]);
            row.content = bytes.into();
            row.sealed = false;
            row.envelopes.clear();
            *value = row.encode_to_vec();
        }
    }
    world.crash("alice");
    world.go_online("alice");
    let history = world.history("bob", alice);
    assert_eq!(history.last().unwrap().body, Body::NeedsNewerVersion);
    let kept = world.client("bob").rows.iter().any(|(key, value)| {
        key.table == Table::Messages
            && matches!(
                v1::MessageRow::decode(value.as_slice()).unwrap().body,
                Some(v1::message_row::Body::Unknown(_))
            )
    });
    assert!(kept);
    world.send("alice", bob, "and a text").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("bob", alice).last().unwrap(), "and a text");
}

#[test]
fn a_stranger_gets_at_most_32_contents() {
    let mut world = World::new(33);
    let alice = world.register("alice", 1);
    world.register("bob", 2);
    let bob = world.befriend("alice", "bob");
    for number in 0..40 {
        world.send("alice", bob, &format!("{number}")).unwrap();
    }
    world.sleep(600_000);
    assert_eq!(world.texts("bob", alice).len(), 32);
    // And is told why the rest stays.
    assert_eq!(
        world.waiting("alice"),
        [(Some("bob".to_owned()), 8, Some(Held::NotAnswered))]
    );
    world
        .ask("bob", Command::AcceptContact { contact: alice })
        .unwrap();
    world.send("bob", alice, "enough").unwrap();
    world.sleep(600_000);
    assert_eq!(world.texts("bob", alice).len(), 41);
    assert_eq!(world.waiting("alice"), []);
}

#[test]
fn a_delivery_id_that_is_gone_is_replaced_by_the_public_one() {
    let mut world = acquainted(34);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("bob", alice, "hello alice").unwrap();
    world.sleep(60_000);
    let account = &world.relay.accounts[&alice];
    let kept = [account.public, account.own];
    world
        .relay
        .ids
        .retain(|id, owner| *owner != alice || kept.contains(id));
    world.send("bob", alice, "still there?").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "still there?");
}

/// [ENV-16], [BOX-2].
#[test]
fn each_contact_gets_an_id_of_its_own_that_exists_before_it_is_told() {
    let mut world = acquainted(35);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.register("carol", 3);
    let carol = world.befriend("alice", "carol");
    world.send("alice", carol, "hello carol").unwrap();
    world.send("bob", alice, "hello alice").unwrap();
    world.sleep(60_000);
    let given = world
        .relay
        .ids
        .values()
        .filter(|owner| **owner == alice)
        .count();
    assert_eq!(given, 4, "public, own, bob's, carol's");
    let used = world.client("alice").rows.iter().any(|(key, value)| {
        key.table == Table::Contacts
            && key.scope == bob.as_bytes()
            && v1::ContactRow::decode(value.as_slice()).unwrap().given_used
    });
    assert!(used);
}

#[test]
fn without_room_for_ids_the_public_one_is_given() {
    let mut world = World::new(36);
    let alice = world.register("alice", 1);
    world.register("bob", 2);
    world.relay.ids_full = true;
    let bob = world.befriend("alice", "bob");
    world.send("alice", bob, "hello").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("bob", alice), ["hello"]);
}

/// [PRE-17].
#[test]
fn prekeys_are_replaced_and_topped_up_by_the_clock() {
    let mut world = World::new(37);
    let alice = world.register("alice", 1);
    world.register("bob", 2);
    world.sleep(60_000);
    let device = world.relay.accounts[&alice].newest().devices()[0].id();
    assert_eq!(world.relay.prekeys[&device].one_time.len(), 100);
    let first = world.relay.prekeys[&device].signed_id;
    world
        .relay
        .prekeys
        .get_mut(&device)
        .unwrap()
        .one_time
        .truncate(3);
    world.sleep(2 * 3_600_000);
    assert_eq!(world.relay.prekeys[&device].one_time.len(), 100);
    assert_eq!(world.relay.prekeys[&device].signed_id, first);
    world.sleep(50 * 3_600_000);
    assert_ne!(world.relay.prekeys[&device].signed_id, first);
    // The old secret goes at the first drain that begins eight days after its replacement.
    let held = |world: &mut World| {
        world
            .client("alice")
            .rows
            .keys()
            .any(|key| key.table == Table::Prekeys && key.order == u64::from(first))
    };
    world.go_offline("alice");
    world.go_online("alice");
    assert!(held(&mut world));
    world.go_offline("alice");
    world.sleep(9 * 86_400_000);
    world.go_online("alice");
    assert!(!held(&mut world));
}

/// [SES-21]: which handshake of a device is the greater one is chance: the greater is the alarm, and the smaller one
/// could be late. So several worlds are looked at, and some of them have the alarm.
#[test]
fn a_device_that_lost_its_sessions_is_an_alarm_and_shows_nothing() {
    let mut alarmed = 0;
    for seed in 380..388 {
        let mut world = acquainted(seed);
        let (alice, bob) = (world.account("alice"), world.account("bob"));
        world.send("bob", alice, "hello alice").unwrap();
        world.send("alice", bob, "hello again").unwrap();
        world.sleep(60_000);
        world
            .client("alice")
            .rows
            .retain(|key, _| key.table != Table::Sessions);
        world.crash("alice");
        world.sleep(60_000);
        world.send("alice", bob, "from nowhere").unwrap();
        world.sleep(60_000);
        let alarms: Vec<AlarmKind> = world
            .notices("bob")
            .iter()
            .filter_map(|notice| match notice {
                Notice::Alarm(alarm) => Some(alarm.kind),
                _ => None,
            })
            .collect();
        if !alarms.is_empty() {
            alarmed += 1;
            assert_eq!(alarms, [AlarmKind::ClonedDevice]);
            assert_eq!(world.texts("bob", alice).last().unwrap(), "hello again");
        }
    }
    assert!(alarmed > 0);
}

/// What this device remembers to have sent is not what the contact has opened: a copy of it did.
/// The content that says so is delivered all the same.
#[test]
fn an_acknowledgement_of_what_a_copy_sent_is_an_alarm() {
    let mut world = acquainted(40);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("alice", bob, "hello bob").unwrap();
    world.sleep(60_000);
    let mut changed = 0;
    for (key, row) in &mut world.client("alice").rows {
        if key.table == Table::SentHashes {
            *row.last_mut().unwrap() ^= 1;
            changed += 1;
        }
    }
    assert!(changed > 0);
    world.crash("alice");
    world.send("bob", alice, "hello alice").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "hello alice");
    let is_alarm = |notice: &Notice| matches!(notice, Notice::Alarm(alarm) if alarm.kind == AlarmKind::ClonedDevice);
    assert!(world.notices("alice").iter().any(is_alarm));
    assert!(!world.notices("bob").iter().any(is_alarm));
}

#[test]
fn a_removed_device_is_not_heard_although_the_server_lets_it_in() {
    let mut world = acquainted(39);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let tablet = link(&mut world, "alice", "tablet");
    world.send("tablet", bob, "one").unwrap();
    world.sleep(60_000);
    world.go_offline("tablet");
    world
        .ask("alice", Command::RemoveDevice { device: tablet })
        .unwrap();
    world.send("alice", bob, "the tablet is gone").unwrap();
    world.sleep(60_000);
    let before = world.texts("bob", alice);
    world.relay.forgets_removals = true;
    world.go_online("tablet");
    world.send("tablet", bob, "in the old session").unwrap();
    world.sleep(60_000);
    world
        .client("tablet")
        .rows
        .retain(|key, _| key.table != Table::Sessions);
    world.crash("tablet");
    world.sleep(60_000);
    world.send("tablet", bob, "in a new session").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("bob", alice), before);
}

/// [ENV-18].
#[test]
fn large_texts_reach_several_devices_within_the_bounds_of_batches() {
    let mut world = acquainted(40);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    for device in ["tablet", "laptop", "desktop"] {
        link(&mut world, "alice", device);
    }
    link(&mut world, "bob", "bobs tablet");
    let body = "x".repeat(48 * 1024);
    world.send("bob", alice, &body).unwrap();
    world.send("alice", bob, &body).unwrap();
    world.sleep(120_000);
    for device in ["alice", "tablet", "laptop", "desktop"] {
        assert_eq!(
            world
                .texts(device, bob)
                .iter()
                .filter(|text| **text == body)
                .count(),
            2,
            "{device}"
        );
    }
    assert_eq!(world.texts("bobs tablet", alice).len(), 2);
    assert_eq!(
        world.send("alice", bob, &"x".repeat(48 * 1024 + 1)),
        Err(CommandError::TextInvalid)
    );
    assert_eq!(world.send("alice", bob, ""), Err(CommandError::TextInvalid));
}

#[test]
fn unread_is_what_was_not_marked_as_shown() {
    let mut world = acquainted(41);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("alice", bob, "two").unwrap();
    world.sleep(1000);
    let unread =
        |world: &mut World, after| match world.ask("bob", Command::Unread { after, limit: 500 }) {
            Ok(Answer::Messages(messages)) => messages,
            other => panic!("{other:?}"),
        };
    let messages = unread(&mut world, 0);
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|message| message.contact == alice));
    assert_eq!(unread(&mut world, messages[0].cursor).len(), 1);
    world
        .ask(
            "bob",
            Command::MarkShown {
                up_to: messages[0].cursor,
            },
        )
        .unwrap();
    world.crash("bob");
    let left = unread(&mut world, 0);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].body, Body::Text("two".to_owned()));
    let history = world.history("bob", alice);
    let page = world.ask(
        "bob",
        Command::History {
            contact: alice,
            before: Some(history[1].cursor),
            limit: 5,
        },
    );
    assert_eq!(page, Ok(Answer::Messages(vec![history[0].clone()])));
}

#[test]
fn a_clock_that_is_wrong_is_shown_once() {
    let mut world = acquainted(42);
    world.go_offline("alice");
    world.notices("alice");
    let now = world.now;
    let skewed = waxwing_engine::Now {
        wall_ms: now.wall_ms - 600_000,
        ..now
    };
    for _ in 0..2 {
        world.client("alice").handle(
            skewed,
            Event::LinkUp {
                exporter: [0; 32],
                server_time_ms: now.wall_ms,
                server_key: None,
            },
        );
    }
    world.settle();
    let skews = world
        .notices("alice")
        .iter()
        .filter(|notice| **notice == Notice::ClockSkew { skew_ms: -600_000 })
        .count();
    assert_eq!(skews, 1);
}

#[test]
fn labels_are_the_users_and_unique() {
    let mut world = acquainted(43);
    let bob = world.account("bob");
    world.register("carol", 3);
    let carol = world.befriend("alice", "carol");
    let rename = |label: &str| Command::RenameContact {
        contact: carol,
        label: label.to_owned(),
    };
    for bad in ["bob", "", "  ", "a\u{7}b", &"x".repeat(65)] {
        assert_eq!(
            world.ask("alice", rename(bad)),
            Err(CommandError::LabelInvalid),
            "{bad:?}"
        );
    }
    world.ask("alice", rename("Caroline")).unwrap();
    let find = |query: &str| Command::FindContact {
        query: query.to_owned(),
    };
    for query in ["Caroline", "carol@home.example", "carol"] {
        let found = world.ask("alice", find(query));
        assert!(matches!(found, Ok(Answer::Contact(contact)) if contact.account == carol));
    }
    let found = world.ask("alice", find(&bob.to_hex()));
    assert!(matches!(found, Ok(Answer::Contact(contact)) if contact.account == bob));
    assert_eq!(
        world.ask("alice", find("dave")),
        Err(CommandError::ContactUnknown)
    );
}

#[test]
fn an_account_that_is_closed_is_gone() {
    let mut world = acquainted(44);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let close = |words| Command::CloseAccount { words };
    assert_eq!(
        world.ask("bob", close(World::words(1))),
        Err(CommandError::EvidenceMismatch)
    );
    world.ask("bob", close(World::words(2))).unwrap();
    assert_eq!(
        world.send("bob", alice, "still here?"),
        Err(CommandError::AccountClosed)
    );
    world.send("alice", bob, "are you there?").unwrap();
    world.sleep(600_000);
    assert_eq!(
        world.history("alice", bob).last().unwrap().state,
        MessageState::Queued
    );
}

#[test]
fn a_server_that_cannot_be_reached_leaves_an_empty_profile() {
    let mut world = World::new(45);
    world.add_client("alice");
    world.client("alice").network = false;
    let command = world.register_command("alice", 1);
    let id = world.tell("alice", command);
    world.settle();
    let now = world.now;
    world
        .client("alice")
        .handle(now, Event::LinkDown(LinkFailure::WrongServerKey));
    world.settle();
    assert_eq!(
        world.client("alice").answers.remove(&id),
        Some(Err(CommandError::Link(LinkFailure::WrongServerKey)))
    );
    world.client("alice").network = true;
    let command = world.register_command("alice", 2);
    assert!(world.ask("alice", command).is_ok());
}

#[test]
fn refusals_of_a_registration_are_told_and_leave_an_empty_profile() {
    let mut world = World::new(46);
    world.register("alice", 1);
    world.add_client("second");
    let taken = match world.register_command("alice", 2) {
        Command::Register { invite, words, .. } => Command::Register {
            invite,
            words,
            name: "alice".parse().unwrap(),
        },
        _ => panic!("a registration"),
    };
    assert_eq!(
        world.ask("second", taken),
        Err(CommandError::Refused(v1::ErrorCode::NameTaken, 0))
    );
    let used = world.register_command("second", 3);
    world.relay.invites.clear();
    assert_eq!(
        world.ask("second", used),
        Err(CommandError::Refused(v1::ErrorCode::InviteUsed, 0))
    );
    assert!(
        world.client("second").rows.is_empty() || {
            world
                .client("second")
                .rows
                .keys()
                .all(|key| key.table == Table::Account && key.order == 2)
        }
    );
    let command = world.register_command("second", 4);
    assert!(world.ask("second", command).is_ok());
}

#[test]
fn a_device_without_prekeys_holds_nobody_up_and_is_not_asked_for_each_time() {
    let mut world = acquainted(47);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.sleep(60_000);
    world.go_offline("bob");
    let tablet = link(&mut world, "alice", "tablet");
    world.go_offline("tablet");
    world.relay.prekeys.remove(&tablet);
    world.go_online("bob");
    let before = world.relay.prekey_questions;
    for number in 0..5 {
        world.send("bob", alice, &format!("{number}")).unwrap();
        world.sleep(1000);
    }
    assert_eq!(world.texts("alice", bob).len(), 6);
    assert_eq!(world.relay.prekey_questions, before + 1);
    world.go_online("tablet");
    world.send("bob", alice, "to both").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("tablet", bob).last().unwrap(), "to both");
}
