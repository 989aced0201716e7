// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a user of the profile can ask for, and what comes back.

use waxwing_identity::links::{ContactLink, InviteLink, LinkCode, ServerLink};
use waxwing_proto::{AccountKey, AccountName, DeviceId, MessageId, v1};

use crate::notice::{AlarmKind, Message};

/// Numbers the commands of one run of the engine, chosen by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// One thing that a user of the profile wants.
#[non_exhaustive]
pub enum Command {
    /// Make an account on the invite's server. Answer: [`Answer::Registered`].
    Register {
        /// The invite.
        invite: InviteLink,
        /// The name on the server.
        name: AccountName,
        /// The recovery words: the host made them and has shown them.
        words: waxwing_crypto::RecoveryWords,
    },
    /// Take the account of these words over with this device as its only one. Answer:
    /// [`Answer::Registered`].
    Recover {
        /// The words.
        words: waxwing_crypto::RecoveryWords,
        /// The account's server.
        server: ServerLink,
    },
    /// Offer this empty profile as a new device. Answer: [`Answer::LinkCode`]; then
    /// [`crate::notice::LinkingStep`] notices.
    Link {
        /// The account's server.
        server: ServerLink,
    },
    /// The user has compared the words (on the new device). Answer: [`Answer::Done`] once the
    /// device is part of the account.
    ConfirmLink {
        /// Whether they are the same.
        same: bool,
    },
    /// Look at the device behind a link code. Answer: [`Answer::DeviceOffer`].
    InspectDevice {
        /// The code that the new device shows.
        code: LinkCode,
    },
    /// Make the inspected device part of the account. Answer: [`Answer::Done`] once the manifest is
    /// on the server and the account's state is on its way.
    ApproveDevice {
        /// The device.
        device: DeviceId,
    },
    /// Remove a device of the account. Answer: [`Answer::Done`].
    RemoveDevice {
        /// The device.
        device: DeviceId,
    },
    /// Answer: [`Answer::Devices`].
    ListDevices,
    /// The user has looked at the account's devices and found them right: alarms about them end. Answer:
    /// [`Answer::Done`], or [`CommandError::DevicesChanged`].
    ConfirmDevices {
        /// The version of the manifest that the user looked at: [`Status::manifest_version`].
        version: u32,
    },
    /// Add a contact by a link. Answer: [`Answer::Contact`].
    AddContact {
        /// The link.
        link: ContactLink,
        /// The user's own name for the contact.
        label: Option<String>,
    },
    /// Add a contact by its name on one's own server; unverified. Answer: [`Answer::Contact`].
    AddContactByName {
        /// The name.
        name: AccountName,
        /// The user's own name for the contact.
        label: Option<String>,
    },
    /// Answer: [`Answer::Contacts`].
    ListContacts,
    /// Answer: [`Answer::Contact`].
    FindContact {
        /// A label, an address or a name.
        query: String,
    },
    /// Accept a message request. Answer: [`Answer::Done`].
    AcceptContact {
        /// The contact.
        contact: AccountKey,
    },
    /// Block or unblock. Answer: [`Answer::Done`].
    BlockContact {
        /// The contact.
        contact: AccountKey,
        /// The new state.
        blocked: bool,
    },
    /// Change the user's own name for a contact. Answer: [`Answer::Done`].
    RenameContact {
        /// The contact.
        contact: AccountKey,
        /// The new label.
        label: String,
    },
    /// This account's contact link. Answer: [`Answer::ContactLink`].
    OwnContactLink,
    /// Put a text in the outbox. Answer: [`Answer::Queued`] once it is durable; then
    /// [`crate::notice::Notice::MessageState`].
    Send {
        /// The contact.
        contact: AccountKey,
        /// The text.
        body: String,
    },
    /// Messages of one conversation in display order. Answer: [`Answer::Messages`].
    History {
        /// The contact.
        contact: AccountKey,
        /// Only messages with a lower cursor.
        before: Option<u64>,
        /// Most messages, at most 500.
        limit: usize,
    },
    /// What arrived and has not been marked as shown, oldest first. Answer: [`Answer::Messages`].
    Unread {
        /// Only messages with a higher cursor.
        after: u64,
        /// Most messages, at most 500.
        limit: usize,
    },
    /// Everything up to this cursor has been shown. Answer: [`Answer::Done`].
    MarkShown {
        /// The highest cursor shown.
        up_to: u64,
    },
    /// What the user needs in order to compare keys. Answer: [`Answer::Verification`].
    Verification {
        /// The contact.
        contact: AccountKey,
    },
    /// The user has compared keys: mark as verified what the evidence confirms. Answer:
    /// [`Answer::Done`], or [`CommandError::EvidenceMismatch`].
    Verify {
        /// The contact.
        contact: AccountKey,
        /// What was compared.
        evidence: Evidence,
    },
    /// Messages that the server deleted and the user was not told of. Answer: [`Answer::Expired`].
    ListExpired,
    /// The user was told of these. Answer: [`Answer::Done`].
    MarkExpiredShown {
        /// What [`Answer::Expired`] held.
        shown: Vec<ExpiredMessages>,
    },
    /// Answer: [`Answer::Status`].
    Status,
    /// Which receipts this device sends; `None` leaves a setting as it is. Answer: [`Answer::Receipts`].
    SetReceipts {
        /// Whether it tells that a message arrived; on at first.
        delivered: Option<bool>,
        /// Whether it tells that a message was shown; on at first.
        read: Option<bool>,
        /// Whether receipts leave on their own; off, they wait for a text to ride on. On at first.
        on_their_own: Option<bool>,
    },
    /// Delete the account on its server: with the account key, so that whoever holds an unlocked device
    /// cannot. Answer: [`Answer::Done`], or [`CommandError::EvidenceMismatch`] for other words.
    CloseAccount {
        /// The account's recovery words.
        words: waxwing_crypto::RecoveryWords,
    },
}

/// What a user compared.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// The text of the contact's verification QR code.
    QrPayload(String),
    /// The fingerprint of the contact's account key, in hexadecimal digits.
    Fingerprint(String),
    /// The user says that the safety numbers on both screens are the same.
    SafetyNumberCompared,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Nothing more to say.
    Done,
    /// The account is ready on this device.
    Registered {
        /// `name@host`.
        address: String,
        /// The account.
        account: AccountKey,
        /// This device.
        device: DeviceId,
    },
    /// The code to be typed or scanned on another device of the account.
    LinkCode(LinkCode),
    /// A device that wants to be linked.
    DeviceOffer {
        /// The device.
        device: DeviceId,
        /// Words to be compared by the user.
        safety_words: String,
    },
    /// The devices of the account.
    Devices(Vec<DeviceSummary>),
    /// One contact.
    Contact(ContactSummary),
    /// All contacts, by label.
    Contacts(Vec<ContactSummary>),
    /// A link for others.
    ContactLink(ContactLink),
    /// In the outbox, durable.
    Queued {
        /// The message.
        message_id: MessageId,
        /// Its place in the order of arrival.
        cursor: u64,
    },
    /// Messages.
    Messages(Vec<Message>),
    /// What the two sides compare.
    Verification(Verification),
    /// Messages that the server deleted, the oldest day first.
    Expired(Vec<ExpiredMessages>),
    /// How the profile is.
    Status(Status),
    /// Which receipts this device sends.
    Receipts(ReceiptSettings),
}

/// Which receipts this device sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptSettings {
    /// That a message arrived.
    pub delivered: bool,
    /// That a message was shown.
    pub read: bool,
    /// Whether receipts leave on their own, beside riding on texts.
    pub on_their_own: bool,
}

/// Messages of one day that waited too long on the server and were deleted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiredMessages {
    /// The day on which they came, since the Unix epoch.
    pub day: u32,
    /// How many.
    pub count: u32,
}

/// A device of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSummary {
    /// Its id.
    pub id: DeviceId,
    /// Whether it is the one that answers.
    pub this_device: bool,
    /// When it was made, in days since the Unix epoch.
    pub created_day: u32,
    /// SHA-256 fingerprint of its signing key, in hexadecimal digits.
    pub fingerprint: String,
}

/// A contact as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactSummary {
    /// The account.
    pub account: AccountKey,
    /// The user's own name for it.
    pub label: String,
    /// `name@host`.
    pub address: String,
    /// Whether nobody but the contact itself says that the address is its own.
    pub address_claimed: bool,
    /// Whether its keys were compared.
    pub verified: bool,
    /// Whether a message request waits for a decision.
    pub request: bool,
    /// Whether the user blocked it.
    pub blocked: bool,
    /// What the user must look at first, if anything; what blocks sending before what does not.
    pub alarm: Option<AlarmKind>,
    /// How many devices its newest accepted manifest lists; 0 before the first contact.
    pub devices: usize,
}

/// What the two sides compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The contact.
    pub contact: AccountKey,
    /// Sixty digits in twelve groups, the same on both sides.
    pub safety_number: String,
    /// The text for a QR code that the other side scans.
    pub qr_payload: String,
    /// The fingerprint of the contact's account key.
    pub fingerprint: String,
    /// The fingerprint of this account's key.
    pub own_fingerprint: String,
    /// Whether it is marked as verified.
    pub verified: bool,
}

/// How the profile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `name@host`; empty before registration.
    pub address: String,
    /// The account; `None` before registration.
    pub account: Option<AccountKey>,
    /// This device.
    pub device: Option<DeviceId>,
    /// Whether the account's connection is authenticated and subscribed.
    pub online: bool,
    /// Whether the server said last that it does not know this device or its account. Its word alone: the
    /// account's chain proves a removal.
    pub shut_out: bool,
    /// The account's server, as `host:port`.
    pub server: String,
    /// Contents in the outbox.
    pub outbox: usize,
    /// The same by whom they are for.
    pub waiting: Vec<Waiting>,
    /// Contacts with something that the user must look at, and one for the own account.
    pub alarms: usize,
    /// What stands about the account's own devices; see [`Command::ConfirmDevices`].
    pub own_alarm: Option<AlarmKind>,
    /// Message requests that wait for a decision.
    pub requests: usize,
    /// The version of the account's manifest.
    pub manifest_version: u32,
    /// One-time prekeys that the server holds for this device, when it said so.
    pub one_time_prekeys: Option<u32>,
    /// Envelopes that nothing here could open, since the engine began: forged, damaged, or of a session
    /// that is gone.
    pub unopenable: u64,
}

/// Contents in the outbox for one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The account.
    pub account: AccountKey,
    /// The contact's label; `None` for the account's own other devices.
    pub label: Option<String>,
    /// How many.
    pub contents: usize,
    /// What keeps them; `None` while they are on their way.
    pub held: Option<Held>,
}

/// What keeps contents in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Held {
    /// The contact is blocked, or its request has not been accepted.
    NotAccepted,
    /// An alarm blocks sending.
    Alarm(AlarmKind),
    /// As many contents as may go to somebody who has not answered are with the contact's server:
    /// [`waxwing_proto::limits::UNANSWERED_CONTENTS_MAX`].
    NotAnswered,
    /// The contact's server refused last time; it is asked again.
    Refused(v1::ErrorCode),
    /// The contact's server could not be reached last time; it is tried again.
    Unreachable,
}

/// Why a command failed. Each kind has a stable code and an exit code in the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The profile has no account yet.
    #[error("the profile has no account")]
    NotRegistered,
    /// The account of the profile was closed by its owner.
    #[error("the account was closed")]
    AccountClosed,
    /// The profile has an account already.
    #[error("the profile has an account already")]
    AlreadyRegistered,
    /// No contact fits.
    #[error("no such contact")]
    ContactUnknown,
    /// More than one contact fits.
    #[error("more than one contact fits")]
    ContactAmbiguous,
    /// The label is used for another contact, empty or too long.
    #[error("the label cannot be used")]
    LabelInvalid,
    /// The contact is blocked by the user.
    #[error("the contact is blocked")]
    ContactBlocked,
    /// The contact's message request has not been accepted.
    #[error("the contact's request has not been accepted")]
    RequestPending,
    /// Sending is blocked until the user verifies.
    #[error("sending is blocked until the contact is verified")]
    TrustBlocked(AlarmKind),
    /// The outbox holds as many contents as it may.
    #[error("the outbox is full")]
    OutboxFull,
    /// The text is empty or over the limit.
    #[error("the text cannot be sent")]
    TextInvalid,
    /// What was compared is not what this device holds.
    #[error("the evidence does not fit")]
    EvidenceMismatch,
    /// The evidence fits and says nothing about the devices, which the alarm is about: only the
    /// contact's complete code does.
    #[error("the evidence does not settle the alarm")]
    EvidenceIncomplete(AlarmKind),
    /// What was given as evidence cannot be read.
    #[error("the evidence cannot be read")]
    EvidenceMalformed,
    /// No device has this id, or it may not be removed.
    #[error("no such device")]
    DeviceUnknown,
    /// The account's devices are others than those that the user looked at.
    #[error("the devices have changed")]
    DevicesChanged,
    /// Devices have used up their share of the manifest: only the account key changes it from now on.
    #[error("only the recovery words can change the devices")]
    DeviceChangesUsedUp,
    /// The link code does not fit the keys that the server showed: somebody is in between.
    #[error("the keys do not fit the link code")]
    LinkCodeMismatch,
    /// No linking is under way, or it has expired.
    #[error("no linking is under way")]
    NoLinking,
    /// The account has as many devices as it may have.
    #[error("too many devices")]
    TooManyDevices,
    /// The account key that belongs to the words is not known to the server.
    #[error("no account belongs to these words on this server")]
    AccountUnknown,
    /// The server refused.
    #[error("the server refused")]
    Refused(v1::ErrorCode, u32),
    /// The server cannot be reached; the work goes on when it can, where the answer says so.
    #[error("the server cannot be reached")]
    Link(crate::event::LinkFailure),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// This device was removed from its account.
    #[error("this device was removed from its account")]
    Removed,
    /// A rule of this program was broken by itself.
    #[error("internal error")]
    Bug(&'static str),
}
