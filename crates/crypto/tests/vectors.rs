// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The known answers of `vectors/v1` for derivations, account keys and sealed slots.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

#[path = "../../../vectors/replay.rs"]
mod replay;
#[path = "../../../vectors/scripted.rs"]
mod scripted;

use replay::{array, bytes, file, is_valid, list, number, text};
use scripted::Scripted;
use serde_json::Value;
use waxwing_crypto::backend::ParameterSet;
use waxwing_crypto::labels::{self, Label};
use waxwing_crypto::{CryptoError, RecoveryWords, RendezvousKey, Secret, kdf, kem};
use waxwing_identity::{LinkCode, RendezvousSecret};

fn label(case: &Value) -> Label {
    let known = [
        labels::HANDSHAKE_ID,
        labels::HANDSHAKE,
        labels::HANDSHAKE_ROOT,
        labels::STEP,
        labels::HEADER,
        labels::MESSAGE,
        labels::SALT,
    ];
    let wanted = text(&case["label"]).as_bytes();
    known
        .into_iter()
        .find(|label| label.as_bytes() == wanted)
        .unwrap()
}

/// [SES-3], [SES-4].
#[test]
fn derivations_agree() {
    let file = file("derivations");
    for case in list(&file["kdf"]) {
        let (salt, ikm, ctx) = (
            array(&case["salt"]),
            bytes(&case["ikm"]),
            bytes(&case["ctx"]),
        );
        let made = match number::<usize>(&case["length"]) {
            64 => kdf::derive::<64>(&salt, &[&ikm], label(case), &ctx)
                .expose()
                .to_vec(),
            96 => kdf::derive::<96>(&salt, &[&ikm], label(case), &ctx)
                .expose()
                .to_vec(),
            128 => kdf::derive::<128>(&salt, &[&ikm], label(case), &ctx)
                .expose()
                .to_vec(),
            length => panic!("{length}"),
        };
        assert_eq!(made, bytes(&case["output"]));
    }
    for case in list(&file["expand"]) {
        let (key, ctx) = (Secret::copy_of(&array(&case["key"])), bytes(&case["ctx"]));
        let made = match number::<usize>(&case["length"]) {
            44 => kdf::expand::<44>(&key, label(case), &ctx).expose().to_vec(),
            64 => kdf::expand::<64>(&key, label(case), &ctx).expose().to_vec(),
            length => panic!("{length}"),
        };
        assert_eq!(made, bytes(&case["output"]));
    }
    for case in list(&file["name"]) {
        let key = Secret::copy_of(&array(&case["key"]));
        let made: [u8; 16] = kdf::name(&key, label(case), &bytes(&case["ctx"]));
        assert_eq!(made, array(&case["output"]));
    }
}

/// [IDN-1], [IDN-2].
#[test]
fn account_keys_come_from_the_words() {
    for case in list(&file("derivations")["accounts"]) {
        let words = bip39::Mnemonic::from_entropy(&bytes(&case["entropy"])).unwrap();
        let secret = RecoveryWords::parse(&words.to_string())
            .unwrap()
            .account_secret();
        assert_eq!(secret.account_key().as_bytes(), &array(&case["account"]));
    }
}

/// [IDN-41], [IDN-42]: the slots open, and are sealed again to the same bytes.
#[test]
fn slots_of_a_rendezvous_open() {
    let file = file("linking");
    let secret = RendezvousSecret::new(array(&file["secret"]));
    assert_eq!(secret.locator().as_bytes(), &array(&file["locator"]));
    let key = RendezvousKey::derive(&secret);
    for case in list(&file["slots"]) {
        let (slot, sealed) = (number(&case["slot"]), bytes(&case["sealed"]));
        let opened = key.open(slot, &sealed);
        assert_eq!(opened.is_ok(), is_valid(case), "{case}");
        if let Ok(value) = opened {
            assert_eq!(*value, bytes(&case["value"]));
            let mut draws = Scripted::new([bytes(&case["salt"]), bytes(&case["nonce"])]);
            assert_eq!(key.seal(slot, &value, &mut draws).unwrap(), sealed);
            draws.assert_used_up();
        }
    }
}

/// [PRE-7]: what the layout cannot see, the check of the key does.
#[test]
fn encapsulation_keys_of_prekey_pairs_are_checked() {
    let (mut good, mut bad) = (0, 0);
    for case in list(&file("prekeys")["pairs"]) {
        let pair = bytes(&case["bytes"]);
        let start = b"waxwing/1 prekey pair\0".len() + 91;
        let checked = kem::check(ParameterSet::MlKem1024, &pair[start..start + 1568]);
        if text(&case["verdict"]) == "SES-2" {
            assert_eq!(checked, Err(CryptoError::BadKemKey));
            bad += 1;
        } else if is_valid(case) {
            assert_eq!(checked, Ok(()));
            good += 1;
        }
    }
    assert_eq!((good, bad), (3, 1));
}

/// [IDN-44]: a link code fits the keys that it was made for.
#[test]
fn a_link_code_fits_its_device() {
    let file = file("linking");
    let keys = waxwing_identity::DeviceKeys::decode(&bytes(&file["keys"])).unwrap();
    assert_eq!(keys.digest().as_bytes(), &array(&file["device_digest"]));
    let links = replay::file("links");
    let case = list(&links["links"])
        .iter()
        .find(|case| case["kind"] == "link")
        .unwrap();
    let code: LinkCode = text(&case["text"]).parse().unwrap();
    assert!(code.fits(&keys));
}
