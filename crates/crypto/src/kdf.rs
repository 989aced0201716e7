// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Key derivation: HKDF and HMAC over SHA-256, in one framing (RFC 5869, RFC 2104).
//!
//! `KDF(salt, ikm, label, ctx, L) = HKDF-Expand(HKDF-Extract(salt, ikm), frame(L, label, ctx), L)`
//! with `frame(L, label, ctx) = u16(L) || u8len(label) || label || u8len(ctx) || ctx`.
//! A context is a fixed-length struct or a SHA-256, so it always fits its length byte.

use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::labels::Label;
use crate::secret::{Scratch, Secret};

/// The salt and the absent inputs of the specification: 32 zero bytes.
pub const Z: [u8; 32] = [0; 32];

/// The longest output in bytes (RFC 5869, section 2.3).
pub const OUTPUT_LENGTH_MAX: usize = 255 * 32;

/// A key of HMAC-SHA-256 with both its pads absorbed, for more than one use. Wiped on drop.
pub struct HmacKey(Hmac<Sha256>);

impl HmacKey {
    /// Absorbs the key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC takes a key of any length; a key of 32 bytes is padded to the block.
        let mut block = Scratch::<64>::zeros();
        if let Some(start) = block.first_chunk_mut() {
            *start = *key;
        }
        Self(Hmac::new((&*block).into()))
    }

    /// HMAC-SHA-256 over the concatenation of `parts`, which is secret.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> Secret<32> {
        Secret::fill_with(|out| self.mac_into(parts, out))
    }

    fn mac_into(&self, parts: &[&[u8]], out: &mut [u8; 32]) {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize_into(out.into());
    }
}

/// HMAC-SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Secret<32> {
    Secret::fill_with(|out| hmac_into(key, parts, out))
}

/// HMAC-SHA-256 whose result is public: a confirmation, a salt, a name.
#[must_use]
pub fn hmac_public(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    hmac_into(key, parts, &mut out);
    out
}

/// `KDF(salt, ikm, label, ctx, L)`. The parts of `ikm` are concatenated; the caller wipes them.
///
/// `L` is at most [`OUTPUT_LENGTH_MAX`] and `ctx` at most 255 bytes; both are checked when the
/// crate's own tests run, not at run time, because neither ever depends on input.
#[must_use]
pub fn derive<const L: usize>(
    salt: &[u8; 32],
    ikm: &[&[u8]],
    label: Label,
    ctx: &[u8],
) -> Secret<L> {
    Secret::fill_with(|out| derive_into(salt, ikm, label, ctx, out))
}

/// As [`derive`], into bytes that the caller wipes.
pub fn derive_into<const L: usize>(
    salt: &[u8; 32],
    ikm: &[&[u8]],
    label: Label,
    ctx: &[u8],
    out: &mut [u8; L],
) {
    // SES-3.
    let mut prk = Scratch::<32>::zeros();
    hmac_into(salt, ikm, &mut prk);
    expand_into(&HmacKey::new(&prk), label, ctx, out);
}

/// `HKDF-Expand(prk, frame(L, label, ctx), L)`, for a `prk` that is already uniform.
#[must_use]
pub fn expand<const L: usize>(prk: &Secret<32>, label: Label, ctx: &[u8]) -> Secret<L> {
    let key = HmacKey::new(prk.expose());
    Secret::fill_with(|out| expand_into(&key, label, ctx, out))
}

/// As [`expand`], under a key that is absorbed, into bytes that the caller wipes.
pub fn expand_into<const L: usize>(prk: &HmacKey, label: Label, ctx: &[u8], out: &mut [u8; L]) {
    // SES-4.
    const { assert!(L <= OUTPUT_LENGTH_MAX) };
    let length = output_length(L);
    let label_length = length_byte(label.as_bytes());
    let ctx_length = length_byte(ctx);
    let mut block = Scratch::<32>::zeros();
    for (at, chunk) in out.chunks_mut(32).enumerate() {
        let counter = [u8::try_from(at.saturating_add(1)).unwrap_or(u8::MAX)];
        let mut mac = prk.0.clone();
        if at > 0 {
            mac.update(block.as_slice());
        }
        mac.update(&length);
        mac.update(&label_length);
        mac.update(label.as_bytes());
        mac.update(&ctx_length);
        mac.update(ctx);
        mac.update(&counter);
        mac.finalize_into((&mut *block).into());
        for (to, from) in chunk.iter_mut().zip(block.iter()) {
            *to = *from;
        }
    }
}

/// `HMAC(key, frame(L, label, ctx))[..L]`: a short public value, in the framing of [`derive`].
/// `L` is at most 32.
#[must_use]
pub fn name<const L: usize>(key: &Secret<32>, label: Label, ctx: &[u8]) -> [u8; L] {
    name_under(&HmacKey::new(key.expose()), label, ctx)
}

/// As [`name`], under a key that is absorbed.
#[must_use]
pub fn name_under<const L: usize>(key: &HmacKey, label: Label, ctx: &[u8]) -> [u8; L] {
    const { assert!(L <= 32) };
    let mut whole = [0; 32];
    key.mac_into(
        &[
            &output_length(L),
            &length_byte(label.as_bytes()),
            label.as_bytes(),
            &length_byte(ctx),
            ctx,
        ],
        &mut whole,
    );
    let mut out = [0; L];
    for (to, from) in out.iter_mut().zip(whole.iter()) {
        *to = *from;
    }
    out
}

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn output_length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn length_byte(bytes: &[u8]) -> [u8; 1] {
    debug_assert!(bytes.len() <= 255, "a context is a fixed struct or a hash");
    [u8::try_from(bytes.len()).unwrap_or(u8::MAX)]
}

fn hmac_into(key: &[u8; 32], parts: &[&[u8]], out: &mut [u8; 32]) {
    HmacKey::new(key).mac_into(parts, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels;

    /// RFC 4231, test case 2, with its key padded to 32 bytes, which HMAC treats alike.
    #[test]
    fn hmac_matches_rfc_4231() {
        let mut key = [0_u8; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hmac_public(&key, &[b"what do ya want ", b"for nothing?"]);
        let expected = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95,
            0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9,
            0x64, 0xec, 0x38, 0x43,
        ];
        assert_eq!(mac, expected);
    }

    /// The framing only adds an info string, so an independent HKDF over the same info must agree.
    #[test]
    fn derive_is_hkdf_with_the_framed_info() {
        let ours: Secret<100> = derive(&[7; 32], &[b"in", b"put"], labels::STEP, &[9; 32]);
        let mut info = vec![0, 100, 4];
        info.extend_from_slice(b"step");
        info.push(32);
        info.extend_from_slice(&[9; 32]);
        let mut theirs = [0_u8; 100];
        hkdf::Hkdf::<Sha256>::new(Some(&[7; 32]), b"input")
            .expand(&info, &mut theirs)
            .unwrap();
        assert_eq!(ours.expose(), &theirs);
    }

    #[test]
    fn label_context_and_length_all_separate() {
        let key = Secret::<32>::copy_of(&[1; 32]);
        let base: Secret<32> = expand(&key, labels::STEP, b"c");
        let label: Secret<32> = expand(&key, labels::HEADER, b"c");
        let context: Secret<32> = expand(&key, labels::STEP, b"d");
        let longer: Secret<64> = expand(&key, labels::STEP, b"c");
        assert!(!base.equals(&label));
        assert!(!base.equals(&context));
        assert_ne!(base.expose().as_slice(), &longer.expose()[..32]);
        let short: [u8; 8] = name(&key, labels::CONTINUITY_ID, b"");
        let long: [u8; 16] = name(&key, labels::CONTINUITY_ID, b"");
        assert_ne!(short.as_slice(), &long[..8]);
    }

    /// RFC 5869, section 2.3.
    #[test]
    fn the_longest_output_is_255_blocks() {
        assert_eq!(OUTPUT_LENGTH_MAX, 8160);
    }
}
