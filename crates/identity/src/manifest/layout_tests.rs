// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bytes of a manifest: exact, bounded, canonical, and fragile against every change.

use proptest::prelude::*;
use waxwing_proto::DeviceId;
use waxwing_proto::limits::{
    DEVICES_MAX, MANIFEST_SIZE_MAX, MANIFEST_VERSIONS_MAX, REVOKED_DEVICES_MAX,
};

use super::tests::{account, devices, forge, next_body};
use super::*;
use crate::testing::TestDevice;

#[test]
fn bytes_hash_and_head_are_exact() {
    let [one] = devices();
    let v1 = account().first(&one);
    let again = DeviceManifest::decode(v1.as_bytes()).unwrap();
    assert_eq!(again, v1);
    assert_eq!(v1.hash(), Digest::of(&[v1.as_bytes()]));
    assert_eq!(v1.head().to_bytes()[..4], [0, 0, 0, 1]);
    assert_eq!(ManifestHead::try_from(&v1.head().to_wire()), Ok(v1.head()));
    assert_eq!(v1.device(&one.id()).unwrap().keys(), &one.keys());
    assert_eq!(v1.device(&DeviceId::new([99; 16])), None);
}

#[test]
fn every_flipped_bit_is_refused() {
    let account = account();
    let [one, two, three] = devices();
    let v3 = one.revokes(
        &one.adds(&one.adds(&account.first(&one), &two), &three),
        &two,
    );
    let good = v3.as_bytes().to_vec();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(DeviceManifest::decode(&bad).is_err(), "bit {bit}");
    }
    for length in 0..good.len() {
        assert!(DeviceManifest::decode(&good[..length]).is_err());
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert!(DeviceManifest::decode(&longer).is_err());
    let huge = vec![0; MANIFEST_SIZE_MAX + 1];
    assert_eq!(
        DeviceManifest::decode(&huge),
        Err(LayoutError::Limit.into())
    );
}

#[test]
fn the_largest_manifest_fits_its_bound() {
    let account = account();
    let all: [TestDevice; DEVICES_MAX] = devices();
    let mut newest = account.first(&all[0]);
    for device in &all[1..] {
        newest = all[0].adds(&newest, device);
    }
    let mut body = next_body(&newest, &all[0]);
    body.revoked = (0..REVOKED_DEVICES_MAX)
        .map(|number| {
            let mut id = [0xff; 16];
            id[1..3].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
            DeviceId::new(id)
        })
        .collect();
    let largest = forge(&body, &all[0]).unwrap();
    assert!(largest.as_bytes().len() <= MANIFEST_SIZE_MAX);

    let ninth = TestDevice::new(50);
    let draft = ManifestDraft::after(&newest, all[0].signatory()).unwrap();
    let entry = ninth.admitted_by(&account.key, &all[0]);
    assert_eq!(draft.list(entry).unwrap_err(), DraftError::TooManyDevices);
    body.revoked.clear();
    body.devices.push(entry);
    assert_eq!(
        forge(&body, &all[0]).unwrap_err(),
        LayoutError::Limit.into()
    );
    body.devices.pop();
    body.revoked = vec![DeviceId::new([0xee; 16]); REVOKED_DEVICES_MAX + 1];
    assert_eq!(
        forge(&body, &all[0]).unwrap_err(),
        LayoutError::Limit.into()
    );
}

#[test]
fn offers_are_read_and_hashed() {
    let [one, two] = devices();
    let keys = one.keys();
    assert_eq!(keys.encode().len(), DeviceKeys::LENGTH);
    assert_eq!(DeviceKeys::decode(&keys.encode()), Ok(keys));
    assert_ne!(keys.digest(), two.keys().digest());
    let mut weak = keys.encode();
    weak[16..48].fill(0);
    assert_eq!(
        DeviceKeys::decode(&weak),
        Err(ManifestError::MembershipSignature)
    );
    assert!(DeviceKeys::decode(&keys.encode()[..79]).is_err());
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let labelled = [labels::MANIFEST, &bytes].concat();
        prop_assert!(DeviceManifest::decode(&bytes).is_err());
        prop_assert!(DeviceManifest::decode(&labelled).is_err());
    }

    #[test]
    fn what_a_body_says_is_read_again(
        version in 2..=MANIFEST_VERSIONS_MAX,
        previous: [u8; 32],
        revoked in prop::collection::btree_set(any::<[u8; 16]>(), 0..20),
        by_account: bool,
    ) {
        let [one, two] = devices();
        let v2 = one.adds(&account().first(&one), &two);
        let mut body = v2.body.clone();
        body.version = version;
        body.previous = Digest::new(previous);
        body.revoked = revoked.into_iter().map(DeviceId::new).collect();
        if by_account {
            body.signer = Signatory::Account;
            body.anchor = None;
        }
        let written = body.write().unwrap();
        prop_assert_eq!(Body::read(&written), Ok(body.clone()));
        prop_assert_eq!(Body::read(&written).unwrap().write(), Ok(written));
    }
}
