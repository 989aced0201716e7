// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a conversation shows when the contact's devices change: a device that is listed reads along, so
//! whoever writes should see that there is one more.

use waxwing_identity::{DeviceEntry, DeviceManifest};
use waxwing_proto::v1::message_index_row::State;
use waxwing_proto::v1::message_row::Body as StoredBody;
use waxwing_proto::{AccountKey, DeviceId, MessageId, v1};

use crate::contacts::Contact;
use crate::engine::{Engine, Turn};
use crate::messages;
use crate::notice::Notice;

impl Engine {
    /// Writes into the conversation that other devices are listed now, where it is a conversation: a
    /// stranger's devices say nothing to anybody.
    pub(crate) fn show_devices_changed(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        before: &DeviceManifest,
        now: &DeviceManifest,
    ) {
        // IDN-68.
        let added = lacking(now, before);
        let removed = lacking(before, now);
        let Some(device) = added.first().or_else(|| removed.first()).copied() else {
            return;
        };
        let contact = self.contacts.get(account);
        let Some(contact) = contact.filter(|contact| !contact.request_pending) else {
            return;
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let row = v1::MessageRow {
            // Nobody knows it before, so no content takes its place.
            message_id: MessageId::new(turn.id()).to_wire(),
            outgoing: false,
            device_id: device.to_wire(),
            sent_at_ms: turn.now.wall_ms,
            received_at_ms: turn.now.wall_ms,
            sequence: 0,
            seen: seen(contact),
            body: Some(StoredBody::Devices(v1::DevicesChanged {
                added: count(added.len()),
                removed: count(removed.len()),
                listed: count(now.devices().len()),
            })),
            verified: contact.verified,
        };
        let cursor = self.put_message(account, &row, State::Received, true);
        if let Some(message) = messages::message_of(*account, cursor, &row, State::Received) {
            self.notify(Notice::Message(message));
        }
    }
}

/// The devices that one version lists and another does not.
fn lacking(of: &DeviceManifest, in_it: &DeviceManifest) -> Vec<DeviceId> {
    of.devices()
        .iter()
        .map(DeviceEntry::id)
        .filter(|device| in_it.device(device).is_none())
        .collect()
}

/// It comes after what the conversation shows already.
fn seen(contact: &Contact) -> Vec<bytes::Bytes> {
    crate::codec::message_ids_to_wire(&contact.seen)
}
