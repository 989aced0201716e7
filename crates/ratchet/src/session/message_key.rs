// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A message key and the one use that it has.
//!
//! `salt = HMAC(mk_n, frame("salt", 16 random bytes || SHA256(padded content)))[..16]` and
//! `K || N = HKDF-Expand(mk_n, frame("msg", salt), 44)`. The salt depends on the content, so a
//! rolled-back store never gives two contents one key, not even when the random generator was
//! rolled back with it.

use rand_core::CryptoRng;
use waxwing_crypto::{Scratch, Secret, aead, kdf, labels};
use waxwing_crypto::{SecretBytes, kdf::HmacKey};

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

    /// Seals a padded content in place and returns its salt and its tag. `ad` is computed from the
    /// salt: all that stands before the content, which the salt is a part of.
    pub(crate) fn seal<R: CryptoRng + ?Sized, A: AsRef<[u8]>>(
        self,
        padded: &mut [u8],
        rng: &mut R,
        ad: impl FnOnce(&Salt) -> Result<A, RatchetError>,
    ) -> Result<(Salt, [u8; aead::TAG_LENGTH]), RatchetError> {
        // SES-32.
        let key = HmacKey::new(self.0.expose());
        let mut context = [0; 48];
        let (random, digest) = context.split_at_mut(SALT_LENGTH);
        rng.fill_bytes(random);
        digest.copy_from_slice(&kdf::sha256(&[padded]));
        let salt = kdf::name_under(&key, labels::SALT, &context);
        let ad = ad(&salt)?;
        let (cipher, nonce) = single_use(&key, &salt);
        let tag = cipher.seal(&nonce, ad.as_ref(), padded)?;
        Ok((salt, tag))
    }

    /// Opens a padded content.
    pub(crate) fn open(
        self,
        salt: &Salt,
        ad: &[u8],
        ciphertext: &[u8],
    ) -> Result<SecretBytes, RatchetError> {
        let (body, tag) = ciphertext
            .split_last_chunk::<{ aead::TAG_LENGTH }>()
            .ok_or(RatchetError::AuthFailed)?;
        let (cipher, nonce) = single_use(&HmacKey::new(self.0.expose()), salt);
        let mut padded = SecretBytes::from(body.to_vec());
        cipher.open(&nonce, ad, &mut padded, tag)?;
        Ok(padded)
    }
}

/// `K` and `N`. The key serves once, so its nonce may be derived.
fn single_use(key: &HmacKey, salt: &Salt) -> (aead::Cipher, aead::Nonce) {
    let mut derived = Scratch::<44>::zeros();
    kdf::expand_into(key, labels::MESSAGE, salt, &mut derived);
    let nonce = derived.last_chunk().copied().unwrap_or_default();
    let cipher = aead::Cipher::new(derived.first_chunk().unwrap_or(&[0; 32]));
    (cipher, nonce)
}
