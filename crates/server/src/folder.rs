// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The data folder: where configuration, key, store, lock and admin socket lie.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use waxwing_storage::StoreError;
use waxwing_storage::embedded::EmbeddedStore;
use waxwing_storage::embedded::files::{
    FileOptions, import_server, open_server, rebuild_server, verify_server,
};
use waxwing_storage::embedded::logged::{Exported, LoggedKeyValue, Verification};
use waxwing_storage::embedded::{ServerLimits, ServerOptions};
use waxwing_transport::Entropy as _;
use waxwing_transport::platform::SystemEntropy;

use crate::cli::PlaceArgs;
use crate::config::Configuration;
use crate::failure::Failure;
use crate::platform::{self, FolderLock};
use crate::server_key::ServerKey;
use crate::text;

/// The store of a server on files.
pub(crate) type ServerStore = EmbeddedStore<LoggedKeyValue>;

const CONFIG_FILE: &str = "waxwingd.toml";
const KEY_FILE: &str = "server.key";
const NEXT_KEY_FILE: &str = "next.key";
const LOCK_FILE: &str = "lock";
const SOCKET_FILE: &str = "admin.sock";
const STORE_FOLDER: &str = "store";

/// A data folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.path.join(CONFIG_FILE)
    }

    pub(crate) fn key_path(&self) -> PathBuf {
        self.path.join(KEY_FILE)
    }

    /// The key that is to follow, where one is prepared.
    pub(crate) fn next_key_path(&self) -> PathBuf {
        self.path.join(NEXT_KEY_FILE)
    }

    /// The server's key, and what is known of the one that is to follow.
    pub(crate) fn server_key(&self) -> Result<ServerKey, Failure> {
        ServerKey::load(&self.key_path())?.followed_by(&self.next_key_path())
    }

    pub(crate) fn socket_path(&self) -> PathBuf {
        self.path.join(SOCKET_FILE)
    }

    /// Session tickets: a cache, which may be deleted while the server is down.
    pub(crate) fn tickets_path(&self) -> PathBuf {
        self.path.join("tickets")
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.path.join(STORE_FOLDER)
    }

    fn failed(&self, error: &io::Error) -> Failure {
        text::folder_failed(&self.path, error)
    }

    /// Whether a server was made here. The configuration is written last.
    pub(crate) fn is_initialised(&self) -> bool {
        self.config_path().exists()
    }

    /// Takes the folder for this process alone.
    pub(crate) fn lock(&self) -> Result<Option<FolderLock>, Failure> {
        FolderLock::acquire(&self.path.join(LOCK_FILE)).map_err(|error| self.failed(&error))
    }

    /// Makes key and configuration. Whatever a crash leaves behind is completed by the next try.
    pub(crate) fn initialise(&self, place: &PlaceArgs) -> Result<Configuration, Failure> {
        let configuration = Configuration::create(place)?;
        platform::create_private_folder(&self.path).map_err(|error| self.failed(&error))?;
        self.claim()?;
        let Some(_lock) = self.lock()? else {
            return Err(text::folder_in_use(&self.path));
        };
        if self.is_initialised() {
            return Err(text::already_initialised(&self.path));
        }
        if !self.key_path().exists() {
            ServerKey::create(&self.key_path())?;
        }
        let text = configuration.to_text()?;
        platform::write_private_file(&self.config_path(), text.as_bytes())
            .map_err(|error| self.failed(&error))?;
        Ok(configuration)
    }

    /// Makes sure that the folder is ours: one with other things in it is left alone.
    fn claim(&self) -> Result<(), Failure> {
        let entries = fs::read_dir(&self.path).map_err(|error| self.failed(&error))?;
        for entry in entries {
            let name = entry.map_err(|error| self.failed(&error))?.file_name();
            let name = name.to_string_lossy();
            let ours = [
                CONFIG_FILE,
                KEY_FILE,
                NEXT_KEY_FILE,
                LOCK_FILE,
                SOCKET_FILE,
                STORE_FOLDER,
            ];
            if !ours
                .iter()
                .any(|own| name.strip_suffix(".new").unwrap_or(&name) == *own)
            {
                return Err(text::folder_not_empty(&self.path));
            }
        }
        platform::close_folder(&self.path).map_err(|error| self.failed(&error))
    }

    /// Reads the configuration of a server that was made before.
    pub(crate) fn configuration(&self) -> Result<Configuration, Failure> {
        let path = self.config_path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(text::not_initialised(&self.path));
            }
            Err(error) => return Err(self.failed(&error)),
        };
        String::from_utf8(bytes)
            .map_err(|_| text::config_syntax(None, text::NOT_UTF_8))
            .and_then(|text| Configuration::parse(&text))
            .map_err(|failure| text::with_config_hint(failure, &path))
    }

    /// Checks that nobody else can read folder and key.
    pub(crate) fn check_private(&self) -> Result<(), Failure> {
        let next = Some(self.next_key_path()).filter(|path| path.exists());
        for path in [self.path.clone(), self.key_path()].into_iter().chain(next) {
            match platform::exposure(&path) {
                Ok(None) => {}
                Ok(Some(exposure)) => return Err(text::folder_exposed(&path, exposure)),
                Err(error) if path == self.path => return Err(self.failed(&error)),
                Err(error) => return Err(text::key_unreadable(&path, &error.to_string())),
            }
        }
        Ok(())
    }

    /// Opens the store. The caller holds the lock.
    pub(crate) async fn open_store(
        &self,
        configuration: &Configuration,
    ) -> Result<ServerStore, Failure> {
        let files = files(configuration)?;
        open_server(&self.store_path(), options(configuration), files)
            .await
            .map_err(|error| text::store_failed(&self.path, &error))
    }

    /// Reads every record of the store. The caller holds the lock.
    pub(crate) fn verify_store(
        &self,
        configuration: &Configuration,
    ) -> Result<Verification, Failure> {
        verify_server(&self.store_path(), files(configuration)?)
            .map_err(|error| text::store_failed(&self.path, &error))
    }

    /// Makes the store from an export. The caller holds the lock.
    pub(crate) async fn import_store(
        &self,
        configuration: &Configuration,
        from: &mut (dyn io::Read + Send),
    ) -> Result<Result<Exported, StoreError>, Failure> {
        let files = files(configuration)?;
        Ok(import_server(&self.store_path(), options(configuration), files, from).await)
    }

    /// Makes the rows of the store anew. The caller holds the lock.
    pub(crate) fn rebuild_store(&self, configuration: &Configuration) -> Result<(), Failure> {
        rebuild_server(&self.store_path(), &files(configuration)?)
            .map_err(|error| text::rebuild_failed(&self.path, &error))
    }

    /// Rows that did not open, or that a rebuilding has set aside.
    pub(crate) fn set_aside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store_path()).into_iter().flatten();
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.contains(".refused-"))
            .collect();
        names.sort();
        names
    }
}

fn files(configuration: &Configuration) -> Result<FileOptions, Failure> {
    Ok(FileOptions {
        engine: configuration.engine()?,
        ..FileOptions::default()
    })
}

fn options(configuration: &Configuration) -> ServerOptions {
    let mut new_name_key = [0; 32];
    SystemEntropy.fill(&mut new_name_key);
    ServerOptions {
        limits: ServerLimits {
            retention_days: configuration.retention_days,
            ..ServerLimits::default()
        },
        new_name_key,
    }
}
