// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a command failed: a stable code, the exit code that belongs to it, and what the text needs.
//!
//! The same value travels over the profile's socket, stands in JSON errors and is turned into text
//! for people by [`crate::text`]. It never holds a message, a secret or text that a peer chose.

use serde::{Deserialize, Serialize};
use waxwing_engine::command::Held;
use waxwing_engine::notice::AlarmKind;
use waxwing_engine::{CommandError, LinkFailure};
use waxwing_proto::v1::ErrorCode;

/// The exit codes. They are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    User = 1,
    Usage = 2,
    Network = 3,
    Untrusted = 4,
    RateLimited = 5,
    Store = 6,
    NotFound = 7,
    Bug = 70,
    Interrupted = 130,
}

impl Exit {
    /// The number that the process ends with.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal => $exit:ident,)*) => {
        /// The stable codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub(crate) enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
            /// A code of a later version, from a host of a later version.
            #[serde(other, rename = "bug")]
            Bug,
        }

        impl Code {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)* Self::Bug];

            /// As it is printed.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* Self::Bug => "bug" }
            }

            /// The exit code that belongs to it.
            pub(crate) const fn exit(self) -> Exit {
                match self { $(Self::$name => Exit::$exit,)* Self::Bug => Exit::Bug }
            }
        }
    };
}

codes! {
    Usage = "usage" => Usage,
    NotRegistered = "not_registered" => User,
    AccountClosed = "account_closed" => User,
    AlreadyRegistered = "already_registered" => User,
    ContactUnknown = "contact_unknown" => NotFound,
    ContactAmbiguous = "contact_ambiguous" => User,
    LabelInvalid = "label_invalid" => User,
    ContactBlocked = "contact_blocked" => User,
    RequestPending = "request_pending" => User,
    TextEmpty = "text_empty" => User,
    TextTooLong = "text_too_long" => User,
    TextNotUtf8 = "text_not_utf8" => User,
    ContactLinkInvalid = "contact_link_invalid" => User,
    InviteInvalid = "invite_invalid" => User,
    InviteUnknown = "invite_unknown" => User,
    InviteUsed = "invite_used" => User,
    InviteExpired = "invite_expired" => User,
    InviteRequired = "invite_required" => User,
    NameTaken = "name_taken" => User,
    NameHeld = "name_held" => User,
    NameInvalid = "name_invalid" => User,
    NameUnknown = "name_unknown" => NotFound,
    AccountExists = "account_exists" => User,
    AccountUnknown = "account_unknown" => NotFound,
    WordsInvalid = "words_invalid" => User,
    WordsOfAnother = "words_of_another" => User,
    WordsNotConfirmed = "words_not_confirmed" => User,
    WordsFile = "words_file" => User,
    ServerLinkInvalid = "server_link_invalid" => User,
    LinkCodeInvalid = "link_code_invalid" => User,
    LinkCodeMismatch = "link_code_mismatch" => Untrusted,
    LinkingFailed = "linking_failed" => User,
    NoLinking = "no_linking" => User,
    DeviceUnknown = "device_unknown" => NotFound,
    DeviceAmbiguous = "device_ambiguous" => User,
    TooManyDevices = "too_many_devices" => User,
    DeviceRemoved = "device_removed" => Untrusted,
    DeviceShutOut = "device_shut_out" => User,
    EvidenceMismatch = "evidence_mismatch" => Untrusted,
    EvidenceMalformed = "evidence_malformed" => User,
    EvidenceIncomplete = "evidence_incomplete" => Untrusted,
    DevicesChanged = "devices_changed" => User,
    DeviceChangesUsedUp = "device_changes_used_up" => User,
    OutboxFull = "outbox_full" => User,
    KeyChanged = "key_changed" => Untrusted,
    Equivocation = "equivocation" => Untrusted,
    Rollback = "rollback" => Untrusted,
    SuspiciousRemoval = "suspicious_removal" => Untrusted,
    ClonedDevice = "cloned_device" => Untrusted,
    AccountRecovered = "account_recovered" => Untrusted,
    SessionsInVain = "sessions_in_vain" => Untrusted,
    ListContested = "list_contested" => Untrusted,
    RestoredStore = "restored_store" => Untrusted,
    Unreachable = "unreachable" => Network,
    TimedOut = "timeout" => Network,
    NotStoredInTime = "not_stored_in_time" => Network,
    NotAnswered = "not_answered" => Network,
    WrongServerKey = "wrong_server_key" => Untrusted,
    ClientTooOld = "client_too_old" => Network,
    ServerTooOld = "server_too_old" => Network,
    ServerUnavailable = "server_unavailable" => Network,
    RateLimited = "rate_limited" => RateLimited,
    MailboxFull = "mailbox_full" => Network,
    LimitReached = "limit_reached" => User,
    Refused = "refused" => User,
    ProfileMissing = "profile_missing" => NotFound,
    ProfileExists = "profile_exists" => User,
    ProfileNameInvalid = "profile_name_invalid" => User,
    ProfileBusy = "profile_busy" => Store,
    ProtectionDiffers = "protection_differs" => User,
    PassphraseMissing = "passphrase_missing" => Store,
    PassphraseNeeded = "passphrase_needed" => Store,
    PassphraseWrong = "passphrase_wrong" => Store,
    PassphraseSource = "passphrase_source" => User,
    StoreCorrupt = "store_corrupt" => Store,
    StoreTooNew = "store_too_new" => Store,
    StoreFailed = "store_failed" => Store,
    Locked = "locked" => Store,
    HostLost = "host_lost" => Store,
    HostVersion = "host_version" => Store,
    HostFailed = "host_failed" => Store,
    ConfigInvalid = "config_invalid" => User,
    QuicThroughProxy = "quic_through_proxy" => User,
    ConstantPacketsNeedQuic = "constant_packets_need_quic" => User,
    FolderUnusable = "folder_unusable" => User,
    InputNeeded = "input_needed" => User,
    NotConfirmed = "not_confirmed" => User,
    Input = "input" => User,
    Output = "output" => User,
    ReaderBusy = "reader_busy" => User,
    ProblemsFound = "problems_found" => User,
    Interrupted = "interrupted" => Interrupted,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// The stable code.
    pub(crate) code: Code,
    /// When a retry can succeed, in seconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_s: Option<u64>,
    /// What the text is about: the contact, name, path or device that the user typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// The nearest existing name, where a name was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nearest: Option<String>,
    /// Whether it is about the account itself and not about a contact.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(crate) own: bool,
    /// What the operating system or a parser said, in words of this program's libraries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
}

/// What every command comes to.
pub(crate) type Outcome<T = ()> = Result<T, Fault>;

impl Fault {
    /// A fault without further particulars.
    pub(crate) const fn new(code: Code) -> Self {
        Self {
            code,
            retry_after_s: None,
            subject: None,
            nearest: None,
            own: false,
            cause: None,
        }
    }

    /// About what.
    pub(crate) fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// About the account itself.
    pub(crate) const fn own(mut self) -> Self {
        self.own = true;
        self
    }

    /// About what, unless that is known already.
    pub(crate) fn about_default(mut self, subject: &str) -> Self {
        self.subject.get_or_insert_with(|| subject.to_owned());
        self
    }

    /// What the operating system or a parser said.
    pub(crate) fn because(mut self, cause: impl ToString) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// The nearest existing name.
    pub(crate) fn nearest(mut self, name: Option<impl Into<String>>) -> Self {
        self.nearest = name.map(Into::into);
        self
    }

    /// A rule of this program was broken by itself.
    pub(crate) fn bug(what: &'static str) -> Self {
        Self::new(Code::Bug).because(what)
    }
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<AlarmKind> for Code {
    fn from(kind: AlarmKind) -> Self {
        match kind {
            AlarmKind::KeyChanged => Self::KeyChanged,
            AlarmKind::Equivocation => Self::Equivocation,
            AlarmKind::Rollback => Self::Rollback,
            AlarmKind::SuspiciousRemoval => Self::SuspiciousRemoval,
            AlarmKind::ClonedDevice => Self::ClonedDevice,
            AlarmKind::Recovered => Self::AccountRecovered,
            AlarmKind::RemovedFromAccount => Self::DeviceRemoved,
            AlarmKind::RestoredStore => Self::RestoredStore,
            AlarmKind::SessionsInVain => Self::SessionsInVain,
            AlarmKind::ListContested => Self::ListContested,
            // An alarm that this version cannot name still blocks: the general word for it.
            _ => Self::KeyChanged,
        }
    }
}

impl From<Held> for Code {
    fn from(held: Held) -> Self {
        match held {
            Held::NotAccepted => Self::RequestPending,
            Held::Alarm(kind) => kind.into(),
            Held::NotAnswered => Self::NotAnswered,
            Held::Refused(code) => code.into(),
            _ => Self::Unreachable,
        }
    }
}

impl From<LinkFailure> for Code {
    fn from(failure: LinkFailure) -> Self {
        match failure {
            LinkFailure::WrongServerKey => Self::WrongServerKey,
            LinkFailure::ClientTooOld => Self::ClientTooOld,
            LinkFailure::ServerTooOld => Self::ServerTooOld,
            _ => Self::Unreachable,
        }
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::InviteUnknown => Self::InviteUnknown,
            ErrorCode::InviteUsed => Self::InviteUsed,
            ErrorCode::InviteExpired => Self::InviteExpired,
            ErrorCode::InviteRequired => Self::InviteRequired,
            ErrorCode::NameTaken => Self::NameTaken,
            ErrorCode::NameHeld => Self::NameHeld,
            ErrorCode::NameInvalid => Self::NameInvalid,
            ErrorCode::AccountExists => Self::AccountExists,
            ErrorCode::NotFound => Self::NameUnknown,
            ErrorCode::RateLimited => Self::RateLimited,
            ErrorCode::Unavailable => Self::ServerUnavailable,
            ErrorCode::DeadlineExceeded => Self::TimedOut,
            ErrorCode::MailboxFull => Self::MailboxFull,
            ErrorCode::LimitReached => Self::LimitReached,
            ErrorCode::UpgradeRequiredClient => Self::ClientTooOld,
            ErrorCode::UpgradeRequiredServer => Self::ServerTooOld,
            ErrorCode::DeviceNotListed => Self::DeviceRemoved,
            ErrorCode::GenerationRolledBack => Self::RestoredStore,
            _ => Self::Refused,
        }
    }
}

impl From<CommandError> for Fault {
    fn from(error: CommandError) -> Self {
        let code = match error {
            CommandError::NotRegistered => Code::NotRegistered,
            CommandError::AccountClosed => Code::AccountClosed,
            CommandError::AlreadyRegistered => Code::AlreadyRegistered,
            CommandError::ContactUnknown => Code::ContactUnknown,
            CommandError::ContactAmbiguous => Code::ContactAmbiguous,
            CommandError::LabelInvalid => Code::LabelInvalid,
            CommandError::ContactBlocked => Code::ContactBlocked,
            CommandError::RequestPending => Code::RequestPending,
            CommandError::TrustBlocked(kind) => kind.into(),
            CommandError::TextInvalid => Code::TextTooLong,
            CommandError::EvidenceMismatch => Code::EvidenceMismatch,
            CommandError::EvidenceMalformed => Code::EvidenceMalformed,
            CommandError::EvidenceIncomplete(_) => Code::EvidenceIncomplete,
            CommandError::OutboxFull => Code::OutboxFull,
            CommandError::DeviceUnknown => Code::DeviceUnknown,
            CommandError::DevicesChanged => Code::DevicesChanged,
            CommandError::DeviceChangesUsedUp => Code::DeviceChangesUsedUp,
            CommandError::LinkCodeMismatch => Code::LinkCodeMismatch,
            CommandError::NoLinking => Code::NoLinking,
            CommandError::TooManyDevices => Code::TooManyDevices,
            CommandError::AccountUnknown => Code::AccountUnknown,
            CommandError::Refused(code, retry_after_ms) => {
                let mut fault = Self::new(code.into());
                if fault.code == Code::Refused {
                    fault.cause = Some(code.as_str_name().to_lowercase());
                }
                if retry_after_ms > 0 {
                    fault.retry_after_s = Some(u64::from(retry_after_ms.div_ceil(1000)));
                }
                return fault;
            }
            CommandError::Link(failure) => failure.into(),
            CommandError::Timeout => Code::TimedOut,
            CommandError::Removed => Code::DeviceRemoved,
            CommandError::Bug(what) => return Self::bug(what),
            _ => Code::Bug,
        };
        Self::new(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_travel() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()));
            let json = serde_json::to_string(&Fault::new(*code)).unwrap();
            assert_eq!(serde_json::from_str::<Fault>(&json).unwrap().code, *code);
            assert_ne!(code.exit(), Exit::Ok);
        }
        let later: Fault = serde_json::from_str(r#"{"code":"of_a_later_version"}"#).unwrap();
        assert_eq!(later.code, Code::Bug);
    }

    #[test]
    fn exit_codes_are_those_of_the_interface() {
        assert_eq!(
            Fault::from(CommandError::TrustBlocked(AlarmKind::KeyChanged))
                .code
                .exit()
                .code(),
            4
        );
        assert_eq!(
            Fault::from(CommandError::Link(LinkFailure::Unreachable))
                .code
                .exit()
                .code(),
            3
        );
        let limited = Fault::from(CommandError::Refused(ErrorCode::RateLimited, 1500));
        assert_eq!(
            (limited.code.exit().code(), limited.retry_after_s),
            (5, Some(2))
        );
        assert_eq!(Code::PassphraseWrong.exit().code(), 6);
        assert_eq!(Code::ContactUnknown.exit().code(), 7);
        assert_eq!(Code::Bug.exit().code(), 70);
        assert_eq!(Code::Interrupted.exit().code(), 130);
    }
}
