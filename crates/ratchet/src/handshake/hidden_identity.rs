// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the initiator says about itself, sealed under the prekey part of the handshake.
//!
//! `AIK_A (32) || dev_A (16) || u16(length) || manifest_A || R (32) || pred (32) || attempt (4) ||
//! cont_id (8) || zeros`, up to a multiple of 1024 bytes: otherwise its length would show the
//! number of the initiator's devices.

use waxwing_identity::encoding::Reader;
use waxwing_proto::limits::MANIFEST_SIZE_MAX;
use waxwing_proto::{AccountKey, DeviceId};

use crate::RatchetError;

/// The unit of padding.
pub(crate) const BLOCK_LENGTH: usize = 1024;
/// Enough for the largest manifest.
pub(crate) const BLOCKS_MAX: usize = 9;

const MALFORMED: RatchetError = RatchetError::Malformed("hidden identity");

/// The initiator's claims. They are authentic for the device only once `conf` was checked.
pub(crate) struct HiddenIdentity<'a> {
    pub(crate) account: AccountKey,
    pub(crate) device: DeviceId,
    /// The exact bytes of the initiator's manifest.
    pub(crate) manifest: &'a [u8],
    /// The initiator's first ratchet key.
    pub(crate) ratchet_key: [u8; 32],
    /// `th` of the session that this one continues; all zeros for none.
    pub(crate) predecessor: [u8; 32],
    /// Orders handshakes with the same predecessor.
    pub(crate) attempt: u32,
    /// The name of the continuity secret; all zeros for none.
    pub(crate) continuity: [u8; 8],
}

impl<'a> HiddenIdentity<'a> {
    /// The padded plaintext of `id`.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, RatchetError> {
        // SES-10.
        if self.manifest.len() > MANIFEST_SIZE_MAX {
            return Err(RatchetError::TooLarge);
        }
        let length = u16::try_from(self.manifest.len()).map_err(|_| RatchetError::TooLarge)?;
        let mut bytes = [
            self.account.as_bytes().as_slice(),
            self.device.as_bytes(),
            &length.to_be_bytes(),
            self.manifest,
            &self.ratchet_key,
            &self.predecessor,
            &self.attempt.to_be_bytes(),
            &self.continuity,
        ]
        .concat();
        bytes.resize(bytes.len().next_multiple_of(BLOCK_LENGTH), 0);
        Ok(bytes)
    }

    /// Reads the padded plaintext of `id`.
    pub(crate) fn decode(plaintext: &'a [u8]) -> Result<Self, RatchetError> {
        let mut reader = Reader::new(plaintext);
        let identity = Self::read(&mut reader).ok_or(MALFORMED)?;
        let padding = reader.take_rest();
        if padding.len() >= BLOCK_LENGTH || padding.iter().any(|byte| *byte != 0) {
            return Err(MALFORMED);
        }
        Ok(identity)
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Self {
            account: AccountKey::new(reader.array().ok()?),
            device: DeviceId::new(reader.array().ok()?),
            manifest: reader.prefixed(MANIFEST_SIZE_MAX).ok()?,
            ratchet_key: reader.array().ok()?,
            predecessor: reader.array().ok()?,
            attempt: reader.u32().ok()?,
            continuity: reader.array().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(manifest: &[u8]) -> HiddenIdentity<'_> {
        HiddenIdentity {
            account: AccountKey::new([1; 32]),
            device: DeviceId::new([2; 16]),
            manifest,
            ratchet_key: [3; 32],
            predecessor: [0; 32],
            attempt: 5,
            continuity: [0; 8],
        }
    }

    #[test]
    fn every_manifest_fits_and_lengths_are_blocks() {
        for (length, blocks) in [(1, 1), (800, 1), (898, 1), (899, 2), (MANIFEST_SIZE_MAX, 9)] {
            let manifest = vec![9; length];
            let bytes = identity(&manifest).encode().unwrap();
            assert_eq!(bytes.len(), blocks * BLOCK_LENGTH);
            assert!(blocks <= BLOCKS_MAX);
            let back = HiddenIdentity::decode(&bytes).unwrap();
            assert_eq!(back.manifest, manifest);
            assert_eq!(back.attempt, 5);
        }
        assert!(identity(&vec![9; MANIFEST_SIZE_MAX + 1]).encode().is_err());
    }

    #[test]
    fn padding_is_zeros_and_less_than_a_block() {
        let bytes = identity(b"m").encode().unwrap();
        let mut marked = bytes.clone();
        marked[1023] = 1;
        assert!(HiddenIdentity::decode(&marked).is_err());
        let mut longer = bytes;
        longer.resize(2048, 0);
        assert!(HiddenIdentity::decode(&longer).is_err());
        assert!(HiddenIdentity::decode(&[0; 40]).is_err());
    }
}
