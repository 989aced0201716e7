// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of errors, and bounds to the byte.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::collections::BTreeSet;

use waxwing_crypto::CryptoError;
use waxwing_proto::limits::ENVELOPE_SIZE_MAX;
use waxwing_ratchet::{Continuation, Envelope, KemRowId, RatchetError, SkippedId};

const CODES: [(RatchetError, &str); 25] = [
    (RatchetError::UnknownTag, "unknown_tag"),
    (RatchetError::Replay, "replay"),
    (RatchetError::TooFarAhead, "too_far_ahead"),
    (RatchetError::AuthFailed, "auth_failed"),
    (RatchetError::Malformed("x"), "malformed"),
    (RatchetError::UnsupportedSuite, "unsupported_suite"),
    (RatchetError::UnsupportedVersion, "unsupported_version"),
    (RatchetError::NonContributory, "non_contributory"),
    (RatchetError::BadKemKey, "bad_kem_key"),
    (RatchetError::PrekeyUnknown, "prekey_unknown"),
    (RatchetError::PrekeyStale, "prekey_stale"),
    (RatchetError::ManifestInvalid, "manifest_invalid"),
    (RatchetError::DeviceNotListed, "device_not_listed"),
    (RatchetError::PeerDiverged, "peer_diverged"),
    (RatchetError::ContinuityMissing, "continuity_missing"),
    (RatchetError::ContinuityUnknown, "continuity_unknown"),
    (RatchetError::Superseded, "superseded"),
    (RatchetError::AttemptTooHigh, "attempt_too_high"),
    (RatchetError::ChainExhausted, "chain_exhausted"),
    (RatchetError::TooLarge, "too_large"),
    (RatchetError::DuplicateSession, "duplicate_session"),
    (RatchetError::SessionUnknown, "session_unknown"),
    (RatchetError::WrongSkippedKey, "wrong_skipped_key"),
    (RatchetError::Corrupt, "store_corrupt"),
    (RatchetError::UnsupportedFormat(9), "unsupported_format"),
];

/// They are stable: whoever changes one breaks scripts.
#[test]
fn every_error_has_a_name_of_its_own_that_stays() {
    for (error, code) in CODES {
        assert_eq!(error.code(), code);
    }
    let names: BTreeSet<&str> = CODES.iter().map(|(_, code)| *code).collect();
    assert_eq!(names.len(), CODES.len());
    let inside = RatchetError::Crypto(CryptoError::WrongPassphrase);
    assert_eq!(inside.code(), "wrong_passphrase");
    let alarms = CODES.iter().filter(|(error, _)| error.is_alarm());
    let alarms: Vec<&str> = alarms.map(|(_, code)| *code).collect();
    assert_eq!(
        alarms,
        ["peer_diverged", "continuity_missing", "continuity_unknown"]
    );
}

/// An error of the crate below that has a meaning here keeps it.
#[test]
fn errors_of_the_crate_below_are_told_apart() {
    for (below, here) in [
        (CryptoError::AuthFailed, RatchetError::AuthFailed),
        (CryptoError::NonContributory, RatchetError::NonContributory),
        (CryptoError::BadKemKey, RatchetError::BadKemKey),
        (CryptoError::TooLong, RatchetError::TooLarge),
        (
            CryptoError::OutOfMemory,
            RatchetError::Crypto(CryptoError::OutOfMemory),
        ),
    ] {
        assert_eq!(RatchetError::from(below), here);
    }
}

/// [ENV-7]: bytes of the longest length are looked at; longer ones are not.
#[test]
fn envelopes_are_read_up_to_their_bound() {
    let parse = |length| Envelope::parse(&vec![0; length]).err();
    assert_eq!(
        parse(ENVELOPE_SIZE_MAX),
        Some(RatchetError::UnsupportedVersion)
    );
    assert!(matches!(
        parse(ENVELOPE_SIZE_MAX + 1),
        Some(RatchetError::Malformed(_))
    ));
}

#[test]
fn a_first_continuation_says_its_number_and_names_nothing() {
    let first = Continuation::first(7);
    assert_eq!((first.attempt(), first.predecessor()), (7, None));
}

/// The order of the bytes is the order of age.
#[test]
fn names_of_skipped_keys_are_in_order() {
    let ids = [(0, 0), (0, 999), (1, 0), (1, 257), (256, 1), (u32::MAX, 3)];
    let bytes = ids.map(|(step, n)| {
        let id = SkippedId { step, n };
        assert_eq!(SkippedId::from_bytes(id.to_bytes()), id);
        id.to_bytes()
    });
    assert!(bytes.is_sorted());
    assert_eq!(bytes[3], [0, 0, 0, 1, 0, 0, 1, 1]);
}

/// The names of KEM rows are stored, so each is its byte.
#[test]
fn a_kem_row_is_named_by_its_byte() {
    for byte in 0..=u8::MAX {
        assert_eq!(KemRowId::from_byte(byte).to_byte(), byte);
    }
}
