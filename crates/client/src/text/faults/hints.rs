// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What to type after a fault.

use crate::fault::{Code, Fault};

/// What to type next, most useful first.
pub(super) fn of(fault: &Fault) -> Vec<(&'static str, Vec<String>)> {
    let subject = fault.subject.clone();
    let about = |label: &'static str, before: &[&str]| {
        subject
            .clone()
            .map(|subject| (label, words(before, Some(subject))))
    };
    let plain = |label: &'static str, command: &[&str]| Some((label, words(command, None)));
    let how = |command: &[&str]| plain("see how", command);
    let hints = match fault.code {
        Code::KeyChanged
        | Code::Equivocation
        | Code::Rollback
        | Code::SuspiciousRemoval
        | Code::ClonedDevice
        | Code::SessionsInVain
        | Code::ListContested
        | Code::AccountRecovered
            if fault.own =>
        {
            // The subject is the version of the list that the user is looking at.
            match subject {
                Some(_) => vec![
                    about("they are all yours", &["devices", "confirm"]),
                    plain("one is not", &["devices", "remove", "--help"]),
                    plain("one was stolen", &["recover", "--help"]),
                ],
                None => vec![plain("look at your devices", &["devices", "list"])],
            }
        }
        Code::ContactUnknown | Code::ContactAmbiguous | Code::LabelInvalid => {
            vec![plain("see who there is", &["contacts", "list"])]
        }
        Code::QuicThroughProxy => {
            vec![plain("go over TCP", &["--transport", "tcp", "status"])]
        }
        Code::ConstantPacketsNeedQuic => {
            vec![plain("see where the configuration is", &["doctor"])]
        }
        Code::ReaderBusy => vec![plain("see who has written", &["contacts", "list"])],
        Code::ContactBlocked => vec![about("write again", &["contacts", "unblock"])],
        Code::RequestPending => vec![
            about("read it", &["history"]),
            about("accept", &["contacts", "accept"]),
            about("refuse", &["contacts", "block"]),
        ],
        Code::ClonedDevice => vec![
            about("compare keys", &["verify"]),
            about("begin anew", &["contacts", "accept"]),
        ],
        Code::KeyChanged
        | Code::Equivocation
        | Code::Rollback
        | Code::SuspiciousRemoval
        | Code::AccountRecovered
        | Code::EvidenceMismatch
        | Code::EvidenceIncomplete
        | Code::EvidenceMalformed => vec![about("compare keys", &["verify"])],
        Code::TextEmpty | Code::TextNotUtf8 | Code::TextTooLong => {
            vec![plain("how to send", &["send", "--help"])]
        }
        Code::ContactLinkInvalid | Code::NameUnknown => vec![how(&["contacts", "add", "--help"])],
        Code::InviteInvalid
        | Code::InviteUnknown
        | Code::InviteUsed
        | Code::InviteExpired
        | Code::InviteRequired
        | Code::NameTaken
        | Code::NameHeld
        | Code::NameInvalid
        | Code::PassphraseNeeded
        | Code::ProtectionDiffers
        | Code::WordsNotConfirmed
        | Code::WordsFile => vec![how(&["register", "--help"])],
        Code::AccountExists | Code::AccountUnknown | Code::WordsInvalid => {
            vec![how(&["recover", "--help"])]
        }
        Code::ServerLinkInvalid => vec![
            plain("link a device", &["devices", "link", "--help"]),
            plain("take an account over", &["recover", "--help"]),
        ],
        Code::LinkCodeInvalid | Code::LinkCodeMismatch => {
            vec![how(&["devices", "approve", "--help"])]
        }
        Code::LinkingFailed | Code::NoLinking => vec![how(&["devices", "link", "--help"])],
        Code::AlreadyRegistered
        | Code::NotStoredInTime
        | Code::NotAnswered
        | Code::SessionsInVain
        | Code::ListContested
        | Code::TimedOut
        | Code::DeviceRemoved
        | Code::AccountClosed
        | Code::WordsOfAnother
        | Code::ServerUnavailable
        | Code::RateLimited
        | Code::MailboxFull
        | Code::LimitReached
        | Code::HostLost
        | Code::ProfileExists => vec![plain("see how it is", &["status"])],
        Code::NotRegistered | Code::ProfileMissing => vec![
            plain("make an account", &["register", "--help"]),
            plain("take one over", &["recover", "--help"]),
        ],
        Code::DeviceUnknown
        | Code::DeviceAmbiguous
        | Code::TooManyDevices
        | Code::DevicesChanged => {
            vec![plain("see which there are", &["devices", "list"])]
        }
        Code::DeviceChangesUsedUp => vec![plain("how to recover", &["recover", "--help"])],
        Code::OutboxFull => vec![plain("see how it is", &["status"])],
        Code::PassphraseMissing | Code::Locked => vec![plain("unlock it", &["unlock"])],
        Code::PassphraseWrong => vec![plain("try again", &["unlock"])],
        Code::HostVersion | Code::ProfileBusy => vec![plain("end it", &["lock"])],
        Code::ClientTooOld | Code::ServerTooOld | Code::StoreTooNew => {
            vec![plain("see which version this is", &["version"])]
        }
        Code::WrongServerKey
        | Code::Unreachable
        | Code::StoreFailed
        | Code::StoreCorrupt
        | Code::ConfigInvalid
        | Code::FolderUnusable
        | Code::RestoredStore
        | Code::DeviceShutOut
        | Code::Refused
        | Code::HostFailed
        | Code::PassphraseSource
        | Code::Bug => vec![plain("look for the cause", &["doctor"])],
        Code::Usage | Code::ProfileNameInvalid | Code::InputNeeded | Code::Input => {
            vec![plain("see the commands", &["--help"])]
        }
        // Whoever said no, interrupted or closed the output knows what to do; `doctor` has said it.
        _ => Vec::new(),
    };
    hints.into_iter().flatten().collect()
}

fn words(before: &[&str], subject: Option<String>) -> Vec<String> {
    before
        .iter()
        .map(|word| (*word).to_owned())
        .chain(subject)
        .collect()
}
