// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What leaves a client on the wire, and what does not: the relay of these worlds keeps every call.

use prost::Message as _;
use waxwing_engine::{Command, Table};
use waxwing_proto::v1::request::Call;
use waxwing_proto::{DeliveryId, DeviceId, EnvelopeId, v1};

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;
use crate::world::witness::names;

/// The row that a client keeps about its only contact.
fn contact_row(world: &World, name: &'static str) -> v1::ContactRow {
    let mut rows = world.clients[name].rows.iter();
    let (_, row) = rows.find(|(key, _)| key.table == Table::Contacts).unwrap();
    v1::ContactRow::decode(row.as_slice()).unwrap()
}

/// [BOX-7]: in all these tests the relay refuses an id that comes with other bytes or for another device;
/// here what is sent again adds no id, after lost answers and after a death.
#[test]
fn a_retry_is_the_same_envelopes() {
    let mut world = acquainted(321);
    let alice = world.account("alice");
    let tablet = link(&mut world, "alice", "tablet");
    world.send("bob", alice, "hello").unwrap();
    world.sleep(60_000);
    let phone = world.clients["alice"].device();
    // Nobody answers meanwhile.
    world.go_offline("alice");
    world.go_offline("tablet");
    for (round, dies) in [(1, false), (2, true)] {
        let arrivals = |world: &World, device: DeviceId| world.relay.witness.arrivals(device);
        let known = [phone, tablet].map(|device| arrivals(&world, device));
        world.client("bob").lose_answers = 2;
        let id = world.tell(
            "bob",
            Command::Send {
                contact: alice,
                body: format!("round {round}"),
            },
        );
        world.settle();
        assert!(world.client("bob").answers.remove(&id).unwrap().is_ok());
        if dies {
            assert!(
                world.client("bob").lose_answers > 0,
                "it has not come through"
            );
            world.crash("bob");
        }
        world.sleep(120_000);
        for (device, known) in [phone, tablet].into_iter().zip(known) {
            let arrived = arrivals(&world, device);
            let new: Vec<&(EnvelopeId, u32)> = arrived
                .iter()
                .filter(|(id, _)| known.iter().all(|(known, _)| known != id))
                .collect();
            assert_eq!(new.len(), 1, "{new:?}");
            assert!(new[0].1 > 1, "it was sent again: {new:?}");
            assert!(known.iter().all(|known| arrived.contains(known)));
        }
    }
    world.go_online("alice");
    let bob = world.account("bob");
    assert!(
        world
            .texts("alice", bob)
            .ends_with(&["round 1".to_owned(), "round 2".to_owned()])
    );
}

/// [BOX-3]: whom an id was given shows only when it sends under it.
#[test]
fn a_given_delivery_id_leaves_only_inside_the_encryption() {
    let mut world = World::new(322);
    world.relay.witness.listen();
    let alice = world.register("alice", 1);
    world.register("bob", 2);
    let bob = world.befriend("alice", "bob");
    world.send("alice", bob, "hello bob").unwrap();
    world.sleep(60_000);
    let accept = Command::AcceptContact { contact: alice };
    world.ask("bob", accept).unwrap();
    world.send("bob", alice, "hello alice").unwrap();
    world.send("alice", bob, "how are you?").unwrap();
    world.sleep(60_000);
    for (giver, holder) in [("alice", "bob"), ("bob", "alice")] {
        let given = contact_row(&world, giver).given_delivery_id;
        assert_eq!(given.len(), DeliveryId::LENGTH);
        let account = &world.relay.accounts[&world.account(giver)];
        assert!(given != account.public.to_wire() && given != account.own.to_wire());
        assert_eq!(contact_row(&world, holder).delivery_id, given);
        let mut used = 0;
        for call in world.relay.witness.calls() {
            let is_use = match call {
                Call::Send(request) => request.delivery_id == given,
                Call::TakePrekeys(request) => request.delivery_id == given,
                _ => false,
            };
            used += u32::from(is_use);
            let creates = matches!(call, Call::CreateDeliveryIds(_));
            let named = names(call, &given);
            assert!(!named || creates || is_use, "{call:?}");
            // Only the field that says where it goes.
            let elsewhere = match call.clone() {
                Call::Send(mut request) if is_use => {
                    request.delivery_id.clear();
                    names(&Call::Send(request), &given)
                }
                _ => false,
            };
            assert!(!elsewhere);
        }
        assert!(used > 0, "{holder} has used it");
    }
}

/// [SES-20]: what it has to know of a stranger is in the envelope, whichever of its devices writes.
#[test]
fn a_first_contact_makes_its_receiver_ask_nobody_about_it() {
    for from_tablet in [false, true] {
        let mut world = World::new(323);
        let alice = world.register("alice", 1);
        world.register("bob", 2);
        let mut from = "alice";
        if from_tablet {
            link(&mut world, "alice", "tablet");
            from = "tablet";
        }
        let bob = world.befriend(from, "bob");
        world.sleep(60_000);
        world.go_offline("bob");
        world.send(from, bob, "hello").unwrap();
        world.sleep(60_000);
        for name in ["alice", from] {
            world.go_offline(name);
        }
        world.relay.witness.listen();
        world.relay.calls.clear();
        world.go_online("bob");
        assert_eq!(world.texts("bob", alice), ["hello"]);
        world.sleep(3_600_000);
        assert!(!world.relay.witness.calls().is_empty());
        assert_eq!(world.relay.calls.get("manifests"), None);
        for call in world.relay.witness.calls() {
            assert!(!names(call, alice.as_bytes()), "{call:?}");
            assert!(!names(call, b"alice"), "{call:?}");
        }
    }
}

/// [ENV-10]: one id everywhere, and on no wire.
#[test]
fn a_message_id_is_the_same_everywhere_and_stands_in_no_call() {
    let mut world = acquainted(324);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    link(&mut world, "alice", "tablet");
    link(&mut world, "bob", "bobs tablet");
    world.send("bob", alice, "hello").unwrap();
    world.sleep(60_000);
    world.relay.witness.listen();
    let mut found = Vec::new();
    for text in ["one", "two"] {
        world.send("alice", bob, text).unwrap();
        world.sleep(60_000);
        let newest = |world: &mut World, name, contact| world.history(name, contact).pop().unwrap();
        let id = newest(&mut world, "alice", bob).id;
        for (name, contact) in [("tablet", bob), ("bob", alice), ("bobs tablet", alice)] {
            assert_eq!(newest(&mut world, name, contact).id, id, "{name}");
        }
        found.push(id);
    }
    assert_ne!(found[0], found[1]);
    assert!(world.relay.witness.calls().len() > 2);
    for call in world.relay.witness.calls() {
        for id in &found {
            assert!(!names(call, id.as_bytes()), "{call:?}");
        }
    }
}
