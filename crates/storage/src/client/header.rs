// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The small unsealed file beside a client's store: what is needed before anything can be opened.
//!
//! Layout: `WXH` and the version 1, the store's format (u32), the length (u32) and the bytes of the key
//! derivation's parameters, SHA-256 over all before it; numbers are big-endian.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::StoreError;

const MAGIC: [u8; 3] = *b"WXH";
const VERSION: u8 = 1;
const HASH_LENGTH: usize = 32;
const DAMAGED: StoreError = StoreError::Corrupt { what: "header" };

/// The longest parameters of a key derivation, in bytes.
pub const KEY_DERIVATION_SIZE_MAX: usize = 4096;

/// What a client's store says about itself without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The format of the sealed rows, as the engine host numbers it.
    pub format: u32,
    /// How the key comes from the passphrase, and the wrapped key: public parameters and
    /// ciphertext alone, at most [`KEY_DERIVATION_SIZE_MAX`] bytes.
    pub key_derivation: Bytes,
}

/// Reads a header; `None` where there is no file.
///
/// # Errors
/// [`StoreError::Corrupt`], [`StoreError::NewerFormat`] where the layout is newer, or the file
/// cannot be read.
pub fn read(path: &Path) -> Result<Option<Header>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => decode(&bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes a header in place of the one that may be there, all of it or nothing, durably.
///
/// # Errors
/// [`StoreError::Limit`] where the parameters are too long, or the file cannot be written.
pub fn write(path: &Path, header: &Header) -> Result<(), StoreError> {
    let bytes = encode(header)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = private_file(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_parent(path)?;
    Ok(())
}

fn encode(header: &Header) -> Result<Vec<u8>, StoreError> {
    let parameters = &header.key_derivation;
    if parameters.len() > KEY_DERIVATION_SIZE_MAX {
        return Err(StoreError::Limit {
            what: "key derivation",
        });
    }
    let length =
        u32::try_from(parameters.len()).map_err(|_| StoreError::Bug("a bounded length"))?;
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(&header.format.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(parameters);
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<Header, StoreError> {
    let (magic, rest) = bytes.split_first_chunk::<3>().ok_or(DAMAGED)?;
    let (version, _) = rest.split_first().ok_or(DAMAGED)?;
    if *magic != MAGIC {
        return Err(DAMAGED);
    }
    if *version > VERSION {
        return Err(StoreError::NewerFormat {
            found: (*version).into(),
            known: VERSION.into(),
        });
    }
    let body = bytes.len().checked_sub(HASH_LENGTH).ok_or(DAMAGED)?;
    let (body, hash) = bytes.split_at_checked(body).ok_or(DAMAGED)?;
    if Sha256::digest(body).as_slice() != hash {
        return Err(DAMAGED);
    }
    let fields = body.get(4..).ok_or(DAMAGED)?;
    let (format, fields) = fields.split_first_chunk::<4>().ok_or(DAMAGED)?;
    let (length, parameters) = fields.split_first_chunk::<4>().ok_or(DAMAGED)?;
    if usize::try_from(u32::from_be_bytes(*length)) != Ok(parameters.len()) {
        return Err(DAMAGED);
    }
    Ok(Header {
        format: u32::from_be_bytes(*format),
        key_derivation: Bytes::copy_from_slice(parameters),
    })
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    File::create(path)
}

#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    match path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(not(unix))]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            format: 3,
            key_derivation: Bytes::from_static(b"argon2id, salt, wrapped key"),
        }
    }

    #[test]
    fn a_header_comes_back_and_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("header");
        assert_eq!(read(&path), Ok(None));
        write(&path, &header()).unwrap();
        assert_eq!(read(&path), Ok(Some(header())));
        let other = Header {
            format: 4,
            key_derivation: Bytes::new(),
        };
        write(&path, &other).unwrap();
        assert_eq!(read(&path), Ok(Some(other)));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let bytes = encode(&header()).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x40;
            assert!(decode(&changed).is_err(), "byte {place}");
            assert!(decode(&bytes[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn a_newer_layout_is_named() {
        let mut bytes = encode(&header()).unwrap();
        bytes[3] = 9;
        assert_eq!(
            decode(&bytes),
            Err(StoreError::NewerFormat { found: 9, known: 1 })
        );
    }
}
