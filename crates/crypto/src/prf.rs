// SPDX-License-Identifier: Apache-2.0 OR MIT
//! AES-256 (FIPS 197) on single blocks, as a pseudorandom function: who does not hold the key
//! cannot tell its outputs from random bytes, nor any two of them apart from unrelated ones.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};

use crate::secret::Secret;

/// AES-256 under one key, with its key schedule computed. Wiped on drop.
pub struct BlockPrf(Aes256);

impl BlockPrf {
    /// Expands the key.
    #[must_use]
    pub fn new(key: &Secret<32>) -> Self {
        Self(Aes256::new(key.expose().into()))
    }

    /// The pseudorandom block for one input block.
    #[must_use]
    pub fn block(&self, input: [u8; 16]) -> [u8; 16] {
        let mut block = input.into();
        self.0.encrypt_block(&mut block);
        block.into()
    }

    /// As [`BlockPrf::block`], for many blocks in place: several times as fast for each.
    pub fn blocks(&self, blocks: &mut [[u8; 16]]) {
        self.0
            .encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 197, appendix C.3.
    #[test]
    fn the_published_block_agrees() {
        let key = Secret::fill_with(|bytes: &mut [u8; 32]| {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::try_from(at).unwrap();
            }
        });
        let input = core::array::from_fn(|at| u8::try_from(at * 0x11).unwrap());
        let expected = [
            0x8e, 0xa2, 0xb7, 0xca, 0x51, 0x67, 0x45, 0xbf, 0xea, 0xfc, 0x49, 0x90, 0x4b, 0x49,
            0x60, 0x89,
        ];
        assert_eq!(BlockPrf::new(&key).block(input), expected);
    }
    #[test]
    fn many_blocks_are_each_block() {
        let prf = BlockPrf::new(&Secret::copy_of(&[3; 32]));
        let mut blocks: Vec<_> = (0..70_u8).map(|at| [at; 16]).collect();
        prf.blocks(&mut blocks);
        for (at, block) in blocks.iter().enumerate() {
            assert_eq!(*block, prf.block([u8::try_from(at).unwrap(); 16]));
        }
    }
}
