// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Hosting the engine in this process: store, driver, socket, and how they end.

use std::sync::Arc;

use tokio::task::{JoinHandle, JoinSet};
use waxwing_storage::embedded::files::{FileOptions, open_client};
use waxwing_transport::platform::{SystemClock, SystemEntropy};

use super::dialing::Dialing;
use super::network;
use crate::fault::{Code, Fault, Outcome};
use crate::host::{Driver, Handle, Seams};
use crate::passphrase::Passphrase;
use crate::platform::LockFile;
use crate::profile::Profile;
use crate::sealed_store::SealedStore;
use crate::socket::service::{host_fault, store_fault};
use crate::socket::{Client, Mode, Server, Service};

/// Bytes that wait between this process and its own socket server.
const OWN_STREAM_SIZE: usize = 64 * 1024;

/// What the store may keep in memory.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// The engine of a profile, hosted here.
pub(crate) struct Hosting {
    handle: Handle,
    service: Arc<Service>,
    server: Server,
    driver: JoinHandle<()>,
    _followers: JoinSet<()>,
    lock: LockFile,
    is_new: bool,
}

impl Hosting {
    /// Opens the key and the store, starts the engine, and listens. Whoever holds `lock` is the only
    /// one to do so.
    pub(crate) async fn begin(
        profile: &Profile,
        lock: LockFile,
        (passphrase, is_new): (Option<Passphrase>, bool),
        mode: Mode,
        dialing: &Dialing,
    ) -> Outcome<(Self, Client)> {
        let protected = passphrase.is_some();
        let opening = profile.clone();
        // The passphrase costs time and the store reads files: not on the runtime's threads.
        let keys = tokio::task::spawn_blocking(move || {
            let passphrase = passphrase.as_deref().map(Vec::as_slice);
            if is_new {
                opening.create(passphrase)
            } else {
                opening.unlock(passphrase)
            }
        })
        .await
        .map_err(|_| Fault::bug("opening the key"))??;
        let files = FileOptions {
            cache_bytes: CACHE_BYTES,
            ..FileOptions::default()
        };
        let store = open_client(&profile.store_folder(), files)
            .await
            .map_err(store_fault)?;
        let (driver, handle) = Driver::open(Seams {
            store: SealedStore::new(store, keys),
            dialer: dialing.dialer(),
            clock: SystemClock::new(),
            entropy: SystemEntropy,
        })
        .map_err(host_fault)?;
        let service = Arc::new(Service::new(handle.clone(), &profile.name, mode, protected));
        let path = profile.socket_path()?;
        let mut server = Server::listen(path.clone(), Arc::clone(&service))?;
        let mut note = path.into_os_string().into_encoded_bytes();
        note.push(b'\n');
        lock.leave(&note)
            .map_err(|error| Fault::new(Code::FolderUnusable).because(error))?;

        let (mine, theirs) = tokio::io::duplex(OWN_STREAM_SIZE);
        server.adopt(theirs, Arc::clone(&service));
        let mut followers = JoinSet::new();
        let (following, notices) = (Arc::clone(&service), handle.notices());
        followers.spawn(async move { following.follow(notices).await });
        followers.spawn(network::watch(handle.clone()));
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.run().await {
                tracing::error!(%error, "the engine's host has to stop");
            }
        });
        let hosting = Self {
            handle,
            service,
            server,
            driver,
            _followers: followers,
            lock,
            is_new,
        };
        Ok((hosting, Client::over(Box::new(mine))))
    }

    pub(crate) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Completes when the engine has ended by itself, or when somebody has asked for `lock`.
    pub(crate) async fn ended(&self) -> Fault {
        tokio::select! {
            biased;
            fate = self.handle.ended_wholly() => {
                fate.map_or_else(|| Code::Locked.into(), host_fault)
            }
            () = self.service.locked() => Code::Locked.into(),
        }
    }

    /// Takes no more calls, lets the engine come to rest, and closes the store. The lock is given
    /// back when what this returns is dropped.
    pub(crate) async fn end(self) -> LockFile {
        self.server.close().await;
        self.handle.shut_down();
        // The driver ends by its own bound; a panic in it would be a bug that was reported.
        let _ = self.driver.await;
        self.lock
    }
}
