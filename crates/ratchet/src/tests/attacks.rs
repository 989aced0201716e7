// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Forged, mangled and misdirected envelopes: refused, and the state is as it was.

use proptest::prelude::*;
use waxwing_crypto::DhSecret;

use super::world::{NOW, Party, acquainted, local, strangers};
use crate::{
    Envelope, PrekeySecret, RatchetError, ResponderKeys, SkippedRow, Tag, accept, initiate,
};

/// Every byte of an opening envelope is authenticated, before and after the session exists.
#[test]
fn no_byte_of_an_opening_envelope_may_change() {
    let (mut a, mut b) = strangers();
    let first = a.send(&mut b, b"first");
    let second = a.send(&mut b, b"second");
    let before = b.snapshot();
    for at in (0..first.len()).step_by(97).chain(0..16) {
        let mut forged = first.clone();
        forged[at] ^= 1;
        assert!(b.receive(&forged).is_err(), "byte {at}");
    }
    assert_eq!(b.snapshot(), before);
    b.receive(&first).unwrap();
    let before = b.snapshot();
    for at in (0..second.len()).step_by(31).chain(0..16) {
        let mut forged = second.clone();
        forged[at] ^= 1;
        assert!(b.receive(&forged).is_err(), "byte {at}");
    }
    assert_eq!(b.snapshot(), before);
    b.receive(&second).unwrap();
}

/// [SES-38], [ENV-2].
#[test]
fn no_byte_of_an_envelope_may_change() {
    let (mut a, mut b) = acquainted();
    let skipped = a.send(&mut b, b"skipped");
    let first = a.send(&mut b, b"first");
    let before = b.snapshot();
    for at in 0..first.len() {
        let mut forged = first.clone();
        forged[at] ^= 0x80;
        assert!(b.receive(&forged).is_err(), "byte {at}");
    }
    assert_eq!(b.snapshot(), before);
    b.receive(&first).unwrap();
    let before = b.snapshot();
    for at in 0..skipped.len() {
        let mut forged = skipped.clone();
        forged[at] ^= 0x80;
        assert!(b.receive(&forged).is_err(), "byte {at}");
    }
    assert_eq!(b.snapshot(), before);
    assert_eq!(b.receive(&skipped).unwrap(), b"skipped");
}

#[test]
fn a_prefix_cannot_be_put_before_another_content() {
    let (mut a, mut b) = strangers();
    let mut c = Party::new(3, 0);
    let honest = a.send(&mut b, b"x");
    let other = c.send(&mut b, b"y");
    let prefix = |bytes: &[u8]| {
        let parsed = Envelope::parse(bytes).unwrap();
        parsed.prefix().unwrap().as_bytes().len()
    };
    assert_eq!(prefix(&honest), prefix(&other));
    let cut = 2 + prefix(&honest);
    let spliced = [&honest[..cut], &other[cut..]].concat();
    let before = b.snapshot();
    assert_eq!(b.receive(&spliced), Err(RatchetError::UnknownTag));
    assert_eq!(b.snapshot(), before);
    b.receive(&honest).unwrap();
    b.set = crate::SessionSet::new();
    b.receive(&other).unwrap();
}

/// [SES-15]: the handshake names the responder: its account, device, head and prekeys. A handshake for
/// somebody else with the same prekey ids does not open.
#[test]
fn a_handshake_for_another_device_is_refused() {
    let (mut a, mut b) = strangers();
    let mut c = Party::new(3, 3);
    let for_b = a.send(&mut b, b"for b");
    let before = c.snapshot();
    assert_eq!(c.receive(&for_b), Err(RatchetError::AuthFailed));
    assert_eq!(c.snapshot(), before);

    // The same prekeys, published by another account as its own.
    let envelope = Envelope::parse(&for_b).unwrap();
    let keys = ResponderKeys {
        signed: &b.signed.0,
        one_time: None,
    };
    let wrong_ids = accept(&b.local(), &envelope, &keys, NOW);
    assert!(matches!(wrong_ids, Err(RatchetError::PrekeyUnknown)));

    let mut last_resort = Party::new(4, 0);
    let for_last_resort = a_handshake(&mut a, &mut last_resort);
    let envelope = Envelope::parse(&for_last_resort).unwrap();
    let keys = ResponderKeys {
        signed: &last_resort.signed.0,
        one_time: None,
    };
    let elsewhere = accept(&c.local(), &envelope, &keys, NOW);
    assert!(matches!(elsewhere, Err(RatchetError::AuthFailed)));
    assert!(accept(&last_resort.local(), &envelope, &keys, NOW).is_ok());
}

fn a_handshake(from: &mut Party, to: &mut Party) -> Vec<u8> {
    let bundle = to.bundle();
    let session = initiate(
        &local(&from.secrets, &from.manifest),
        &bundle,
        0,
        NOW,
        &mut from.rng,
    );
    session
        .unwrap()
        .encrypt(b"x", &mut from.rng)
        .unwrap()
        .envelope
}

/// Who holds a manifest but not the device's secrets cannot speak for the device.
#[test]
fn an_impostor_without_the_device_secret_is_refused() {
    let (a, mut b) = strangers();
    let mut impostor = Party::new(9, 0);
    impostor.manifest = a.manifest.clone();
    let bundle = b.bundle();
    let own = local(&impostor.secrets, &impostor.manifest);
    let refused = initiate(&own, &bundle, 0, NOW, &mut impostor.rng);
    assert!(matches!(refused, Err(RatchetError::DeviceNotListed)));

    // With the right public keys and a wrong secret the local check passes, and `conf` fails.
    impostor.secrets.dh = DhSecret::restore(
        impostor.secrets.dh.expose().duplicate(),
        *a.secrets.dh.public(),
    );
    let row = a.secrets.to_sealed_row();
    impostor.secrets.signing = waxwing_crypto::DeviceSecrets::from_sealed_row(&row)
        .unwrap()
        .signing;
    let envelope = a_handshake(&mut impostor, &mut b);
    let before = b.snapshot();
    assert_eq!(b.receive(&envelope), Err(RatchetError::AuthFailed));
    assert_eq!(b.snapshot(), before);
}

#[test]
fn a_stale_bundle_is_refused() {
    let (a, mut b) = strangers();
    let bundle = b.bundle();
    let day = 86_400;
    let mut rng = b.rng.clone();
    assert!(initiate(&a.local(), &bundle, 0, NOW + 45 * day, &mut rng).is_ok());
    assert!(matches!(
        initiate(&a.local(), &bundle, 0, NOW + 46 * day, &mut rng),
        Err(RatchetError::PrekeyStale)
    ));
}

/// A copy of A makes its own step first; A's step then comes under the same header key with
/// another ratchet key.
#[test]
fn a_peer_that_makes_one_step_twice_is_an_alarm() {
    let (mut a, mut b) = acquainted();
    let envelope = b.send(&mut a, b"turn");
    a.receive(&envelope).unwrap();
    let mut rng = b.rng.clone();
    let copy = a.active().encrypt(b"the copy", &mut rng).unwrap();
    b.receive(&copy.envelope).unwrap();
    let before = b.snapshot();
    let honest = a.send(&mut b, b"the honest device");
    let error = b.receive(&honest).unwrap_err();
    assert_eq!(error, RatchetError::PeerDiverged);
    assert!(error.is_alarm());
    assert_eq!(b.snapshot(), before);
}

#[test]
fn a_skipped_key_opens_its_own_envelope_only() {
    let (mut a, mut b) = acquainted();
    let first = a.send(&mut b, b"first");
    let second = a.send(&mut b, b"second");
    b.receive(&second).unwrap();
    let ((session, id), row) = b.skipped.pop_first().unwrap();
    b.skipped.insert((session, id), row.clone());
    let row = SkippedRow::decode(id, &row).unwrap();
    let third = a.send(&mut b, b"third");
    let wrong = b
        .session(session)
        .decrypt(&Envelope::parse(&third).unwrap(), Some(&row), NOW);
    assert!(matches!(wrong, Err(RatchetError::WrongSkippedKey)));
    assert_eq!(b.receive(&first).unwrap(), b"first");
}

#[test]
fn prekey_secrets_of_the_wrong_kind_are_not_used() {
    let (mut a, mut b) = strangers();
    let envelope = a.send(&mut b, b"x");
    let parsed = Envelope::parse(&envelope).unwrap();
    let (again, _) = PrekeySecret::generate_signed(&b.local(), 1, NOW, &mut b.rng.clone()).unwrap();
    let keys = ResponderKeys {
        signed: &b.signed.0,
        one_time: Some(&again),
    };
    assert!(matches!(
        accept(&b.local(), &parsed, &keys, NOW),
        Err(RatchetError::PrekeyUnknown)
    ));
}

/// [SES-16]: whether B has the prekeys is asked before any of them is used.
#[test]
fn prekey_secrets_with_another_id_are_not_used() {
    let (mut a, mut b) = strangers();
    let envelope = a.send(&mut b, b"x");
    let parsed = Envelope::parse(&envelope).unwrap();
    let rng = &mut b.rng.clone();
    let (signed, _) = PrekeySecret::generate_signed(&b.local(), 2, NOW, rng).unwrap();
    let (one_time, _) = PrekeySecret::generate_one_time(&b.local(), 9, NOW, rng).unwrap();
    let (right_signed, right) = (&b.signed.0, Some(&b.one_time()[0].0));
    for (signed, one_time) in [
        (&signed, right),
        (right_signed, Some(&one_time)),
        (right_signed, None),
        (&b.one_time()[0].0, right),
    ] {
        let keys = ResponderKeys { signed, one_time };
        assert!(matches!(
            accept(&b.local(), &parsed, &keys, NOW),
            Err(RatchetError::PrekeyUnknown)
        ));
    }
    let keys = ResponderKeys {
        signed: right_signed,
        one_time: right,
    };
    assert!(accept(&b.local(), &parsed, &keys, NOW).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// [SES-38].
    #[test]
    fn random_envelopes_change_nothing(
        at in any::<proptest::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 1..700),
        keep_tag: bool,
    ) {
        let (mut a, mut b) = acquainted();
        let honest = a.send(&mut b, b"honest");
        let mut forged = honest.clone();
        let start = at.index(forged.len());
        for (to, from) in forged[start..].iter_mut().zip(&noise) {
            *to = *from;
        }
        if keep_tag {
            forged[2..2 + Tag::LENGTH].copy_from_slice(&honest[2..2 + Tag::LENGTH]);
        }
        let before = b.snapshot();
        if forged != honest {
            prop_assert!(b.receive(&forged).is_err());
            prop_assert_eq!(b.snapshot(), before);
        }
        prop_assert_eq!(b.receive(&honest).unwrap(), b"honest");
    }
}
