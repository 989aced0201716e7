// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The operating system: everything in this crate that is Unix-only, or reads clocks and the
//! environment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::termios::{OptionalActions, Termios};
use tokio::signal::unix::SignalKind;
use tokio::time::Instant;

/// Longer than anybody waits.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The longest path of a Unix socket that every system takes, in bytes.
const SOCKET_PATH_MAX: usize = 100;

/// Keeps secrets out of core files and away from other processes of the same user.
pub(crate) fn harden() {
    // Best effort: an old kernel or a container may refuse, and nothing depends on it.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = rustix::process::setrlimit(Resource::Core, none);
}

/// What the system sends to a process that writes beyond its file-size limit.
pub(crate) fn file_size_signal() -> SignalKind {
    SignalKind::from_raw(Signal::XFSZ.as_raw())
}

/// A session of its own: what the terminal sends to its foreground group does not reach it.
pub(crate) fn detach() {
    // Fails only for a process that leads a group already, which is as well.
    let _ = rustix::process::setsid();
}

/// The numeric id of the user that this process acts as.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// An environment variable that is set and not empty, as a path.
pub(crate) fn folder_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Whether colour is unwanted: <https://no-color.org>, or a terminal that cannot show any.
pub(crate) fn colour_is_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}

/// Whether the standard streams are terminals: input, output, errors.
pub(crate) fn terminals() -> (bool, bool, bool) {
    (
        io::stdin().is_terminal(),
        io::stdout().is_terminal(),
        io::stderr().is_terminal(),
    )
}

/// The moment when a patience that begins now is over.
pub(crate) fn deadline(patience: Duration) -> Instant {
    let now = Instant::now();
    // A patience beyond what the clock can express is none that ends in this century.
    now.checked_add(patience)
        .or_else(|| now.checked_add(FOREVER))
        .unwrap_or(now)
}

/// Makes a folder, and those above it, that only this user can enter.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != user() {
        return Err(io::Error::other("not a folder of this user"));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Where sockets live: the first of the user's run-time folders in which the name fits.
pub(crate) fn socket_path(own: Option<PathBuf>, name: &str) -> io::Result<PathBuf> {
    let session = folder_variable("XDG_RUNTIME_DIR").map(|folder| folder.join("waxwing"));
    let fallback = std::env::temp_dir().join(format!("waxwing-{}", user()));
    let mut last = None;
    for folder in [own, session, Some(fallback)].into_iter().flatten() {
        let path = folder.join(name);
        if path.as_os_str().as_bytes().len() > SOCKET_PATH_MAX {
            continue;
        }
        match private_folder(&folder) {
            Ok(()) => return Ok(path),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::InvalidFilename.into()))
}

/// Makes a socket reachable for this user alone. Its folder is private already.
pub(crate) fn private_socket(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// Writes a new file that only this user can read, durably, or nothing at all. Refuses where
/// something has the name already.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// A file of which one process at a time holds the lock; the system gives it back when the process
/// ends, however it ends.
#[derive(Debug)]
pub(crate) struct LockFile(File);

impl LockFile {
    /// Takes the lock; `None` when another process holds it.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Leaves a note for whoever finds the lock taken.
    pub(crate) fn leave(&self, note: &[u8]) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.write_all_at(note, 0)
    }
}

/// The terminal's settings, put back when this is dropped: a prompt that hides what is typed may be
/// interrupted at any moment.
#[derive(Debug)]
pub(crate) struct TerminalSettings(Option<Termios>);

impl TerminalSettings {
    /// As they are now.
    pub(crate) fn keep() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }
}

impl Drop for TerminalSettings {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, settings);
        }
    }
}

/// The addresses from which this machine would reach others, IPv4 and IPv6. Connecting a UDP socket
/// asks the routing table and sends nothing; the addresses are those of RFC 5737 and RFC 3849.
pub(crate) fn own_addresses() -> [Option<IpAddr>; 2] {
    let own = |any: SocketAddr, other: SocketAddr| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(other).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    [
        own(
            (Ipv4Addr::UNSPECIFIED, 0).into(),
            (Ipv4Addr::new(192, 0, 2, 1), 9).into(),
        ),
        own((Ipv6Addr::UNSPECIFIED, 0).into(), (documentation, 9).into()),
    ]
}

/// An open file descriptor that the caller handed over, opened anew by its number.
pub(crate) fn descriptor(number: u32) -> io::Result<File> {
    File::open(format!("/dev/fd/{number}"))
}
