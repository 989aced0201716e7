// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prekey pairs and bundles: layout, signatures, and the evidence that they carry.

use proptest::prelude::*;
use waxwing_proto::v1;

use super::*;
use crate::bundle::{BundleError, PrekeyBundle};
use crate::manifest::DeviceManifest;
use crate::testing::{TestAccount, TestDevice};

fn unsigned(device: &TestDevice, account: &AccountKey, kind: PrekeyKind) -> UnsignedPrekeyPair {
    UnsignedPrekeyPair {
        account: *account,
        device: device.id(),
        kind,
        id: 7,
        created: 20_000,
        dh_key: [3; 32],
        kem_key: Box::new([4; KEM_KEY_LENGTH]),
    }
}

fn pair(device: &TestDevice, account: &AccountKey, kind: PrekeyKind) -> PrekeyPair {
    let pair = unsigned(device, account, kind);
    let signature = device.sign(&pair.signable());
    pair.finish(&device.keys().signing_key, signature).unwrap()
}

fn signed(device: &TestDevice, manifest: &DeviceManifest) -> PrekeyPair {
    let head = manifest.head();
    pair(device, manifest.account(), PrekeyKind::Signed { head })
}

fn bundle(
    device: &TestDevice,
    signed: &PrekeyPair,
    one_time: Option<&PrekeyPair>,
) -> v1::PrekeyBundle {
    v1::PrekeyBundle {
        device_id: device.id().to_wire(),
        signed_pair: signed.as_bytes().clone(),
        one_time_pair: one_time
            .map(|pair| pair.as_bytes().clone())
            .unwrap_or_default(),
    }
}

struct World {
    account: TestAccount,
    one: TestDevice,
    two: TestDevice,
    v1: DeviceManifest,
    v2: DeviceManifest,
}

fn world() -> World {
    let account = TestAccount::new(100);
    let (one, two) = (TestDevice::new(1), TestDevice::new(2));
    let v1 = account.first(&one);
    let v2 = one.adds(&v1, &two);
    World {
        account,
        one,
        two,
        v1,
        v2,
    }
}

/// [PRE-1].
#[test]
fn every_flipped_bit_is_refused() {
    let World {
        account, one, v1, ..
    } = world();
    let key = one.keys().signing_key;
    for good in [
        signed(&one, &v1),
        pair(&one, &account.key, PrekeyKind::OneTime),
    ] {
        let accepted = |bytes: &[u8]| {
            PrekeyPair::decode(bytes)
                .and_then(|pair| pair.verify(&key, &account.key, &one.id()))
                .is_ok()
        };
        assert!(accepted(good.as_bytes()));
        assert!(good.as_bytes().len() <= PREKEY_SIZE_MAX);
        assert_eq!(PrekeyPair::decode(good.as_bytes()).unwrap(), good);
        for bit in 0..good.as_bytes().len() * 8 {
            let mut bad = good.as_bytes().to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepted(&bad), "bit {bit}");
        }
        for length in 0..good.as_bytes().len() {
            assert!(PrekeyPair::decode(&good.as_bytes()[..length]).is_err());
        }
    }
    assert_eq!(
        PrekeyPair::decode(&vec![0; PREKEY_SIZE_MAX + 1]),
        Err(LayoutError::Limit.into())
    );
}

#[test]
fn a_pair_belongs_to_one_device_of_one_account() {
    let World {
        account,
        one,
        two,
        v1,
        ..
    } = world();
    let good = signed(&one, &v1);
    let key = one.keys().signing_key;
    let other_account = TestAccount::new(101).key;
    assert_eq!(
        good.verify(&key, &other_account, &one.id()),
        Err(PrekeyError::OtherDevice)
    );
    assert_eq!(
        good.verify(&key, &account.key, &two.id()),
        Err(PrekeyError::OtherDevice)
    );
    assert_eq!(
        good.verify(&two.keys().signing_key, &account.key, &one.id()),
        Err(PrekeyError::Signature)
    );
    let mut unnumbered = unsigned(&one, &account.key, PrekeyKind::OneTime);
    unnumbered.id = 0;
    let signature = one.sign(&unnumbered.signable());
    assert_eq!(
        unnumbered.finish(&key, signature),
        Err(LayoutError::Value.into())
    );
}

#[test]
fn another_suite_is_refused() {
    let World { one, v1, .. } = world();
    let mut bytes = signed(&one, &v1).as_bytes().to_vec();
    bytes[labels::PREKEY_PAIR.len() + 1] = 2;
    assert_eq!(PrekeyPair::decode(&bytes), Err(PrekeyError::Suite));
}

/// [PRE-6], [PRE-13].
#[test]
fn a_bundle_is_checked_against_its_manifest() {
    let World {
        account,
        one,
        two,
        v1,
        v2,
    } = world();
    let (spk, opk) = (
        signed(&one, &v2),
        pair(&one, &account.key, PrekeyKind::OneTime),
    );
    let checked = PrekeyBundle::check(&bundle(&one, &spk, Some(&opk)), &v2).unwrap();
    assert_eq!(checked.entry().id(), one.id());
    assert_eq!(checked.one_time(), Some(&opk));
    assert_eq!(*checked.head(), v2.head());
    assert!(!checked.head_is_older());
    assert!(checked.is_active(20_045) && !checked.is_active(20_046));
    let last_resort = PrekeyBundle::check(&bundle(&one, &spk, None), &v2).unwrap();
    assert_eq!(last_resort.one_time(), None);

    let check = |wire: &v1::PrekeyBundle| PrekeyBundle::check(wire, &v2).unwrap_err();
    assert_eq!(check(&bundle(&one, &opk, None)), BundleError::Kind);
    assert_eq!(check(&bundle(&one, &spk, Some(&spk))), BundleError::Kind);
    // One device's pair under the other's name.
    assert_eq!(
        check(&bundle(&two, &spk, None)),
        PrekeyError::OtherDevice.into()
    );
    let stranger = TestDevice::new(9);
    assert_eq!(
        check(&bundle(&stranger, &spk, None)),
        BundleError::NotListed
    );
    let mut short = bundle(&one, &spk, None);
    short.device_id.truncate(15);
    assert_eq!(check(&short), BundleError::DeviceId);
    // A device that was offline since: usable, and said.
    let old = PrekeyBundle::check(&bundle(&one, &signed(&one, &v1), None), &v2).unwrap();
    assert!(old.head_is_older());
}

/// [PRE-6].
#[test]
fn a_first_contact_that_is_shown_an_old_version_finds_out() {
    let World { one, two, v2, .. } = world();
    // Version 3 revokes a stolen device; the server shows version 2, which still lists it.
    let v3 = one.revokes(&v2, &two);
    let rollback = PrekeyBundle::check(&bundle(&one, &signed(&one, &v3), None), &v2);
    assert_eq!(
        rollback,
        Err(BundleError::RollbackEvidence {
            served: 2,
            named: 3
        })
    );
    // A branch of which the device knows nothing.
    let fork = two.adds(&v2, &TestDevice::new(9));
    let equivocation = PrekeyBundle::check(&bundle(&one, &signed(&one, &v3), None), &fork);
    assert_eq!(
        equivocation,
        Err(BundleError::EquivocationEvidence { version: 3 })
    );
    // What the device did not sign is no evidence.
    let mut wire = bundle(&one, &signed(&one, &v3), None);
    let mut bytes = wire.signed_pair.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    wire.signed_pair = bytes.into();
    assert_eq!(
        PrekeyBundle::check(&wire, &v2),
        Err(PrekeyError::Signature.into())
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        id in 1_u32.., created: u32, dh_key: [u8; 32], kem_byte: u8,
        head in prop::option::of((1_u32.., any::<[u8; 32]>())),
    ) {
        let World { account, one, .. } = world();
        let kind = match head {
            Some((version, hash)) => PrekeyKind::Signed {
                head: ManifestHead { version, hash: Digest::new(hash) },
            },
            None => PrekeyKind::OneTime,
        };
        let mut pair = unsigned(&one, &account.key, kind);
        (pair.id, pair.created, pair.dh_key) = (id, created, dh_key);
        *pair.kem_key = [kem_byte; KEM_KEY_LENGTH];
        let signature = one.sign(&pair.signable());
        let read = pair.clone().finish(&one.keys().signing_key, signature).unwrap();
        prop_assert_eq!(&read.unsigned, &pair);
        prop_assert_eq!(read.head().is_some(), head.is_some());
        prop_assert_eq!((read.id(), read.created(), *read.dh_key()), (id, created, dh_key));
        prop_assert_eq!(read.kem_key(), &[kem_byte; KEM_KEY_LENGTH]);
    }

    #[test]
    fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2100)) {
        let labelled = [labels::PREKEY_PAIR, &[0, 1], &bytes].concat();
        let _ = PrekeyPair::decode(&bytes);
        if let Ok(pair) = PrekeyPair::decode(&labelled) {
            prop_assert_eq!(pair.as_bytes(), &labelled);
        }
    }
}
