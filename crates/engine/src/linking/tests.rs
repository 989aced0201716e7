// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The words of `vectors/v1/linking.json`, whose numbers the second implementation found.

use waxwing_identity::{DeviceKeys, RendezvousSecret};
use waxwing_proto::AccountKey;

use super::{SAFETY_WORDS, safety_words};

#[allow(
    dead_code,
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong has to stop, and uses some of it"
)]
#[path = "../../../../vectors/replay.rs"]
mod replay;

use replay::{array, bytes, file, list, number};

/// [IDN-49].
#[test]
fn the_words_of_a_linking_agree() {
    let case = file("linking");
    let account = AccountKey::new(array(&case["account"]));
    let keys = DeviceKeys::decode(&bytes(&case["keys"])).unwrap();
    let secret = RendezvousSecret::new(array(&case["secret"]));
    let english = bip39::Language::English.word_list();
    let expected: Vec<&str> = list(&case["word_numbers"])
        .iter()
        .map(|at| english[number::<usize>(at)])
        .collect();
    assert_eq!(expected.len(), SAFETY_WORDS);
    let words = safety_words(&account, &keys, &secret);
    assert_eq!(words.split(' ').collect::<Vec<_>>(), expected);
}
