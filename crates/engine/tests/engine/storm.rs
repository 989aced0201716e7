// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything at once, from seeds: three accounts, one with two devices, that write, die, lose their
//! network and their answers. In the end everybody has everything once, in the order of its writer.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use waxwing_engine::{Answer, Command};
use waxwing_proto::AccountKey;

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

const DEVICES: [&str; 4] = ["alice", "tablet", "bob", "carol"];

fn three_accounts(seed: u64) -> World {
    let mut world = acquainted(seed);
    world.register("carol", 3);
    let carol = world.befriend("alice", "carol");
    let bob = world.befriend("carol", "bob");
    let alice = world.account("alice");
    world.send("alice", carol, "hello").unwrap();
    world.send("carol", bob, "hello").unwrap();
    world.sleep(60_000);
    for (who, contact) in [("carol", alice), ("bob", carol)] {
        world.ask(who, Command::AcceptContact { contact }).unwrap();
    }
    world.sleep(60_000);
    link(&mut world, "alice", "tablet");
    world
}

fn storm(seed: u64) {
    let mut world = three_accounts(seed);
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let account = |world: &World, name: &'static str| {
        world.account(if name == "tablet" { "alice" } else { name })
    };
    let mut sent: Vec<(&'static str, AccountKey, AccountKey, String)> = Vec::new();
    for number in 0..60 {
        let name = DEVICES[rng.next_u32() as usize % 4];
        match rng.next_u32() % 10 {
            0 => world.crash(name),
            1 => world.client(name).dies_after_commits = Some(1 + u64::from(rng.next_u32() % 5)),
            2 => world.client(name).dies_before_commit = Some(1 + u64::from(rng.next_u32() % 5)),
            3 => world.go_offline(name),
            4 => {
                world.client(name).network = true;
            }
            5 => world.client(name).lose_answers = rng.next_u32() % 3,
            _ => {
                let from = account(&world, name);
                let others: Vec<AccountKey> = ["alice", "bob", "carol"]
                    .into_iter()
                    .map(|other| world.account(other))
                    .filter(|other| *other != from)
                    .collect();
                let to = others[rng.next_u32() as usize % others.len()];
                let body = format!("{number} by {name}");
                let id = world.tell(
                    name,
                    Command::Send {
                        contact: to,
                        body: body.clone(),
                    },
                );
                world.settle();
                if let Some(Ok(Answer::Queued { .. })) = world.client(name).answers.remove(&id) {
                    sent.push((name, from, to, body));
                }
            }
        }
        world.sleep(u64::from(rng.next_u32() % 20_000));
    }
    for name in DEVICES {
        let client = world.client(name);
        client.dies_after_commits = None;
        client.dies_before_commit = None;
        client.lose_answers = 0;
        client.network = true;
    }
    world.sleep(3_600_000);
    for name in DEVICES {
        let own = account(&world, name);
        for other in ["alice", "bob", "carol"] {
            let contact = world.account(other);
            if contact == own {
                continue;
            }
            let texts = world.texts(name, contact);
            let concerning: Vec<_> = sent
                .iter()
                .filter(|(_, from, to, _)| {
                    (*from, *to) == (own, contact) || (*from, *to) == (contact, own)
                })
                .collect();
            for (_, _, _, body) in &concerning {
                let times = texts.iter().filter(|text| *text == body).count();
                assert_eq!(times, 1, "seed {seed}: {name} has {body:?} {times} times");
            }
            for writer in DEVICES {
                let written: Vec<&String> = concerning
                    .iter()
                    .filter(|(by, ..)| *by == writer)
                    .map(|(.., body)| body)
                    .collect();
                let shown: Vec<&String> =
                    texts.iter().filter(|text| written.contains(text)).collect();
                assert_eq!(shown, written, "seed {seed}: {name} shows {writer}");
            }
            let mut unique = texts.clone();
            unique.sort();
            unique.dedup();
            let hellos = texts
                .iter()
                .filter(|text| text.starts_with("hello"))
                .count();
            assert!(hellos <= 1 && unique.len() == texts.len(), "{texts:?}");
        }
        assert!(
            !crate::devices::alarmed(&mut world, name),
            "seed {seed}: {name}"
        );
    }
    assert!(sent.len() > 10, "seed {seed}: {}", sent.len());
}

#[test]
fn storms_lose_and_double_nothing() {
    for seed in 1000..1010 {
        storm(seed);
    }
}

#[test]
fn more_storms() {
    for seed in 2000..2010 {
        storm(seed);
    }
}
