// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bounds to the byte, and what only differs at an edge.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

mod common;

use common::{DAY, OWNER, account, device, entry, sign};
use ed25519_dalek::SigningKey;
use waxwing_identity::encoding::Reader;
use waxwing_identity::manifest::ManifestError;
use waxwing_identity::prekey::PrekeyError;
use waxwing_identity::{
    AccountKey, DeviceId, DeviceManifest, Fingerprint, KeyPin, LayoutError, LinkCode, LinkError,
    ManifestDraft, PrekeyKind, PrekeyPair, RendezvousSecret, ServerAddress, ServerLink, Signatory,
    SignatureError, UnsignedPrekeyPair, VerifyingKey,
};
use waxwing_proto::limits;

fn signed(draft: ManifestDraft) -> DeviceManifest {
    let signature = sign(OWNER, &draft.signable().unwrap());
    draft.finish(signature).unwrap()
}

fn server(host: &str) -> ServerAddress {
    ServerAddress {
        host: host.parse().unwrap(),
        port: 4747,
        key_pins: vec![KeyPin([0xb1; 32])],
    }
}

#[test]
fn a_reader_says_what_is_left_and_gives_it() {
    let mut reader = Reader::new(b"abcdef");
    assert_eq!(reader.remaining(), 6);
    assert_eq!(reader.take(2).unwrap(), b"ab");
    assert_eq!(reader.remaining(), 4);
    assert_eq!(reader.take_rest(), b"cdef");
    assert_eq!(reader.remaining(), 0);
    assert!(reader.take_rest().is_empty());
}

#[test]
fn a_fingerprint_may_have_256_characters() {
    let text = Fingerprint::of(&account()).to_string();
    for (length, is_read) in [(255, true), (256, true), (257, false)] {
        let padded = format!("{text}{}", " ".repeat(length - text.len()));
        assert_eq!(padded.parse::<Fingerprint>().is_ok(), is_read, "{length}");
    }
}

/// [IDN-37].
#[test]
fn a_link_may_have_as_many_characters_as_its_bound() {
    let link = ServerLink::new(server("a.example")).unwrap();
    let text = link.to_string();
    let padded = |length: usize| format!("{text}{}", " ".repeat(length - text.len()));
    let most = limits::LINK_LENGTH_MAX;
    assert_eq!(padded(most).parse::<ServerLink>(), Ok(link));
    assert_eq!(
        padded(most + 1).parse::<ServerLink>(),
        Err(LinkError::Layout(LayoutError::Limit))
    );
}

/// [IDN-15]: bytes of the longest length are looked at; longer ones are not.
#[test]
fn layouts_are_read_up_to_their_bound() {
    let manifest = |length| DeviceManifest::decode(&vec![0; length]).unwrap_err();
    let most = limits::MANIFEST_SIZE_MAX;
    assert_eq!(manifest(most), ManifestError::Layout(LayoutError::Label));
    assert_eq!(
        manifest(most + 1),
        ManifestError::Layout(LayoutError::Limit)
    );
    let pair = |length| PrekeyPair::decode(&vec![0; length]).unwrap_err();
    let most = limits::PREKEY_SIZE_MAX;
    assert_eq!(pair(most), PrekeyError::Layout(LayoutError::Label));
    assert_eq!(pair(most + 1), PrekeyError::Layout(LayoutError::Limit));
}

/// RFC 8032, section 5.1.3, step 1: an encoding at or above the field prime is none, whatever its sign.
/// A key that only looks like one at its top is a key.
#[test]
fn keys_have_one_encoding() {
    for above in 0..=18_u8 {
        for highest in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            bytes[0] = 0xed + above;
            bytes[31] = highest;
            let found = AccountKey::new(bytes).check();
            assert_eq!(found, Err(SignatureError::Key), "{above} {highest:x}");
        }
    }
    let high = (0..=255_u8)
        .flat_map(|first| (0..4_u8).map(move |second| (first, second)))
        .map(|(first, second)| {
            let mut seed = [first; 32];
            seed[1] = second;
            SigningKey::from_bytes(&seed).verifying_key().to_bytes()
        })
        .find(|bytes| bytes[31] & 0x7f == 0x7f);
    assert_eq!(AccountKey::new(high.unwrap()).check(), Ok(()));
}

#[test]
fn link_codes_differ_where_a_part_does() {
    let code = |host: &str, secret: u8, keys: u8| {
        let secret = RendezvousSecret::new([secret; 16]);
        LinkCode::new(server(host), secret, &device(keys)).unwrap()
    };
    let one = code("a.example", 1, 2);
    assert_eq!(one, code("a.example", 1, 2));
    for other in [
        code("b.example", 1, 2),
        code("a.example", 3, 2),
        code("a.example", 1, 4),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn devices_stand_in_the_order_of_their_admission() {
    let mut draft = ManifestDraft::first(account(), entry(2));
    assert_eq!(draft.version(), 1);
    draft = draft.list(entry(3)).unwrap().list(entry(4)).unwrap();
    let first = signed(draft);
    for (place, seed) in [(Some(0), 2), (Some(1), 3), (Some(2), 4), (None, 5)] {
        assert_eq!(first.seniority(&device(seed).id), place);
    }
    let next = ManifestDraft::after(&first, Signatory::Account).unwrap();
    assert_eq!(next.version(), 2);
    let next = signed(next.list(entry(5)).unwrap());
    let third = ManifestDraft::after(&next, Signatory::Account).unwrap();
    assert_eq!(third.version(), 3);
}

#[test]
fn a_pair_is_shown_without_its_keys() {
    let pair = UnsignedPrekeyPair {
        account: account(),
        device: DeviceId::new([2; 16]),
        kind: PrekeyKind::OneTime,
        id: 77,
        created: DAY,
        dh_key: [0xab; 32],
        kem_key: Box::new([0xcd; 1568]),
    };
    let shown = format!("{pair:?}");
    assert!(shown.starts_with("UnsignedPrekeyPair"), "{shown}");
    assert!(shown.contains("77") && shown.contains("OneTime"), "{shown}");
    assert!(!shown.contains("171") && !shown.contains("205"), "{shown}");
}
