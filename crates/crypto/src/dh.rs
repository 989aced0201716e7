// SPDX-License-Identifier: Apache-2.0 OR MIT
//! X25519 secrets (RFC 7748). Every agreement carries the contributory check.

use std::sync::OnceLock;

use rand_core::CryptoRng;
use waxwing_identity::DeviceDhKey;

use crate::backend::{self, DhKey};
use crate::error::CryptoError;
use crate::secret::Secret;

/// An X25519 secret with its public key beside it, so that the public key is computed once.
///
/// It serves as device identity key, as prekey, as ephemeral key and as ratchet key; the protocol
/// keeps those apart by its own types.
pub struct DhSecret {
    secret: Secret<32>,
    public: [u8; 32],
    /// What the backend computes with, made at the first use.
    key: OnceLock<Box<dyn DhKey>>,
}

impl DhSecret {
    /// A fresh key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::from_secret(Secret::generate(rng))
    }

    /// The key with these secret bytes.
    #[must_use]
    pub fn from_secret(secret: Secret<32>) -> Self {
        let key = backend::active().x25519_key(&secret);
        Self {
            secret,
            public: key.public(),
            key: OnceLock::from(key),
        }
    }

    /// Puts together what [`DhSecret::expose`] and [`DhSecret::public`] gave, without computing
    /// the public key again. Only for the caller's own authenticated records.
    #[must_use]
    pub const fn restore(secret: Secret<32>, public: [u8; 32]) -> Self {
        Self {
            secret,
            public,
            key: OnceLock::new(),
        }
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The public key as the identity key of a device.
    #[must_use]
    pub const fn device_key(&self) -> DeviceDhKey {
        DeviceDhKey::new(self.public)
    }

    /// X25519 with a public key that an attacker may have chosen.
    ///
    /// # Errors
    /// [`CryptoError::NonContributory`].
    pub fn agree(&self, public: &[u8; 32]) -> Result<Secret<32>, CryptoError> {
        // SES-1.
        let key = self
            .key
            .get_or_init(|| backend::active().x25519_key(&self.secret));
        key.agree(public)
    }

    /// The secret bytes, for sealed rows.
    #[must_use]
    pub const fn expose(&self) -> &Secret<32> {
        &self.secret
    }

    /// A second copy, where a protocol state needs one.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::restore(self.secret.duplicate(), self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree() {
        let a = DhSecret::from_secret(Secret::copy_of(&[1; 32]));
        let b = DhSecret::from_secret(Secret::copy_of(&[2; 32]));
        let ab = a.agree(b.public()).unwrap();
        assert!(ab.equals(&b.agree(a.public()).unwrap()));
        let again = DhSecret::restore(a.expose().duplicate(), *a.public());
        assert!(ab.equals(&again.agree(b.public()).unwrap()));
        assert!(matches!(
            a.agree(&[0; 32]),
            Err(CryptoError::NonContributory)
        ));
    }
}
