// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The words of `--help` and of the manual pages.

pub(crate) const ABOUT: &str = "The server that carries messages and cannot read them";
pub(crate) const EXAMPLES: &str = "\
Examples:
  waxwingd up                            make a server for this machine and print an invite
  waxwingd up --name home.example        the same for everybody who reaches home.example
  waxwingd invite new --uses 5           one more invite, while the server runs
  waxwingd disclose alice                everything that is stored about alice
  waxwingd disclose --grep 'some text'   whether a text lies anywhere in the data folder";

pub(crate) const DATA: &str = "The data folder [default: $WAXWINGD_DATA, then ~/.local/share/waxwingd, for root /var/lib/waxwingd]";
pub(crate) const JSON: &str = "Print one JSON object a line";
pub(crate) const NO_COLOR: &str = "Print no colours";
pub(crate) const QUIET: &str = "Print results and errors only";
pub(crate) const VERBOSE: &str = "Log more; never anything that identifies a user";

pub(crate) const UP: &str =
    "Make keys and configuration where there are none, serve, print an invite";
pub(crate) const UP_EXAMPLES: &str = "\
Examples:
  waxwingd up --name home.example
  waxwingd up --data ./try --listen 127.0.0.1:0 --json";
pub(crate) const SERVE: &str = "Serve from a data folder that was made before";
pub(crate) const INIT: &str = "Make keys and configuration, and end";
pub(crate) const INVITE: &str = "Make, list and revoke invites, also while the server runs";
pub(crate) const INVITE_NEW: &str = "Make an invite";
pub(crate) const INVITE_LIST: &str = "List the invites";
pub(crate) const INVITE_REVOKE: &str = "Make an invite invalid";
pub(crate) const KEY: &str =
    "Prepare another key for the server and switch to it, while no server runs";
pub(crate) const KEY_EXAMPLES: &str = "\
Examples:
  waxwingd key prepare   from now on links carry both keys, and devices are told both when they log in
  waxwingd key switch    when every device was there once

A device that was not there since the preparation knows the old key only, and is locked out by the switch.";
pub(crate) const KEY_PREPARE: &str = "Make the key that is to follow; links carry it from now on";
pub(crate) const KEY_SWITCH: &str =
    "Put the prepared key in the place of the old one, which is deleted";
pub(crate) const DISCLOSE: &str =
    "Print everything that this server stores about an account, also while it runs";
pub(crate) const DISCLOSE_EXAMPLES: &str = "\
Examples:
  waxwingd disclose alice
  waxwingd disclose alice --json
  waxwingd disclose --grep 'lunch at one?'
  waxwingd disclose --fields";
pub(crate) const DOCTOR: &str = "Check folder, permissions, port, clock, disk and store";
pub(crate) const VERIFY: &str =
    "Read every record of the store and say what is damaged, while no server runs";
pub(crate) const EXPORT: &str = "Write the whole store to one file, also while the server runs";
pub(crate) const EXPORT_EXAMPLES: &str = "\
Examples:
  waxwingd export /backup/waxwing-2026-11-27
The file tells who has an account and holds what waits for them, sealed. The server's key and
configuration are not in it: copy `waxwingd.toml`, `server.key` and, where there is one, `next.key`, and
again after each `waxwingd key`.";
pub(crate) const EXPORT_FILE: &str = "The file, which must not be there yet";
pub(crate) const IMPORT: &str =
    "Make the store from a file that `export` wrote, where there is none";
pub(crate) const IMPORT_EXAMPLES: &str = "\
Examples:
  waxwingd import /backup/waxwing-2026-11-27
To change the engine: export, stop the server, move `store` out of the data folder, set `engine` in
`waxwingd.toml`, import.";
pub(crate) const IMPORT_FILE: &str = "The file";
pub(crate) const REBUILD: &str = "Make the tables anew from the row journal and the delivery log, while \
     no server runs";
pub(crate) const COMPLETIONS: &str = "Print completions for a shell";
pub(crate) const MAN: &str = "Print the manual page in roff";
pub(crate) const VERSION: &str = "Print the versions of program, protocol and store";

pub(crate) const LISTEN: &str = "The address and port to listen on, with UDP and TCP. Port 0 takes a free port when the \
     server is made and keeps it. Without --name the default is this machine only";
pub(crate) const NAME: &str =
    "The host name in links and in `alice@host`, and the port in links where it is another one";
pub(crate) const ALLOW_MEMORY_INSPECTION: &str = "For tests only: let other processes of this user read \
     the memory of the server, and let it dump core";
pub(crate) const USES: &str = "Registrations that the invite allows [default: 1, with `up` 10]";
pub(crate) const EXPIRES: &str = "How long the invite is good: 30m, 12h, 7d, 2w or never";
pub(crate) const INVITE_ID: &str = "The id as `invite list` shows it, or its first digits";
pub(crate) const ACCOUNT: &str = "A name, or an account key in hexadecimal digits";
pub(crate) const GREP: &str =
    "Search every file of the data folder for a text, also in hex, base64 and UTF-16";
pub(crate) const FIELDS: &str = "Print the list of every field that a server can store";
pub(crate) const SHELL: &str = "The shell";
pub(crate) const MAN_COMMAND: &str = "The command whose page is wanted";
