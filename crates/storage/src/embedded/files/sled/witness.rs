// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A second place for the number of durable commits, so that a sled which lost some is found out.
//!
//! sled takes the first page that it cannot read for the end of its log, and opens without what came
//! after it. The number is in every commit, and after the commit is durable in a file beside
//! sled, without a sync of its own: a power cut leaves the file at an older number, never at a newer one.
//! So a number in the file above sled's is damage, and never a crash.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

const FILE: &str = "commits";
/// The number, and its checksum.
const LENGTH: usize = 12;

/// The file, and the number of the last commit.
pub(super) struct Witness {
    file: File,
    count: u64,
    /// sled lost commits: both numbers stand still, so that it is never forgotten.
    is_behind: bool,
}

impl Witness {
    /// Compares the file in `folder` with the number that sled has.
    pub(super) fn open(folder: &Path, in_sled: Option<&[u8]>) -> io::Result<Self> {
        let path = folder.join(FILE);
        let noted = match fs::read(&path) {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let in_sled = in_sled
            .and_then(|value| value.try_into().ok())
            .map_or(0, u64::from_be_bytes);
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        Ok(Self {
            file,
            count: in_sled,
            is_behind: noted.is_some_and(|noted| noted > in_sled),
        })
    }

    pub(super) const fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// The row that belongs into the next commit.
    pub(super) fn next(&mut self) -> [u8; 8] {
        if !self.is_behind {
            self.count = self.count.saturating_add(1);
        }
        self.count.to_be_bytes()
    }

    /// Notes that the commit is durable.
    pub(super) fn note(&self) -> io::Result<()> {
        if self.is_behind {
            return Ok(());
        }
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&encode(self.count))
    }
}

fn encode(count: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let number = count.to_le_bytes();
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&number);
    second.copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
    bytes
}

/// The number, where the file is whole.
fn decode(bytes: &[u8]) -> Option<u64> {
    let number = *bytes.first_chunk::<8>()?;
    let checksum = *bytes.get(8..LENGTH)?.first_chunk::<4>()?;
    (bytes.len() == LENGTH && crc32fast::hash(&number).to_le_bytes() == checksum)
        .then(|| u64::from_le_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_above_that_of_sled_is_damage_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = Witness::open(folder.path(), None).unwrap();
        assert!(!witness.is_behind());
        let first = witness.next();
        witness.note().unwrap();
        let second = witness.next();
        // A crash before the note: the file is behind, which is right.
        let mut witness = Witness::open(folder.path(), Some(&second)).unwrap();
        assert!(!witness.is_behind());
        assert_eq!(witness.next(), 3_u64.to_be_bytes());
        witness.note().unwrap();
        for _ in 0..2 {
            let mut witness = Witness::open(folder.path(), Some(&first)).unwrap();
            assert!(witness.is_behind());
            assert_eq!(witness.next(), first);
            witness.note().unwrap();
        }
    }

    #[test]
    fn a_file_that_is_not_whole_says_nothing() {
        let whole = encode(7);
        assert_eq!(decode(&whole), Some(7));
        for place in 0..LENGTH {
            let mut damaged = whole;
            damaged[place] ^= 1;
            assert_eq!(decode(&damaged), None);
            assert_eq!(decode(&whole[..place]), None);
        }
    }
}
