// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A message key and the one use that it has.
//!
//! `salt = HMAC(mk_n, frame("salt", 16 random bytes || SHA256(padded content)))[..16]` and
//! `K || N = HKDF-Expand(mk_n, frame("msg", salt), 44)`. The salt depends on the content, so a
//! rolled-back store never gives two contents one key, not even when the random generator was
//! rolled back with it.

use rand_core::CryptoRng;
use waxwing_crypto::{Secret, aead, kdf, labels};
use zeroize::Zeroizing;

use crate::RatchetError;

pub(crate) const SALT_LENGTH: usize = 16;

/// The salt of one envelope.
pub(crate) type Salt = [u8; SALT_LENGTH];

/// `mk_n`: seals one content, or opens one, and is consumed by it.
///
/// ```compile_fail
/// fn duplicable<T: Clone>() {}
/// duplicable::<waxwing_ratchet::MessageKey>();
/// ```
pub struct MessageKey(Secret<32>);

impl MessageKey {
    pub(crate) const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// The key's bytes, for a sealed row.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The salt under which [`MessageKey::seal`] will seal this content.
    pub(crate) fn salt<R: CryptoRng + ?Sized>(&self, padded: &[u8], rng: &mut R) -> Salt {
        // SES-32.
        let mut context = [0; 48];
        let (random, digest) = context.split_at_mut(SALT_LENGTH);
        rng.fill_bytes(random);
        digest.copy_from_slice(&kdf::sha256(&[padded]));
        kdf::name(&self.0, labels::SALT, &context)
    }

    /// Seals a padded content onto `out`.
    pub(crate) fn seal(
        self,
        salt: &Salt,
        ad: &[u8],
        padded: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RatchetError> {
        let (key, nonce) = self.single_use(salt);
        Ok(aead::seal_onto(&key, &nonce, ad, padded, out)?)
    }

    /// Opens a padded content.
    pub(crate) fn open(
        self,
        salt: &Salt,
        ad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RatchetError> {
        let (key, nonce) = self.single_use(salt);
        Ok(aead::open(&key, &nonce, ad, ciphertext)?)
    }

    fn single_use(self, salt: &Salt) -> (Secret<32>, aead::Nonce) {
        let derived: Secret<44> = kdf::expand(&self.0, labels::MESSAGE, salt);
        let (key, nonce) = derived.expose().split_at(32);
        let key = Secret::fill_with(|bytes: &mut [u8; 32]| {
            for (to, from) in bytes.iter_mut().zip(key) {
                *to = *from;
            }
        });
        let mut fixed = [0; aead::NONCE_LENGTH];
        for (to, from) in fixed.iter_mut().zip(nonce) {
            *to = *from;
        }
        (key, fixed)
    }
}
