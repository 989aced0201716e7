// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Golden files of what is sealed: opened, compared, and where it is deterministic written again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

#[path = "../../../vectors/compat/golden.rs"]
mod golden;

use golden::Golden;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use waxwing_crypto::{
    DeviceSecrets, MasterKey, PassphraseCost, RecoveryWords, RendezvousKey, StoreKeys,
};
use waxwing_identity::RendezvousSecret;
use waxwing_proto::DeviceId;

const PASSPHRASE: &[u8] = b"a passphrase that protects nothing";

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

#[test]
fn stores_open_for_ever() {
    let mut golden = Golden::open("sealed/store");
    let made = MasterKey::generate(&mut rng(1));
    let open = golden.bytes(
        "header-unprotected",
        "header of a store without a passphrase",
        || made.unprotected_header().to_vec(),
    );
    let sealed = golden.bytes(
        "header-passphrase",
        "header of the same store under a passphrase",
        || {
            made.wrap(PASSPHRASE, PassphraseCost::LIGHT, &mut rng(2))
                .unwrap()
        },
    );
    let master = MasterKey::unwrap(&open, None).unwrap();
    assert_eq!(master.unprotected_header().as_slice(), open);
    assert!(MasterKey::needs_passphrase(&sealed).unwrap());
    let again = MasterKey::unwrap(&sealed, Some(PASSPHRASE)).unwrap();
    assert_eq!(
        again.unprotected_header().as_slice(),
        open,
        "both headers keep one key"
    );

    let keys = StoreKeys::derive(&master);
    let value = golden.bytes(
        "value",
        "a sealed value at key `key` of scope `table`",
        || {
            keys.seal(b"table", b"key", b"the value", &mut rng(3))
                .unwrap()
        },
    );
    assert_eq!(
        keys.open(b"table", b"key", &value).unwrap().as_slice(),
        b"the value"
    );
    let name = golden.bytes(
        "scope-name",
        "the stored name of `contact` in scope `table`",
        || keys.scope_name(b"table", b"contact").to_vec(),
    );
    assert_eq!(keys.scope_name(b"table", b"contact").as_slice(), name);
    golden.finish();
}

#[test]
fn a_rendezvous_opens_for_ever() {
    let mut golden = Golden::open("sealed/rendezvous");
    let key = RendezvousKey::derive(&RendezvousSecret::new([7; 16]));
    for slot in 0..3 {
        let value = format!("the value of slot {slot}");
        let stored = golden.bytes(&format!("slot-{slot}"), "a sealed slot", || {
            key.seal(slot, value.as_bytes(), &mut rng(slot.into()))
                .unwrap()
        });
        assert_eq!(
            key.open(slot, &stored).unwrap().as_slice(),
            value.as_bytes()
        );
    }
    golden.finish();
}

#[test]
fn secrets_are_read_for_ever() {
    let mut golden = Golden::open("sealed/secrets");
    let made = DeviceSecrets::generate(&mut rng(4));
    let row = golden.bytes("device", "the row of a device's secrets", || {
        made.to_sealed_row().to_vec()
    });
    let read = DeviceSecrets::from_sealed_row(&row).unwrap();
    assert_eq!(read.to_sealed_row().as_slice(), row);
    let public = golden.bytes("device-public", "the public keys of that device", || {
        made.public_keys(DeviceId::new([1; 16])).encode()
    });
    assert_eq!(read.public_keys(DeviceId::new([1; 16])).encode(), public);

    // The same words give the same account for ever.
    let words = golden.bytes(
        "recovery-words",
        "recovery words, as they are written down",
        || {
            let words = RecoveryWords::generate(&mut rng(5));
            words.words().collect::<Vec<_>>().join(" ").into_bytes()
        },
    );
    let read = RecoveryWords::parse(std::str::from_utf8(&words).unwrap()).unwrap();
    assert_eq!(read.words().collect::<Vec<_>>().join(" ").as_bytes(), words);
    let account = golden.bytes("recovery-account", "the account key of those words", || {
        read.account_secret().account_key().as_bytes().to_vec()
    });
    assert_eq!(
        read.account_secret().account_key().as_bytes().as_slice(),
        account
    );
    golden.finish();
}
