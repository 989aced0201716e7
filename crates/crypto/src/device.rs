// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two long-term secrets of a device: `IKs`, which signs, and `IKd`, which agrees.
//!
//! They never leave the device and are in no backup; a device that lost its store makes new ones
//! under a new device id.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::dh::DhSecret;
use crate::error::CryptoError;
use crate::secret::Secret;
use crate::signing::DeviceSigningSecret;

/// The format of [`DeviceSecrets::to_sealed_row`].
const FORMAT: u8 = 1;

/// The secrets of one device.
pub struct DeviceSecrets {
    /// `IKs`: signs prekeys, manifests and proofs to the server.
    pub signing: DeviceSigningSecret,
    /// `IKd`: the Diffie-Hellman identity key.
    pub dh: DhSecret,
}

impl DeviceSecrets {
    /// Fresh secrets for a new device.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self {
            signing: DeviceSigningSecret::generate(rng),
            dh: DhSecret::generate(rng),
        }
    }

    /// The bytes for the sealed store: format, `IKs`, `IKd`. They are secret; seal them at once.
    #[must_use]
    pub fn to_sealed_row(&self) -> Zeroizing<Vec<u8>> {
        let mut row = Zeroizing::new(Vec::with_capacity(65));
        row.push(FORMAT);
        row.extend_from_slice(self.signing.expose_seed());
        row.extend_from_slice(self.dh.expose().expose());
        row
    }

    /// Reads what [`DeviceSecrets::to_sealed_row`] wrote.
    ///
    /// # Errors
    /// [`CryptoError::Corrupt`] or [`CryptoError::UnsupportedFormat`].
    pub fn from_sealed_row(row: &[u8]) -> Result<Self, CryptoError> {
        let (format, rest) = row.split_first().ok_or(CryptoError::Corrupt)?;
        if *format != FORMAT {
            return Err(CryptoError::UnsupportedFormat(*format));
        }
        let (signing, dh) = rest.split_at_checked(32).ok_or(CryptoError::Corrupt)?;
        let signing = Secret::from_slice(signing).ok_or(CryptoError::Corrupt)?;
        let dh = Secret::from_slice(dh).ok_or(CryptoError::Corrupt)?;
        Ok(Self {
            signing: DeviceSigningSecret::from_seed(&signing),
            dh: DhSecret::from_secret(dh),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn a_row_gives_the_same_keys_back() {
        let device = DeviceSecrets::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let row = device.to_sealed_row();
        let again = DeviceSecrets::from_sealed_row(&row).unwrap();
        assert_eq!(device.signing.device_key(), again.signing.device_key());
        assert_eq!(device.dh.device_key(), again.dh.device_key());
    }

    #[test]
    fn damaged_rows_are_refused() {
        let device = DeviceSecrets::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let row = device.to_sealed_row();
        for length in 0..row.len() {
            assert!(DeviceSecrets::from_sealed_row(&row[..length]).is_err());
        }
        let mut longer = row.to_vec();
        longer.push(0);
        assert!(DeviceSecrets::from_sealed_row(&longer).is_err());
        longer[0] = 2;
        assert_eq!(
            DeviceSecrets::from_sealed_row(&longer).err(),
            Some(CryptoError::UnsupportedFormat(2))
        );
    }
}
