// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The keys of the client's sealed store: one for values, one for names.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{MasterKey, open_value, seal_value};
use crate::error::CryptoError;
use crate::kdf::{self, Z};
use crate::labels;
use crate::secret::Secret;

/// A scope name as the storage engine sees it: 16 bytes that tell nothing about the name.
pub type ScopeName = [u8; 16];

/// What opens the client's store while a profile is unlocked. Wiped on drop.
pub struct StoreKeys {
    record: Secret<32>,
    scope: Secret<32>,
}

impl StoreKeys {
    /// Derives the keys from the master key.
    #[must_use]
    pub fn derive(master: &MasterKey) -> Self {
        Self {
            record: kdf::derive(&Z, &[master.expose()], labels::STORE_RECORD, &[]),
            scope: kdf::derive(&Z, &[master.expose()], labels::STORE_SCOPE, &[]),
        }
    }

    /// Seals one value. `scope` and `key` say where it is stored: it opens nowhere else, so a
    /// thief of the disk cannot exchange two values unseen.
    ///
    /// # Errors
    /// [`CryptoError::TooLong`] for a value beyond the bounds of GCM.
    pub fn seal<R: CryptoRng + ?Sized>(
        &self,
        scope: &[u8],
        key: &[u8],
        value: &[u8],
        rng: &mut R,
    ) -> Result<Vec<u8>, CryptoError> {
        seal_value(&self.record, labels::STORE_VALUE, &[scope, key], value, rng)
    }

    /// Opens one value from the place that it was sealed for.
    ///
    /// # Errors
    /// [`CryptoError::Corrupt`] or [`CryptoError::UnsupportedFormat`].
    pub fn open(
        &self,
        scope: &[u8],
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        open_value(&self.record, labels::STORE_VALUE, &[scope, key], sealed).map_err(|error| {
            match error {
                CryptoError::UnsupportedFormat(format) => CryptoError::UnsupportedFormat(format),
                _ => CryptoError::Corrupt,
            }
        })
    }

    /// The name under which the storage engine keeps what belongs to `name` in `scope`: a keyed
    /// hash, so that a stolen disk names no contact.
    #[must_use]
    pub fn scope_name(&self, scope: &[u8], name: &[u8]) -> ScopeName {
        let context = kdf::sha256(&[&kdf::sha256(&[scope]), &kdf::sha256(&[name])]);
        kdf::name(&self.scope, labels::STORE_SCOPE_NAME, &context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::SEALED_OVERHEAD;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn a_value_opens_in_its_place_only() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let keys = StoreKeys::derive(&MasterKey::generate(&mut rng));
        let sealed = keys.seal(b"session", b"1", b"value", &mut rng).unwrap();
        assert_eq!(sealed.len(), 5 + SEALED_OVERHEAD);
        assert_eq!(
            keys.open(b"session", b"1", &sealed).unwrap().as_slice(),
            b"value"
        );
        for (scope, key) in [(&b"session"[..], &b"2"[..]), (b"sessio", b"n1")] {
            assert_eq!(
                keys.open(scope, key, &sealed).err(),
                Some(CryptoError::Corrupt)
            );
        }
        let other = StoreKeys::derive(&MasterKey::generate(&mut rng));
        assert!(other.open(b"session", b"1", &sealed).is_err());
    }

    #[test]
    fn equal_values_look_different_and_damage_is_seen() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let keys = StoreKeys::derive(&MasterKey::generate(&mut rng));
        let one = keys.seal(b"s", b"k", b"value", &mut rng).unwrap();
        let two = keys.seal(b"s", b"k", b"value", &mut rng).unwrap();
        assert_ne!(one, two);
        for at in 0..one.len() {
            let mut damaged = one.clone();
            damaged[at] ^= 1;
            assert!(keys.open(b"s", b"k", &damaged).is_err());
            assert!(keys.open(b"s", b"k", &one[..at]).is_err());
        }
        let mut newer = one.clone();
        newer[0] = 2;
        assert_eq!(
            keys.open(b"s", b"k", &newer).err(),
            Some(CryptoError::UnsupportedFormat(2)),
            "not damage"
        );
    }

    #[test]
    fn scope_names_are_keyed_and_unambiguous() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let keys = StoreKeys::derive(&MasterKey::generate(&mut rng));
        assert_eq!(keys.scope_name(b"a", b"b"), keys.scope_name(b"a", b"b"));
        assert_ne!(keys.scope_name(b"ab", b""), keys.scope_name(b"a", b"b"));
        let other = StoreKeys::derive(&MasterKey::generate(&mut rng));
        assert_ne!(keys.scope_name(b"a", b"b"), other.scope_name(b"a", b"b"));
    }
}
