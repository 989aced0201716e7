// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Headers and the keys that hide them (Double Ratchet, section 4).
//!
//! `TK || HKe = HKDF-Expand(HK, frame("header", ""), 64)`; the header is sealed by AES-256-GCM
//! under `HKe` with the first 12 bytes of the salt as nonce and everything before it as associated
//! data. Only what opens is ever derived from.

use core::ops::Range;
use std::sync::{Arc, OnceLock};

use waxwing_crypto::kdf::HmacKey;
use waxwing_crypto::prf::BlockPrf;
use waxwing_crypto::{Scratch, Secret, aead, kdf, labels, secret};

use super::message_key::Salt;
use crate::{RatchetError, Tag};

/// Bytes of a header: ratchet key, `n`, `pn`, `mix`.
pub(crate) const HEADER_LENGTH: usize = 44;
/// Bytes of a sealed header.
pub(crate) const SEALED_HEADER_LENGTH: usize = HEADER_LENGTH + aead::TAG_LENGTH;

/// What the sender of a chain says about itself and the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The sender's ratchet key.
    pub(crate) ratchet_key: [u8; 32],
    /// The number of the message in its chain.
    pub(crate) n: u32,
    /// How many messages the sender's previous chain has.
    pub(crate) pn: u32,
    /// The KEM epoch that the chain's step mixed in; 0 where none.
    pub(crate) mix: u32,
}

/// A sealed header as it stands in an envelope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SealedHeader<'a> {
    pub(crate) body: &'a [u8; HEADER_LENGTH],
    pub(crate) tag: &'a [u8; aead::TAG_LENGTH],
    pub(crate) salt: &'a Salt,
    /// Every byte of the envelope before the header.
    pub(crate) ad: &'a [u8],
}

/// `TK` and `HKe` of one chain. `HK` itself is needed for nothing else and not kept. Shared between
/// the states before and after a message; the key schedules are computed at the first use.
pub(crate) struct HeaderKeys(Arc<Keys>);

struct Keys {
    tag: Secret<32>,
    seal: Secret<32>,
    tags: OnceLock<Box<BlockPrf>>,
    cipher: OnceLock<Box<aead::Cipher>>,
}

impl HeaderKeys {
    /// From `HK`.
    pub(crate) fn derive(header_key: &Secret<32>) -> Self {
        // SES-33.
        let key = HmacKey::new(header_key.expose());
        let mut derived = Scratch::<64>::zeros();
        kdf::expand_into(&key, labels::HEADER, &[], &mut derived);
        let [tag, seal] = secret::split(&derived);
        Self::from_parts(tag, seal)
    }

    pub(crate) fn from_parts(tag: Secret<32>, seal: Secret<32>) -> Self {
        Self(Arc::new(Keys {
            tag,
            seal,
            tags: OnceLock::new(),
            cipher: OnceLock::new(),
        }))
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    pub(crate) fn expose(&self) -> [&[u8; 32]; 2] {
        [self.0.tag.expose(), self.0.seal.expose()]
    }

    fn prf(&self) -> &BlockPrf {
        self.0
            .tags
            .get_or_init(|| Box::new(BlockPrf::new(&self.0.tag)))
    }

    fn cipher(&self) -> &aead::Cipher {
        let keys = &self.0;
        keys.cipher
            .get_or_init(|| Box::new(aead::Cipher::new(keys.seal.expose())))
    }

    /// `tag_n = AES-256(TK, n)`, `n` as 16 bytes, big-endian.
    pub(crate) fn tag(&self, n: u32) -> Tag {
        // SES-34.
        Tag::new(self.prf().block(u128::from(n).to_be_bytes()))
    }

    /// The tags of consecutive numbers.
    pub(crate) fn tags(&self, numbers: Range<u32>) -> Vec<Tag> {
        let mut blocks: Vec<_> = numbers.map(|n| u128::from(n).to_be_bytes()).collect();
        self.prf().blocks(&mut blocks);
        blocks.into_iter().map(Tag::new).collect()
    }

    /// Seals a header. `ad` is every byte of the envelope before it.
    pub(crate) fn seal(
        &self,
        header: &Header,
        salt: &Salt,
        ad: &[u8],
    ) -> Result<[u8; SEALED_HEADER_LENGTH], RatchetError> {
        let mut sealed = [0; SEALED_HEADER_LENGTH];
        if let Some((body, seal)) = sealed.split_first_chunk_mut::<HEADER_LENGTH>() {
            *body = header.encode();
            seal.copy_from_slice(&self.cipher().seal(&nonce(salt), ad, body)?);
        }
        Ok(sealed)
    }

    /// Opens a header; `None` where it belongs to another chain or is forged.
    pub(crate) fn open(&self, sealed: &SealedHeader<'_>) -> Option<Header> {
        let mut body = Scratch::zeros();
        body.copy_from_slice(sealed.body);
        self.cipher()
            .open(
                &nonce(sealed.salt),
                sealed.ad,
                body.as_mut_slice(),
                sealed.tag,
            )
            .ok()?;
        Some(Header::decode(&body))
    }
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        let (key, numbers) = bytes.split_at_mut(32);
        key.copy_from_slice(&self.ratchet_key);
        for (place, number) in numbers.chunks_exact_mut(4).zip([self.n, self.pn, self.mix]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LENGTH]) -> Self {
        let word = |at: usize| {
            let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
            u32::from_be_bytes(field.copied().unwrap_or_default())
        };
        Self {
            ratchet_key: bytes.first_chunk().copied().unwrap_or_default(),
            n: word(32),
            pn: word(36),
            mix: word(40),
        }
    }
}

fn nonce(salt: &Salt) -> aead::Nonce {
    salt.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_opens_under_its_key_and_place_only() {
        let keys = HeaderKeys::derive(&Secret::copy_of(&[1; 32]));
        let header = Header {
            ratchet_key: [9; 32],
            n: 1,
            pn: 2,
            mix: 3,
        };
        let salt = [7; 16];
        let sealed = keys.seal(&header, &salt, b"before").unwrap();
        let (body, tag) = sealed.split_at(HEADER_LENGTH);
        let sealed = |ad| SealedHeader {
            body: body.try_into().unwrap(),
            tag: tag.try_into().unwrap(),
            salt: &salt,
            ad,
        };
        assert_eq!(keys.open(&sealed(b"before")), Some(header));
        assert_eq!(keys.open(&sealed(b"befor3")), None);
        let other = HeaderKeys::derive(&Secret::copy_of(&[2; 32]));
        assert_eq!(other.open(&sealed(b"before")), None);
        assert_ne!(keys.tag(0), keys.tag(1));
        assert_ne!(keys.tag(0), other.tag(0));
        let tags = keys.tags(3..70);
        assert!((3..70).zip(&tags).all(|(n, tag)| *tag == keys.tag(n)));
    }
}
