// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is kept of strangers together, and for how long texts are kept for those who do not answer.

use prost::Message as _;
use waxwing_engine::notice::MessageState;
use waxwing_engine::{Command, RowKey, Table};
use waxwing_proto::{AccountKey, DeviceId, v1};

use crate::conversation::acquainted;
use crate::devices::link;
use crate::hostile::unbridled;
use crate::world::World;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// [BOX-44]: of all strangers together 4096 contents are kept, and what is beyond gets no receipt either.
#[test]
fn what_is_kept_of_all_strangers_is_bounded() {
    let mut world = World::new(361);
    let alice = world.register("alice", 1);
    world.register("mallory", 2);
    world.befriend("mallory", "alice");
    world.settle();
    unbridled(&mut world, "mallory", alice);
    let mallory = world.account("mallory");
    // As if sixteen others had written before: two less than there may be.
    for number in 0..16_u8 {
        let all = 4096 / 16;
        let row = v1::ContactRow {
            label: format!("stranger {number}"),
            request: v1::contact_state::Request::Pending.into(),
            request_contents: if number == 0 { all - 2 } else { all },
            ..v1::ContactRow::default()
        };
        let key = RowKey {
            table: Table::Contacts,
            scope: AccountKey::new([number + 1; 32]).as_bytes().to_vec(),
            order: 0,
        };
        let rows = &mut world.client("alice").rows;
        rows.insert(key, row.encode_to_vec());
    }
    world.crash("alice");
    world.sleep(1000);
    for number in 0..4 {
        world.send("mallory", alice, &format!("{number}")).unwrap();
        world.sleep(1000);
    }
    assert_eq!(world.texts("alice", mallory), ["0", "1"]);
    let accept = Command::AcceptContact { contact: mallory };
    world.ask("alice", accept).unwrap();
    world.sleep(60_000);
    let states: Vec<MessageState> = world
        .history("mallory", alice)
        .iter()
        .map(|message| message.state)
        .collect();
    let (kept, dropped) = (MessageState::Delivered, MessageState::OnServer);
    assert_eq!(states, [kept, kept, dropped, dropped]);
}

/// How many texts a client keeps until they have their receipts.
fn kept(world: &World, name: &'static str) -> usize {
    let rows = world.clients[name].rows.keys();
    rows.filter(|key| key.table == Table::Outbox && key.scope == b"w")
        .count()
}

/// [SES-63]: for 45 days, also over restarts, and not for a day more.
#[test]
fn a_text_without_a_receipt_is_kept_for_45_days() {
    let mut world = acquainted(362);
    let bob = world.account("bob");
    world.sleep(60_000);
    assert_eq!(kept(&world, "alice"), 0);
    world.go_offline("bob");
    world.send("alice", bob, "are you there?").unwrap();
    world.settle();
    assert_eq!(kept(&world, "alice"), 1);
    world.sleep(45 * DAY - 3 * HOUR);
    world.crash("alice");
    world.sleep(HOUR);
    assert_eq!(kept(&world, "alice"), 1);
    world.sleep(5 * HOUR);
    assert_eq!(kept(&world, "alice"), 0);
}

/// [SES-63]: one receipt is not enough where there are two devices, and who is gone is not waited for.
#[test]
fn a_text_is_kept_for_each_device_that_is_listed() {
    let mut world = acquainted(363);
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let tablet: DeviceId = link(&mut world, "bob", "tablet");
    world.send("alice", bob, "to both").unwrap();
    world.sleep(60_000);
    assert_eq!(kept(&world, "alice"), 0);
    world.go_offline("tablet");
    world.send("alice", bob, "to the phone").unwrap();
    world.sleep(60_000);
    assert_eq!(
        world.history("alice", bob).last().unwrap().state,
        MessageState::Delivered
    );
    world.sleep(3 * HOUR);
    assert_eq!(kept(&world, "alice"), 1, "the tablet lacks it");
    let removed = world.ask("bob", Command::RemoveDevice { device: tablet });
    assert!(removed.is_ok(), "{removed:?}");
    world.send("bob", alice, "the tablet is lost").unwrap();
    world.sleep(3 * HOUR);
    assert_eq!(kept(&world, "alice"), 0);
}
