// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What differs between operating systems: folders, locks, sockets, signals, limits.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use waxwing_transport::Clock as _;
use waxwing_transport::platform::SystemClock;

/// The longest path of a Unix socket on Linux, without the closing zero (unix(7)).
pub(crate) const SOCKET_PATH_LENGTH_MAX: usize = 107;

/// Forbids core dumps, and that other processes of the same user read this one's memory.
pub(crate) fn forbid_dumps() -> io::Result<()> {
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(rustix::process::Resource::Core, none)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// More than this process needs, with every connection over TCP.
const DESCRIPTORS_WANTED: u64 = 20_000;
/// Descriptors that connections over TCP leave to files, sockets and the rest of this process.
const DESCRIPTORS_KEPT: u64 = 256;

/// Raises the bound on descriptors of this process to what the system allows it.
pub(crate) fn raise_descriptors() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS_WANTED);
    if limit.current.is_none_or(|current| current >= most) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(most),
        ..limit
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// How many connections over TCP this process may have, of which each takes a descriptor. Without any left
/// the log could not begin a segment.
pub(crate) fn connections_allowed() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let allowed = limit.current.map_or(u64::MAX, |most| {
        most.saturating_sub(DESCRIPTORS_KEPT.min(most.div_euclid(2)))
    });
    usize::try_from(allowed)
        .unwrap_or(usize::MAX)
        .min(waxwing_proto::limits::CONNECTIONS_MAX)
}

/// The data folder where the caller names none.
pub(crate) fn default_data_folder() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("WAXWINGD_DATA") {
        return PathBuf::from(folder);
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/waxwingd");
    }
    if let Some(folder) = variable("XDG_DATA_HOME") {
        return PathBuf::from(folder).join("waxwingd");
    }
    match variable("HOME") {
        Some(home) => PathBuf::from(home).join(".local/share/waxwingd"),
        None => PathBuf::from("waxwingd-data"),
    }
}

/// Makes a folder that only its owner can enter, with its parents. An existing one is left alone.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Closes a folder of ours to everybody else.
pub(crate) fn close_folder(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// What is wrong with the owner or the permissions of a path, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Another user owns it.
    ForeignOwner,
    /// Others than the owner can read or enter it.
    Open {
        /// The permission bits.
        mode: u32,
    },
}

/// Checks that `path` belongs to this user and to nobody else.
pub(crate) fn exposure(path: &Path) -> io::Result<Option<Exposure>> {
    let metadata = fs::metadata(path)?;
    let mode = metadata.permissions().mode() & 0o777;
    Ok(if metadata.uid() != effective_uid() {
        Some(Exposure::ForeignOwner)
    } else if mode & 0o077 != 0 {
        Some(Exposure::Open { mode })
    } else {
        None
    })
}

/// The user that this process acts for.
pub(crate) fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Replaces a file by `bytes`, whole or not at all, durable on return, readable by its owner only.
pub(crate) fn write_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let fresh = folder.join(name);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

/// Puts a file in the place of another one in the same folder, durably: after a crash one of them is
/// there.
pub(crate) fn replace_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    File::open(to.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Removes a folder and what is in it, where there is one.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The exclusive use of a data folder, as long as it lives. The kernel gives it up with the
/// process, however that ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock; `None` when another process holds it.
    pub(crate) fn acquire(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A listening socket for processes of this user alone.
pub(crate) fn bind_private_socket(path: &Path) -> io::Result<tokio::net::UnixListener> {
    // The folder lock is held: a socket that is there belongs to a process that is gone.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = tokio::net::UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whether the process at the other end acts for the same user, or for root.
pub(crate) fn peer_is_trusted(stream: &tokio::net::UnixStream) -> bool {
    let trusted = |uid: u32| uid == effective_uid() || uid == 0;
    stream.peer_cred().is_ok_and(|peer| trusted(peer.uid()))
}

/// Makes a write beyond a file-size limit fail, where it would end the process by SIGXFSZ.
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let number = rustix::process::Signal::XFSZ.as_raw();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // The handler stays for the life of the process, also when the stream of signals is dropped.
    let _ = runtime.block_on(async { signal(SignalKind::from_raw(number)) })?;
    Ok(())
}

/// Completes when the process is asked to end.
pub(crate) struct ShutdownSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl ShutdownSignals {
    /// Takes over SIGTERM and SIGINT. Needs a running tokio runtime.
    pub(crate) fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one of either. Cancellation safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Bytes that this user can still write where `path` is.
pub(crate) fn free_disk_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Days since the Unix epoch.
pub(crate) fn today() -> u32 {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let days = SystemClock::new().wall_ms().checked_div(DAY_MS);
    days.and_then(|days| u32::try_from(days).ok())
        .unwrap_or(u32::MAX)
}

/// Whether a UDP socket can be bound to `address` at this moment, and to which address.
pub(crate) fn probe_udp(address: SocketAddr) -> io::Result<SocketAddr> {
    UdpSocket::bind(address)?.local_addr()
}

/// Whether a TCP socket can be bound to `address` at this moment, and to which address.
pub(crate) fn probe_tcp(address: SocketAddr) -> io::Result<SocketAddr> {
    TcpListener::bind(address)?.local_addr()
}

/// The address that stands for all networks of this machine.
pub(crate) fn any_address() -> IpAddr {
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    match probe_udp(v6) {
        Ok(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        Err(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_stays_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_private_file(&path, b"one").unwrap();
        fs::write(folder.path().join("key.new"), b"left by a crash").unwrap();
        write_private_file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(exposure(&path).unwrap(), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(
            exposure(&path).unwrap(),
            Some(Exposure::Open { mode: 0o640 })
        );
    }

    #[test]
    fn a_lock_is_held_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FolderLock::acquire(&path).unwrap();
        assert!(held.is_some());
        assert!(FolderLock::acquire(&path).unwrap().is_none());
        drop(held);
        assert!(FolderLock::acquire(&path).unwrap().is_some());
    }
}
