// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key by which a server is recognised.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use waxwing_proto::KeyPin;
use zeroize::Zeroizing;

use super::provider;
use crate::error::LinkError;

/// What stands before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What stands before the 32 bytes of an Ed25519 public key in SubjectPublicKeyInfo (RFC 8410,
/// section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A server's Ed25519 key pair. Clones share the key.
#[derive(Clone)]
pub struct ServerIdentity {
    key: Arc<CertifiedKey>,
    pkcs8: Arc<Zeroizing<Vec<u8>>>,
    key_pin: KeyPin,
}

impl ServerIdentity {
    /// Makes the key pair that follows from 32 random bytes. The caller wipes its copy.
    ///
    /// # Errors
    /// [`LinkError::Settings`], never for bytes from a random generator.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, LinkError> {
        let mut pkcs8 = Zeroizing::new(PKCS8_PREFIX.to_vec());
        pkcs8.extend_from_slice(seed);
        Self::from_pkcs8(&pkcs8)
    }

    /// Reads a key pair in PKCS #8 form (RFC 5958, RFC 8410), as [`ServerIdentity::to_pkcs8`]
    /// writes it. The caller wipes its copy.
    ///
    /// # Errors
    /// [`LinkError::Settings`] when the bytes are not an Ed25519 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, LinkError> {
        let unusable = LinkError::Settings("the server key is not an Ed25519 key in PKCS #8 form");
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
        let key = provider()
            .key_provider
            .load_private_key(der.clone_key())
            .map_err(|_| unusable)?;
        let spki = key.public_key().ok_or(unusable)?;
        // Other kinds of key are refused: clients accept Ed25519 only.
        if !spki.starts_with(&SPKI_PREFIX) {
            return Err(unusable);
        }
        let key_pin = pin_of(&spki);
        let certificate = CertificateDer::from(spki.to_vec());
        Ok(Self {
            key: Arc::new(CertifiedKey::new(vec![certificate], key)),
            pkcs8: Arc::new(Zeroizing::new(pkcs8.to_vec())),
            key_pin,
        })
    }

    /// The private key, for the server's key file. Wiped when dropped.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::clone(&self.pkcs8)
    }

    /// What clients know the server by.
    #[must_use]
    pub const fn key_pin(&self) -> KeyPin {
        self.key_pin
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

impl core::fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServerIdentity")
            .field("key_pin", &self.key_pin)
            .finish_non_exhaustive()
    }
}

/// The pin of a public key in SubjectPublicKeyInfo form.
pub(crate) fn pin_of(spki: &[u8]) -> KeyPin {
    KeyPin(Sha256::digest(spki).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file() {
        let identity = ServerIdentity::from_seed(&[7; 32]).unwrap();
        let again = ServerIdentity::from_pkcs8(&identity.to_pkcs8()).unwrap();
        assert_eq!(identity.key_pin(), again.key_pin());
        assert_ne!(
            identity.key_pin(),
            ServerIdentity::from_seed(&[8; 32]).unwrap().key_pin()
        );
    }

    /// [TRN-3]: RFC 8032, section 7.1, test 1: the public key of a known private key.
    #[test]
    fn the_pin_is_the_hash_of_the_subject_public_key_info() {
        let hex = |text: &str| waxwing_proto::AccountKey::from_hex(text).unwrap();
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let identity = ServerIdentity::from_seed(seed.as_bytes()).unwrap();
        let spki = [SPKI_PREFIX.as_slice(), public.as_bytes()].concat();
        assert_eq!(identity.key_pin(), pin_of(&spki));
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused() {
        assert!(ServerIdentity::from_pkcs8(&[]).is_err());
        assert!(ServerIdentity::from_pkcs8(&[0x30; 48]).is_err());
        let mut other_curve = PKCS8_PREFIX.to_vec();
        other_curve[11] = 0x71;
        other_curve.extend_from_slice(&[7; 32]);
        assert!(ServerIdentity::from_pkcs8(&other_curve).is_err());
    }

    #[test]
    fn the_private_key_is_not_shown() {
        let identity = ServerIdentity::from_seed(&[0xa5; 32]).unwrap();
        assert!(!format!("{identity:?}").contains("165, 165"));
    }
}
