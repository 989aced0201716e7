// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A profile on disk: its folders, its configuration, the key's header and the store.
//!
//! `DATA/profiles/NAME/key` is the header that keeps the master key, `store/` the sealed rows, and
//! `lock` the file whose lock the hosting process holds and which names its socket. `DATA` is
//! `$XDG_DATA_HOME/waxwing`, or `$WAXWING_HOME/data`.

pub(crate) mod config;

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use waxwing_crypto::CryptoError;
use waxwing_crypto::sealing::{MasterKey, PassphraseCost, StoreKeys};
use waxwing_identity::keys::Digest;
use waxwing_transport::{Entropy, EntropyRng};
use zeroize::Zeroizing;

use crate::fault::{Code, Fault, Outcome};
use crate::platform::{self, LockFile};

/// The longest name of a profile, in bytes.
const NAME_LENGTH_MAX: usize = 64;

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    pub(crate) config: PathBuf,
    pub(crate) data: PathBuf,
    /// A run-time folder that goes before the system's.
    runtime: Option<PathBuf>,
}

impl Folders {
    /// `WAXWING_HOME` moves all of them; otherwise they are those of the XDG base directories.
    pub(crate) fn find() -> Outcome<Self> {
        if let Some(home) = platform::folder_variable("WAXWING_HOME") {
            let home = std::path::absolute(&home).map_err(|error| unusable(&home, &error))?;
            return Ok(Self {
                config: home.join("config"),
                data: home.join("data"),
                runtime: Some(home.join("run")),
            });
        }
        let base = etcetera::choose_base_strategy()
            .map_err(|error| Fault::new(Code::FolderUnusable).because(error))?;
        Ok(Self {
            config: base.config_dir().join("waxwing"),
            data: base.data_dir().join("waxwing"),
            runtime: None,
        })
    }
}

/// A profile, whether it exists or not.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    runtime: Option<PathBuf>,
}

impl Profile {
    /// The profile of a name.
    pub(crate) fn new(folders: &Folders, name: &str) -> Outcome<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let named = !name.is_empty()
            && name.len() <= NAME_LENGTH_MAX
            && name.bytes().all(allowed)
            && !name.starts_with('.');
        if !named {
            return Err(Fault::new(Code::ProfileNameInvalid).about(name));
        }
        Ok(Self {
            name: name.to_owned(),
            folder: folders.data.join("profiles").join(name),
            runtime: folders.runtime.clone(),
        })
    }

    /// Whether there is a store.
    pub(crate) fn exists(&self) -> bool {
        self.key_path().exists()
    }

    /// Fails unless there is a store.
    pub(crate) fn must_exist(&self) -> Outcome {
        if self.exists() {
            Ok(())
        } else {
            Err(Fault::new(Code::ProfileMissing).about(&self.name))
        }
    }

    /// Where the sealed rows are.
    pub(crate) fn store_folder(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Where a host of this profile listens, when this process becomes it.
    pub(crate) fn socket_path(&self) -> Outcome<PathBuf> {
        let digest = Digest::of(&[self.folder.as_os_str().as_encoded_bytes()]);
        let [a, b, c, d, ..] = *digest.as_bytes();
        let tag = data_encoding::HEXLOWER.encode(&[a, b, c, d]);
        platform::socket_path(self.runtime.clone(), &format!("{tag}.sock"))
            .map_err(|error| Fault::new(Code::FolderUnusable).because(error))
    }

    /// Where the host that holds the lock listens, as it wrote down.
    pub(crate) fn host_socket(&self) -> Option<PathBuf> {
        let note = std::fs::read_to_string(self.lock_path()).ok()?;
        note.strip_suffix('\n').map(PathBuf::from)
    }

    /// Takes the profile for this process; `None` when another one has it.
    pub(crate) fn lock(&self) -> Outcome<Option<LockFile>> {
        platform::private_folder(&self.folder).map_err(|error| unusable(&self.folder, &error))?;
        LockFile::take(&self.lock_path()).map_err(|error| unusable(&self.folder, &error))
    }

    /// Whether the store is sealed with a passphrase.
    pub(crate) fn needs_passphrase(&self) -> Outcome<bool> {
        MasterKey::needs_passphrase(&self.header()?).map_err(key_fault)
    }

    /// Makes the key of a new profile; `passphrase` is `None` for an unprotected one. The caller
    /// holds the lock.
    pub(crate) fn create(&self, passphrase: Option<&[u8]>) -> Outcome<StoreKeys> {
        let mut rng = EntropyRng::new(std::sync::Arc::new(
            waxwing_transport::platform::SystemEntropy,
        ) as std::sync::Arc<dyn Entropy>);
        let master = MasterKey::generate(&mut rng);
        let header = match passphrase {
            Some(passphrase) => master
                .wrap(passphrase, PassphraseCost::STANDARD, &mut rng)
                .map(Zeroizing::new)
                .map_err(key_fault)?,
            None => master.unprotected_header(),
        };
        platform::write_private(&self.key_path(), &header)
            .map_err(|error| unusable(&self.folder, &error))?;
        Ok(StoreKeys::derive(&master))
    }

    /// Opens the key. Takes as long as the passphrase's cost says.
    pub(crate) fn unlock(&self, passphrase: Option<&[u8]>) -> Outcome<StoreKeys> {
        MasterKey::unwrap(&self.header()?, passphrase)
            .map(|master| StoreKeys::derive(&master))
            .map_err(|error| key_fault(error).about_default(&self.name))
    }

    /// Removes a profile that came to nothing. The caller holds the lock, and the store is closed.
    pub(crate) fn discard(&self) {
        // What cannot be removed is found, and used, by the next attempt.
        let _ = std::fs::remove_file(self.key_path());
        let _ = std::fs::remove_dir_all(self.store_folder());
    }

    fn header(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        match std::fs::read(self.key_path()) {
            Ok(header) => Ok(Zeroizing::new(header)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Fault::new(Code::ProfileMissing).about(&self.name))
            }
            Err(error) => Err(unusable(&self.folder, &error)),
        }
    }

    fn key_path(&self) -> PathBuf {
        self.folder.join("key")
    }

    fn lock_path(&self) -> PathBuf {
        self.folder.join("lock")
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(Code::FolderUnusable)
        .about(path.display().to_string())
        .because(error)
}

fn key_fault(error: CryptoError) -> Fault {
    let code = match error {
        CryptoError::WrongPassphrase => Code::PassphraseWrong,
        CryptoError::PassphraseNeeded => Code::PassphraseMissing,
        CryptoError::UnsupportedFormat(_) => Code::StoreTooNew,
        CryptoError::TooLong => Code::PassphraseSource,
        CryptoError::OutOfMemory => Code::StoreFailed,
        _ => Code::StoreCorrupt,
    };
    match code {
        Code::PassphraseWrong | Code::PassphraseMissing => code.into(),
        code => Fault::new(code).because(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(folder: &Path) -> Profile {
        let folders = Folders {
            config: folder.join("config"),
            data: folder.join("data"),
            runtime: Some(folder.join("run")),
        };
        Profile::new(&folders, "default").unwrap()
    }

    #[test]
    fn names_stay_inside_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders {
            config: "c".into(),
            data: folder.path().into(),
            runtime: None,
        };
        for bad in ["", "..", "a/b", ".hidden", "a b", &"a".repeat(65)] {
            assert!(Profile::new(&folders, bad).is_err(), "{bad}");
        }
        assert!(Profile::new(&folders, "work-2.a_b").is_ok());
    }

    #[test]
    fn the_passphrase_opens_and_a_wrong_one_has_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let profile = profile(folder.path());
        assert_eq!(profile.must_exist().unwrap_err().code, Code::ProfileMissing);
        let lock = profile.lock().unwrap();
        assert!(lock.is_some());
        assert!(profile.lock().unwrap().is_none(), "one process at a time");
        profile.create(Some(b"correct")).unwrap();
        assert!(profile.needs_passphrase().unwrap());
        assert!(profile.unlock(Some(b"correct")).is_ok());
        assert_eq!(
            profile.unlock(Some(b"wrong")).err().unwrap().code,
            Code::PassphraseWrong
        );
        assert_eq!(
            profile.unlock(None).err().unwrap().code,
            Code::PassphraseMissing
        );
        drop(lock);
        assert!(profile.lock().unwrap().is_some());
    }

    #[test]
    fn an_unprotected_profile_needs_none_and_a_damaged_header_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let profile = profile(folder.path());
        let _lock = profile.lock().unwrap();
        profile.create(None).unwrap();
        assert!(!profile.needs_passphrase().unwrap());
        assert!(profile.unlock(None).is_ok());
        std::fs::write(profile.key_path(), b"WXMK").unwrap();
        assert_eq!(profile.unlock(None).err().unwrap().code, Code::StoreCorrupt);
    }
}
