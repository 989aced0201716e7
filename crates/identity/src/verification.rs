// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What two people's devices show each other as a QR code: both account keys and both manifest
//! heads, from the point of view of whoever shows it.

use subtle::ConstantTimeEq as _;
use waxwing_proto::AccountKey;

use crate::encoding::{LayoutError, Reader, Writer};
use crate::links::text::{Body, LinkKind, link_text};
use crate::manifest::{HeadRelation, ManifestHead};

/// `waxwing:verify/…`: one side's view of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationPayload {
    /// The account of whoever shows the code.
    pub account: AccountKey,
    /// The head of that account's manifest.
    pub head: ManifestHead,
    /// The other account, as the one who shows the code knows it.
    pub peer: AccountKey,
    /// The head that is held of the other account.
    pub peer_head: ManifestHead,
}

/// What a comparison shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationOutcome {
    /// The account keys are not the same on both sides: somebody stands between, or the code
    /// belongs to somebody else.
    KeysDiffer,
    /// The account keys are the same on both sides.
    KeysMatch {
        /// How the peer's own head relates to the head that is held of the peer.
        peer_head: HeadRelation,
        /// How the head that the peer holds of this account relates to this account's own.
        own_head: HeadRelation,
    },
}

impl VerificationPayload {
    /// Compares this side's view with the code `scanned` from the other side, in constant time
    /// over the keys.
    #[must_use]
    pub fn compare(&self, scanned: &Self) -> VerificationOutcome {
        // IDN-48.
        let peers = self.peer.as_bytes().ct_eq(scanned.account.as_bytes());
        let owns = self.account.as_bytes().ct_eq(scanned.peer.as_bytes());
        if bool::from(peers & owns) {
            VerificationOutcome::KeysMatch {
                peer_head: scanned.head.relation_to(&self.peer_head),
                own_head: scanned.peer_head.relation_to(&self.head),
            }
        } else {
            VerificationOutcome::KeysDiffer
        }
    }
}

impl VerificationOutcome {
    /// Whether keys and heads are all the same.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        matches!(
            self,
            Self::KeysMatch {
                peer_head: HeadRelation::Same,
                own_head: HeadRelation::Same,
            }
        )
    }
}

impl Body for VerificationPayload {
    const KIND: LinkKind = LinkKind::Verification;

    fn write(&self, writer: Writer) -> Result<Writer, LayoutError> {
        // IDN-40.
        let writer = self.head.write(writer.raw(self.account.as_bytes()));
        Ok(self.peer_head.write(writer.raw(self.peer.as_bytes())))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        Ok(Self {
            account: AccountKey::new(reader.array()?),
            head: ManifestHead::read(reader)?,
            peer: AccountKey::new(reader.array()?),
            peer_head: ManifestHead::read(reader)?,
        })
    }
}

link_text!(VerificationPayload);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Digest;

    fn head(version: u32, byte: u8) -> ManifestHead {
        ManifestHead {
            version,
            hash: Digest::new([byte; 32]),
        }
    }

    fn alice() -> VerificationPayload {
        VerificationPayload {
            account: AccountKey::new([1; 32]),
            head: head(3, 1),
            peer: AccountKey::new([2; 32]),
            peer_head: head(5, 2),
        }
    }

    fn bob() -> VerificationPayload {
        VerificationPayload {
            account: AccountKey::new([2; 32]),
            head: head(5, 2),
            peer: AccountKey::new([1; 32]),
            peer_head: head(3, 1),
        }
    }

    #[test]
    fn the_two_views_match() {
        let scanned: VerificationPayload = bob().to_string().parse().unwrap();
        assert_eq!(scanned, bob());
        assert!(alice().compare(&scanned).is_complete());
        // One's own code is not the other's.
        assert_eq!(alice().compare(&alice()), VerificationOutcome::KeysDiffer);
    }

    /// [IDN-48].
    #[test]
    fn another_key_on_either_side_differs() {
        let mut scanned = bob();
        scanned.account = AccountKey::new([9; 32]);
        assert_eq!(alice().compare(&scanned), VerificationOutcome::KeysDiffer);
        let mut scanned = bob();
        scanned.peer = AccountKey::new([9; 32]);
        assert_eq!(alice().compare(&scanned), VerificationOutcome::KeysDiffer);
    }

    /// [IDN-48].
    #[test]
    fn a_fork_shows_although_the_keys_match() {
        let mut scanned = bob();
        scanned.head = head(5, 9);
        scanned.peer_head = head(2, 1);
        let outcome = alice().compare(&scanned);
        assert_eq!(
            outcome,
            VerificationOutcome::KeysMatch {
                peer_head: HeadRelation::Conflicting,
                own_head: HeadRelation::Older,
            }
        );
        assert!(!outcome.is_complete());
    }
}
