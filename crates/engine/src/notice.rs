// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What everybody who watches a profile learns of: new messages, changes of state, alarms.

use waxwing_proto::{AccountKey, DeviceId, MessageId};

/// Something that happened in the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A content arrived, or one that another device of the account sent.
    Message(Message),
    /// A message that this account sent came one step further.
    MessageState {
        /// The message.
        message_id: MessageId,
        /// The contact.
        contact: AccountKey,
        /// How far it is.
        state: MessageState,
    },
    /// A contact appeared or changed: a request, an acceptance, a rename, a verification.
    ContactChanged(AccountKey),
    /// Something that the user must look at. Sending to the contact may be blocked.
    Alarm(Alarm),
    /// The devices of the account changed.
    DevicesChanged,
    /// The account's connection: authenticated and subscribed, or not.
    Online(bool),
    /// The mailbox has been emptied once since the connection was made.
    Drained,
    /// A linking came one step further.
    Linking(LinkingStep),
    /// The server deleted messages that had waited too long.
    Expired {
        /// Days since the Unix epoch.
        day: u32,
        /// How many.
        count: u32,
    },
    /// The clocks of this machine and of the server are more than five minutes apart.
    ClockSkew {
        /// This machine's clock minus the server's.
        skew_ms: i64,
    },
    /// The server told by which keys it is known, and it was not what was known.
    ServerKeys(ServerKeys),
}

/// What a server told about its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerKeys {
    /// A key that is to follow the present one; it is taken from now on.
    Announced,
    /// One that was known counts no more.
    Dropped,
    /// What breaks the rules; nothing was changed.
    Refused,
}

/// One content of a conversation, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, the same on every device.
    pub id: MessageId,
    /// The place in this profile's order of arrival; what `receive` remembers.
    pub cursor: u64,
    /// The conversation.
    pub contact: AccountKey,
    /// Which of the two wrote it.
    pub direction: Direction,
    /// The device that wrote it.
    pub device: DeviceId,
    /// When the writer's clock said it was written, in milliseconds since the Unix epoch.
    pub sent_at_ms: u64,
    /// When it arrived here, or was written here.
    pub received_at_ms: u64,
    /// The text, exactly as it came: a display must neutralise what could harm a terminal.
    pub body: Body,
    /// For what this account wrote: how far it is.
    pub state: MessageState,
    /// Whether the writer was verified when it arrived.
    pub verified: bool,
    /// The messages that the writer had seen when it was written. The writer controls them.
    pub seen: Vec<MessageId>,
}

/// What a message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// A text.
    Text(String),
    /// A kind that this version does not know. The bytes are kept.
    NeedsNewerVersion,
    /// No content: so many of the same device have not come for a day or longer.
    Missing(u64),
    /// No content: the contact's account lists other devices, which read what is sent from now on.
    DevicesChanged {
        /// Devices that were not listed before.
        added: u32,
        /// Devices that are not listed any more.
        removed: u32,
        /// How many there are now.
        listed: u32,
    },
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The contact.
    Incoming,
    /// This account, on this device or another.
    Outgoing,
}

/// How far a message is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageState {
    /// In the outbox, and safe there.
    Queued,
    /// Durable on the recipient's server, for each of its devices.
    OnServer,
    /// A device of the recipient has it.
    Delivered,
    /// The recipient has read it.
    Read,
    /// It came from somebody else.
    Received,
}

/// Something that the user must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The account that it is about; this account's own key for one's own devices.
    pub account: AccountKey,
    /// What.
    pub kind: AlarmKind,
    /// Whether sending to the account is blocked until it is verified.
    pub blocks_sending: bool,
}

/// The kinds of alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AlarmKind {
    /// Another account key than the one that is pinned was shown.
    KeyChanged,
    /// Two manifests with one version number.
    Equivocation,
    /// The server showed an older manifest than the one that is pinned.
    Rollback,
    /// A device removed one that is older than itself.
    SuspiciousRemoval,
    /// A device makes sessions or steps that it cannot make honestly: it was cloned or restored.
    ClonedDevice,
    /// The account was recovered from its words: all its devices are new.
    Recovered,
    /// This device was removed from its account.
    RemovedFromAccount,
    /// This device's store is older than what the server has seen of it, or than it was.
    RestoredStore,
    /// New sessions with a device come to nothing, although it answers in the old one: somebody holds
    /// them back, and nothing heals from what was stolen before.
    SessionsInVain,
    /// A contact names another list of this account's devices than the one that is held, and nothing
    /// proves it.
    ListContested,
}

/// How far a linking is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkingStep {
    /// The other device answered: both must show the same words.
    Compare {
        /// `name@host` of the account.
        address: String,
        /// Words to be compared by the user.
        safety_words: String,
    },
    /// The new device is listed in the manifest.
    Listed,
    /// The new device holds the account's state: it is ready.
    Complete,
    /// The linking ended without success.
    Failed,
}
