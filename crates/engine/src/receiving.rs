// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a content changes in the profile, by who wrote it and by its kind.

use prost::Message as _;
use waxwing_identity::ManifestHead;
use waxwing_proto::v1::content::Kind;
use waxwing_proto::v1::message_index_row::State;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, MessageId, ServerAddress, limits, v1};

use crate::codec;
use crate::contacts::{Contact, Route};
use crate::engine::{Engine, Turn};
use crate::inbox::{InHand, receipts_in, within_bounds};
use crate::keys;
use crate::labels::short_label;
use crate::manifests::decode_all;
use crate::messages;
use crate::notice::{AlarmKind, MessageState, Notice};
use crate::row::Row;
use crate::server_keys::address_after;
use crate::sessions::{OpenedEnvelope, Peer};
use crate::trust::Witness;

impl Engine {
    /// Stages everything that a delivery changes.
    pub(crate) fn receive(&mut self, turn: &mut Turn<'_>, in_hand: InHand, rows: &[Row]) {
        let InHand {
            envelope,
            opened,
            content,
        } = in_hand;
        let (account, device) = opened.peer();
        let carried = match &opened {
            OpenedEnvelope::First { accepted, .. } => Some(accepted.initiator.manifest.clone()),
            OpenedEnvelope::Known { .. } => None,
        };
        let encoded = opened.content().to_vec();
        if !self.apply_opened(turn, opened) {
            return;
        }
        let own = self.own_key() == Some(account);
        if !own {
            self.meet(turn, &account);
        }
        let mut shown = decode_all(&content.manifests);
        shown.extend(carried);
        shown.retain(|manifest| manifest.account() == &account);
        if let Some(newest) = shown
            .iter()
            .max_by_key(|manifest| manifest.version())
            .cloned()
        {
            self.consider(turn, &account, &newest, &shown, Witness::Peer);
        }
        let head = |field: Option<&v1::ManifestHead>| {
            field.and_then(|head| ManifestHead::try_from(head).ok())
        };
        let (own_head, peer_head) = (
            head(content.own_head.as_ref()),
            head(content.peer_head.as_ref()),
        );
        self.heed_heads(turn, &account, own_head.as_ref(), peer_head.as_ref());
        if own {
            self.receive_from_own_device(turn, device, &content, rows);
            return;
        }
        self.heed_contact(&account, &envelope, &content);
        for receipt in receipts_in(&content) {
            self.receive_receipt(&account, device, receipt, rows);
        }
        match &content.kind {
            // Receipts, of which a text may carry some as well, were looked at already.
            Some(Kind::Receipt(_) | Kind::Control(_)) => {}
            // Only the account's own devices may say these.
            Some(Kind::SentCopy(_) | Kind::AccountState(_)) => {}
            Some(Kind::Text(_)) | None => {
                self.receive_message(turn, (account, device), &content, &encoded, rows);
            }
        }
    }

    /// A contact for whoever wrote. A stranger becomes a message request.
    pub(crate) fn meet(&mut self, turn: &Turn<'_>, account: &AccountKey) {
        if self.contacts.contains_key(account) {
            return;
        }
        let mut contact = Contact::new(*account, self.free_label(&short_label(account), account));
        contact.request_pending = true;
        contact.address_claimed = true;
        contact.answered = true;
        contact.changed_at_ms = turn.now.wall_ms;
        self.contacts.insert(*account, contact);
        self.save_contact(account);
        self.notify(Notice::ContactChanged(*account));
    }

    /// What a content of a contact says about how it is reached, and what its arrival proves.
    fn heed_contact(
        &mut self,
        account: &AccountKey,
        envelope: &v1::StoredEnvelope,
        content: &v1::Content,
    ) {
        let Some(contact) = self.contacts.get(account) else {
            return;
        };
        let mut changed = contact.clone();
        changed.answered = true;
        if let Some(given) = &mut changed.given
            && given.id.as_bytes().as_slice() == envelope.delivery_id.as_ref()
        {
            given.used = true;
        }
        let mut renamed = None;
        if let Some(address) = &content.return_address {
            let server = address
                .server
                .as_ref()
                .and_then(|server| ServerAddress::try_from(server).ok());
            let id = DeliveryId::try_from(address.delivery_id.as_ref()).ok();
            if let (Some(server), Some(delivery_id)) = (server, id) {
                let held = contact.route.as_ref().map(|route| &route.server);
                changed.route = Some(Route {
                    server: address_after(held, server),
                    delivery_id,
                });
            }
            // What it calls itself is taken once, and where nobody else said how it is called.
            if contact.address.is_empty()
                && let Ok(parsed) = address.address.parse::<waxwing_proto::Address>()
            {
                if contact.label == short_label(account) {
                    renamed = Some(parsed.name.as_str().to_owned());
                }
                changed.address = parsed.to_string();
                changed.address_claimed = true;
            }
        }
        if let Some(name) = renamed {
            changed.label = if changed.request_pending {
                self.request_label(&name, account)
            } else {
                self.free_label(&name, account)
            };
        }
        let changed_route = self.contacts.get(account).is_some_and(|contact| {
            contact.route != changed.route
                || contact.address != changed.address
                || contact.label != changed.label
        });
        self.contacts.insert(*account, changed);
        self.save_contact(account);
        if changed_route {
            self.notify(Notice::ContactChanged(*account));
        }
    }

    fn receive_message(
        &mut self,
        turn: &mut Turn<'_>,
        (account, device): Peer,
        content: &v1::Content,
        encoded: &[u8],
        rows: &[Row],
    ) {
        let account = &account;
        // Also what is not kept has come.
        self.note_sequence(turn, account, (device, false), content);
        // BOX-24.
        let Ok(id) = MessageId::try_from(content.message_id.as_ref()) else {
            return;
        };
        let full = self.request_is_full(account);
        let Some(contact) = self.contacts.get_mut(account) else {
            return;
        };
        if contact.blocked || !within_bounds(content) {
            return;
        }
        let duplicate = rows
            .iter()
            .any(|row| row.key == keys::message_index(account, &id));
        // BOX-44.
        if contact.request_pending && !duplicate {
            if full {
                return;
            }
            contact.request_contents = contact.request_contents.saturating_add(1);
        }
        if !duplicate {
            let refers_to = codec::message_ids(&content.seen, limits::SEEN_REFERENCES_MAX);
            contact.saw(id, &refers_to);
            let verified = contact.verified;
            if let Some(body) = messages::body_of(content, encoded) {
                let row =
                    messages::row_of(content, body, false, device, turn.now.wall_ms, verified);
                let cursor = self.put_message(account, &row, State::Received, true);
                if let Some(message) = messages::message_of(*account, cursor, &row, State::Received)
                {
                    self.notify(Notice::Message(message));
                }
            }
        }
        self.owe_delivered(turn, account, id);
    }

    /// Whether a stranger has said as much as is kept before the user decides. An honest one never gets
    /// there: each of its devices stops at `UNANSWERED_CONTENTS_MAX`.
    fn request_is_full(&self, account: &AccountKey) -> bool {
        let kept =
            |contact: &Contact| usize::try_from(contact.request_contents).unwrap_or(usize::MAX);
        let of_this = self.contacts.get(account).map_or(0, kept);
        let of_all = self
            .contacts
            .values()
            .map(kept)
            .fold(0, usize::saturating_add);
        of_this >= limits::REQUEST_CONTENTS_MAX || of_all >= limits::REQUESTS_CONTENTS_MAX
    }

    fn receive_receipt(
        &mut self,
        account: &AccountKey,
        device: DeviceId,
        receipt: &v1::Receipt,
        rows: &[Row],
    ) {
        let (state, shown) = match receipt.kind() {
            v1::receipt::Kind::Delivered => (State::Delivered, MessageState::Delivered),
            v1::receipt::Kind::Read => (State::Read, MessageState::Read),
            v1::receipt::Kind::Unspecified => return,
        };
        let ids = codec::message_ids(&receipt.message_ids, limits::RECEIPT_IDS_MAX);
        let mut foreign = false;
        for id in ids {
            self.receipted(account, device, &id);
            let key = keys::sent_index(account, &id);
            let Some(index) = rows
                .iter()
                .find(|row| row.key == key)
                .and_then(|row| codec::decode::<v1::MessageIndexRow>(row).ok())
            else {
                foreign = true;
                continue;
            };
            if messages::rank(index.state()) >= messages::rank(state) {
                continue;
            }
            self.put_message_state(account, &id, index.cursor, state);
            self.notify(Notice::MessageState {
                message_id: id,
                contact: *account,
                state: shown,
            });
        }
        // SES-112.
        let is_accepted = self.contacts.get(account).is_some_and(Contact::is_accepted);
        let is_alarming = foreign && is_accepted && self.holds_whole_history();
        if let (true, Some(own)) = (is_alarming, self.own_key()) {
            self.raise(&own, AlarmKind::ClonedDevice);
        }
    }

    /// Whether this device has been the account's only one since the beginning.
    pub(crate) fn holds_whole_history(&self) -> bool {
        let Some(account) = &self.account else {
            return false;
        };
        self.own_manifest().is_some_and(|manifest| {
            manifest.version() == 1 && manifest.device(&account.device).is_some()
        })
    }

    fn receive_from_own_device(
        &mut self,
        turn: &mut Turn<'_>,
        device: DeviceId,
        content: &v1::Content,
        rows: &[Row],
    ) {
        match &content.kind {
            Some(Kind::SentCopy(copy)) => self.receive_copy(turn, device, copy, rows),
            Some(Kind::AccountState(state)) => self.receive_account_state(turn, state),
            _ => {}
        }
    }

    /// What another device of the account sent.
    fn receive_copy(
        &mut self,
        turn: &Turn<'_>,
        device: DeviceId,
        copy: &v1::SentCopy,
        rows: &[Row],
    ) {
        let Ok(account) = AccountKey::try_from(copy.account_key.as_ref()) else {
            return;
        };
        let Ok(content) = v1::Content::decode(copy.content.clone()) else {
            return;
        };
        let Ok(id) = MessageId::try_from(content.message_id.as_ref()) else {
            return;
        };
        self.note_sequence(turn, &account, (device, true), &content);
        let key = keys::sent_index(&account, &id);
        if rows.iter().any(|row| row.key == key) || !within_bounds(&content) {
            return;
        }
        if !self.contacts.contains_key(&account) {
            // The contact's state is on its way from the same device.
            let contact = Contact::new(account, self.free_label(&short_label(&account), &account));
            self.contacts.insert(account, contact);
        }
        let Some(body) = messages::body_of(&content, &copy.content) else {
            return;
        };
        let row = messages::row_of(&content, body, true, device, turn.now.wall_ms, true);
        let refers_to = messages::references(&row);
        if let Some(contact) = self.contacts.get_mut(&account) {
            contact.saw(id, &refers_to);
        }
        self.save_contact(&account);
        let cursor = self.put_message(&account, &row, State::OnServer, true);
        if let Some(message) = messages::message_of(account, cursor, &row, State::OnServer) {
            self.notify(Notice::Message(message));
        }
    }
}
