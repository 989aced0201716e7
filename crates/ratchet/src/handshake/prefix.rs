// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The prefix: a handshake as the server sees it. It is made once and repeated byte for byte.
//!
//! `version (1) || suite (2) || signed prekey id (4) || one-time prekey id (4, 0 for none) ||
//! EK (32) || ct (1568) || blocks (1) || id (1024 * blocks + 16) || conf (32)`.
//! Everything before `id` is its associated data.

use waxwing_crypto::{KemSecret1024, aead, kdf};
use waxwing_identity::encoding::Reader;
use waxwing_identity::prekey::SUITE;

use super::hidden_identity::{BLOCK_LENGTH, BLOCKS_MAX};
use crate::{HandshakeId, RatchetError};

/// The version of the layout.
pub(crate) const VERSION: u8 = 1;

const MALFORMED: RatchetError = RatchetError::Malformed("prefix");
const CT_LENGTH: usize = KemSecret1024::CIPHERTEXT_LENGTH;

/// A handshake taken apart, not yet opened. The attacker controls every byte.
#[derive(Clone, Copy)]
pub struct Prefix<'a> {
    bytes: &'a [u8],
    /// The clear fields: the associated data of `id`.
    pub(crate) clear: &'a [u8],
    signed_prekey: u32,
    one_time_prekey: Option<u32>,
    pub(crate) ephemeral: &'a [u8; 32],
    pub(crate) ciphertext: &'a [u8; CT_LENGTH],
    pub(crate) identity: &'a [u8],
    pub(crate) confirmation: &'a [u8; 32],
}

impl<'a> Prefix<'a> {
    /// Reads a prefix and leaves the reader behind it.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, RatchetError> {
        // SES-14.
        let start = reader.clone().take_rest();
        let version = reader.u8().map_err(|_| MALFORMED)?;
        if version != VERSION {
            return Err(RatchetError::UnsupportedVersion);
        }
        if reader.u16().map_err(|_| MALFORMED)? != SUITE {
            return Err(RatchetError::UnsupportedSuite);
        }
        let signed_prekey = reader.u32().map_err(|_| MALFORMED)?;
        let one_time_prekey = reader.u32().map_err(|_| MALFORMED)?;
        if signed_prekey == 0 {
            return Err(MALFORMED);
        }
        let ephemeral = fixed(reader)?;
        let ciphertext = fixed(reader)?;
        let blocks = usize::from(reader.u8().map_err(|_| MALFORMED)?);
        if blocks == 0 || blocks > BLOCKS_MAX {
            return Err(MALFORMED);
        }
        let clear = consumed(start, reader)?;
        let identity_length = blocks
            .saturating_mul(BLOCK_LENGTH)
            .saturating_add(aead::TAG_LENGTH);
        let identity = reader.take(identity_length).map_err(|_| MALFORMED)?;
        let confirmation = fixed(reader)?;
        Ok(Self {
            bytes: consumed(start, reader)?,
            clear,
            signed_prekey,
            one_time_prekey: (one_time_prekey != 0).then_some(one_time_prekey),
            ephemeral,
            ciphertext,
            identity,
            confirmation,
        })
    }

    /// The exact bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The id of the signed pair that the initiator used.
    #[must_use]
    pub const fn signed_prekey(&self) -> u32 {
        self.signed_prekey
    }

    /// The id of the one-time pair that the initiator used, if there was one.
    #[must_use]
    pub const fn one_time_prekey(&self) -> Option<u32> {
        self.one_time_prekey
    }

    /// `SHA256(EK || ct)`: by it a repeated handshake is known again.
    #[must_use]
    pub fn handshake_id(&self) -> HandshakeId {
        handshake_id(self.ephemeral, self.ciphertext)
    }
}

pub(super) fn handshake_id(ephemeral: &[u8; 32], ciphertext: &[u8]) -> HandshakeId {
    // SES-18.
    HandshakeId::new(kdf::sha256(&[ephemeral, ciphertext]))
}

fn fixed<'a, const N: usize>(reader: &mut Reader<'a>) -> Result<&'a [u8; N], RatchetError> {
    let bytes = reader.take(N).map_err(|_| MALFORMED)?;
    bytes.try_into().map_err(|_| MALFORMED)
}

fn consumed<'a>(start: &'a [u8], reader: &Reader<'a>) -> Result<&'a [u8], RatchetError> {
    let length = start
        .len()
        .checked_sub(reader.remaining())
        .ok_or(MALFORMED)?;
    start.get(..length).ok_or(MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prefix that says it has so many blocks, and has so many bytes behind the number.
    fn prefix(blocks: u8, behind: usize) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&SUITE.to_be_bytes());
        bytes.extend_from_slice(&7_u32.to_be_bytes());
        bytes.extend_from_slice(&8_u32.to_be_bytes());
        bytes.resize(bytes.len().saturating_add(32 + CT_LENGTH), 9);
        bytes.push(blocks);
        bytes.resize(bytes.len().saturating_add(behind), 5);
        bytes
    }

    fn sealed(blocks: u8) -> usize {
        let blocks = usize::from(blocks).saturating_mul(1024);
        blocks.saturating_add(16 + 32)
    }

    /// [SES-14]: from 1 to 9 blocks, and the reader is left where the prefix ends.
    #[test]
    fn a_prefix_has_one_to_nine_blocks() {
        for blocks in 1..=9 {
            let mut bytes = prefix(blocks, sealed(blocks));
            let length = bytes.len();
            bytes.push(1);
            let mut reader = Reader::new(&bytes);
            let read = Prefix::read(&mut reader).unwrap();
            assert_eq!((read.as_bytes().len(), reader.remaining()), (length, 1));
            assert_eq!(read.identity.len(), sealed(blocks).saturating_sub(32));
            assert_eq!((read.signed_prekey(), read.one_time_prekey()), (7, Some(8)));
            bytes.truncate(length.saturating_sub(1));
            assert!(Prefix::read(&mut Reader::new(&bytes)).is_err());
        }
        for blocks in [0, 10, 255] {
            let bytes = prefix(blocks, sealed(blocks));
            let refused = Prefix::read(&mut Reader::new(&bytes)).err();
            assert_eq!(refused, Some(MALFORMED), "{blocks}");
        }
    }

    /// The id 0 stands for no pair: there may be no one-time pair, but not no signed one.
    #[test]
    fn only_the_one_time_pair_may_be_absent() {
        let mut bytes = prefix(1, sealed(1));
        bytes[7..11].fill(0);
        let read = Prefix::read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(read.one_time_prekey(), None);
        bytes[3..7].fill(0);
        let refused = Prefix::read(&mut Reader::new(&bytes)).err();
        assert_eq!(refused, Some(MALFORMED));
    }
}
