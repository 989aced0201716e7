// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The name of one manifest version: its number and the hash of its exact bytes.

use waxwing_proto::{WireError, v1};

use crate::encoding::{LayoutError, Reader, Writer};
use crate::keys::Digest;

/// Number and hash of a manifest version: what peers pin, what contents gossip, what a signed
/// prekey pair commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ManifestHead {
    /// The version's number, from 1.
    pub version: u32,
    /// SHA-256 of the version's exact bytes.
    pub hash: Digest,
}

/// How a head that somebody names relates to one that is held. Heads alone prove no authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadRelation {
    /// The same version.
    Same,
    /// An earlier number.
    Older,
    /// A later number: what is held is behind.
    Newer,
    /// The same number with another hash: one of the two branches is not the account's.
    Conflicting,
}

impl ManifestHead {
    /// The length of the encoding, in bytes.
    pub const LENGTH: usize = 36;

    /// How this head, named by somebody, relates to `held`.
    #[must_use]
    pub fn relation_to(&self, held: &Self) -> HeadRelation {
        match self.version.cmp(&held.version) {
            core::cmp::Ordering::Less => HeadRelation::Older,
            core::cmp::Ordering::Greater => HeadRelation::Newer,
            core::cmp::Ordering::Equal if self.hash == held.hash => HeadRelation::Same,
            core::cmp::Ordering::Equal => HeadRelation::Conflicting,
        }
    }

    /// Number (4 bytes, big-endian) and hash (32 bytes), as transcripts hold them.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        // IDN-12.
        let mut bytes = [0; Self::LENGTH];
        let (version, hash) = bytes.split_at_mut(4);
        version.copy_from_slice(&self.version.to_be_bytes());
        hash.copy_from_slice(self.hash.as_bytes());
        bytes
    }

    /// The head as a wire message.
    #[must_use]
    pub fn to_wire(&self) -> v1::ManifestHead {
        v1::ManifestHead {
            version: self.version,
            hash: bytes::Bytes::copy_from_slice(self.hash.as_bytes()),
        }
    }

    pub(crate) fn write(&self, writer: Writer) -> Writer {
        writer.u32(self.version).raw(self.hash.as_bytes())
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let version = reader.u32()?;
        if version == 0 {
            return Err(LayoutError::Value);
        }
        Ok(Self {
            version,
            hash: Digest::read(reader)?,
        })
    }
}

impl TryFrom<&v1::ManifestHead> for ManifestHead {
    type Error = WireError;

    fn try_from(head: &v1::ManifestHead) -> Result<Self, WireError> {
        if head.version == 0 {
            return Err(WireError::Missing { field: "version" });
        }
        Ok(Self {
            version: head.version,
            hash: Digest::try_from(head.hash.as_ref())
                .map_err(|_| WireError::Length { field: "hash" })?,
        })
    }
}
