// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The recovery words and what is made of them stay in no row.

use waxwing_crypto::{RecoveryWords, kdf, labels};
use waxwing_engine::Command;

use crate::world::World;
use crate::world::witness::contains;

/// Words that may stand in a row by chance.
const CHANCE: usize = 2;

/// No row of a client holds the words, their entropy or the secret of the account key.
fn assert_forgotten(world: &World, name: &'static str, words: &RecoveryWords) {
    let list: Vec<&str> = words.words().collect();
    let entropy = bip39::Mnemonic::parse(list.join(" ")).unwrap().to_entropy();
    assert_eq!(entropy.len(), 32);
    // IDN-2.
    let seed: waxwing_crypto::Secret<32> =
        kdf::derive(&kdf::Z, &[&entropy], labels::ACCOUNT_KEY, &[]);
    let rows = &world.clients[name].rows;
    assert!(!rows.is_empty());
    for (key, row) in rows {
        assert!(!contains(row, &entropy), "the entropy in {key:?}");
        assert!(!contains(row, seed.expose()), "the secret in {key:?}");
        let found = list.iter().filter(|word| contains(row, word.as_bytes()));
        assert!(found.count() <= CHANCE, "words in {key:?}");
    }
}

/// [IDN-3].
#[test]
fn nothing_of_the_recovery_words_stays_in_a_row() {
    let mut world = World::new(351);
    let words = World::words(1);
    world.register("alice", 1);
    assert_forgotten(&world, "alice", &words);
    world.sleep(60_000);
    assert_forgotten(&world, "alice", &words);

    world.add_client("new phone");
    let recover = Command::Recover {
        words: World::words(1),
        server: World::server_link(),
    };
    world.ask("new phone", recover).unwrap();
    assert_forgotten(&world, "new phone", &words);
    world.sleep(60_000);
    assert_forgotten(&world, "new phone", &words);

    let close = Command::CloseAccount {
        words: World::words(1),
    };
    world.ask("new phone", close).unwrap();
    world.sleep(60_000);
    assert_forgotten(&world, "new phone", &words);
}
