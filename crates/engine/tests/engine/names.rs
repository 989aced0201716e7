// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Strangers who call themselves what others are called, message ids that are used twice, ids that are
//! taken back.

use prost::Message as _;
use waxwing_engine::notice::MessageState;
use waxwing_engine::{Answer, Command, CommandError, Table};
use waxwing_proto::{AccountKey, DeliveryId, v1};

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

/// Lets a client call itself by another name.
fn masquerade(world: &mut World, who: &'static str, name: &str) {
    for (key, value) in &mut world.client(who).rows {
        if key.table == Table::Account && key.order == 0 {
            let mut row = v1::AccountRow::decode(value.as_slice()).unwrap();
            name.clone_into(&mut row.name);
            *value = row.encode_to_vec();
        }
    }
    world.crash(who);
    world.sleep(1000);
}

fn find(world: &mut World, query: &str) -> Option<AccountKey> {
    let query = query.to_owned();
    match world.ask("alice", Command::FindContact { query }) {
        Ok(Answer::Contact(contact)) => Some(contact.account),
        Err(CommandError::ContactUnknown) => None,
        other => panic!("{other:?}"),
    }
}

/// [IDN-67].
#[test]
fn a_stranger_cannot_take_a_name_or_an_address() {
    let mut world = World::new(231);
    let alice = world.register("alice", 1);
    let carol = world.register("carol", 2);
    let mallory = world.register("mallory", 3);
    masquerade(&mut world, "mallory", "carol");
    world.befriend("mallory", "alice");
    world.send("mallory", alice, "it is me, carol").unwrap();
    world.sleep(60_000);
    let Ok(Answer::Contacts(contacts)) = world.ask("alice", Command::ListContacts) else {
        panic!("contacts");
    };
    let request = &contacts[0];
    assert!(request.request && request.address_claimed);
    assert!(
        request.label.starts_with("carol-") && request.label.len() == 12,
        "{}",
        request.label
    );
    // As long as nobody else is called so, the request can be named by what it calls itself.
    assert_eq!(find(&mut world, "carol"), Some(mallory));
    let link = world.link_of("carol");
    let add = Command::AddContact { link, label: None };
    let Ok(Answer::Contact(added)) = world.ask("alice", add) else {
        panic!("a contact");
    };
    assert_eq!((added.account, added.label.as_str()), (carol, "carol"));
    assert_eq!(find(&mut world, "carol"), Some(carol));
    assert_eq!(find(&mut world, "carol@home.example"), Some(carol));
    // Accepted, it gets a name that nobody else is known by.
    world
        .ask("alice", Command::AcceptContact { contact: mallory })
        .unwrap();
    assert_eq!(find(&mut world, "carol"), Some(carol));
    assert_eq!(find(&mut world, "carol@home.example"), Some(carol));
    assert_eq!(find(&mut world, "carol-2"), Some(mallory));
}

/// [IDN-67].
#[test]
fn an_accepted_contact_cannot_stand_behind_an_address_that_is_typed_later() {
    let mut world = World::new(232);
    let alice = world.register("alice", 1);
    let mallory = world.register("mallory", 2);
    world.befriend("mallory", "alice");
    world.send("mallory", alice, "hello").unwrap();
    world.sleep(60_000);
    world
        .ask("alice", Command::AcceptContact { contact: mallory })
        .unwrap();
    world.sleep(60_000);
    assert_eq!(find(&mut world, "mallory"), Some(mallory));
    masquerade(&mut world, "mallory", "bank");
    world.send("mallory", alice, "I am the bank now").unwrap();
    world.sleep(60_000);
    assert_eq!(find(&mut world, "bank"), None);
    assert_eq!(find(&mut world, "bank@home.example"), None);
    assert_eq!(find(&mut world, "mallory"), Some(mallory));
}

/// [BOX-42]: a contact that knows the id of a message sends one of its own under the same id.
#[test]
fn a_contact_cannot_take_the_place_of_an_own_message() {
    let mut world = acquainted(233);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "alice", "tablet");
    world.send("bob", alice, "both are known").unwrap();
    world.sleep(120_000);
    world.go_offline("tablet");
    let Ok(Answer::Queued { message_id, .. }) = world.send("alice", bob, "mine") else {
        panic!("queued");
    };
    world.sleep(60_000);
    // Bob's content waits in his outbox: its id is replaced there.
    world.go_offline("bob");
    world.send("bob", alice, "not yours").unwrap();
    for (key, value) in &mut world.client("bob").rows {
        if key.table == Table::Outbox && key.scope.is_empty() {
            let mut row = v1::ShipmentRow::decode(value.as_slice()).unwrap();
            let mut content = v1::Content::decode(row.content.clone()).unwrap();
            content.message_id = message_id.to_wire();
            row.content = content.encode_to_vec().into();
            row.message_id = message_id.to_wire();
            row.sealed = false;
            row.envelopes.clear();
            *value = row.encode_to_vec();
        }
    }
    world.crash("bob");
    world.go_online("bob");
    // At the tablet bob's content comes before the copy of what the phone sent.
    let tablet = world.relay.accounts[&alice].newest().devices()[1].id();
    let mailbox = world.relay.mailboxes.get_mut(&tablet).unwrap();
    assert!(mailbox.stored.len() >= 2);
    let positions: Vec<u64> = mailbox.stored.iter().map(|one| one.position).collect();
    mailbox.stored.reverse();
    for (envelope, position) in mailbox.stored.iter_mut().zip(positions) {
        envelope.position = position;
    }
    world.go_online("tablet");
    for name in ["alice", "tablet"] {
        let texts = world.texts(name, bob);
        for text in ["mine", "not yours"] {
            let times = texts.iter().filter(|shown| *shown == text).count();
            assert_eq!(times, 1, "{name}: {texts:?}");
        }
    }
    let own = world.history("alice", bob);
    let mine = own
        .iter()
        .find(|message| message.body == waxwing_engine::notice::Body::Text("mine".to_owned()));
    assert_eq!(mine.unwrap().state, MessageState::Delivered);
}

/// The ids by which alice can be written to, beside the two that are not revoked.
fn given_by_alice(world: &World) -> Vec<DeliveryId> {
    let alice = world.account("alice");
    let account = &world.relay.accounts[&alice];
    world
        .relay
        .ids
        .iter()
        .filter(|(id, owner)| **owner == alice && **id != account.public && **id != account.own)
        .map(|(id, _)| *id)
        .collect()
}

fn block(world: &mut World, who: &'static str, contact: AccountKey, blocked: bool) {
    let command = Command::BlockContact { contact, blocked };
    world.ask(who, command).unwrap();
}

/// [BOX-43].
#[test]
fn whoever_is_blocked_loses_its_delivery_id() {
    let mut world = acquainted(234);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    world.send("bob", alice, "hello").unwrap();
    world.sleep(60_000);
    let before = given_by_alice(&world);
    assert_eq!(before.len(), 1);
    // Without a connection the revocation waits, over a restart as well.
    world.go_offline("alice");
    block(&mut world, "alice", bob, true);
    world.crash("alice");
    assert_eq!(given_by_alice(&world), before);
    world.go_online("alice");
    assert!(given_by_alice(&world).is_empty());
    world.send("bob", alice, "are you there?").unwrap();
    world.sleep(600_000);
    assert!(
        given_by_alice(&world).is_empty(),
        "nothing new is handed out"
    );
    block(&mut world, "alice", bob, false);
    world.send("alice", bob, "now I am").unwrap();
    world.sleep(600_000);
    let after = given_by_alice(&world);
    assert!(after.len() == 1 && after != before);
    world.send("bob", alice, "good").unwrap();
    world.sleep(600_000);
    assert_eq!(world.texts("alice", bob).last().unwrap(), "good");
}

/// [BOX-43].
#[test]
fn another_device_hands_out_no_id_that_was_taken_back() {
    let mut world = acquainted(235);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "alice", "tablet");
    world.send("bob", alice, "hello").unwrap();
    world.sleep(60_000);
    let before = given_by_alice(&world);
    block(&mut world, "alice", bob, true);
    world.sleep(60_000);
    assert!(given_by_alice(&world).is_empty());
    block(&mut world, "tablet", bob, false);
    world.sleep(60_000);
    world.send("tablet", bob, "back again").unwrap();
    world.sleep(60_000);
    world.send("alice", bob, "here too").unwrap();
    world.sleep(60_000);
    let after = given_by_alice(&world);
    assert!(!after.is_empty() && after.iter().all(|id| !before.contains(id)));
    assert_eq!(world.texts("bob", alice).last().unwrap(), "here too");
    world.send("bob", alice, "welcome").unwrap();
    world.sleep(600_000);
    for name in ["alice", "tablet"] {
        assert_eq!(world.texts(name, bob).last().unwrap(), "welcome");
    }
}
