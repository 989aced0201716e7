// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A second, straight-line reading of the specification: the responder opens a first envelope with
//! nothing but its own secrets, byte offsets, HKDF, HMAC, AES and SHA-256. Shares no derivation,
//! layout or framing with the code under test.

use aes::cipher::BlockCipherEncrypt as _;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest, Sha256};

use super::world::{Party, strangers};

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn frame(length: u16, label: &str, ctx: &[u8]) -> Vec<u8> {
    let mut info = length.to_be_bytes().to_vec();
    info.push(u8::try_from(label.len()).unwrap());
    info.extend_from_slice(label.as_bytes());
    info.push(u8::try_from(ctx.len()).unwrap());
    info.extend_from_slice(ctx);
    info
}

fn kdf(salt: &[u8], ikm: &[&[u8]], label: &str, ctx: &[u8], length: u16) -> Vec<u8> {
    let mut out = vec![0; usize::from(length)];
    Hkdf::<Sha256>::new(Some(salt), &ikm.concat())
        .expand(&frame(length, label, ctx), &mut out)
        .unwrap();
    out
}

fn expand(prk: &[u8], label: &str, ctx: &[u8], length: u16) -> Vec<u8> {
    let mut out = vec![0; usize::from(length)];
    Hkdf::<Sha256>::from_prk(prk)
        .unwrap()
        .expand(&frame(length, label, ctx), &mut out)
        .unwrap();
    out
}

fn open(key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    Aes256Gcm::new_from_slice(key)
        .unwrap()
        .decrypt(nonce.try_into().unwrap(), Payload { msg, aad })
        .unwrap()
}

/// Opens envelope number `n` of the first chain.
fn open_first(b: &Party, envelope: &[u8], with_one_time: bool, n: u32) -> Vec<u8> {
    const Z: [u8; 32] = [0; 32];
    let (spk, opk) = (&b.signed.0, &b.one_time()[0].0);
    let ephemeral: &[u8; 32] = envelope[13..45].try_into().unwrap();
    let ct = &envelope[45..1613];
    assert_eq!(envelope[1613], 1);
    let (id, conf) = (&envelope[1614..2654], &envelope[2654..2686]);

    let pair = if with_one_time { opk } else { spk };
    let opk_public = if with_one_time { *opk.dh.public() } else { Z };
    let head = spk.head().unwrap();
    let h0 = sha256(&[
        b"hs0",
        &[0, 1],
        b.manifest.account().as_bytes(),
        b.manifest.devices()[0].id().as_bytes(),
        &head.version.to_be_bytes(),
        head.hash.as_bytes(),
        b.secrets.signing.device_key().as_bytes(),
        b.secrets.dh.public(),
        spk.dh.public(),
        &opk_public,
        &pair.kem.encapsulation_key(),
        ephemeral,
        ct,
    ]);
    let dh_opk = if with_one_time {
        *opk.dh.agree(ephemeral).unwrap().expose()
    } else {
        Z
    };
    let ss = pair.kem.decapsulate(ct).unwrap();
    let dh_spk = spk.dh.agree(ephemeral).unwrap();
    let k = kdf(
        &Z,
        &[dh_spk.expose(), &dh_opk, ss.expose()],
        "hs-id",
        &h0,
        64,
    );
    let identity = open(&k[..32], &[0; 12], &envelope[2..1614], id);

    let length = usize::from(u16::from_be_bytes([identity[48], identity[49]]));
    let manifest = waxwing_identity::DeviceManifest::decode(&identity[50..50 + length]).unwrap();
    let device = manifest.devices()[0];
    assert_eq!(&identity[..32], manifest.account().as_bytes());
    assert_eq!(&identity[32..48], device.id().as_bytes());
    let r: &[u8; 32] = identity[50 + length..82 + length].try_into().unwrap();
    assert!(identity[82 + length..].iter().all(|byte| *byte == 0));

    let th = sha256(&[
        b"hs1",
        &h0,
        &identity,
        device.signing_key().as_bytes(),
        device.dh_key().as_bytes(),
    ]);
    let dh_a = spk.dh.agree(device.dh_key().as_bytes()).unwrap();
    let dh_b = b.secrets.dh.agree(ephemeral).unwrap();
    let c = kdf(&k[32..], &[dh_a.expose(), dh_b.expose()], "hs", &th, 64);
    assert_eq!(hmac(&c[32..], &th), conf);
    let root = kdf(&Z, &[&c[..32]], "hs-root", &th, 96);
    let (rk, hk_a) = (&root[..32], &root[32..64]);

    let ctx = sha256(&[&th, &[0, 0, 0, 1], &[0, 0, 0, 0], r, spk.dh.public()]);
    let dh = spk.dh.agree(r).unwrap();
    let step = kdf(rk, &[dh.expose(), &Z], "step", &ctx, 128);
    let mut ck = step[32..64].to_vec();
    for _ in 0..n {
        ck = hmac(&ck, &[2]);
    }
    let mk = hmac(&ck, &[&[1][..], &n.to_be_bytes()].concat());

    let header_keys = expand(hk_a, "header", b"", 64);
    let mut tag = aes::Block::from(u128::from(n).to_be_bytes());
    aes::Aes256::new_from_slice(&header_keys[..32])
        .unwrap()
        .encrypt_block(&mut tag);
    assert_eq!(tag.as_slice(), &envelope[2686..2702]);
    let salt = &envelope[2702..2718];
    let header = open(
        &header_keys[32..],
        &salt[..12],
        &envelope[..2718],
        &envelope[2718..2778],
    );
    let expected = [&r[..], &n.to_be_bytes(), &[0; 8]].concat();
    assert_eq!(header, expected);

    let key = expand(&mk, "msg", salt, 44);
    let ad = [&th, &envelope[..2778]].concat();
    open(&key[..32], &key[32..], &ad, &envelope[2778..])
}

/// [SES-8], [SES-9], [SES-10], [SES-11], [SES-12], [SES-33], [SES-34], [ENV-1], [ENV-2].
#[test]
fn a_first_envelope_is_what_the_specification_says() {
    for with_one_time in [true, false] {
        let (mut a, mut b) = if with_one_time {
            strangers()
        } else {
            let (a, mut b) = strangers();
            b.hand_out_all();
            (a, b)
        };
        for n in 0..3 {
            let envelope = a.send(&mut b, b"specified");
            let padded = open_first(&b, &envelope, with_one_time, n);
            assert_eq!(&padded[..11], b"\x00\x09specified");
            assert_eq!(padded.len(), 4096 - 2684);
            assert!(padded[11..].iter().all(|byte| *byte == 0));
        }
    }
}
