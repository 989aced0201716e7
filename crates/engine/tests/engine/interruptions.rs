// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Linking, removal and recovery are interrupted at every commit, on either side. Each goes on by
//! itself or ends clearly and can be begun again; never is a device half in.

use waxwing_engine::{Answer, Command, Engine};

use crate::conversation::acquainted;
use crate::devices::link;
use crate::world::World;

/// One attempt at a linking; whether the new device became part of the account.
fn try_link(world: &mut World, first: &'static str, new: &'static str) -> bool {
    let server = World::server_link();
    let id = world.tell(new, Command::Link { server });
    world.sleep(2000);
    let Some(Ok(Answer::LinkCode(code))) = world.client(new).answers.remove(&id) else {
        return false;
    };
    let id = world.tell(first, Command::InspectDevice { code });
    world.sleep(2000);
    let Some(Ok(Answer::DeviceOffer { device, .. })) = world.client(first).answers.remove(&id)
    else {
        return false;
    };
    world.tell(new, Command::ConfirmLink { same: true });
    world.tell(first, Command::ApproveDevice { device });
    world.sleep(700_000);
    let listed = world
        .relay
        .accounts
        .values()
        .any(|account| account.newest().device(&device).is_some());
    if listed {
        let account = world.account(first);
        world.client(new).account = Some(account);
    }
    listed
}

#[test]
fn a_linking_that_is_interrupted_goes_on_or_can_be_begun_again() {
    for victim in ["alice", "tablet"] {
        for commit in 1.. {
            let mut world = acquainted(51);
            world.add_client("tablet");
            world.client(victim).dies_after_commits = Some(commit);
            let mut attempts = 0;
            while !try_link(&mut world, "alice", "tablet") {
                attempts += 1;
                assert!(attempts < 4, "{victim} at commit {commit}");
            }
            let died = world.client(victim).crashes > 0;
            world.client(victim).dies_after_commits = None;
            let (alice, bob) = (world.account("alice"), world.account("bob"));
            world.send("bob", alice, "to both").unwrap();
            world.sleep(120_000);
            world
                .send("tablet", bob, "from the tablet")
                .unwrap_or_else(|error| {
                    panic!("{victim} at commit {commit}: {error:?}");
                });
            world.sleep(120_000);
            assert_eq!(
                world.texts("tablet", bob),
                ["to both", "from the tablet"],
                "{victim} at commit {commit}"
            );
            assert_eq!(
                world.texts("alice", bob),
                ["hello bob", "to both", "from the tablet"],
                "{victim} at commit {commit}"
            );
            assert!(world.relay.accounts[&alice].newest().devices().len() == 2);
            if !died {
                assert!(commit > 3, "{victim}");
                break;
            }
        }
    }
}

#[test]
fn a_removal_that_is_interrupted_goes_on() {
    for commit in 1.. {
        let mut world = acquainted(52);
        let tablet = link(&mut world, "alice", "tablet");
        let alice = world.account("alice");
        world.client("alice").dies_after_commits = Some(commit);
        world.tell("alice", Command::RemoveDevice { device: tablet });
        world.sleep(120_000);
        let died = world.client("alice").crashes > 0;
        let newest = world.relay.accounts[&alice].newest().clone();
        assert!(newest.is_revoked(&tablet), "at commit {commit}");
        let Ok(Answer::Devices(devices)) = world.ask("alice", Command::ListDevices) else {
            panic!("devices");
        };
        assert_eq!(devices.len(), 1, "at commit {commit}");
        if !died {
            break;
        }
    }
}

#[test]
fn a_recovery_that_is_interrupted_goes_on_or_can_be_begun_again() {
    for commit in 1.. {
        let mut world = acquainted(53);
        let (alice, bob) = (world.account("alice"), world.account("bob"));
        world.add_client("new phone");
        world.client("new phone").dies_after_commits = Some(commit);
        let recover = || Command::Recover {
            words: World::words(1),
            server: World::server_link(),
        };
        world.tell("new phone", recover());
        world.sleep(120_000);
        let died = world.client("new phone").crashes > 0;
        let Ok(Answer::Status(status)) = world.ask("new phone", Command::Status) else {
            panic!("status");
        };
        if !status.online {
            world.ask("new phone", recover()).unwrap();
        }
        world.sleep(60_000);
        world.send("bob", alice, "is that you?").unwrap();
        world.sleep(120_000);
        assert_eq!(
            world.texts("new phone", bob),
            ["is that you?"],
            "at commit {commit}"
        );
        if !died {
            assert!(commit > 3);
            break;
        }
    }
}

/// Every prefix of the batches of a conversation opens.
#[test]
fn a_damaged_row_is_told() {
    let mut world = acquainted(54);
    let rows = world.client("alice").rows.clone();
    for (key, value) in &rows {
        if !Engine::snapshot_tables().contains(&key.table) {
            continue;
        }
        let damaged = rows.iter().map(|(other, bytes)| {
            let mut bytes = bytes.clone();
            if other == key {
                bytes.truncate(value.len() / 2);
                bytes.push(0xff);
            }
            waxwing_engine::Row {
                key: other.clone(),
                value: zeroize::Zeroizing::new(bytes),
            }
        });
        // A damaged row is an error or is read as another value; it is never a panic.
        let _opened_or_not = Engine::open(damaged.collect::<Vec<_>>()).is_ok();
    }
    let account_rows = rows
        .iter()
        .filter(|(key, _)| key.order == 0 && key.table == waxwing_engine::Table::Account)
        .map(|(key, value)| waxwing_engine::Row {
            key: key.clone(),
            value: zeroize::Zeroizing::new(value.clone()),
        });
    assert_eq!(
        Engine::open(account_rows.collect::<Vec<_>>()).err(),
        Some(waxwing_engine::EngineError::MissingRow(
            waxwing_engine::Table::Account
        ))
    );
}

/// What a host lets go out with the end of the handshake is what the engine asks for then; an account
/// that is not there yet has nothing to say.
#[test]
fn the_login_is_known_ahead_of_its_connection() {
    let mut nobody = Engine::open([]).unwrap();
    assert_eq!(nobody.login(&[1; 32]), None);
    let mut world = acquainted(41);
    let before = world.client("alice").logins_ahead;
    for _ in 0..3 {
        world.go_offline("alice");
        world.go_online("alice");
        world.settle();
    }
    assert_eq!(world.client("alice").logins_ahead, before + 3);
}

/// [TRN-62]: the server of a contact is away, the own one is not. Whatever waits is tried every two seconds
/// for ten minutes, and more seldom then.
#[test]
fn a_contacts_server_that_was_away_is_noticed_within_two_seconds() {
    for minutes in [1, 9] {
        let mut world = acquainted(41);
        let (alice, bob) = (world.account("alice"), world.account("bob"));
        world.client("alice").anonymous_cut = true;
        world.send("alice", bob, "are you back?").unwrap();
        world.sleep(minutes * 60_000);
        world.client("alice").anonymous_cut = false;
        world.sleep(2_000);
        assert_eq!(world.texts("bob", alice).last().unwrap(), "are you back?");
    }
    let mut world = acquainted(42);
    let bob = world.account("bob");
    world.client("alice").anonymous_cut = true;
    world.send("alice", bob, "are you back?").unwrap();
    world.sleep(20 * 60_000);
    let before = world.client("alice").sent_to.len();
    world.sleep(60 * 60_000);
    let tried = world.client("alice").sent_to.len() - before;
    assert!((10..40).contains(&tried), "{tried} in an hour");
}
