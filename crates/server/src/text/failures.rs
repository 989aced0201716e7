// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The failures: what happened, why it matters, what to type next.

mod store;

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use waxwing_transport::LinkError;

use crate::failure::{Exit, Failure};
use crate::platform::{Exposure, SOCKET_PATH_LENGTH_MAX};

pub(crate) use self::store::*;

/// A path as an argument of a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@%:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

pub(crate) fn bug(detail: &str) -> Failure {
    Failure::new(
        "bug",
        Exit::Fault,
        format!("waxwingd did something wrong: {detail}"),
    )
    .why("This is a fault of the program. Nothing that was acknowledged is lost.")
}

pub(crate) fn output_failed(error: &io::Error) -> Failure {
    Failure::new(
        "output_failed",
        Exit::Fault,
        format!("the output could not be written: {error}"),
    )
    .why("What was printed is not complete.")
}

pub(crate) fn config_syntax(line: Option<usize>, message: &str) -> Failure {
    let place = line.map_or_else(String::new, |line| format!(", line {line}"));
    let message = message.lines().next().unwrap_or_default();
    Failure::new(
        "config_unreadable",
        Exit::User,
        format!("waxwingd.toml cannot be read{place}: {message}"),
    )
    .why("The server does not start on a configuration that it understands in part only.")
}

pub(crate) fn config_value(key: &str, rule: &str) -> Failure {
    Failure::new(
        "config_value",
        Exit::User,
        format!("waxwingd.toml: the value of `{key}` cannot be used: {rule}"),
    )
    .why("The server does not start on a configuration that it understands in part only.")
}

pub(crate) fn with_config_hint(failure: Failure, path: &Path) -> Failure {
    failure.next("correct it", format!("${{EDITOR:-vi}} {}", quoted(path)))
}

pub(crate) fn listen_syntax(text: &str) -> Failure {
    Failure::new(
        "listen_invalid",
        Exit::User,
        format!("`{}` is no address to listen on", text.escape_debug()),
    )
    .why("An IP address and a port are needed; a host name belongs to --name.")
    .next("this machine only", "waxwingd up --listen 127.0.0.1:4747")
    .next("every network", "waxwingd up --listen :4747 --name HOST")
}

pub(crate) fn name_syntax(text: &str) -> Failure {
    Failure::new(
        "name_invalid",
        Exit::User,
        format!("`{}` is no host name", text.escape_debug()),
    )
    .why("Clients keep the name in every link and every `alice@host`.")
    .next("for example", "waxwingd up --name home.example")
}

pub(crate) fn bind_failed(
    listen: SocketAddr,
    protocol: &'static str,
    error: &io::Error,
) -> Failure {
    address_unusable(listen, protocol, &error.to_string(), error.kind())
}

/// `protocol` is `UDP` or `TCP`.
fn address_unusable(
    listen: SocketAddr,
    protocol: &'static str,
    detail: &str,
    kind: io::ErrorKind,
) -> Failure {
    let failure = Failure::new(
        "address_unusable",
        Exit::Network,
        format!("cannot listen on {listen} ({protocol}): {detail}"),
    );
    match kind {
        io::ErrorKind::AddrInUse => failure
            .why("Another process has this port. Links carry the port, so it is not changed by itself.")
            .next("see which", format!("ss -ltunp 'sport = :{}'", listen.port()))
            .next("another port", format!("waxwingd serve --listen {}:PORT", host_of(listen))),
        io::ErrorKind::AddrNotAvailable => failure
            .why("No network interface of this machine has the address.")
            .next("see them", "ip address"),
        io::ErrorKind::PermissionDenied => failure
            .why("Ports below 1024 need a privilege.")
            .next("another port", format!("waxwingd serve --listen {}:4747", host_of(listen))),
        _ => failure
            .why("Nobody can reach the server.")
            .next("find out more", "waxwingd doctor"),
    }
}

fn host_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

pub(crate) fn listener_failed(
    listen: SocketAddr,
    protocol: &'static str,
    error: &LinkError,
) -> Failure {
    match error {
        LinkError::Socket(kind) => address_unusable(listen, protocol, &kind.to_string(), *kind),
        other => Failure::new(
            "transport",
            Exit::Fault,
            format!("the server cannot take connections: {other}"),
        )
        .next("find out more", "waxwingd doctor"),
    }
}

pub(crate) fn folder_failed(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(
        "data_folder_unusable",
        Exit::Store,
        format!("the data folder {} cannot be used: {error}", path.display()),
    )
    .why("Keys and messages are kept there.");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            failure.next("free space", format!("df -h {}", quoted(path)))
        }
        _ => failure.next("another folder", "waxwingd up --data DIR"),
    }
}

pub(crate) fn folder_exposed(path: &Path, exposure: Exposure) -> Failure {
    let (what, command) = match exposure {
        Exposure::ForeignOwner => ("belongs to another user", "chown \"$(id -un)\""),
        Exposure::Open { mode: _ } => ("can be read by other users", "chmod go="),
    };
    Failure::new(
        "permissions",
        Exit::User,
        format!("{} {what}", path.display()),
    )
    .why("Whoever has the server's key can pretend to be the server.")
    .next("close it", format!("{command} {}", quoted(path)))
}

pub(crate) fn socket_path_too_long(path: &Path) -> Failure {
    Failure::new(
        "path_too_long",
        Exit::User,
        format!(
            "the path {} is longer than {SOCKET_PATH_LENGTH_MAX} bytes",
            path.display()
        ),
    )
    .why("Operating systems limit the path of the admin socket.")
    .next("a shorter one", "waxwingd up --data DIR")
}

pub(crate) fn not_initialised(path: &Path) -> Failure {
    Failure::new(
        "not_initialised",
        Exit::User,
        format!("{} holds no server", path.display()),
    )
    .why("There is no configuration and no key.")
    .next(
        "make one and serve",
        format!("waxwingd up --data {}", quoted(path)),
    )
    .next(
        "make one only",
        format!("waxwingd init --data {}", quoted(path)),
    )
}

pub(crate) fn folder_not_empty(path: &Path) -> Failure {
    Failure::new(
        "data_folder_not_empty",
        Exit::User,
        format!("{} holds other things than a server", path.display()),
    )
    .why("A data folder is closed to other users and belongs to the server alone. Nothing was changed.")
    .next("a folder of its own", format!("waxwingd up --data {}", quoted(&path.join("waxwingd"))))
}

pub(crate) fn already_initialised(path: &Path) -> Failure {
    Failure::new(
        "already_initialised",
        Exit::User,
        format!("{} holds a server already", path.display()),
    )
    .why("A new key would lock out everybody who has a link to the old one. Nothing was changed.")
    .next("run it", format!("waxwingd serve --data {}", quoted(path)))
}

pub(crate) fn folder_in_use(path: &Path) -> Failure {
    Failure::new(
        "data_folder_in_use",
        Exit::Store,
        format!("another waxwingd uses {}", path.display()),
    )
    .why("Two servers on one data folder would destroy it. Nothing was changed.")
    .next(
        "ask the running one",
        format!("waxwingd doctor --data {}", quoted(path)),
    )
    .next("another folder", "waxwingd up --data DIR")
}

pub(crate) fn server_silent(path: &Path) -> Failure {
    Failure::new(
        "server_silent",
        Exit::Network,
        "the running server does not answer on its admin socket",
    )
    .why("It may be starting or ending, or it hangs.")
    .next(
        "try again, or see",
        format!("waxwingd doctor --data {}", quoted(path)),
    )
}

pub(crate) fn key_unreadable(path: &Path, detail: &str) -> Failure {
    Failure::new("server_key_unreadable", Exit::Store, format!("the server key {} cannot be used: {detail}", path.display()))
        .why("Clients recognise the server by this key. Restore the file from a backup; do not make a new one.")
        .next("see it", format!("ls -l {}", quoted(path)))
}

pub(crate) fn next_key_unreadable(path: &Path, why: &Failure) -> Failure {
    Failure::new(
        "next_key_unreadable",
        Exit::Store,
        format!("what is to follow the server's key is unusable: {}", why.what),
    )
    .why("Links carry it. Restore the file from a backup; where there is none, remove it, and nobody can be switched to that key.")
    .next("see it", format!("ls -l {}", quoted(path)))
}

pub(crate) fn key_prepared(path: &Path) -> Failure {
    Failure::new(
        "key_prepared",
        Exit::User,
        format!("{} has a prepared key already", path.display()),
    )
    .why("Links carry it: another one would lock out those who count on it. Nothing was changed.")
    .next(
        "switch to it",
        format!("waxwingd key switch --data {}", quoted(path)),
    )
}

pub(crate) fn no_next_key(path: &Path) -> Failure {
    Failure::new(
        "no_next_key",
        Exit::User,
        format!("{} has no prepared key", path.display()),
    )
    .why("A key that no link carries would lock out everybody. Nothing was changed.")
    .next(
        "prepare one",
        format!("waxwingd key prepare --data {}", quoted(path)),
    )
}

pub(crate) fn unknown_account(account: &str) -> Failure {
    Failure::new(
        "account_unknown",
        Exit::NotFound,
        format!(
            "there is no account `{}` on this server",
            account.escape_debug()
        ),
    )
    .why("A closed account leaves nothing but a keyed hash of its name, for 90 days.")
    .next("what is stored at all", "waxwingd disclose --fields")
}

pub(crate) fn unknown_invite(id: &str) -> Failure {
    Failure::new(
        "invite_unknown",
        Exit::NotFound,
        format!("there is no invite `{}`", id.escape_debug()),
    )
    .why("Nothing was revoked.")
    .next("see them", "waxwingd invite list")
}

pub(crate) fn ambiguous_invite(id: &str) -> Failure {
    Failure::new(
        "invite_ambiguous",
        Exit::User,
        format!("several invites begin with `{}`", id.escape_debug()),
    )
    .why("Nothing was revoked.")
    .next("see them", "waxwingd invite list")
}

pub(crate) fn grep_too_short(length_min: usize) -> Failure {
    Failure::new(
        "text_too_short",
        Exit::User,
        format!("a text of {length_min} bytes or more is needed"),
    )
    .why("Shorter ones are found everywhere by chance.")
    .next("for example", "waxwingd disclose --grep 'lunch at one?'")
}

pub(crate) fn no_such_page(command: &str) -> Failure {
    Failure::new(
        "command_unknown",
        Exit::NotFound,
        format!("there is no command `{}`", command.escape_debug()),
    )
    .next("see them", "waxwingd --help")
}

pub(crate) fn dumps_not_forbidden(error: &io::Error) -> Failure {
    Failure::new(
        "memory_exposed",
        Exit::Fault,
        format!("the server's memory cannot be closed to other processes: {error}"),
    )
    .why("The server's key is in it, and clients' addresses as long as they are connected.")
    .next(
        "serve nevertheless",
        "waxwingd serve --allow-memory-inspection",
    )
}

pub(crate) fn runtime_failed(error: &io::Error) -> Failure {
    Failure::new(
        "machine",
        Exit::Fault,
        format!("the operating system refused what a server needs: {error}"),
    )
    .next("find out more", "waxwingd doctor")
}

pub(crate) fn doctor_found(problems: usize) -> Failure {
    Failure::new(
        "doctor_found_problems",
        Exit::User,
        format!("{problems} of the checks failed"),
    )
    .why("Each says above what to do.")
    .next("check again", "waxwingd doctor")
}
