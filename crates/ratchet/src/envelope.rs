// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The envelope: what the server sees, and every byte of it.
//!
//! `version (1) || kind (1) || [prefix] || tag (16) || salt (16) || header (60) || ciphertext`.
//! Kind 0 has no prefix, kind 1 has one. Prefix and ciphertext together have a bucket's length.

use waxwing_crypto::{aead, kdf};
use waxwing_identity::encoding::Reader;
use waxwing_proto::limits::ENVELOPE_SIZE_MAX;

use crate::handshake::Prefix;
use crate::session::header::{HEADER_LENGTH, SEALED_HEADER_LENGTH, SealedHeader};
use crate::session::message_key::{SALT_LENGTH, Salt};
use crate::session::padding;
use crate::{RatchetError, SessionId, Tag};

/// The version of the layout.
pub(crate) const VERSION: u8 = 1;
/// An envelope of an answered session.
pub(crate) const PLAIN: u8 = 0;
/// An envelope that carries its handshake, because the peer has not answered yet.
pub(crate) const OPENING: u8 = 1;

const MALFORMED: RatchetError = RatchetError::Malformed("envelope");

/// An envelope taken apart, not yet opened. The attacker controls every byte.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    bytes: &'a [u8],
    prefix: Option<Prefix<'a>>,
    tag: &'a [u8; Tag::LENGTH],
    header: SealedHeader<'a>,
    ciphertext: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Takes an envelope apart. No cryptography, no allocation.
    ///
    /// # Errors
    /// [`RatchetError::Malformed`], [`RatchetError::UnsupportedVersion`],
    /// [`RatchetError::UnsupportedSuite`].
    #[allow(
        clippy::inline_always,
        reason = "what strangers make a device do most, and half of its cost is the copy of its result"
    )]
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RatchetError> {
        // ENV-1, ENV-6, ENV-7.
        if bytes.len() > ENVELOPE_SIZE_MAX {
            return Err(MALFORMED);
        }
        let mut reader = Reader::new(bytes);
        if reader.u8().map_err(|_| MALFORMED)? != VERSION {
            return Err(RatchetError::UnsupportedVersion);
        }
        let prefix = match reader.u8().map_err(|_| MALFORMED)? {
            PLAIN => None,
            OPENING => Some(Prefix::read(&mut reader)?),
            _ => return Err(MALFORMED),
        };
        let (tag, after_tag) = reader
            .take_rest()
            .split_first_chunk::<{ Tag::LENGTH }>()
            .ok_or(MALFORMED)?;
        let (salt, after_salt) = after_tag
            .split_first_chunk::<SALT_LENGTH>()
            .ok_or(MALFORMED)?;
        let (body, after_body) = after_salt
            .split_first_chunk::<HEADER_LENGTH>()
            .ok_or(MALFORMED)?;
        let (seal, ciphertext) = after_body
            .split_first_chunk::<{ aead::TAG_LENGTH }>()
            .ok_or(MALFORMED)?;
        let padded = ciphertext
            .len()
            .checked_sub(aead::TAG_LENGTH)
            .ok_or(MALFORMED)?;
        let prefix_length = prefix.as_ref().map_or(0, |prefix| prefix.as_bytes().len());
        if !padding::is_padded_length(padded, prefix_length) {
            return Err(MALFORMED);
        }
        let before_header = bytes.len().checked_sub(after_salt.len()).ok_or(MALFORMED)?;
        Ok(Self {
            bytes,
            prefix,
            tag,
            header: SealedHeader {
                body,
                tag: seal,
                salt,
                ad: bytes.get(..before_header).ok_or(MALFORMED)?,
            },
            ciphertext,
        })
    }

    /// The exact bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The routing tag.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        Tag::new(*self.tag)
    }

    /// The handshake, where the sender has not seen an answer yet.
    #[must_use]
    pub const fn prefix(&self) -> Option<&Prefix<'a>> {
        self.prefix.as_ref()
    }

    pub(crate) const fn header(&self) -> &SealedHeader<'a> {
        &self.header
    }

    pub(crate) const fn salt(&self) -> &'a Salt {
        self.header.salt
    }

    pub(crate) const fn ciphertext(&self) -> &'a [u8] {
        self.ciphertext
    }

    /// The associated data of the content: `th` and every byte before the ciphertext.
    pub(crate) fn content_ad(&self, session: &SessionId) -> ContentAd {
        // ENV-2.
        let end = self.bytes.len().saturating_sub(self.ciphertext.len());
        ContentAd::new(session, self.bytes.get(..end).unwrap_or_default())
    }

    /// What an acknowledgement names it by.
    pub(crate) fn hash(&self) -> [u8; 8] {
        let tag = self.ciphertext.last_chunk().unwrap_or(&[0; 16]);
        hash(self.salt(), tag)
    }
}

/// `th` and every byte before the ciphertext: of a fixed length where there is no prefix, and on
/// the heap only where there is one.
pub(crate) enum ContentAd {
    Plain([u8; SessionId::LENGTH + BEFORE_PLAIN]),
    Opening(Vec<u8>),
}

impl ContentAd {
    pub(crate) fn new(session: &SessionId, before: &[u8]) -> Self {
        let Ok(before) = <&[u8; BEFORE_PLAIN]>::try_from(before) else {
            return Self::Opening([session.as_bytes(), before].concat());
        };
        let mut ad = [0; SessionId::LENGTH + BEFORE_PLAIN];
        let (place, rest) = ad.split_at_mut(SessionId::LENGTH);
        place.copy_from_slice(session.as_bytes());
        rest.copy_from_slice(before);
        Self::Plain(ad)
    }
}

impl AsRef<[u8]> for ContentAd {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Plain(ad) => ad,
            Self::Opening(ad) => ad,
        }
    }
}

/// 8 bytes of SHA-256 over the salt and the tag of the content: the salt commits to the content under
/// its message key, and the tag is over every byte before it.
pub(crate) fn hash(salt: &Salt, tag: &[u8; aead::TAG_LENGTH]) -> [u8; 8] {
    // SES-40, SES-110.
    let digest = kdf::sha256(&[salt, tag]);
    digest.first_chunk().copied().unwrap_or_default()
}

/// Bytes before the ciphertext of an envelope without a prefix.
const BEFORE_PLAIN: usize = 2 + Tag::LENGTH + SALT_LENGTH + SEALED_HEADER_LENGTH;
/// Bytes of an envelope that are neither prefix nor padded content.
pub(crate) const OVERHEAD: usize = BEFORE_PLAIN + aead::TAG_LENGTH;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_smallest_envelope_has_622_bytes() {
        assert_eq!(OVERHEAD + 512, 622);
        let mut bytes = vec![0; 622];
        bytes[0] = VERSION;
        assert!(Envelope::parse(&bytes).is_ok());
        bytes.push(0);
        assert!(Envelope::parse(&bytes).is_err());
        bytes.pop();
        bytes[0] = 2;
        assert!(matches!(
            Envelope::parse(&bytes),
            Err(RatchetError::UnsupportedVersion)
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..5000),
            kind in 0_u8..3,
        ) {
            let _ = Envelope::parse(&bytes);
            let mut versioned = vec![VERSION, kind, 1, 0, 1];
            versioned.extend_from_slice(&bytes);
            let _ = Envelope::parse(&versioned);
        }
    }
}
