// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Headers and the keys that hide them (Double Ratchet, section 4).
//!
//! `TK || HKe = HKDF-Expand(HK, frame("header", ""), 64)`; the header is sealed by AES-256-GCM
//! under `HKe` with the first 12 bytes of the salt as nonce and everything before it as associated
//! data. Only what opens is ever derived from.

use waxwing_crypto::prf::BlockPrf;
use waxwing_crypto::{Secret, aead, kdf, labels, secret};

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

/// `TK` and `HKe` of one chain. `HK` itself is needed for nothing else and not kept.
pub(crate) struct HeaderKeys {
    tag: Secret<32>,
    seal: Secret<32>,
}

impl HeaderKeys {
    /// From `HK`.
    pub(crate) fn derive(header_key: &Secret<32>) -> Self {
        // SES-33.
        let derived: Secret<64> = kdf::expand(header_key, labels::HEADER, &[]);
        let [tag, seal] = secret::split(&derived);
        Self { tag, seal }
    }

    pub(crate) const fn from_parts(tag: Secret<32>, seal: Secret<32>) -> Self {
        Self { tag, seal }
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            tag: self.tag.duplicate(),
            seal: self.seal.duplicate(),
        }
    }

    pub(crate) fn expose(&self) -> [&[u8; 32]; 2] {
        [self.tag.expose(), self.seal.expose()]
    }

    /// What gives the routing tags of this chain.
    pub(crate) fn tags(&self) -> Tags {
        Tags(BlockPrf::new(&self.tag))
    }

    /// Seals a header onto `out`, of which every byte so far is associated data.
    pub(crate) fn seal(
        &self,
        header: &Header,
        salt: &Salt,
        out: &mut Vec<u8>,
    ) -> Result<(), RatchetError> {
        let mut body = header.encode();
        let tag = aead::seal_in_place(&self.seal, &nonce(salt), out, &mut body)?;
        out.extend_from_slice(&body);
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens a header; `None` where it belongs to another chain or is forged.
    pub(crate) fn open(&self, sealed: &SealedHeader<'_>) -> Option<Header> {
        let nonce = nonce(sealed.salt);
        aead::open_fixed(&self.seal, &nonce, sealed.ad, sealed.body, sealed.tag)
            .ok()
            .map(|body| Header::decode(&body))
    }
}

/// `tag_n = AES-256(TK, n)`, `n` as 16 bytes, big-endian.
pub(crate) struct Tags(BlockPrf);

impl Tags {
    pub(crate) fn tag(&self, n: u32) -> Tag {
        // SES-34.
        Tag::new(self.0.block(u128::from(n).to_be_bytes()))
    }
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        let fields = self
            .ratchet_key
            .into_iter()
            .chain(self.n.to_be_bytes())
            .chain(self.pn.to_be_bytes())
            .chain(self.mix.to_be_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
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
        let mut out = b"before".to_vec();
        keys.seal(&header, &salt, &mut out).unwrap();
        let (body, tag) = out[6..].split_at(HEADER_LENGTH);
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
        assert_ne!(keys.tags().tag(0), keys.tags().tag(1));
        assert_ne!(keys.tags().tag(0), other.tags().tag(0));
    }
}
