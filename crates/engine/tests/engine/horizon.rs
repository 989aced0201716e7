// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Silence: what was lost behind the server is sent again, and sessions in which nobody answers are
//! followed by new ones.

use waxwing_engine::notice::{AlarmKind, MessageState};
use waxwing_engine::{Answer, Command, Notice, RowKey, Table};
use waxwing_proto::{AccountKey, DeviceId, limits};

use crate::conversation::acquainted;
use crate::world::World;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Both have a session whose prefix has ended, and nothing waits for a receipt.
fn settled(seed: u64) -> World {
    let mut world = acquainted(seed);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("bob", alice, "hello alice").unwrap();
    world.send("alice", bob, "how are you?").unwrap();
    world.sleep(60_000);
    world
}

fn device_of(world: &World, name: &'static str) -> DeviceId {
    let account = world.account(name);
    world.relay.accounts[&account].newest().devices()[0].id()
}

fn assert_no_alarm(world: &mut World) {
    for name in ["alice", "bob"] {
        let notices = world.notices(name);
        let alarms = notices.iter().filter(|n| matches!(n, Notice::Alarm(_)));
        assert_eq!(alarms.count(), 0, "{name}");
    }
}

/// [SES-63], [SES-64]: in a living session too, a day later, once, also after a crash.
#[test]
fn what_the_server_lost_is_sent_again() {
    let mut world = settled(51);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let device = device_of(&world, "bob");
    world.relay.loses.insert(device);
    world.send("alice", bob, "lost").unwrap();
    world.relay.loses.clear();
    world.send("alice", bob, "arrives").unwrap();
    world.sleep(13 * HOUR);
    world.send("bob", alice, "where is it?").unwrap();
    world.sleep(9 * HOUR);
    assert!(!world.texts("bob", alice).contains(&"lost".to_owned()));
    world.crash("alice");
    world.sleep(4 * HOUR);
    let expected = [
        "hello bob",
        "hello alice",
        "how are you?",
        "lost",
        "arrives",
        "where is it?",
    ];
    assert_eq!(world.texts("bob", alice), expected);
    let history = world.history("alice", bob);
    assert!(
        history
            .iter()
            .take(5)
            .all(|m| m.state != MessageState::OnServer)
    );
    // It is known to have arrived: nothing is sent any more.
    let before = world.relay.accepted;
    world.sleep(5 * DAY);
    assert_eq!(world.relay.accepted, before);
    assert_no_alarm(&mut world);
}

/// [SES-61], [SES-65]: nobody says anything any more, and still nothing stays lost.
#[test]
fn silence_alone_opens_a_new_session() {
    let mut world = settled(52);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let device = device_of(&world, "bob");
    world.relay.loses.insert(device);
    world.send("alice", bob, "first lost").unwrap();
    world.send("alice", bob, "second lost").unwrap();
    world.sleep(6 * DAY);
    world.relay.loses.clear();
    let (questions, before) = (world.relay.prekey_questions, world.relay.accepted);
    world.sleep(DAY + 3 * HOUR);
    assert_eq!(world.relay.prekey_questions, questions + 1);
    assert!(world.texts("bob", alice).contains(&"first lost".to_owned()));
    // The new session is taken up; the rest follows.
    world.sleep(2 * DAY);
    let expected = [
        "hello bob",
        "hello alice",
        "how are you?",
        "first lost",
        "second lost",
    ];
    assert_eq!(world.texts("bob", alice), expected);
    let quiet = world.relay.accepted;
    assert!(quiet - before <= 8, "{}", quiet - before);
    world.sleep(30 * DAY);
    assert_eq!(world.relay.accepted, quiet);
    assert_no_alarm(&mut world);
}

/// A session that can never be opened, since its prekeys are gone: the next attempt finds the peer.
#[test]
fn a_dead_session_is_followed_by_another_attempt() {
    let mut world = settled(53);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let device = device_of(&world, "bob");
    world.relay.loses.insert(device);
    world.send("alice", bob, "one").unwrap();
    // The first new session is lost whole, with the second it arrives.
    world.sleep(8 * DAY);
    assert!(!world.texts("bob", alice).contains(&"one".to_owned()));
    world.relay.loses.clear();
    world.sleep(8 * DAY);
    assert_eq!(world.texts("bob", alice).last().unwrap(), "one");
    world.send("bob", alice, "there you are").unwrap();
    world.sleep(HOUR);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "there you are");
    assert_no_alarm(&mut world);
}

/// [SES-62], [SES-67]: a server lets everything through but what would renew the sessions. It is found out, and the
/// alarm ends by itself when a session takes hold.
#[test]
fn sessions_that_are_held_back_are_an_alarm_until_one_takes_hold() {
    let mut world = settled(56);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let device = device_of(&world, "bob");
    let in_vain = |world: &mut World| {
        let contact = Command::FindContact {
            query: "bob".to_owned(),
        };
        let Ok(Answer::Contact(contact)) = world.ask("alice", contact) else {
            panic!("bob");
        };
        contact.alarm == Some(AlarmKind::SessionsInVain)
    };
    world.relay.loses.insert(device);
    world.send("alice", bob, "lost").unwrap();
    // After seven days without an answer a new session, of which nothing arrives either.
    world.sleep(7 * DAY + 3 * HOUR);
    let mut days = 0;
    while !in_vain(&mut world) {
        days += 1;
        assert!(days < 5, "two attempts a day apart");
        // In the old session everything goes well.
        world.send("bob", alice, "still there?").unwrap();
        world.sleep(DAY + 3 * HOUR);
    }
    assert!(days >= 2, "one attempt is no sign: {days}");
    let told = |notice: &Notice| matches!(notice, Notice::Alarm(alarm) if alarm.kind == AlarmKind::SessionsInVain && !alarm.blocks_sending);
    assert_eq!(world.notices("alice").iter().filter(|n| told(n)).count(), 1);
    // It outlives a restart, and a comparison of keys says nothing about it.
    world.crash("alice");
    world.sleep(60_000);
    assert!(in_vain(&mut world));
    world.relay.loses.clear();
    for number in 0..40 {
        world.send("bob", alice, &format!("b{number}")).unwrap();
        world.send("alice", bob, &format!("a{number}")).unwrap();
        world.sleep(HOUR);
    }
    assert!(!in_vain(&mut world));
    assert!(world.texts("bob", alice).contains(&"lost".to_owned()));
}

/// Both have waited for seven days and open sessions to each other at the same time.
#[test]
fn both_reach_the_horizon_at_once() {
    let mut world = settled(54);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let (a, b) = (device_of(&world, "alice"), device_of(&world, "bob"));
    world.relay.loses.extend([a, b]);
    world.send("alice", bob, "to bob").unwrap();
    world.send("bob", alice, "to alice").unwrap();
    world.sleep(6 * DAY + 20 * HOUR);
    world.relay.loses.clear();
    world.sleep(3 * DAY);
    for (name, other) in [("alice", bob), ("bob", alice)] {
        let mut texts = world.texts(name, other);
        texts.sort();
        assert!(texts.contains(&"to bob".to_owned()), "{name} {texts:?}");
        assert!(texts.contains(&"to alice".to_owned()), "{name} {texts:?}");
        assert_eq!(texts.len(), 5);
    }
    for (from, to, body) in [
        ("alice", bob, "one"),
        ("bob", alice, "two"),
        ("alice", bob, "three"),
    ] {
        world.send(from, to, body).unwrap();
        world.sleep(60_000);
    }
    assert_eq!(world.texts("alice", bob).len(), 8);
    assert_eq!(world.texts("bob", alice).len(), 8);
    assert_no_alarm(&mut world);
}

/// [SES-36]: a chain ends at 1000 envelopes; what follows goes in a new session.
#[test]
fn a_chain_ends_at_1000_and_the_rest_goes_on() {
    let mut world = settled(55);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.go_offline("bob");
    let questions = world.relay.prekey_questions;
    for number in 0..1010 {
        world.tell(
            "alice",
            Command::Send {
                contact: bob,
                body: number.to_string(),
            },
        );
    }
    world.sleep(60_000);
    assert_eq!(world.relay.prekey_questions, questions + 1);
    world.go_online("bob");
    world.sleep(60_000);
    let texts = world.texts("bob", alice);
    let last = (510..1010).map(|number: u32| number.to_string());
    assert_eq!(texts, last.collect::<Vec<_>>());
    world.send("bob", alice, "that was a lot").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "that was a lot");
    assert_no_alarm(&mut world);
}

/// [SES-61]: epochs renew the keys of a long talk, so that no new session is due after two hundred
/// envelopes.
#[test]
fn a_long_talk_stays_in_its_session() {
    let mut world = settled(56);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let questions = world.relay.prekey_questions;
    for turn in 0..120 {
        world.send("alice", bob, &format!("a {turn}")).unwrap();
        world.send("bob", alice, &format!("b {turn}")).unwrap();
    }
    world.sleep(60_000);
    let asked = world.relay.prekey_questions - questions;
    assert_eq!(asked, 0);
    assert_eq!(world.texts("alice", bob).len(), 243);
    assert_eq!(world.texts("bob", alice).len(), 243);
    assert_no_alarm(&mut world);
}

/// [SES-61], [SES-91]: no unit of an epoch fits beside contents that fill their length. A new session
/// renews the keys instead, before the 201st envelope; where there is room again, epochs do.
#[test]
fn a_talk_without_room_for_epochs_goes_on_in_a_new_session() {
    /// A content of 512 bytes, and as much slack as an acknowledgement and a map take.
    const FULL: usize = 440;
    let mut world = settled(58);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    for name in ["alice", "bob"] {
        let off = Command::SetReceipts {
            delivered: Some(false),
            read: Some(false),
            on_their_own: None,
        };
        world.ask(name, off).unwrap();
    }
    // Every envelope so far is of one session, which began with the first.
    let questions = world.relay.prekey_questions;
    let mut turns = 0;
    let mut envelopes = world.relay.accepted;
    while world.relay.prekey_questions == questions {
        let (from, to) = [("alice", bob), ("bob", alice)][turns % 2];
        turns += 1;
        envelopes = world.relay.accepted;
        world.send(from, to, &"x".repeat(FULL)).unwrap();
        let size = world.relay.newest_size;
        assert!(size == 622 || world.relay.prekey_questions != questions);
        world.sleep(60_000);
    }
    assert_eq!(envelopes, limits::HORIZON_MESSAGES);
    // The new session is taken up, and has epochs.
    for turn in 0..120 {
        world.send("alice", bob, &format!("a {turn}")).unwrap();
        world.send("bob", alice, &format!("b {turn}")).unwrap();
        world.sleep(1000);
    }
    assert_eq!(world.relay.prekey_questions, questions + 1);
    for (name, other) in [("alice", bob), ("bob", alice)] {
        assert_eq!(world.texts(name, other).len(), 3 + turns + 240, "{name}");
    }
    assert_no_alarm(&mut world);
}

/// [SES-100]: a unit of an epoch that is not what the other made fails its check. The epochs of that session end,
/// which is no alarm, and a new session follows at once.
#[test]
fn an_epoch_that_fails_is_followed_by_a_new_session() {
    let mut world = settled(66);
    let contacts = [world.account("bob"), world.account("alice")];
    let mut turn = 0;
    let mut talk = |world: &mut World| {
        let from = ["alice", "bob"][turn % 2];
        world.send(from, contacts[turn % 2], "a word").unwrap();
        world.sleep(60_000);
        turn += 1;
    };
    // Units that have come lie in rows after the first.
    let run = loop {
        let is_run = |key: &&RowKey| key.table == Table::KemRows && key.order > 0;
        if let Some(run) = world.clients["alice"].rows.keys().find(is_run) {
            break run.clone();
        }
        talk(&mut world);
    };
    let questions = world.relay.prekey_questions;
    let row = world.client("alice").rows.get_mut(&run).unwrap();
    *row.last_mut().unwrap() ^= 1;
    world.crash("alice");
    for _ in 0..40 {
        talk(&mut world);
    }
    assert_eq!(world.relay.prekey_questions, questions + 1);
    assert_no_alarm(&mut world);
    let [bob, alice] = contacts;
    assert_eq!(world.texts("alice", bob).len(), 3 + turn);
    assert_eq!(world.texts("bob", alice).len(), 3 + turn);
}

/// [SES-66], [ENV-17]: with receipts off on both sides, what shows nothing is seldom and never answered.
#[test]
fn control_contents_do_not_play_ping_pong() {
    let mut world = settled(57);
    let bob = world.account("bob");
    for name in ["alice", "bob"] {
        let off = Command::SetReceipts {
            delivered: Some(false),
            read: Some(false),
            on_their_own: None,
        };
        world.ask(name, off).unwrap();
    }
    let before = world.relay.accepted;
    world.send("alice", bob, "one text").unwrap();
    world.sleep(HOUR);
    // The text, and one content that shows nothing.
    assert_eq!(world.relay.accepted - before, 2);
    for _ in 0..4 {
        world.send("alice", bob, "another").unwrap();
        world.sleep(HOUR);
    }
    assert_eq!(world.relay.accepted - before, 6);
    world.sleep(40 * DAY);
    let quiet = world.relay.accepted;
    // Each of five texts is sent again at most four times, and answered at most once in six hours.
    assert!(quiet - before <= 6 + 20 + 20, "{}", quiet - before);
    world.sleep(30 * DAY);
    assert_eq!(world.relay.accepted, quiet);
    assert_no_alarm(&mut world);
}

/// Everything that bob's device keeps about an account goes.
fn bob_forgets(world: &mut World, account: AccountKey) {
    world.client("bob").rows.retain(|key, _| {
        let about_it = key.scope.starts_with(account.as_bytes());
        let kept = !matches!(
            key.table,
            Table::Contacts | Table::Manifests | Table::Sessions | Table::Messages
        );
        kept || !about_it
    });
    world.crash("bob");
}

/// [SES-68]: a contact that has lost everything about this account is an alarm, until the user takes its
/// devices as they are.
#[test]
fn accepting_a_contact_that_forgot_everything_begins_anew() {
    // Of a seed with which the new handshake is not taken for a late loser ([SES-57]).
    let mut world = settled(65);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    bob_forgets(&mut world, alice);
    world.befriend("bob", "alice");
    world.send("bob", alice, "do I know you?").unwrap();
    world.sleep(60_000);
    let alarm = |world: &mut World| {
        let contact = Command::FindContact {
            query: "bob".to_owned(),
        };
        let Ok(Answer::Contact(contact)) = world.ask("alice", contact) else {
            panic!("bob");
        };
        contact.alarm
    };
    assert_eq!(alarm(&mut world), Some(AlarmKind::ClonedDevice));
    let before = world.texts("alice", bob);
    assert!(!before.contains(&"do I know you?".to_owned()));
    world
        .ask("alice", Command::AcceptContact { contact: bob })
        .unwrap();
    assert_eq!(alarm(&mut world), None);
    world.send("bob", alice, "hello?").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "hello?");
    world.send("alice", bob, "hello again").unwrap();
    world.sleep(60_000);
    assert_eq!(world.texts("bob", alice).last().unwrap(), "hello again");
    // What was refused comes too, as everything that lacks a receipt.
    world.sleep(3 * DAY);
    assert!(
        world
            .texts("alice", bob)
            .contains(&"do I know you?".to_owned())
    );
    assert_eq!(alarm(&mut world), None);
}

/// Accepting says nothing where no alarm stands: the sessions stay.
#[test]
fn accepting_again_without_an_alarm_changes_no_session() {
    let mut world = settled(60);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let sessions = |world: &mut World| {
        let rows = &world.client("alice").rows;
        let rows = rows.iter().filter(|(key, _)| key.table == Table::Sessions);
        rows.map(|(key, row)| (key.clone(), row.clone()))
            .collect::<Vec<_>>()
    };
    let before = sessions(&mut world);
    world
        .ask("alice", Command::AcceptContact { contact: bob })
        .unwrap();
    assert_eq!(sessions(&mut world), before);
    world.send("bob", alice, "as before").unwrap();
    world.sleep(1000);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "as before");
}

/// [SES-60]: whoever was forgotten together with everything about it, and goes on as before, is met as
/// a stranger whose content nobody can read.
#[test]
fn a_forgotten_contact_is_a_request_without_a_content() {
    let mut world = settled(58);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    bob_forgets(&mut world, alice);
    world.send("alice", bob, "are you there?").unwrap();
    world.sleep(HOUR);
    let list = |world: &mut World| match world.ask("bob", Command::ListContacts) {
        Ok(Answer::Contacts(contacts)) => contacts,
        other => panic!("{other:?}"),
    };
    assert!(list(&mut world).is_empty());
    world.notices("bob");
    world.sleep(8 * DAY);
    let contacts = list(&mut world);
    assert_eq!(contacts.len(), 1);
    assert!(contacts[0].request && contacts[0].alarm.is_none());
    assert!(world.texts("bob", alice).is_empty());
    assert_no_alarm(&mut world);
}
