// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line as a tree: what can be typed, and what it says about itself.
//!
//! No option takes a secret and no environment variable holds one: passphrases come from a prompt,
//! a file, a file descriptor or a command; recovery words from a prompt, standard input or a file.

pub(crate) mod suggest;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use waxwing_transport::race::TransportChoice;

/// End-to-end encrypted messages over a server that cannot read them.
#[derive(Debug, Parser)]
#[command(
    name = "waxwing",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  waxwing register waxwing:invite/… --name alice   make an account with an invite
  waxwing contacts qr                              show others how to reach you
  waxwing contacts add waxwing:contact/… --as bob  add somebody
  waxwing send bob 'lunch at 1?'                   send a message
  waxwing receive --follow                         read what arrives

Every command has --help. Folders are $XDG_CONFIG_HOME/waxwing and $XDG_DATA_HOME/waxwing, or
config and data under $WAXWING_HOME where that is set; see `waxwing doctor`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The profile: one account on this machine
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    pub(crate) profile: String,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print plain lines without colour or drawing
    #[arg(long, global = true)]
    pub(crate) plain: bool,
    /// No colour
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Never ask: fail where an answer would be needed
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say on standard error what happens; twice for more. Never contents or ids
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How long to wait for the network, for example 500ms, 20s or 2m
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// How to reach servers: quic, tcp, or auto for QUIC and TCP where that does not get through
    #[arg(long, global = true, value_name = "TRANSPORT", value_parser = transport)]
    pub(crate) transport: Option<TransportChoice>,
    /// Read the passphrase of the store from the first line of this file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "passphrase_fd"
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Read the passphrase of the store from the first line of this open file descriptor
    #[arg(long, global = true, value_name = "N")]
    pub(crate) passphrase_fd: Option<u32>,
    /// For tests only: let other processes of this user read this one's memory, and let it dump core
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) allow_memory_inspection: bool,
}

/// How the store of a new profile is protected.
#[derive(Debug, Clone, Args)]
pub(crate) struct Protection {
    /// Keep the store's key in a file beside the store: for throw-away use only
    #[arg(long)]
    pub(crate) unprotected: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account with an invite
    Register(Register),
    /// List, add and change contacts
    #[command(subcommand, arg_required_else_help = true)]
    Contacts(Contacts),
    /// Send a text
    Send(Send),
    /// Print what has arrived since the last time
    Receive(Receive),
    /// Print a conversation
    History(History),
    /// Compare keys with a contact
    Verify(Verify),
    /// List, link and remove the devices of the account
    #[command(subcommand, arg_required_else_help = true)]
    Devices(Devices),
    /// Take an account over with its recovery words; removes all its old devices
    Recover(Recover),
    /// Delete the account on its server, for ever; needs the recovery words
    CloseAccount(CloseAccount),
    /// Show or change which receipts this device sends
    Receipts(Receipts),
    /// Show how the profile is
    Status,
    /// Look for what could be wrong and say what to do about it
    Doctor,
    /// End the process that holds the key, and wipe the key
    Lock,
    /// Ask for the passphrase once and hold the key in the background
    Unlock(Unlock),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version,
    /// The background process of `unlock`
    #[command(hide = true)]
    Host(HostArgs),
}

/// `register`
#[derive(Debug, Args)]
pub(crate) struct Register {
    /// The invite, waxwing:invite/…
    pub(crate) invite: String,
    /// The name on the server: 2 to 32 of a-z 0-9 . _ -
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Write the recovery words to this new file, readable by you alone, instead of showing them
    #[arg(long, value_name = "FILE")]
    pub(crate) words_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) protection: Protection,
}

/// `contacts …`
#[derive(Debug, Subcommand)]
pub(crate) enum Contacts {
    /// Add a contact by its link, or by its name on your own server
    Add {
        /// waxwing:contact/…, or a name
        who: String,
        /// Your own name for the contact
        #[arg(long = "as", value_name = "LABEL")]
        label: Option<String>,
    },
    /// List the contacts
    List,
    /// Show your own contact link, for others to add
    Qr,
    /// Receive nothing more from a contact
    Block {
        /// The contact
        name: String,
    },
    /// Receive from a contact again
    Unblock {
        /// The contact
        name: String,
    },
    /// Accept a message request
    Accept {
        /// The contact
        name: String,
    },
    /// Give a contact another name; only you see it
    Rename {
        /// The contact
        name: String,
        /// Your own name for the contact
        label: String,
    },
}

/// `send`
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The contact
    pub(crate) to: String,
    /// The text; `-`, or nothing, reads standard input
    pub(crate) text: Option<String>,
    /// Wait until the message is stored on the server; exit 3 when it was not in time
    #[arg(long)]
    pub(crate) wait: bool,
}

/// `receive`
#[derive(Debug, Args)]
pub(crate) struct Receive {
    /// Go on printing what arrives until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `history`
#[derive(Debug, Args)]
pub(crate) struct History {
    /// The contact
    pub(crate) name: String,
    /// Only messages that came before this cursor; --json prints cursors
    #[arg(long, value_name = "CURSOR")]
    pub(crate) before: Option<u64>,
    /// At most this many messages
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) limit: u16,
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The contact
    pub(crate) name: String,
    /// Show the safety number and ask whether both sides have the same
    #[arg(long, conflicts_with_all = ["qr", "fingerprint"])]
    pub(crate) words: bool,
    /// The text of the code that the contact's `verify` shows
    #[arg(long, value_name = "PAYLOAD", conflicts_with = "fingerprint")]
    pub(crate) qr: Option<String>,
    /// The fingerprint of the contact's account key
    #[arg(long, value_name = "HEX")]
    pub(crate) fingerprint: Option<String>,
}

/// `devices …`
#[derive(Debug, Subcommand)]
pub(crate) enum Devices {
    /// List the devices of the account
    List,
    /// Make this empty profile a device of an account that you have elsewhere
    Link {
        /// The account's server: waxwing:server/…, printed by `waxwing status` on the other device
        server: String,
        #[command(flatten)]
        protection: Protection,
        /// Take the words as compared: the other device's user compares them
        #[arg(long)]
        yes: bool,
    },
    /// Take the device that shows this code into the account
    Approve {
        /// waxwing:link/…
        code: String,
        /// Do not ask whether the words are the same: the code came over a channel that you trust
        #[arg(long)]
        yes: bool,
    },
    /// End an alarm about the devices: all that `devices list` has shown are yours
    Confirm {
        /// The version of the list that you looked at, as the alarm names it
        version: u32,
    },
    /// Remove a device from the account
    Remove {
        /// The device's id, or its beginning, as `devices list` prints it
        device: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// `recover`
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The account's server: waxwing:server/… or an invite of it
    pub(crate) server: String,
    /// Read the recovery words from this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) words_file: Option<PathBuf>,
    /// Do not ask whether all old devices shall be removed
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) protection: Protection,
}

/// `close-account`
#[derive(Debug, Args)]
pub(crate) struct CloseAccount {
    /// Read the recovery words from this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) words_file: Option<PathBuf>,
    /// Do not ask for the account's address to confirm
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `receipts`
#[derive(Debug, Args)]
pub(crate) struct Receipts {
    /// Whether contacts are told that a message has arrived
    #[arg(long, value_name = "on|off", value_parser = switch, action = clap::ArgAction::Set)]
    pub(crate) delivered: Option<bool>,
    /// Whether contacts are told that `receive` has shown a message
    #[arg(long, value_name = "on|off", value_parser = switch, action = clap::ArgAction::Set)]
    pub(crate) read: Option<bool>,
    /// Whether receipts leave on their own; off, they wait for the next text to the contact
    #[arg(long, value_name = "on|off", value_parser = switch, action = clap::ArgAction::Set)]
    pub(crate) alone: Option<bool>,
}

/// `unlock`
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// Lock again after this time, for example 30m or 8h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) lifetime: Option<Duration>,
}

/// `host`, started by `unlock`.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// End after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) lifetime: Option<Duration>,
}

/// Reads the name of a transport.
fn transport(text: &str) -> Result<TransportChoice, String> {
    text.parse()
        .map_err(|error: waxwing_transport::race::UnknownTransport| error.to_string())
}

/// Reads `on` or `off`.
fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it is on or off".to_owned()),
    }
}

/// Reads `500ms`, `20s`, `5m`, `8h`, `2d`; a bare number means seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or("not a duration")?;
    let number: u64 = number.parse().map_err(|_| "expected a number and a unit")?;
    let factor_ms: u64 = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("the unit is one of ms, s, m, h, d".to_owned()),
    };
    number
        .checked_mul(factor_ms)
        .map(Duration::from_millis)
        .ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("8h"), Ok(Duration::from_secs(8 * 3600)));
        assert_eq!(duration("20"), Ok(Duration::from_secs(20)));
        for bad in [
            "",
            "h",
            "1w",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    /// A secret in an argument is visible to other users of the machine. Reading the environment
    /// would need a feature of clap that is off.
    #[test]
    fn no_option_takes_a_secret() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                assert!(
                    !["passphrase", "password", "words_text", "secret"].contains(&id),
                    "{id}"
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
