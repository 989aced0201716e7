// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Project Wycheproof's vectors against every primitive in use, through this crate's own wrappers.
//! Where a standard lets an implementation accept what the specification refuses, the refusal is
//! what is tested. Each test counts its cases, so that an emptied file cannot pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

use waxwing_crypto::backend::{Backend as _, ParameterSet, PureRust};
use waxwing_crypto::{CryptoError, DhSecret, KemSecret768, KemSecret1024, Secret};
use waxwing_crypto::{aead, kdf, kem, labels};
use waxwing_identity::keys::{Signature, VerifyingKey as _};
use waxwing_proto::AccountKey;
use wycheproof::TestResult;

/// [SES-1]: RFC 7748 leaves the all-zero result to the application; here it is an error.
#[test]
fn x25519_agrees_and_refuses_every_all_zero_result() {
    use wycheproof::xdh::{TestName, TestSet};
    let set = TestSet::load(TestName::X25519).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let secret = DhSecret::from_secret(Secret::from_slice(&test.private_key).unwrap());
        let public: [u8; 32] = test.public_key[..].try_into().unwrap();
        let expected: &[u8] = &test.shared_secret;
        match secret.agree(&public) {
            Ok(shared) => {
                assert_eq!(shared.expose().as_slice(), expected, "{}", test.tc_id);
                assert_ne!(expected, [0; 32], "{}", test.tc_id);
                agreed += 1;
            }
            Err(error) => {
                assert_eq!(error, CryptoError::NonContributory, "{}", test.tc_id);
                assert_eq!(expected, [0; 32], "{}", test.tc_id);
                refused += 1;
            }
        }
    }
    assert_eq!((agreed, refused), (487, 31));
}

/// [IDN-5]: every vector that Wycheproof calls valid verifies, and no other one does.
#[test]
fn ed25519_verifies_what_is_valid_and_nothing_else() {
    use wycheproof::eddsa::{TestName, TestSet};
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut good, mut bad) = (0, 0);
    for group in &set.test_groups {
        let key = AccountKey::new(group.key.pk[..].try_into().unwrap());
        for test in &group.tests {
            let verdict = Signature::try_from(&test.sig[..])
                .is_ok_and(|signature| key.verify(&test.msg, &signature).is_ok());
            assert_eq!(verdict, test.result == TestResult::Valid, "{}", test.tc_id);
            if verdict { good += 1 } else { bad += 1 }
        }
    }
    assert_eq!((good, bad), (88, 63));
}

/// [SES-6]: keys of 256 bits, nonces of 96 bits and tags of 128 bits are the only form in use.
#[test]
fn aes_256_gcm_seals_and_opens() {
    use wycheproof::aead::{TestName, TestSet};
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let (mut good, mut bad) = (0, 0);
    let groups = set
        .test_groups
        .iter()
        .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128));
    for test in groups.flat_map(|group| &group.tests) {
        let key = Secret::from_slice(&test.key).unwrap();
        let nonce = test.nonce[..].try_into().unwrap();
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let opened = aead::open(&key, &nonce, &test.aad, &sealed);
        if test.result == TestResult::Valid {
            assert_eq!(opened.unwrap().as_slice(), &test.pt[..], "{}", test.tc_id);
            let again = aead::seal(&key, &nonce, &test.aad, &test.pt).unwrap();
            assert_eq!(again, sealed, "{}", test.tc_id);
            good += 1;
        } else {
            assert_eq!(
                opened.err(),
                Some(CryptoError::AuthFailed),
                "{}",
                test.tc_id
            );
            bad += 1;
        }
    }
    assert!(good >= 30 && bad >= 20, "{good} valid, {bad} invalid");
}

/// Our keys have 32 bytes. A shorter key of HMAC is padded with zero bytes (RFC 2104, section 2),
/// so that its vectors hold for the padded key; a longer one has no equivalent and is left out.
#[test]
fn hmac_sha_256_agrees() {
    use wycheproof::mac::{TestName, TestSet};
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let (mut good, mut bad) = (0, 0);
    for group in set.test_groups.iter().filter(|group| group.key_size <= 256) {
        for test in &group.tests {
            let made = kdf::hmac_public(&padded(&test.key), &[&test.msg]);
            let same = made.starts_with(&test.tag);
            assert_eq!(test.tag.len() * 8, group.tag_size);
            assert_eq!(same, test.result == TestResult::Valid, "{}", test.tc_id);
            if same { good += 1 } else { bad += 1 }
        }
    }
    assert_eq!((good, bad), (60, 108));
}

/// Extraction and expansion as they are written in this crate, over the vectors' free `info`. What
/// the framed [`kdf::derive`] adds is compared with the registry's HKDF, which passes them, too.
#[test]
fn hkdf_sha_256_agrees() {
    use wycheproof::hkdf::{TestName, TestSet};
    let set = TestSet::load(TestName::HkdfSha256).unwrap();
    let (mut compared, mut extracted, mut refused) = (0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (prk, reference) = hkdf::Hkdf::<sha2::Sha256>::extract(Some(&test.salt), &test.ikm);
        let mut okm = vec![0; test.size];
        if reference.expand(&test.info, &mut okm).is_err() {
            assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
            assert!(test.size > kdf::OUTPUT_LENGTH_MAX);
            refused += 1;
            continue;
        }
        assert_eq!(okm, test.okm[..], "{}", test.tc_id);
        compared += 1;
        if test.salt.len() <= 32 {
            let ours = kdf::hmac(&padded(&test.salt), &[&test.ikm]);
            assert_eq!(ours.expose().as_slice(), prk.as_slice(), "{}", test.tc_id);
            framed_expansion_agrees(&ours);
            extracted += 1;
        }
    }
    assert_eq!((compared, refused), (83, 3));
    assert!(extracted >= 70, "{extracted}");
}

/// [SES-3], [SES-4]: each length that crosses a block, against the registry's implementation.
fn framed_expansion_agrees(prk: &Secret<32>) {
    fn one<const L: usize>(prk: &Secret<32>) {
        let label = labels::STEP;
        let ctx = [7; 32];
        let framed = [
            &u16::try_from(L).unwrap().to_be_bytes()[..],
            &[u8::try_from(label.as_bytes().len()).unwrap()],
            label.as_bytes(),
            &[32],
            &ctx,
        ]
        .concat();
        let mut expected = [0; L];
        hkdf::Hkdf::<sha2::Sha256>::from_prk(prk.expose())
            .unwrap()
            .expand(&framed, &mut expected)
            .unwrap();
        assert_eq!(kdf::expand::<L>(prk, label, &ctx).expose(), &expected);
    }
    one::<1>(prk);
    one::<31>(prk);
    one::<32>(prk);
    one::<33>(prk);
    one::<44>(prk);
    one::<64>(prk);
    one::<96>(prk);
    one::<128>(prk);
}

fn padded(key: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out[..key.len()].copy_from_slice(key);
    out
}

/// [SES-2]: keys come from their seed, byte for byte.
#[test]
fn ml_kem_keys_come_from_their_seed() {
    use wycheproof::mlkem::{TestName, TestSet};
    for (name, parameters) in [
        (TestName::MlKem768KeyGenSeed, ParameterSet::MlKem768),
        (TestName::MlKem1024KeyGenSeed, ParameterSet::MlKem1024),
    ] {
        let set = TestSet::load(name).unwrap();
        let mut compared = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let seed = Secret::from_slice(test.seed.as_ref().unwrap()).unwrap();
            let ek = PureRust.kem_key(parameters, &seed).encapsulation_key();
            assert_eq!(ek, test.encaps_key.as_ref().unwrap()[..], "{}", test.tc_id);
            compared += 1;
        }
        assert_eq!(compared, 100);
    }
}

/// [SES-2], [PRE-7]: seeded encapsulation agrees, and each key that FIPS 203, section 7.2 refuses
/// is refused by the check and by the encapsulation.
#[test]
fn ml_kem_encapsulates_to_checked_keys_only() {
    use wycheproof::mlkem::{TestName, TestSet};
    for (name, parameters) in [
        (TestName::MlKem768Encaps, ParameterSet::MlKem768),
        (TestName::MlKem1024Encaps, ParameterSet::MlKem1024),
    ] {
        let set = TestSet::load(name).unwrap();
        let (mut good, mut bad) = (0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let ek = test.encaps_key.as_ref().unwrap();
            let randomness = Secret::from_slice(test.msg.as_ref().unwrap()).unwrap();
            let made = PureRust.kem_encapsulate(parameters, ek, &randomness);
            if test.result == TestResult::Valid {
                let (ct, shared) = made.unwrap();
                assert_eq!(ct, test.ct.as_ref().unwrap()[..], "{}", test.tc_id);
                let expected = &test.shared_secret.as_ref().unwrap()[..];
                assert_eq!(shared.expose().as_slice(), expected, "{}", test.tc_id);
                assert_eq!(kem::check(parameters, ek), Ok(()));
                good += 1;
            } else {
                assert_eq!(made.err(), Some(CryptoError::BadKemKey), "{}", test.tc_id);
                assert_eq!(kem::check(parameters, ek), Err(CryptoError::BadKemKey));
                bad += 1;
            }
        }
        assert!(good >= 100 && bad >= 100, "{good} valid, {bad} invalid");
    }
}

/// [SES-2]: decapsulation from a seed; ciphertexts that were tampered with give the secret of the
/// implicit rejection, and one of another length is refused. The vectors with expanded
/// decapsulation keys do not apply: this crate reads no such key.
#[test]
fn ml_kem_decapsulates() {
    use wycheproof::mlkem::{TestName, TestSet};
    for (name, parameters) in [
        (TestName::MlKem768, ParameterSet::MlKem768),
        (TestName::MlKem1024, ParameterSet::MlKem1024),
    ] {
        let set = TestSet::load(name).unwrap();
        let (mut good, mut bad) = (0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let ct = &test.ct.as_ref().unwrap()[..];
            let shared = Secret::from_slice(test.seed.as_ref().unwrap())
                .ok_or(CryptoError::Corrupt)
                .and_then(|seed| decapsulate(parameters, seed, ct));
            if test.result == TestResult::Valid {
                let expected = &test.shared_secret.as_ref().unwrap()[..];
                assert_eq!(
                    shared.unwrap().expose().as_slice(),
                    expected,
                    "{}",
                    test.tc_id
                );
                good += 1;
            } else {
                assert!(shared.is_err(), "{}", test.tc_id);
                bad += 1;
            }
        }
        assert!(good >= 150 && bad >= 20, "{good} valid, {bad} invalid");
    }
}

fn decapsulate(
    parameters: ParameterSet,
    seed: Secret<64>,
    ct: &[u8],
) -> Result<Secret<32>, CryptoError> {
    match parameters {
        ParameterSet::MlKem768 => KemSecret768::from_seed(seed).decapsulate(ct),
        ParameterSet::MlKem1024 => KemSecret1024::from_seed(seed).decapsulate(ct),
    }
}
