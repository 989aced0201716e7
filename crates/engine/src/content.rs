// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands in a content beside its kind: order references, heads, manifests, return address.

use bytes::Bytes;
use prost::Message as _;
use waxwing_identity::DeviceManifest;
use waxwing_proto::v1::content::Kind;
use waxwing_proto::{AccountKey, MessageId, limits, v1};

use crate::codec;
use crate::contacts::{GivenId, HeadsTold};
use crate::engine::{Engine, Turn};

/// Manifests ride on contents up to this size, so that nothing grows over the limit.
const CONTENT_WITH_MANIFESTS_MAX: usize = 16 * 1024;
/// Bytes of manifests in one content.
const MANIFESTS_SIZE_MAX: usize = 32 * 1024;

/// A content that shows nothing.
pub(crate) fn silent(message_id: MessageId, sent_at_ms: u64, kind: Kind) -> v1::Content {
    v1::Content {
        message_id: message_id.to_wire(),
        sent_at_ms,
        sequence: 0,
        seen: Vec::new(),
        own_head: None,
        peer_head: None,
        return_address: None,
        manifests: Vec::new(),
        receipts: Vec::new(),
        kind: Some(kind),
    }
}

impl Engine {
    /// A text in the order of its conversation. Counts it and makes it the newest.
    pub(crate) fn compose_text(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        body: String,
    ) -> Option<v1::Content> {
        // ENV-10, ENV-11, ENV-12.
        let id = MessageId::new(turn.id());
        let contact = self.contacts.get_mut(account)?;
        contact.sequence = contact.sequence.saturating_add(1);
        let seen = codec::message_ids_to_wire(&contact.seen);
        let refers_to = contact.seen.clone();
        contact.saw(id, &refers_to);
        let kind = Kind::Text(v1::Text { body });
        Some(v1::Content {
            sequence: contact.sequence,
            seen,
            ..silent(id, turn.now.wall_ms, kind)
        })
    }

    /// Adds what the contact's devices need to know now. Called once for each content, at its first
    /// sealing: from then on its bytes are fixed.
    pub(crate) fn decorate(
        &mut self,
        turn: &Turn<'_>,
        account: &AccountKey,
        encoded: &Bytes,
        new_session: bool,
    ) -> Bytes {
        // ENV-14.
        let (Some(own), Ok(mut content)) =
            (self.own_manifest(), v1::Content::decode(encoded.clone()))
        else {
            return encoded.clone();
        };
        let own_head = own.head();
        let Some(peer_head) = self.accepted_manifest(account).map(DeviceManifest::head) else {
            return encoded.clone();
        };
        let now = HeadsTold {
            own: own_head,
            peer: peer_head,
            day: turn.day(),
        };
        let told = self
            .contacts
            .get(account)
            .and_then(|contact| contact.heads_told);
        if new_session || told != Some(now) {
            content.own_head = Some(own_head.to_wire());
            content.peer_head = Some(peer_head.to_wire());
        }
        let known_version = told.map(|told| told.own.version);
        if encoded.len() <= CONTENT_WITH_MANIFESTS_MAX {
            content.manifests = self.manifests_to_tell(known_version);
        }
        content.return_address = self.return_address(account);
        // ENV-43.
        if matches!(content.kind, Some(Kind::Text(_)))
            && encoded.len() <= CONTENT_WITH_MANIFESTS_MAX
        {
            content.receipts = self.take_receipts(account, limits::RECEIPT_IDS_RIDING_MAX);
        }
        if let Some(contact) = self.contacts.get_mut(account)
            && contact.heads_told != Some(now)
        {
            contact.heads_told = Some(now);
            self.save_contact(account);
        }
        content.encode_to_vec().into()
    }

    /// The own versions after the one that was told last. A first handshake carries the newest one
    /// itself; where that does not lead to the account key alone, the versions before it are needed.
    fn manifests_to_tell(&self, known_version: Option<u32>) -> Vec<Bytes> {
        let alone = self
            .own_manifest()
            .is_some_and(DeviceManifest::leads_to_account);
        let after = match known_version {
            Some(version) => version,
            None if alone => return Vec::new(),
            None => 0,
        };
        let mut room = MANIFESTS_SIZE_MAX;
        let mut told: Vec<Bytes> = Vec::new();
        for manifest in self.own_manifests.iter().rev() {
            let Some(left) = room.checked_sub(manifest.as_bytes().len()) else {
                break;
            };
            if manifest.version() <= after || told.len() >= limits::MANIFESTS_PER_ANSWER_MAX {
                break;
            }
            room = left;
            told.push(manifest.as_bytes().clone());
        }
        told.reverse();
        told
    }

    /// How a contact reaches this account, until it has used the id that it was given, and once more
    /// where that has changed.
    pub(crate) fn return_address(&self, account: &AccountKey) -> Option<v1::ReturnAddress> {
        // ENV-16, BOX-3, TRN-96.
        let contact = self.contacts.get(account)?;
        let is_due = |given: &GivenId| !given.used || contact.address_due;
        let given = contact
            .given
            .filter(|given| given.active && is_due(given))?;
        let own = self.account.as_ref()?;
        Some(v1::ReturnAddress {
            address: own.address(),
            server: Some(own.server.to_wire()),
            delivery_id: given.id.to_wire(),
        })
    }
}
