// SPDX-License-Identifier: Apache-2.0 OR MIT
//! AES-256-GCM (SP 800-38D).
//!
//! In the pairwise protocol every key seals one plaintext only. A failed opening wipes what was
//! decrypted before it returns: no caller ever sees bytes that were not authenticated.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use zeroize::{Zeroize, Zeroizing};

use crate::error::CryptoError;
use crate::secret::Secret;

/// Bytes that sealing adds.
pub const TAG_LENGTH: usize = 16;
/// Bytes of a nonce.
pub const NONCE_LENGTH: usize = 12;

/// A nonce. Unique for each plaintext under one key; with a single-use key it may be fixed.
pub type Nonce = [u8; NONCE_LENGTH];

/// AES-256-GCM under one key, with its key schedule computed. Wiped on drop.
pub struct Cipher(Aes256Gcm);

impl Cipher {
    /// Expands the key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// Encrypts `buffer` in place and returns the tag.
    ///
    /// # Errors
    /// [`CryptoError::TooLong`] over the bounds of GCM, which no bounded input reaches.
    pub fn seal(
        &self,
        nonce: &Nonce,
        ad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_LENGTH], CryptoError> {
        // SES-6.
        self.0
            .encrypt_inout_detached(nonce.into(), ad, InOutBuf::from(buffer))
            .map(Into::into)
            .map_err(|_| CryptoError::TooLong)
    }

    /// Decrypts `buffer` in place, when `tag` is authentic.
    ///
    /// # Errors
    /// [`CryptoError::AuthFailed`]; `buffer` is then wiped.
    pub fn open(
        &self,
        nonce: &Nonce,
        ad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LENGTH],
    ) -> Result<(), CryptoError> {
        self.0
            .decrypt_inout_detached(nonce.into(), ad, InOutBuf::from(&mut *buffer), tag.into())
            .map_err(|_| {
                buffer.zeroize();
                CryptoError::AuthFailed
            })
    }
}

/// Encrypts `buffer` in place and returns the tag.
///
/// # Errors
/// [`CryptoError::TooLong`] over the bounds of GCM, which no bounded input reaches.
pub fn seal_in_place(
    key: &Secret<32>,
    nonce: &Nonce,
    ad: &[u8],
    buffer: &mut [u8],
) -> Result<[u8; TAG_LENGTH], CryptoError> {
    Cipher::new(key.expose()).seal(nonce, ad, buffer)
}

/// Encrypts `plaintext` and appends ciphertext and tag to `out`.
///
/// # Errors
/// [`CryptoError::TooLong`] over the bounds of GCM; `out` is then as before.
pub fn seal_onto(
    key: &Secret<32>,
    nonce: &Nonce,
    ad: &[u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    let start = out.len();
    out.reserve(plaintext.len().saturating_add(TAG_LENGTH));
    out.extend_from_slice(plaintext);
    let body = out.get_mut(start..).unwrap_or_default();
    match seal_in_place(key, nonce, ad, body) {
        Ok(tag) => {
            out.extend_from_slice(&tag);
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Encrypts `plaintext` into ciphertext and tag.
///
/// # Errors
/// [`CryptoError::TooLong`] over the bounds of GCM.
pub fn seal(
    key: &Secret<32>,
    nonce: &Nonce,
    ad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let mut out = Vec::with_capacity(plaintext.len().saturating_add(TAG_LENGTH));
    seal_onto(key, nonce, ad, plaintext, &mut out)?;
    Ok(out)
}

/// Opens ciphertext and tag. The attacker controls `sealed` and, in part, `ad`.
///
/// # Errors
/// [`CryptoError::AuthFailed`]; nothing of the plaintext is then left in memory.
pub fn open(
    key: &Secret<32>,
    nonce: &Nonce,
    ad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let (body, tag) = sealed
        .split_last_chunk::<TAG_LENGTH>()
        .ok_or(CryptoError::AuthFailed)?;
    let mut scratch = Zeroizing::new(body.to_vec());
    Cipher::new(key.expose()).open(nonce, ad, &mut scratch, tag)?;
    Ok(scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 14.
    #[test]
    fn a_published_vector_agrees() {
        let sealed = seal(&Secret::copy_of(&[0; 32]), &[0; 12], &[], &[0; 16]).unwrap();
        let expected: [u8; 32] = [
            0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3,
            0x9d, 0x18, 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5,
            0xd4, 0x8a, 0xb9, 0x19,
        ];
        assert_eq!(sealed, expected);
    }

    #[test]
    fn any_changed_bit_is_refused() {
        let key = Secret::copy_of(&[5; 32]);
        let sealed = seal(&key, &[1; 12], b"ad", b"text").unwrap();
        assert_eq!(
            open(&key, &[1; 12], b"ad", &sealed).unwrap().as_slice(),
            b"text"
        );
        assert!(open(&key, &[2; 12], b"ad", &sealed).is_err());
        assert!(open(&key, &[1; 12], b"aD", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(open(&key, &[1; 12], b"ad", &forged).is_err());
            assert!(open(&key, &[1; 12], b"ad", &sealed[..at]).is_err());
        }
    }
}
