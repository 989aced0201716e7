// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The master key of a client's store, and the header that keeps it: wrapped by Argon2id
//! (RFC 9106) of a passphrase, or, for throw-away profiles, in the clear.
//!
//! Header: `"WXMK" || format || protection || memory || passes || lanes || salt (16) ||
//! nonce (12) || key (32) || tag (16)`; everything before the key is associated data.
//! Unprotected: `"WXMK" || format || protection || key (32)`.

use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::CryptoRng;

use crate::aead::{self, NONCE_LENGTH};
use crate::error::CryptoError;
use crate::secret::Secret;

const MAGIC: &[u8; 4] = b"WXMK";
const FORMAT: u8 = 1;
const UNPROTECTED: u8 = 0;
const ARGON2ID: u8 = 1;
const SALT_LENGTH: usize = 16;

/// What one guess of the passphrase costs (RFC 9106, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassphraseCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl PassphraseCost {
    /// 64 MiB, three passes, one lane: the default for people.
    pub const STANDARD: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };
    /// 64 KiB, one pass: for tests, where the passphrase protects nothing.
    pub const LIGHT: Self = Self {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    };

    /// A damaged header must not demand more than this of the machine.
    const MAX: Self = Self {
        memory_kib: 1024 * 1024,
        passes: 16,
        lanes: 8,
    };

    const fn is_bounded(self) -> bool {
        self.memory_kib <= Self::MAX.memory_kib
            && self.passes <= Self::MAX.passes
            && self.lanes <= Self::MAX.lanes
    }

    fn hash(self, passphrase: &[u8], salt: &[u8]) -> Result<Secret<32>, CryptoError> {
        let parameters = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| CryptoError::Corrupt)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        Secret::try_fill_with(|out| argon2.hash_password_into(passphrase, salt, out)).map_err(
            |error| match error {
                argon2::Error::OutOfMemory => CryptoError::OutOfMemory,
                argon2::Error::PwdTooLong => CryptoError::TooLong,
                _ => CryptoError::Corrupt,
            },
        )
    }
}

/// The random key from which all keys of a client's store are derived. Wiped on drop.
pub struct MasterKey(Secret<32>);

impl MasterKey {
    /// A fresh key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(Secret::generate(rng))
    }

    /// The header that keeps this key under a passphrase. The caller wipes the passphrase.
    ///
    /// # Errors
    /// [`CryptoError::OutOfMemory`], or [`CryptoError::TooLong`] for an absurd passphrase.
    pub fn wrap<R: CryptoRng + ?Sized>(
        &self,
        passphrase: &[u8],
        cost: PassphraseCost,
        rng: &mut R,
    ) -> Result<Vec<u8>, CryptoError> {
        let mut salt = [0; SALT_LENGTH];
        let mut nonce = [0; NONCE_LENGTH];
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&[FORMAT, ARGON2ID]);
        for field in [cost.memory_kib, cost.passes, cost.lanes] {
            header.extend_from_slice(&field.to_be_bytes());
        }
        header.extend_from_slice(&salt);
        header.extend_from_slice(&nonce);
        let key = cost.hash(passphrase, &salt)?;
        let wrapped = aead::seal(&key, &nonce, &header, self.0.expose())?;
        header.extend_from_slice(&wrapped);
        Ok(header)
    }

    /// The header of an unprotected, throw-away profile: whoever reads it opens the store.
    #[must_use]
    pub fn unprotected_header(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut header = zeroize::Zeroizing::new(Vec::with_capacity(38));
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&[FORMAT, UNPROTECTED]);
        header.extend_from_slice(self.0.expose());
        header
    }

    /// Whether a header needs a passphrase.
    ///
    /// # Errors
    /// [`CryptoError::Corrupt`] or [`CryptoError::UnsupportedFormat`].
    pub fn needs_passphrase(header: &[u8]) -> Result<bool, CryptoError> {
        Ok(split(header)?.0 == ARGON2ID)
    }

    /// Opens a header. Takes as long as its cost says.
    ///
    /// # Errors
    /// [`CryptoError::WrongPassphrase`] (or a changed header, which looks the same),
    /// [`CryptoError::PassphraseNeeded`], [`CryptoError::Corrupt`],
    /// [`CryptoError::UnsupportedFormat`], [`CryptoError::OutOfMemory`].
    pub fn unwrap(header: &[u8], passphrase: Option<&[u8]>) -> Result<Self, CryptoError> {
        let (protection, rest) = split(header)?;
        if protection == UNPROTECTED {
            return Secret::from_slice(rest)
                .map(Self)
                .ok_or(CryptoError::Corrupt);
        }
        let passphrase = passphrase.ok_or(CryptoError::PassphraseNeeded)?;
        let (memory_kib, rest) = field(rest)?;
        let (passes, rest) = field(rest)?;
        let (lanes, rest) = field(rest)?;
        let cost = PassphraseCost {
            memory_kib,
            passes,
            lanes,
        };
        if !cost.is_bounded() {
            return Err(CryptoError::Corrupt);
        }
        let (salt, rest) = rest
            .split_first_chunk::<SALT_LENGTH>()
            .ok_or(CryptoError::Corrupt)?;
        let (nonce, wrapped) = rest
            .split_first_chunk::<NONCE_LENGTH>()
            .ok_or(CryptoError::Corrupt)?;
        let ad_length = header.len().saturating_sub(wrapped.len());
        let ad = header.get(..ad_length).ok_or(CryptoError::Corrupt)?;
        let key = cost.hash(passphrase, salt)?;
        let opened =
            aead::open(&key, nonce, ad, wrapped).map_err(|_| CryptoError::WrongPassphrase)?;
        Secret::from_slice(&opened)
            .map(Self)
            .ok_or(CryptoError::Corrupt)
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

fn split(header: &[u8]) -> Result<(u8, &[u8]), CryptoError> {
    let rest = header.strip_prefix(MAGIC).ok_or(CryptoError::Corrupt)?;
    let (format, rest) = rest.split_first().ok_or(CryptoError::Corrupt)?;
    if *format != FORMAT {
        return Err(CryptoError::UnsupportedFormat(*format));
    }
    match rest.split_first() {
        Some((&protection @ (UNPROTECTED | ARGON2ID), rest)) => Ok((protection, rest)),
        _ => Err(CryptoError::Corrupt),
    }
}

fn field(bytes: &[u8]) -> Result<(u32, &[u8]), CryptoError> {
    let (field, rest) = bytes.split_first_chunk().ok_or(CryptoError::Corrupt)?;
    Ok((u32::from_be_bytes(*field), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn wrapped() -> (MasterKey, Vec<u8>) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let master = MasterKey::generate(&mut rng);
        let header = master
            .wrap(b"correct horse", PassphraseCost::LIGHT, &mut rng)
            .unwrap();
        (master, header)
    }

    #[test]
    fn the_passphrase_opens_and_nothing_else_does() {
        let (master, header) = wrapped();
        assert!(MasterKey::needs_passphrase(&header).unwrap());
        let again = MasterKey::unwrap(&header, Some(b"correct horse")).unwrap();
        assert!(master.0.equals(&again.0));
        assert_eq!(
            MasterKey::unwrap(&header, Some(b"wrong horse")).err(),
            Some(CryptoError::WrongPassphrase)
        );
        assert_eq!(
            MasterKey::unwrap(&header, None).err(),
            Some(CryptoError::PassphraseNeeded)
        );
    }

    #[test]
    fn an_unprotected_header_needs_none() {
        let (master, _) = wrapped();
        let header = master.unprotected_header();
        assert!(!MasterKey::needs_passphrase(&header).unwrap());
        assert!(
            master
                .0
                .equals(&MasterKey::unwrap(&header, None).unwrap().0)
        );
    }

    #[test]
    fn damaged_headers_are_refused_and_cannot_exhaust_the_machine() {
        let (_, header) = wrapped();
        for length in 0..header.len() {
            assert!(MasterKey::unwrap(&header[..length], Some(b"correct horse")).is_err());
        }
        let mut greedy = header.clone();
        greedy[6] = 0xff;
        assert_eq!(
            MasterKey::unwrap(&greedy, Some(b"correct horse")).err(),
            Some(CryptoError::Corrupt)
        );
        let mut newer = header;
        newer[4] = 2;
        assert_eq!(
            MasterKey::unwrap(&newer, Some(b"correct horse")).err(),
            Some(CryptoError::UnsupportedFormat(2))
        );
    }

    /// The parameters reach the hash in the right order: Argon2id of the same inputs elsewhere.
    #[test]
    fn the_standard_cost_is_what_the_documentation_says() {
        let standard = PassphraseCost::STANDARD;
        assert_eq!(
            (standard.memory_kib, standard.passes, standard.lanes),
            (65536, 3, 1)
        );
    }

    #[test]
    fn a_header_may_ask_for_a_gibibyte_and_no_more() {
        let most = PassphraseCost {
            memory_kib: 1_048_576,
            passes: 16,
            lanes: 8,
        };
        assert!(most.is_bounded() && PassphraseCost::STANDARD.is_bounded());
        for (memory_kib, passes, lanes) in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
            let more = PassphraseCost {
                memory_kib: most.memory_kib + memory_kib,
                passes: most.passes + passes,
                lanes: most.lanes + lanes,
            };
            assert!(!more.is_bounded());
        }
    }
}
