// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The history: what is written for a content, and how its rows become a message again.

use waxwing_proto::v1::message_index_row::State;
use waxwing_proto::v1::message_row::Body as StoredBody;
use waxwing_proto::{AccountKey, DeviceId, MessageId, v1};

use crate::codec;
use crate::engine::Engine;
use crate::gaps::{self, Gap};
use crate::keys;
use crate::notice::{Body, Direction, Message, MessageState};
use crate::row::Row;

/// Longest unknown content that is kept, in bytes: a row holds no more.
const UNKNOWN_KEPT_MAX: usize = 56 * 1024;

/// The body of a content that is shown; `None` for what shows nothing.
pub(crate) fn body_of(content: &v1::Content, encoded: &[u8]) -> Option<StoredBody> {
    // ENV-15.
    use v1::content::Kind;
    match &content.kind {
        Some(Kind::Text(text)) => Some(StoredBody::Text(text.body.clone())),
        Some(Kind::Receipt(_) | Kind::SentCopy(_) | Kind::AccountState(_) | Kind::Control(_)) => {
            None
        }
        // A kind that this version does not know decodes as none.
        None => {
            let kept = encoded.get(..UNKNOWN_KEPT_MAX).unwrap_or(encoded);
            Some(StoredBody::Unknown(bytes::Bytes::copy_from_slice(kept)))
        }
    }
}

/// A message row from a content.
pub(crate) fn row_of(
    content: &v1::Content,
    body: StoredBody,
    outgoing: bool,
    device: DeviceId,
    received_at_ms: u64,
    verified: bool,
) -> v1::MessageRow {
    v1::MessageRow {
        message_id: content.message_id.clone(),
        outgoing,
        device_id: device.to_wire(),
        sent_at_ms: content.sent_at_ms,
        received_at_ms,
        sequence: content.sequence,
        seen: content
            .seen
            .iter()
            .take(waxwing_proto::limits::SEEN_REFERENCES_MAX)
            .cloned()
            .collect(),
        body: Some(body),
        verified,
    }
}

/// A message row for contents that have not come. It stands before the content that showed the gap.
pub(crate) fn row_of_gap(gap: &Gap, id: MessageId, verified: bool) -> v1::MessageRow {
    v1::MessageRow {
        message_id: id.to_wire(),
        outgoing: gap.own,
        device_id: gap.device.to_wire(),
        sent_at_ms: gap.sent_at_ms.saturating_sub(1),
        received_at_ms: gap.noticed_at_ms,
        sequence: 0,
        seen: Vec::new(),
        body: Some(StoredBody::Missing(v1::Missing {
            ranges: gaps::ranges_to_wire(&gap.ranges),
        })),
        verified,
    }
}

/// Whether somebody wrote it, and this device did not put it there itself.
const fn is_content(row: &v1::MessageRow) -> bool {
    match &row.body {
        Some(StoredBody::Missing(_) | StoredBody::Devices(_)) => false,
        Some(StoredBody::Text(_) | StoredBody::Unknown(_)) | None => true,
    }
}

/// A stored state as it is shown.
pub(crate) const fn shown_state(state: State) -> MessageState {
    match state {
        State::OnServer => MessageState::OnServer,
        State::Delivered => MessageState::Delivered,
        State::Read => MessageState::Read,
        State::Received => MessageState::Received,
        State::Unspecified | State::Queued | State::Silent => MessageState::Queued,
    }
}

/// How far along a state is; it never goes back.
pub(crate) const fn rank(state: State) -> u8 {
    match state {
        State::Unspecified => 0,
        State::Queued => 1,
        State::OnServer => 2,
        State::Delivered => 3,
        State::Read => 4,
        State::Received => 5,
        State::Silent => 6,
    }
}

/// A message from its stored form.
pub(crate) fn message_of(
    contact: AccountKey,
    cursor: u64,
    row: &v1::MessageRow,
    state: State,
) -> Option<Message> {
    Some(Message {
        id: MessageId::try_from(row.message_id.as_ref()).ok()?,
        cursor,
        contact,
        direction: if row.outgoing {
            Direction::Outgoing
        } else {
            Direction::Incoming
        },
        device: DeviceId::try_from(row.device_id.as_ref()).ok()?,
        sent_at_ms: row.sent_at_ms,
        received_at_ms: row.received_at_ms,
        body: match &row.body {
            Some(StoredBody::Text(text)) => Body::Text(text.clone()),
            Some(StoredBody::Missing(missing)) => Body::Missing(gaps::count(&missing.ranges)),
            Some(StoredBody::Devices(devices)) => Body::DevicesChanged {
                added: devices.added,
                removed: devices.removed,
                listed: devices.listed,
            },
            Some(StoredBody::Unknown(_)) | None => Body::NeedsNewerVersion,
        },
        state: if row.outgoing && is_content(row) {
            shown_state(state)
        } else {
            MessageState::Received
        },
        verified: row.verified,
        seen: references(row),
    })
}

/// Reads a row of the message table.
pub(crate) fn read_row(row: &Row) -> Option<v1::MessageRow> {
    codec::decode(row).ok()
}

/// The ids that a row refers to as older.
pub(crate) fn references(row: &v1::MessageRow) -> Vec<MessageId> {
    codec::message_ids(&row.seen, waxwing_proto::limits::SEEN_REFERENCES_MAX)
}

impl Engine {
    /// Writes a message at the end of the order of arrival; with `unread`, also into the unread list.
    pub(crate) fn put_message(
        &mut self,
        account: &AccountKey,
        row: &v1::MessageRow,
        state: State,
        unread: bool,
    ) -> u64 {
        let cursor = self.counters.take_cursor();
        self.save_counters();
        self.journal
            .put(keys::message(account, cursor), codec::encode(row));
        if let Ok(id) = MessageId::try_from(row.message_id.as_ref()) {
            self.put_message_state(account, &id, cursor, state);
        }
        if unread {
            // The message id stands there only where a read receipt is due once it is shown.
            let answered = !row.outgoing && is_content(row);
            let id: &[u8] = if answered { &row.message_id } else { &[] };
            let value = [account.as_bytes().as_slice(), id].concat();
            self.journal
                .put(keys::unread(cursor), zeroize::Zeroizing::new(value));
        }
        cursor
    }

    /// Writes where a message lies and how far it is.
    pub(crate) fn put_message_state(
        &mut self,
        account: &AccountKey,
        id: &MessageId,
        cursor: u64,
        state: State,
    ) {
        // BOX-42.
        let key = match state {
            State::Received | State::Silent => keys::message_index(account, id),
            State::Unspecified
            | State::Queued
            | State::OnServer
            | State::Delivered
            | State::Read => keys::sent_index(account, id),
        };
        self.journal.put(
            key,
            codec::encode(&v1::MessageIndexRow {
                account_key: account.to_wire(),
                cursor,
                state: state.into(),
            }),
        );
    }
}
