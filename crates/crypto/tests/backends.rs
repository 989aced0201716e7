// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keys and ciphertexts of each backend are accepted by the other and give the same secrets.
#![cfg(feature = "fast")]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use waxwing_crypto::backend::{Backend, Fast, ParameterSet, PureRust, check_encapsulation_key};
use waxwing_crypto::{CryptoError, Secret};

const BACKENDS: [&dyn Backend; 2] = [&PureRust, &Fast];

/// Many secrets, all different.
fn secret<const N: usize>(number: u8) -> Secret<N> {
    Secret::fill_with(|bytes| {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(at % 251).unwrap().wrapping_mul(number) ^ number;
        }
    })
}

/// [SES-1]: both ways, and the public key is the same.
#[test]
fn x25519_agrees_across_backends() {
    for number in 1..50 {
        let (a, b) = (secret(number), secret(number + 100));
        let keys = BACKENDS.map(|backend| (backend.x25519_key(&a), backend.x25519_key(&b)));
        let [(a_pure, b_pure), (a_fast, b_fast)] = &keys;
        assert_eq!(a_pure.public(), a_fast.public());
        assert_eq!(b_pure.public(), b_fast.public());
        let shared = a_pure.agree(&b_pure.public()).unwrap();
        assert!(shared.equals(&a_fast.agree(&b_pure.public()).unwrap()));
        assert!(shared.equals(&b_fast.agree(&a_pure.public()).unwrap()));
        // Whatever bytes an attacker sends.
        let noise = *secret::<32>(number).expose();
        let agreed = a_pure.agree(&noise).unwrap();
        assert!(agreed.equals(&a_fast.agree(&noise).unwrap()));
    }
}

/// [SES-1]: every point of small order, in each of its encodings (RFC 7748, section 6.1).
#[test]
fn both_backends_refuse_points_of_small_order() {
    let of_order_8: [[u8; 32]; 2] = [
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
            0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
            0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83,
            0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd,
            0xd0, 0x9f, 0x11, 0x57,
        ],
    ];
    let mut points = of_order_8.to_vec();
    // 0, 1, p - 1, p, p + 1.
    for low in [0_u8, 1] {
        let mut point = [0; 32];
        point[0] = low;
        points.push(point);
    }
    for low in [0xec_u8, 0xed, 0xee] {
        let mut point = [0xff; 32];
        (point[0], point[31]) = (low, 0x7f);
        points.push(point);
    }
    for mut point in points {
        for high in [0, 0x80] {
            point[31] |= high;
            for backend in BACKENDS {
                let refused = backend.x25519_key(&secret(7)).agree(&point).err();
                assert_eq!(refused, Some(CryptoError::NonContributory), "{point:x?}");
            }
        }
    }
}

/// [SES-2]: keys and ciphertexts in both directions, and the same implicit rejection.
#[test]
fn ml_kem_agrees_across_backends() {
    for set in [ParameterSet::MlKem768, ParameterSet::MlKem1024] {
        for number in 1..20 {
            let seed = secret(number);
            let keys = BACKENDS.map(|backend| backend.kem_key(set, &seed));
            let ek = keys[0].encapsulation_key();
            assert_eq!(ek, keys[1].encapsulation_key());
            check_encapsulation_key(set, &ek).unwrap();
            for backend in BACKENDS {
                let (mut ct, shared) = backend.kem_encapsulate(set, &ek, &secret(99)).unwrap();
                assert_eq!(ct.len(), set.ciphertext_length());
                for key in &keys {
                    assert!(shared.equals(&key.decapsulate(&ct).unwrap()));
                    assert!(key.decapsulate(&ct[1..]).is_err());
                }
                ct[usize::from(number)] ^= 1;
                let rejected = keys.each_ref().map(|key| key.decapsulate(&ct).unwrap());
                assert!(rejected[0].equals(&rejected[1]));
                assert!(!shared.equals(&rejected[0]));
            }
        }
    }
}

/// [SES-2], [PRE-7]: an unreduced key is refused by the check, and by the fast backend itself.
#[test]
fn both_backends_refuse_unreduced_keys() {
    for set in [ParameterSet::MlKem768, ParameterSet::MlKem1024] {
        let mut ek = PureRust.kem_key(set, &secret(3)).encapsulation_key();
        ek[0] = 0xff;
        ek[1] |= 0x0f;
        let bad = Some(CryptoError::BadKemKey);
        assert_eq!(check_encapsulation_key(set, &ek).err(), bad);
        for backend in BACKENDS {
            assert_eq!(backend.kem_encapsulate(set, &ek, &secret(1)).err(), bad);
        }
    }
}
