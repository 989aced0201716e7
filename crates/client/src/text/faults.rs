// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What went wrong, why it matters, and what to type: three parts for every code.
//!
//! Printed commands work as they are printed; the tests run them.

mod hints;
mod local;

use serde::Serialize;

use crate::display;
use crate::fault::{Code, Fault};

/// A fault in three parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) hints: Vec<Hint>,
}

/// Something to type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) label: &'static str,
    pub(crate) command: Vec<String>,
}

/// A fault as a line of JSON.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorLine<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
    exit: u8,
    message: &'a str,
    subject: Option<&'a str>,
    hint: Option<&'a [String]>,
    retry_after_s: Option<u64>,
}

impl<'a> ErrorLine<'a> {
    pub(crate) fn new(kind: &'static str, fault: &'a Fault, explanation: &'a Explanation) -> Self {
        Self {
            v: 1,
            kind,
            code: fault.code.as_str(),
            exit: fault.code.exit().code(),
            message: &explanation.what,
            subject: fault.subject.as_deref(),
            hint: explanation
                .hints
                .first()
                .map(|hint| hint.command.as_slice()),
            retry_after_s: fault.retry_after_s,
        }
    }
}

/// The three parts of a fault. `program` is what every printed command begins with.
pub(crate) fn explain(fault: &Fault, program: &[String]) -> Explanation {
    let subject = fault.subject.as_deref().unwrap_or_default();
    let shown = match subject {
        "" => "it".to_owned(),
        subject => display::line(subject),
    };
    let (what, why) = match fault.own.then(|| local::own_devices(fault.code)).flatten() {
        Some(own) => own,
        None => parts(fault, &shown),
    };
    let hints = hints::of(fault)
        .into_iter()
        .map(|(label, words)| Hint {
            label,
            command: program.iter().cloned().chain(words).collect(),
        })
        .collect();
    let what = match &fault.cause {
        Some(cause) => format!("{what} ({})", display::line(cause)),
        None => what,
    };
    Explanation { what, why, hints }
}

/// The three parts of something that happened while nothing was being sent.
pub(crate) fn alarm(fault: &Fault, program: &[String]) -> Explanation {
    let mut explanation = explain(fault, program);
    if let Some(rest) = explanation.what.strip_prefix(NOT_SENT) {
        explanation.what = rest.to_owned();
    }
    explanation
}

/// What the explanation of a refused sending begins with.
const NOT_SENT: &str = "not sent: ";

const OWN_LIST_WHY: &str = "A server may show different people different devices, or your contact errs. Look at your devices.";
const KEYS_WHY: &str = "\
Your contact may have done this, or somebody may be in between. Nothing was encrypted to the new keys.";

fn parts(fault: &Fault, it: &str) -> (String, String) {
    let own = |text: &str| text.to_owned();
    let (what, why): (String, &str) = match fault.code {
        Code::Usage => (own("the command line is not understood"), ""),
        Code::NotRegistered => (own("this profile has no account yet"), ""),
        Code::AccountClosed => (
            own("the account of this profile was closed"),
            "What is stored here can still be read. A new account needs another --profile NAME.",
        ),
        Code::AlreadyRegistered => (
            own("this profile has an account already"),
            "One profile is one account; another account needs another --profile NAME.",
        ),
        Code::ContactUnknown => match &fault.nearest {
            Some(near) => (
                format!(
                    "no contact is called {it}; did you mean {}?",
                    display::line(near)
                ),
                "",
            ),
            None => (format!("no contact is called {it}"), ""),
        },
        Code::ContactAmbiguous => (
            format!("more than one contact is called {it}"),
            "Use the whole address, or give one of them another name.",
        ),
        Code::LabelInvalid => (
            own("the label cannot be used"),
            "It is empty, longer than 64 bytes, or the label of another contact.",
        ),
        Code::ContactBlocked => (format!("not sent: you have blocked {it}"), ""),
        Code::RequestPending => (
            format!("not sent: {it} asked to write to you, and you have not decided"),
            "Accepting tells the other side that you exist and have read this.",
        ),
        Code::TextEmpty => (own("not sent: the text is empty"), ""),
        Code::TextTooLong => (
            own("not sent: the text is longer than 49152 bytes"),
            "Larger things will travel as attachments in a later version. Nothing was stored.",
        ),
        Code::TextNotUtf8 => (
            own("not sent: the input is not text in UTF-8"),
            "Files will travel as attachments in a later version. Nothing was stored.",
        ),
        Code::ContactLinkInvalid => (
            own("this is no contact link"),
            "It begins with waxwing:contact/ and has to be copied whole.",
        ),
        Code::InviteInvalid => (
            own("this is no invite"),
            "It begins with waxwing:invite/ and has to be copied whole.",
        ),
        Code::InviteUnknown => (
            own("the server does not know this invite"),
            "It was revoked, or belongs to a server that was set up anew. Ask its operator for another.",
        ),
        Code::InviteUsed => (
            own("this invite has been used"),
            "Ask the server's operator for another one.",
        ),
        Code::InviteExpired => (
            own("this invite has expired"),
            "Ask the server's operator for another one.",
        ),
        Code::InviteRequired => (
            own("this server takes new accounts with an invite only"),
            "Ask the server's operator for one.",
        ),
        Code::NameTaken => (
            format!("the name {it} is taken on this server"),
            "The invite was not used up; choose another name.",
        ),
        Code::NameHeld => (
            format!("the name {it} was given up not long ago and is held back"),
            "So that nobody gets messages that were meant for its former owner. Choose another.",
        ),
        Code::NameInvalid => (
            format!("{it} cannot be a name"),
            "A name has 2 to 32 characters of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit.",
        ),
        Code::NameUnknown => (
            format!("{it} was not found"),
            "A name alone is looked up on your own server. Ask the person for their contact link.",
        ),
        Code::AccountExists => (own("the server has an account with this key already"), ""),
        Code::AccountUnknown => (
            own("no account belongs to these words on this server"),
            "The words are well formed; perhaps the account is on another server.",
        ),
        Code::WordsInvalid => (
            own("these are not recovery words"),
            "They are 24 English words, in their order.",
        ),
        Code::WordsOfAnother => (
            format!("these are not the recovery words of {it}"),
            "They are those of another account. Nothing was done.",
        ),
        Code::WordsNotConfirmed => (
            own("the word was not confirmed"),
            "No account was made. Without the words a lost device is a lost account.",
        ),
        Code::WordsFile => (
            format!("the file for the recovery words, {it}, cannot be used"),
            "No account was made. The file must not exist before.",
        ),
        Code::ServerLinkInvalid => (
            own("this is no link to a server"),
            "Any link of that server will do: waxwing:server/…, an invite or a contact link.",
        ),
        Code::LinkCodeInvalid => (
            own("this is no link code"),
            "The new device shows it; it begins with waxwing:link/ and lives for ten minutes.",
        ),
        Code::LinkCodeMismatch => (
            own("the keys that the server showed do not fit the link code"),
            "Somebody is in between. Nothing was given to the other device.",
        ),
        Code::LinkingFailed => (
            own("the linking ended without success"),
            "The code was given up, has expired, or the words were not the same.",
        ),
        Code::NoLinking => (own("no linking is under way, or it has expired"), ""),
        Code::DeviceUnknown => (
            format!("no device is called {it}, or it may not be removed"),
            "A device cannot remove itself.",
        ),
        Code::DeviceAmbiguous => (format!("more than one device begins with {it}"), ""),
        Code::TooManyDevices => (
            own("the account has as many devices as it may have"),
            "Remove one before you add another.",
        ),
        Code::DeviceRemoved => (
            own("this device was removed from its account"),
            "Another of your devices did that, or somebody who has your recovery words. What is stored here can still be read.",
        ),
        Code::DeviceShutOut => (
            own("the server does not know this device or its account"),
            "The account was closed, or the server was set up anew. Its word alone proves nothing; what is stored here can still be read.",
        ),
        Code::EvidenceMismatch => (
            format!("what you compared is not the key that this device has for {it}"),
            "Do not send anything private before you know why.",
        ),
        Code::EvidenceIncomplete => (
            format!("the key of {it} is the one you know, but that does not settle the alarm"),
            "It is about the devices of your contact: whoever stole one has the same key in front. Compare the whole code with --qr, or wait until your contact has used the recovery words.",
        ),
        Code::DevicesChanged => (
            own("the devices of your account are others than those that you looked at"),
            "Nothing was confirmed. Look again.",
        ),
        Code::DeviceChangesUsedUp => (
            own("devices have changed the list of your devices as often as devices may"),
            "What is left is kept for your recovery words, so that a thief of a device cannot lock you out. Recovering removes every device and makes room.",
        ),
        Code::OutboxFull => (
            own("not sent: the outbox is full"),
            "4096 messages wait there, and none was lost. They leave when the servers of their recipients take them.",
        ),
        Code::EvidenceMalformed => (
            own("what you gave to compare cannot be read"),
            "It has to be copied whole from what your contact's verify command shows.",
        ),
        Code::KeyChanged => (
            format!("not sent: the key of {it} is not the one you know"),
            KEYS_WHY,
        ),
        Code::Equivocation => (
            format!("not sent: two different device lists of {it} have been seen"),
            "A server shows different people different devices. Nothing was encrypted to either.",
        ),
        Code::Rollback => (
            format!("not sent: the server showed an old device list of {it}"),
            "It may hide that a device was removed. Nothing was encrypted to it.",
        ),
        Code::SuspiciousRemoval => (
            format!("not sent: a device of {it} removed one that is older than itself"),
            KEYS_WHY,
        ),
        Code::ClonedDevice => (
            format!("a device of {it} seems to exist twice"),
            "It was copied, or restored from an old state, or has lost what it knew of you. Ask your contact which; only after the last is it right to begin anew.",
        ),
        Code::AccountRecovered => (
            format!("{it} was recovered from its words: all its devices are new"),
            "The account's own key is the one you know. Ask your contact whether that is right.",
        ),
        Code::SessionsInVain => (
            format!("a device of {it} answers, but new sessions with it come to nothing"),
            "Somebody may hold them back. Messages are still sealed, but a key that was stolen earlier stays of use. Tell your contact over another way.",
        ),
        Code::ListContested => (
            format!("{it} says that it was shown another list of your devices"),
            OWN_LIST_WHY,
        ),
        Code::RestoredStore => (
            own("this device's store is older than it was"),
            "It was copied or restored, or its disk lost a part. What is left can be read; sending from it could harm earlier messages: link it anew.",
        ),
        Code::Unreachable => (
            own("the server cannot be reached"),
            "It is down, the network is, or something between blocks UDP.",
        ),
        Code::TimedOut => (
            own("there was no answer in time"),
            "Whether the server did what was asked is not known; asking again does no harm.",
        ),
        Code::NotStoredInTime => (
            own("the message was not stored on the server in time"),
            "It is safe in the outbox and goes out as soon as the server can be reached.",
        ),
        Code::NotAnswered => (
            format!("{it} has not answered yet, and no more goes out before that"),
            "Strangers may send only 32 messages, so that nobody can fill a mailbox. Yours are safe in the outbox and leave with the first answer.",
        ),
        Code::WrongServerKey => (
            own("the server showed another key than the one it is known by"),
            "Somebody else answers at its address, or it was set up anew. Nothing was sent to it.",
        ),
        Code::ClientTooOld => (
            own("the server needs a newer version of this program"),
            "Nothing is lost; upgrade and go on.",
        ),
        Code::ServerTooOld => (
            own("the server is too old for this version of the program"),
            "Nothing is lost; ask its operator to upgrade.",
        ),
        Code::ServerUnavailable => (
            own("the server cannot store anything at the moment"),
            "Nothing is lost; try again later.",
        ),
        Code::RateLimited => (own("too many requests"), "Nothing is lost; wait a little."),
        Code::MailboxFull => (
            format!("the mailbox of {it} is full"),
            "The message stays in the outbox until there is room.",
        ),
        Code::LimitReached => (own("a limit of the server is reached"), ""),
        Code::Refused => (own("the server refused"), ""),
        code => return local::parts(code, it),
    };
    let why = match fault.retry_after_s {
        Some(seconds) => format!("{why} Try again in {seconds} s.")
            .trim_start()
            .to_owned(),
        None => why.to_owned(),
    };
    (what, why)
}

/// What a server deleted because it had waited too long.
pub(crate) fn expired(day: &str, count: u32) -> String {
    format!("note: {count} messages of {day} waited too long on the server and were deleted")
}

/// The server has told its next key. Nothing is to be done where its operator says the same.
pub(crate) const SERVER_KEY_ANNOUNCED: &str =
    "note: the server is about to change its key, and has told the next one";

/// Two clocks that differ.
pub(crate) fn clock_skew(skew_s: i64) -> String {
    format!("note: the clocks of this machine and of the server differ by {skew_s} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn program() -> Vec<String> {
        vec![
            "waxwing".to_owned(),
            "--profile".to_owned(),
            "work".to_owned(),
        ]
    }

    /// Every printed command is one that the command line takes.
    #[test]
    fn every_hint_is_a_command() {
        for code in Code::ALL {
            let explanation = explain(&Fault::new(*code).about("bob"), &program());
            assert!(!explanation.what.is_empty(), "{code:?}");
            let needs_none = matches!(
                code,
                Code::NotConfirmed | Code::Output | Code::ProblemsFound | Code::Interrupted
            );
            assert_eq!(explanation.hints.is_empty(), needs_none, "{code:?}");
            for hint in explanation.hints {
                match Cli::try_parse_from(&hint.command) {
                    Ok(cli) => assert_eq!(cli.global.profile, "work"),
                    Err(error) => {
                        assert_eq!(
                            error.kind(),
                            clap::error::ErrorKind::DisplayHelp,
                            "{hint:?}"
                        );
                    }
                }
            }
        }
    }

    /// What is said about the own account names the own devices, and what is printed can be typed.
    #[test]
    fn alarms_about_the_own_devices_have_hints_of_their_own() {
        for code in [
            Code::KeyChanged,
            Code::Equivocation,
            Code::Rollback,
            Code::SuspiciousRemoval,
            Code::ClonedDevice,
            Code::AccountRecovered,
        ] {
            let seen = alarm(&Fault::new(code).own(), &program());
            assert_eq!(seen.hints.len(), 1, "{code:?}");
            assert!(
                seen.hints[0]
                    .command
                    .ends_with(&["devices".into(), "list".into()])
            );
            assert!(seen.what.contains("your"), "{}", seen.what);
            let listed = explain(&Fault::new(code).own().about("3"), &program());
            assert_eq!(listed.hints.len(), 3);
            for hint in listed.hints {
                if let Err(error) = Cli::try_parse_from(&hint.command) {
                    assert_eq!(
                        error.kind(),
                        clap::error::ErrorKind::DisplayHelp,
                        "{hint:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_was_typed_is_shown_harmlessly_and_kept_exactly() {
        let fault = Fault::new(Code::KeyChanged).about("b\u{1b}[2Job");
        let explanation = explain(&fault, &program());
        assert!(!explanation.what.contains('\u{1b}'));
        let json = serde_json::to_string(&ErrorLine::new("error", &fault, &explanation)).unwrap();
        assert!(
            json.starts_with(r#"{"v":1,"type":"error","code":"key_changed","exit":4,"#),
            "{json}"
        );
        assert!(json.contains(r#""hint":["waxwing","--profile","work","verify","b\u001b[2Job"]"#));
    }
}
