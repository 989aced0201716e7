// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sealing at rest and in passing: the client's store, and the slots of a rendezvous.
//!
//! Every sealed value has a key of its own, derived from 16 random bytes that stand before it, and
//! a random nonce: 28 random bytes in all, so that no bound on the number of values under one key
//! is ever near. What a value belongs to is associated data; it opens nowhere else.

mod master;
mod rendezvous;
mod store;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::aead::{self, NONCE_LENGTH, TAG_LENGTH};
use crate::error::CryptoError;
use crate::kdf;
use crate::labels::Label;
use crate::secret::Secret;

pub use master::{MasterKey, PassphraseCost};
pub use rendezvous::RendezvousKey;
pub use store::{ScopeName, StoreKeys};

/// Bytes that sealing adds to a value: format, salt, nonce, tag.
pub const SEALED_OVERHEAD: usize = 1 + SALT_LENGTH + NONCE_LENGTH + TAG_LENGTH;

const SALT_LENGTH: usize = 16;
const FORMAT: u8 = 1;

/// `format || salt || nonce || AES-256-GCM(expand(key, label, salt), nonce, ad, plaintext)`.
fn seal_value<R: CryptoRng + ?Sized>(
    key: &Secret<32>,
    label: Label,
    ad: &[&[u8]],
    plaintext: &[u8],
    rng: &mut R,
) -> Result<Vec<u8>, CryptoError> {
    let mut salt = [0; SALT_LENGTH];
    let mut nonce = [0; NONCE_LENGTH];
    rng.fill_bytes(&mut salt);
    rng.fill_bytes(&mut nonce);
    let mut sealed = Vec::with_capacity(plaintext.len().saturating_add(SEALED_OVERHEAD));
    sealed.push(FORMAT);
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(&nonce);
    let single = kdf::expand(key, label, &salt);
    aead::seal_onto(&single, &nonce, &bound(ad), plaintext, &mut sealed)?;
    Ok(sealed)
}

/// Opens what [`seal_value`] made.
fn open_value(
    key: &Secret<32>,
    label: Label,
    ad: &[&[u8]],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let (format, rest) = sealed.split_first().ok_or(CryptoError::AuthFailed)?;
    if *format != FORMAT {
        return Err(CryptoError::UnsupportedFormat(*format));
    }
    let (salt, rest) = rest
        .split_first_chunk::<SALT_LENGTH>()
        .ok_or(CryptoError::AuthFailed)?;
    let (nonce, body) = rest
        .split_first_chunk::<NONCE_LENGTH>()
        .ok_or(CryptoError::AuthFailed)?;
    let single = kdf::expand(key, label, salt);
    aead::open(&single, nonce, &bound(ad), body)
}

/// The associated data: the format and each part behind its length, so that no two lists of parts
/// give the same bytes.
fn bound(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    for part in parts {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}
