// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The objects that a host answers with and that `--json` prints, `"v":1` first.

use serde::{Deserialize, Serialize};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};
use waxwing_engine::command;
use waxwing_engine::notice::{self, Body, Direction, MessageState};
use waxwing_engine::order::Place;
use waxwing_proto::MessageId;

use crate::fault::Code;

/// The version of the shapes. Fields are only added.
const V: u8 = 1;

const RFC_3339_MS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// RFC 3339 in UTC with milliseconds. What a clock cannot mean is shown as the epoch.
pub(crate) fn timestamp(unix_ms: u64) -> String {
    moment(unix_ms).format(RFC_3339_MS).unwrap_or_default()
}

/// The milliseconds since the Unix epoch of a [`timestamp`].
fn unix_ms(timestamp: &str) -> u64 {
    PrimitiveDateTime::parse(timestamp, RFC_3339_MS)
        .ok()
        .and_then(|moment| {
            let nanos = moment.assume_utc().unix_timestamp_nanos();
            u64::try_from(nanos.checked_div(1_000_000)?).ok()
        })
        .unwrap_or_default()
}

/// The moment of a count of milliseconds since the Unix epoch.
pub(crate) fn moment(unix_ms: u64) -> OffsetDateTime {
    let nanos = i128::from(unix_ms).saturating_mul(1_000_000);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A day since the Unix epoch as a date.
pub(crate) fn day(days: u32) -> String {
    let seconds = i64::from(days).saturating_mul(86_400);
    let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(DAY).unwrap_or_default()
}

macro_rules! object {
    ($(#[$doc:meta])* $name:ident = $kind:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) struct $name {
            v: u8,
            #[serde(rename = "type")]
            kind: String,
            $($(#[$field_doc])* pub(crate) $field: $type,)*
        }

        impl $name {
            #[allow(clippy::too_many_arguments, reason = "one argument for each field of the object")]
            pub(crate) fn new($($field: $type),*) -> Self {
                Self { v: V, kind: $kind.to_owned(), $($field),* }
            }
        }
    };
}

object! {
    /// The process that hosts the engine.
    Host = "host" {
        version: String,
        api: u32,
        pid: u32,
        /// `foreground` while a command hosts the engine, `background` after `unlock`.
        mode: String,
        /// Whether the store is sealed with a passphrase.
        protected: bool,
    }
}

object! {
    /// The account is ready on this device.
    Registered = "registered" { address: String, account: String, device: String, }
}

object! {
    /// How the profile is.
    Status = "status" {
        profile: String,
        address: String,
        account: Option<String>,
        device: Option<String>,
        online: bool,
        /// Whether the mailbox has been emptied since the connection was made.
        drained: bool,
        /// Why there is no connection, as far as an attempt has failed.
        link_error: Option<Code>,
        server: String,
        /// The key exchange of the connection, by its name in the registry of TLS groups.
        key_exchange: Option<String>,
        /// What carries the connection, `quic` or `tcp`.
        transport: Option<String>,
        /// The server as a link, for linking and recovering.
        server_link: Option<String>,
        outbox: usize,
        /// The same by whom it is for, with what keeps it there.
        waiting: Vec<Waiting>,
        alarms: usize,
        /// What stands about the account's own devices.
        own_alarm: Option<Code>,
        requests: usize,
        manifest_version: u32,
        one_time_prekeys: Option<u32>,
        /// Envelopes that nothing here could open, since this process began.
        unopenable: u64,
        protected: bool,
        host: String,
    }
}

/// Messages in the outbox for one contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// What the contact is called; `null` for the account's own other devices.
    pub(crate) contact: Option<String>,
    pub(crate) account: String,
    pub(crate) contents: usize,
    /// What keeps them; `null` while they are on their way.
    pub(crate) held: Option<Code>,
}

impl std::convert::From<command::Waiting> for Waiting {
    fn from(waiting: command::Waiting) -> Self {
        Self {
            contact: waiting.label,
            account: waiting.account.to_hex(),
            contents: waiting.contents,
            held: waiting.held.map(Code::from),
        }
    }
}

object! {
    /// Which receipts this device sends.
    Receipts = "receipts" { delivered: bool, read: bool, on_their_own: bool, }
}

object! {
    /// The account was closed.
    Closed = "account_closed" { address: String, }
}

object! {
    /// A contact.
    Contact = "contact" {
        name: String,
        address: String,
        /// Whether nobody but the contact itself says that the address is its own.
        address_claimed: bool,
        account: String,
        verified: bool,
        request: bool,
        blocked: bool,
        alarm: Option<Code>,
        devices: usize,
    }
}

object! {
    /// Messages of one day that the server deleted.
    Expired = "expired" { day: String, unix_day: u32, count: u32, }
}

object! {
    /// The account's own contact link.
    OwnLink = "contact_link" { link: String, }
}

object! {
    /// The code of a device that wants to be linked.
    LinkCode = "link_code" { code: String, }
}

object! {
    /// A device that wants to be linked.
    DeviceOffer = "device_offer" { device: String, safety_words: String, }
}

object! {
    /// A device of the account.
    Device = "device" { id: String, this_device: bool, created: String, fingerprint: String, }
}

object! {
    /// A message in the outbox.
    Queued = "queued" { id: String, cursor: String, contact: String, }
}

object! {
    /// How far a message that was just sent is.
    Sent = "sent" {
        id: String,
        to: String,
        state: State,
        /// What keeps it in the outbox, as far as that is known.
        held: Option<Code>,
    }
}

object! {
    /// What the two sides compare.
    Verification = "verification" {
        name: String,
        safety_number: String,
        qr_payload: String,
        fingerprint: String,
        own_fingerprint: String,
        verified: bool,
    }
}

object! {
    /// One content of a conversation.
    Message = "message" {
        id: String,
        cursor: String,
        chat: Chat,
        from: From,
        sent_at: String,
        received_at: String,
        /// `text`; or, without a body, `needs_newer_version`, `missing` or `devices`.
        content: String,
        body: Option<String>,
        /// For `missing`: how many contents of this device have not come for a day or longer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<u64>,
        /// For `devices`: how the contact's list of devices changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        devices: Option<DevicesChanged>,
        state: State,
        /// The ids of messages that the writer had seen.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        seen: Vec<String>,
    }
}

/// Devices that a contact's account lists since, and those that it lists no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevicesChanged {
    pub(crate) added: u32,
    pub(crate) removed: u32,
    pub(crate) listed: u32,
}

/// The conversation of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chat {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) account: String,
    /// Whether the contact asked to write, and the user has not decided.
    pub(crate) request: bool,
}

/// Who wrote a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct From {
    pub(crate) name: String,
    pub(crate) device: String,
    pub(crate) verified: bool,
    /// Whether it was written on a device of this account.
    pub(crate) own: bool,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Queued,
    OnServer,
    Delivered,
    Read,
    Received,
}

impl core::convert::From<MessageState> for State {
    fn from(state: MessageState) -> Self {
        match state {
            MessageState::Queued => Self::Queued,
            MessageState::OnServer => Self::OnServer,
            MessageState::Delivered => Self::Delivered,
            MessageState::Read => Self::Read,
            MessageState::Received => Self::Received,
        }
    }
}

impl core::convert::From<command::ContactSummary> for Contact {
    fn from(contact: command::ContactSummary) -> Self {
        Self::new(
            contact.label,
            contact.address,
            contact.address_claimed,
            contact.account.to_hex(),
            contact.verified,
            contact.request,
            contact.blocked,
            contact.alarm.map(Code::from),
            contact.devices,
        )
    }
}

impl core::convert::From<command::ExpiredMessages> for Expired {
    fn from(expired: command::ExpiredMessages) -> Self {
        Self::new(day(expired.day), expired.day, expired.count)
    }
}

impl core::convert::From<command::DeviceSummary> for Device {
    fn from(device: command::DeviceSummary) -> Self {
        Self::new(
            device.id.to_hex(),
            device.this_device,
            day(device.created_day),
            device.fingerprint,
        )
    }
}

impl Verification {
    pub(crate) fn of(name: String, verification: command::Verification) -> Self {
        Self::new(
            name,
            verification.safety_number,
            verification.qr_payload,
            verification.fingerprint,
            verification.own_fingerprint,
            verification.verified,
        )
    }
}

impl Message {
    /// A message in a conversation with `contact`, read by the account `own`.
    pub(crate) fn of(message: notice::Message, contact: &str, request: bool, own: &str) -> Self {
        let outgoing = message.direction == Direction::Outgoing;
        let chat = Chat {
            kind: "direct".to_owned(),
            name: contact.to_owned(),
            account: message.contact.to_hex(),
            request,
        };
        let from = From {
            name: if outgoing { own } else { contact }.to_owned(),
            device: message.device.to_hex(),
            verified: outgoing || message.verified,
            own: outgoing,
        };
        let (content, body, missing, devices) = match message.body {
            Body::Text(body) => ("text", Some(body), None, None),
            Body::Missing(count) => ("missing", None, Some(count), None),
            Body::DevicesChanged {
                added,
                removed,
                listed,
            } => {
                let devices = DevicesChanged {
                    added,
                    removed,
                    listed,
                };
                ("devices", None, None, Some(devices))
            }
            _ => ("needs_newer_version", None, None, None),
        };
        Self::new(
            message.id.to_hex(),
            message.cursor.to_string(),
            chat,
            from,
            timestamp(message.sent_at_ms),
            timestamp(message.received_at_ms),
            content.to_owned(),
            body,
            missing,
            devices,
            message.state.into(),
            message.seen.iter().map(MessageId::to_hex).collect(),
        )
    }

    /// The place in the profile's order of arrival.
    pub(crate) fn position(&self) -> u64 {
        self.cursor.parse().unwrap_or_default()
    }

    /// The place in the conversation, the same on every device of the account.
    pub(crate) fn place(&self) -> Place {
        let id = |text: &str| MessageId::from_hex(text).ok();
        Place {
            id: id(&self.id).unwrap_or_else(|| MessageId::new([0; MessageId::LENGTH])),
            outgoing: self.from.own,
            sent_at_ms: unix_ms(&self.sent_at),
            seen: self.seen.iter().filter_map(|text| id(text)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(1_795_425_123_120), "2026-11-23T09:12:03.120Z");
        assert_eq!(timestamp(u64::MAX), "1970-01-01T00:00:00.000Z");
        for ms in [0, 1, 1_795_425_123_120] {
            assert_eq!(unix_ms(&timestamp(ms)), ms);
        }
        assert_eq!(day(20_780), "2026-11-23");
    }

    #[test]
    fn objects_begin_with_their_version_and_type() {
        let json = serde_json::to_string(&OwnLink::new("waxwing:contact/x".to_owned())).unwrap();
        assert_eq!(
            json,
            r#"{"v":1,"type":"contact_link","link":"waxwing:contact/x"}"#
        );
    }
}
