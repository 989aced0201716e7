// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The faults of this machine and of its user, in words.

use crate::fault::Code;

/// What and why.
pub(super) fn parts(code: Code, it: &str) -> (String, String) {
    let own = |text: &str| text.to_owned();
    let (what, why): (String, &str) = match code {
        Code::ProfileMissing => (
            format!("there is no profile called {it} on this machine"),
            "",
        ),
        Code::ProfileExists => (format!("there is a profile called {it} already"), ""),
        Code::ProfileNameInvalid => (
            format!("{it} cannot be the name of a profile"),
            "It has 1 to 64 characters of A-Z, a-z, 0-9, dot, underscore and hyphen, no dot first.",
        ),
        Code::ProfileBusy => (
            format!("another process holds the profile {it} and does not answer"),
            "It is starting or ending, or it is stuck. Nothing was changed.",
        ),
        Code::ProtectionDiffers => (
            format!("the profile {it} exists and is protected in another way"),
            "Leave --unprotected away, or use it, as when the profile was made.",
        ),
        Code::PassphraseMissing => (
            own("the store is locked, and there is nobody to ask for the passphrase"),
            "It can come from --passphrase-file, --passphrase-fd, passphrase_command in config.toml, or a terminal.",
        ),
        Code::PassphraseNeeded => (
            own("a new store needs a passphrase, and there is nobody to ask for one"),
            "It can come from --passphrase-file, --passphrase-fd, passphrase_command in config.toml, or a terminal; for throw-away use there is --unprotected.",
        ),
        Code::PassphraseWrong => (
            own("the passphrase is wrong"),
            "Nothing was changed. There is no way around it; a forgotten one costs this device, not the account.",
        ),
        Code::PassphraseSource => (format!("the passphrase cannot be read from {it}"), ""),
        Code::StoreCorrupt => (
            own("the store is damaged"),
            "Nothing was changed. The account is not lost: link this device anew, or recover with your words.",
        ),
        Code::StoreTooNew => (
            own("the store was written by another version of this program"),
            "Nothing was changed. Use the newest version.",
        ),
        Code::StoreFailed => (
            own("the store could not be written or read"),
            "The disk may be full or broken. What was not stored was not sent, and what was accepted is kept.",
        ),
        Code::Locked => (
            own("the profile was locked"),
            "The key is gone from memory.",
        ),
        Code::HostLost => (
            own("the process that held the profile has ended"),
            "What it had accepted is stored. Whether it took the last request is not known.",
        ),
        Code::HostVersion => (
            own("the process that holds the profile is of another version"),
            "End it and try again.",
        ),
        Code::HostFailed => (own("the background process could not be started"), ""),
        Code::QuicThroughProxy => (
            format!("QUIC cannot go through the proxy {it}"),
            "Nothing was sent: with a proxy nothing goes beside it. Use --transport tcp, or leave it away.",
        ),
        Code::ConstantPacketsNeedQuic => (
            format!("packets of one length need QUIC, and {it} was asked for"),
            "Nothing was sent: over TCP the lengths of messages would show. Take `constant_packets` out of config.toml if that may be.",
        ),
        Code::ConfigInvalid => (format!("the configuration file {it} cannot be used"), ""),
        Code::FolderUnusable => (format!("a file or folder cannot be used: {it}"), ""),
        Code::InputNeeded => (
            own("an answer is needed, and there is nobody to ask"),
            "Run it on a terminal, or give the answer as an option (see --help).",
        ),
        Code::NotConfirmed => (own("not confirmed, so nothing was done"), ""),
        Code::Input => (format!("the input cannot be read: {it}"), ""),
        Code::Output => (
            own("the output cannot be written"),
            "What was not printed counts as not shown.",
        ),
        Code::ReaderBusy => (
            own("another receive of this profile prints what arrives"),
            "So that nothing is printed twice, one at a time does. It is all in the history.",
        ),
        Code::ProblemsFound => (own("something is not as it should be"), "See above."),
        Code::Interrupted => (own("interrupted"), "Nothing that was accepted is lost."),
        _ => (
            own("this is a defect of the program"),
            "Nothing that was accepted is lost. Please report it with the words in brackets.",
        ),
    };
    (what, why.to_owned())
}

const OWN_WHY: &str = "\
Look at your devices. If one is not yours, remove it; if a thief may have one, recover with your words.";

/// Alarms about the account itself. `None` for what is told as it is of contacts.
pub(super) fn own_devices(code: Code) -> Option<(String, String)> {
    let what = match code {
        Code::KeyChanged => "your server shows your account with another key",
        Code::Equivocation => "two different device lists of your account have been seen",
        Code::Rollback => "your server showed an old device list of your account",
        Code::SuspiciousRemoval => "a device of your account removed one that is older than itself",
        Code::ClonedDevice => "a device of your account seems to exist twice",
        Code::SessionsInVain => {
            "a device of yours answers, but new sessions with it come to nothing"
        }
        Code::ListContested => "a contact was shown another list of your devices, or says so",
        Code::AccountRecovered => "your account was recovered from its words: its devices are new",
        _ => return None,
    };
    Some((what.to_owned(), OWN_WHY.to_owned()))
}
