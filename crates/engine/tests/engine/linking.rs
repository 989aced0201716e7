// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What two devices leave at their rendezvous.

use waxwing_crypto::RendezvousKey;
use waxwing_engine::{Answer, Command};
use waxwing_identity::{LinkCode, Signature};

use crate::conversation::acquainted;
use crate::world::World;

/// What stands in a slot, opened with the code.
fn opened(world: &World, code: &LinkCode, slot: u32) -> Option<Vec<u8>> {
    let sealed = world
        .relay
        .rendezvous
        .get(&(code.locator().to_wire(), slot))?;
    let key = RendezvousKey::derive(code.secret());
    Some(key.open(slot, sealed).unwrap().to_vec())
}

/// Shows a code on a tablet and reads it on alice's phone.
fn inspected(world: &mut World) -> (LinkCode, waxwing_proto::DeviceId) {
    world.add_client("tablet");
    let server = World::server_link();
    let Ok(Answer::LinkCode(code)) = world.ask("tablet", Command::Link { server }) else {
        panic!("a code");
    };
    // Before anybody has read the code, only the first slot is written.
    assert!(opened(world, &code, 0).is_some() && opened(world, &code, 1).is_none());
    let inspect = Command::InspectDevice { code: code.clone() };
    let Ok(Answer::DeviceOffer { device, .. }) = world.ask("alice", inspect) else {
        panic!("an offer");
    };
    world.settle();
    assert!(opened(world, &code, 2).is_none());
    (code, device)
}

/// [IDN-43].
#[test]
fn the_slots_hold_keys_account_and_membership() {
    let mut world = acquainted(341);
    let alice = world.account("alice");
    let (code, device) = inspected(&mut world);
    world.tell("tablet", Command::ConfirmLink { same: true });
    world.settle();
    let membership = opened(&world, &code, 2).unwrap();
    let approved = world.ask("alice", Command::ApproveDevice { device });
    assert_eq!(approved, Ok(Answer::Done));
    world.sleep(60_000);
    let entry = *world.relay.accounts[&alice]
        .newest()
        .device(&device)
        .unwrap();
    assert_eq!(opened(&world, &code, 0).unwrap(), entry.keys().encode());
    let answer = [alice.as_bytes().as_slice(), b"alice@home.example"].concat();
    assert_eq!(opened(&world, &code, 1).unwrap(), answer);
    // The signature fits the entry's keys and no others.
    let membership = Signature::try_from(membership.as_slice()).unwrap();
    assert!(entry.keys().countersigned(&alice, membership).is_ok());
    let bob = world.account("bob");
    assert!(entry.keys().countersigned(&bob, membership).is_err());
    assert_eq!(opened(&world, &code, 3), None);
}

/// [IDN-43]: with other words nothing that was sealed stands in the slot of the membership.
#[test]
fn other_words_leave_an_empty_membership() {
    let mut world = acquainted(342);
    let (code, _) = inspected(&mut world);
    world
        .ask("tablet", Command::ConfirmLink { same: false })
        .unwrap();
    world.settle();
    assert_eq!(opened(&world, &code, 2), Some(Vec::new()));
    assert_eq!(opened(&world, &code, 3), None);
}
