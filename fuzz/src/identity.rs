// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Public identities: what servers and strangers say about keys.

use core::fmt::Display;
use core::str::FromStr;

use prost::Message as _;
use waxwing_identity::{
    AccountName, Address, ContactLink, DeviceManifest, Fingerprint, Host, InviteLink, LinkCode,
    PrekeyBundle, PrekeyPair, ServerLink, VerificationPayload, judge,
};
use waxwing_proto::v1;

use crate::golden;

/// A manifest that decodes is exactly the bytes that it was decoded from, and no version of another
/// account moves a pin.
pub(crate) fn manifest(input: &[u8]) {
    let Ok(manifest) = DeviceManifest::decode(input) else {
        return;
    };
    assert_eq!(
        manifest.as_bytes().as_ref(),
        input,
        "another encoding of the same"
    );
    let pinned = known_manifest("ratchet/bob-manifest");
    let is_bobs = manifest.account() == pinned.account();
    let verdict = judge(&pinned, &manifest, &[]);
    assert!(
        is_bobs || verdict.is_err(),
        "a foreign manifest was judged as one's own"
    );
}

/// A pair that decodes is exactly the bytes that it was decoded from.
pub(crate) fn prekey_pair(input: &[u8]) {
    if let Ok(pair) = PrekeyPair::decode(input) {
        assert_eq!(
            pair.as_bytes().as_ref(),
            input,
            "another encoding of the same"
        );
    }
}

/// A bundle that fits Bob's manifest is one of Bob's device.
pub(crate) fn prekey_bundle(input: &[u8]) {
    let manifest = known_manifest("ratchet/bob-manifest");
    let Ok(wire) = v1::PrekeyBundle::decode(input) else {
        return;
    };
    if PrekeyBundle::check(&wire, &manifest).is_ok() {
        let ids: Vec<_> = manifest
            .devices()
            .iter()
            .map(|device| device.id().to_wire())
            .collect();
        assert!(
            ids.contains(&wire.device_id),
            "a bundle of a device that is not listed"
        );
    }
}

/// What is read, shown and read again is the same.
pub(crate) fn links(input: &[u8]) {
    let Ok(text) = core::str::from_utf8(input) else {
        return;
    };
    round_trip::<ContactLink>(text);
    round_trip::<InviteLink>(text);
    round_trip::<LinkCode>(text);
    round_trip::<ServerLink>(text);
    round_trip::<VerificationPayload>(text);
    round_trip::<AccountName>(text);
    round_trip::<Host>(text);
    round_trip::<Address>(text);
    round_trip::<Fingerprint>(text);
}

fn round_trip<T: FromStr + Display>(text: &str) {
    let Ok(value) = text.parse::<T>() else {
        return;
    };
    let shown = value.to_string();
    let Ok(again) = shown.parse::<T>() else {
        panic!("what was shown cannot be read");
    };
    assert_eq!(again.to_string(), shown, "shown in two ways");
}

fn known_manifest(name: &str) -> DeviceManifest {
    let bytes = golden(name).swap_remove(0);
    DeviceManifest::decode(bytes).expect("the golden manifest is valid")
}
