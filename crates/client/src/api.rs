// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a host can be asked over the profile's socket: JSON-RPC 2.0, one object a line.
//!
//! The objects that come back are those that `--json` prints, so there is one shape for both.
//! Changes only add. Cursors and ids are strings; times are RFC 3339 in UTC with milliseconds.

pub(crate) mod objects;
pub(crate) mod wire;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The version of the methods below. A host and a client of different versions do not talk.
pub(crate) const VERSION: u32 = 1;

/// What a host can be asked.
#[derive(Serialize, Deserialize)]
#[serde(tag = "method", content = "params")]
pub(crate) enum Call {
    /// Answer: [`objects::Host`].
    #[serde(rename = "host.hello")]
    Hello { version: u32 },
    /// End, and wipe the key. The answer comes before the end.
    #[serde(rename = "host.lock")]
    Lock {},
    /// From now on notifications come. Answer: nothing.
    #[serde(rename = "host.watch")]
    Watch {},
    /// Answer: [`objects::Status`].
    #[serde(rename = "status")]
    Status {},
    /// Answer: [`objects::Registered`].
    #[serde(rename = "account.register")]
    Register {
        invite: String,
        name: String,
        words: Words,
    },
    /// Answer: [`objects::Registered`].
    #[serde(rename = "account.recover")]
    Recover { server: String, words: Words },
    /// Deletes the account on its server, for ever. Answer: nothing.
    #[serde(rename = "account.close")]
    CloseAccount { words: Words },
    /// What is absent stays as it is. Answer: [`objects::Receipts`].
    #[serde(rename = "receipts")]
    Receipts {
        #[serde(default)]
        delivered: Option<bool>,
        #[serde(default)]
        read: Option<bool>,
        #[serde(default)]
        on_their_own: Option<bool>,
    },
    /// Answer: a list of [`objects::Device`].
    #[serde(rename = "devices.list")]
    Devices {},
    /// Answer: [`objects::LinkCode`].
    #[serde(rename = "devices.link")]
    Link { server: String },
    /// Answer: nothing, once the device is part of the account.
    #[serde(rename = "devices.confirm")]
    ConfirmLink { same: bool },
    /// Answer: [`objects::DeviceOffer`].
    #[serde(rename = "devices.inspect")]
    InspectDevice { code: String },
    /// Answer: nothing.
    #[serde(rename = "devices.approve")]
    ApproveDevice { device: String },
    /// Answer: nothing.
    #[serde(rename = "devices.remove")]
    RemoveDevice { device: String },
    /// The devices of this version of the list are the user's. Answer: nothing.
    #[serde(rename = "devices.confirm_list")]
    ConfirmDevices { version: u32 },
    /// A contact link, or a name on one's own server. Answer: [`objects::Contact`].
    #[serde(rename = "contacts.add")]
    AddContact {
        who: String,
        #[serde(default)]
        label: Option<String>,
    },
    /// Answer: a list of [`objects::Contact`].
    #[serde(rename = "contacts.list")]
    Contacts {},
    /// By label, address or name. Answer: [`objects::Contact`].
    #[serde(rename = "contacts.find")]
    FindContact { contact: String },
    /// Answer: [`objects::Contact`].
    #[serde(rename = "contacts.accept")]
    AcceptContact { contact: String },
    /// Answer: [`objects::Contact`].
    #[serde(rename = "contacts.block")]
    BlockContact { contact: String, blocked: bool },
    /// Answer: [`objects::Contact`].
    #[serde(rename = "contacts.rename")]
    RenameContact { contact: String, label: String },
    /// Answer: [`objects::OwnLink`].
    #[serde(rename = "contacts.link")]
    OwnLink {},
    /// Answer: [`objects::Queued`], once the message is durable in the outbox.
    #[serde(rename = "messages.send")]
    Send { contact: String, body: String },
    /// Answer: a list of [`objects::Message`], oldest first.
    #[serde(rename = "messages.history")]
    History {
        contact: String,
        #[serde(default)]
        before: Option<u64>,
        limit: usize,
    },
    /// What has not been marked as shown. Answer: a list of [`objects::Message`], oldest first.
    #[serde(rename = "messages.unread")]
    Unread { after: u64, limit: usize },
    /// Answer: nothing.
    #[serde(rename = "messages.mark_shown")]
    MarkShown { up_to: u64 },
    /// What the server deleted and the user was not told of. Answer: a list of [`objects::Expired`].
    #[serde(rename = "messages.expired")]
    Expired {},
    /// The user was told: pairs of a day since the Unix epoch and a count. Answer: nothing.
    #[serde(rename = "messages.mark_expired_shown")]
    MarkExpiredShown { shown: Vec<(u32, u32)> },
    /// Answer: [`objects::Verification`].
    #[serde(rename = "verification.show")]
    Verification { contact: String },
    /// Answer: [`objects::Contact`].
    #[serde(rename = "verification.confirm")]
    Verify { contact: String, evidence: Evidence },
}

/// The names of the methods, for telling an unknown method from wrong parameters.
pub(crate) const METHODS: &[&str] = &[
    "host.hello",
    "host.lock",
    "host.watch",
    "status",
    "account.register",
    "account.recover",
    "account.close",
    "receipts",
    "devices.list",
    "devices.link",
    "devices.confirm",
    "devices.inspect",
    "devices.approve",
    "devices.remove",
    "devices.confirm_list",
    "contacts.add",
    "contacts.list",
    "contacts.find",
    "contacts.accept",
    "contacts.block",
    "contacts.rename",
    "contacts.link",
    "messages.send",
    "messages.history",
    "messages.unread",
    "messages.mark_shown",
    "messages.expired",
    "messages.mark_expired_shown",
    "verification.show",
    "verification.confirm",
];

/// Recovery words on their way to the host. Wiped on drop; not shown by `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Words(pub(crate) Zeroized);

/// A string that is wiped on drop.
pub(crate) struct Zeroized(pub(crate) Zeroizing<String>);

impl Serialize for Zeroized {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Zeroized {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// What a user compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Evidence {
    /// The text of the contact's verification code.
    Qr { payload: String },
    /// The fingerprint of the contact's account key.
    Fingerprint { hex: String },
    /// The user says that both sides show the same.
    Words,
}

/// What a host says on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Notice {
    /// Something is unread that was not before.
    Arrived,
    /// A message that this account sent came one step further.
    State { id: String, state: objects::State },
    /// A contact appeared or changed.
    Contacts,
    /// Something that the user must look at.
    Alarm {
        code: crate::fault::Code,
        /// The contact; this account's address where it is about the account itself.
        contact: String,
        /// Whether it is about the account itself.
        own: bool,
        blocks_sending: bool,
    },
    /// The account's connection is up, or not.
    Online { online: bool },
    /// The mailbox has been emptied once since the connection was made.
    Drained,
    /// The devices of the account changed.
    Devices,
    /// Both devices of a linking must show the same words.
    LinkingCompare { address: String, words: String },
    /// A linking came one step further.
    Linking { step: LinkingStep },
    /// The server deleted messages that had waited too long.
    Expired { day: String, count: u32 },
    /// The clocks of this machine and of the server differ.
    ClockSkew { skew_s: i64 },
    /// The server has told the key that is to follow its present one: it is taken from now on.
    ServerKeyAnnounced,
    /// The watcher was too slow and has missed some: ask for what matters.
    Missed,
    /// The host ends; another process may take its place.
    Ending,
    /// The host ends, because somebody asked for `lock`.
    Locked,
    /// A notice of a later version.
    #[serde(other)]
    Unknown,
}

/// How far a linking is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LinkingStep {
    /// The new device is listed in the manifest.
    Listed,
    /// The new device is ready.
    Complete,
    /// It ended without success.
    Failed,
    /// A step of a later version.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_read_as_method_and_parameters() {
        let call = Call::Send {
            contact: "bob".to_owned(),
            body: "hi".to_owned(),
        };
        let json = serde_json::to_value(&call).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "method": "messages.send", "params": {"contact": "bob", "body": "hi"}
            })
        );
        assert!(METHODS.contains(&json["method"].as_str().unwrap()));
        assert!(serde_json::from_value::<Call>(json).is_ok());
        let empty = serde_json::json!({"method": "status", "params": {}});
        assert!(matches!(serde_json::from_value(empty), Ok(Call::Status {})));
    }

    #[test]
    fn notices_of_later_versions_are_read() {
        let json = r#"{"type":"of_a_later_version","x":1}"#;
        assert_eq!(
            serde_json::from_str::<Notice>(json).unwrap(),
            Notice::Unknown
        );
    }
}
