// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Searches every file of the data folder for a text, in every form in which it could lie there:
//! UTF-8, UTF-16, hexadecimal digits, base64 at each of its three alignments.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};

/// The shortest text that is searched for, in bytes: shorter ones are found everywhere by chance.
pub(crate) const TEXT_LENGTH_MIN: usize = 4;
/// Findings that are listed; all are counted.
pub(crate) const FINDINGS_LISTED_MAX: usize = 100;
const CHUNK_SIZE: usize = 1024 * 1024;

/// One place where the text lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: PathBuf,
    /// In bytes from the start of the file.
    pub(crate) offset: u64,
    /// `utf-8`, `utf-16le`, `utf-16be`, `hex`, `base64`.
    pub(crate) form: &'static str,
}

/// What was searched and what was found.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) matches: u64,
    /// The first [`FINDINGS_LISTED_MAX`].
    pub(crate) findings: Vec<Finding>,
}

/// Searches all regular files under `folder`, without following links.
pub(crate) fn search(folder: &Path, text: &str) -> io::Result<Search> {
    let patterns = Patterns::new(text);
    let mut search = Search::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                match File::open(entry.path()) {
                    Ok(file) => search.file(file, &entry.path(), &patterns)?,
                    // A running store removes files of its own while this reads the folder.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(search)
}

impl Search {
    fn file(&mut self, mut file: impl Read, path: &Path, patterns: &Patterns) -> io::Result<()> {
        self.files = self.files.saturating_add(1);
        let mut window = Vec::with_capacity(CHUNK_SIZE);
        let mut window_offset = 0_u64;
        loop {
            let read = Read::by_ref(&mut file)
                .take(u64::try_from(CHUNK_SIZE).unwrap_or(u64::MAX))
                .read_to_end(&mut window)?;
            self.bytes = self
                .bytes
                .saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            let last = read < CHUNK_SIZE;
            // The end of a window is looked at again together with what follows, so that a match
            // across the border is found, and found once.
            let starts = if last {
                window.len()
            } else {
                window.len().saturating_sub(patterns.longest)
            };
            for start in 0..starts {
                let rest = window.get(start..).unwrap_or_default();
                if let Some(form) = patterns.at(rest) {
                    self.matches = self.matches.saturating_add(1);
                    if self.findings.len() < FINDINGS_LISTED_MAX {
                        let within = u64::try_from(start).unwrap_or(u64::MAX);
                        self.findings.push(Finding {
                            file: path.to_owned(),
                            offset: window_offset.saturating_add(within),
                            form,
                        });
                    }
                }
            }
            if last {
                return Ok(());
            }
            window.drain(..starts);
            let done = u64::try_from(starts).unwrap_or(u64::MAX);
            window_offset = window_offset.saturating_add(done);
        }
    }
}

/// All forms of one text.
struct Patterns {
    patterns: Vec<(Vec<u8>, &'static str)>,
    /// For each value of a byte, whether a pattern begins with it.
    first: [bool; 256],
    longest: usize,
}

impl Patterns {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut patterns: Vec<(Vec<u8>, &'static str)> = Vec::new();
        let mut add = |pattern: Vec<u8>, form| {
            if pattern.len() >= TEXT_LENGTH_MIN
                && patterns.iter().all(|(known, _)| *known != pattern)
            {
                patterns.push((pattern, form));
            }
        };
        add(bytes.to_vec(), "utf-8");
        add(
            text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "utf-16le",
        );
        add(
            text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            "utf-16be",
        );
        add(HEXLOWER.encode(bytes).into_bytes(), "hex");
        add(HEXUPPER.encode(bytes).into_bytes(), "hex");
        for encoding in [BASE64, BASE64URL] {
            for shift in 0..3 {
                add(base64_within(&encoding, bytes, shift), "base64");
            }
        }
        let mut first = [false; 256];
        for (pattern, _) in &patterns {
            if let Some(flag) = pattern
                .first()
                .and_then(|byte| first.get_mut(usize::from(*byte)))
            {
                *flag = true;
            }
        }
        let longest = patterns
            .iter()
            .map(|(pattern, _)| pattern.len())
            .max()
            .unwrap_or(0);
        Self {
            patterns,
            first,
            longest,
        }
    }

    fn at(&self, bytes: &[u8]) -> Option<&'static str> {
        let first = bytes.first()?;
        if !*self.first.get(usize::from(*first))? {
            return None;
        }
        let found = self
            .patterns
            .iter()
            .find(|(pattern, _)| bytes.starts_with(pattern))?;
        Some(found.1)
    }
}

/// The base64 digits that depend on `bytes` alone when `shift` other bytes stand before them.
fn base64_within(encoding: &data_encoding::Encoding, bytes: &[u8], shift: usize) -> Vec<u8> {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(bytes);
    let digits = encoding.encode(&shifted).into_bytes();
    let before = shift.saturating_mul(8).div_ceil(6);
    let end = shifted.len().saturating_mul(8).checked_div(6).unwrap_or(0);
    digits.get(before..end).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "lunch at the usual place?";

    fn forms_found(stored: &[u8]) -> Vec<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/file"), stored).unwrap();
        let search = search(folder.path(), TEXT).unwrap();
        assert_eq!(search.files, 1);
        assert_eq!(search.bytes, u64::try_from(stored.len()).unwrap());
        assert_eq!(
            search.matches,
            u64::try_from(search.findings.len()).unwrap()
        );
        search.findings.iter().map(|finding| finding.form).collect()
    }

    #[test]
    fn every_form_is_found() {
        let mut stored = b"something before".to_vec();
        assert!(forms_found(&stored).is_empty());
        stored.extend_from_slice(TEXT.as_bytes());
        assert_eq!(forms_found(&stored), ["utf-8"]);
        let utf_16: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(forms_found(&utf_16), ["utf-16le"]);
        assert_eq!(
            forms_found(HEXLOWER.encode(TEXT.as_bytes()).as_bytes()),
            ["hex"]
        );
        for before in ["", "a", "ab", "abc"] {
            let whole = format!("{before}{TEXT} and more");
            assert_eq!(
                forms_found(BASE64.encode(whole.as_bytes()).as_bytes()),
                ["base64"]
            );
        }
    }

    #[test]
    fn a_match_across_two_reads_is_found_once() {
        for back in [0, 1, 5, 24, 25, 60, 100] {
            let mut stored = vec![b'.'; CHUNK_SIZE * 2 + 10];
            let at = CHUNK_SIZE - back;
            stored[at..at + TEXT.len()].copy_from_slice(TEXT.as_bytes());
            assert_eq!(forms_found(&stored), ["utf-8"], "{back}");
        }
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("root")).unwrap();
        let search = search(folder.path(), TEXT).unwrap();
        assert_eq!((search.files, search.matches), (0, 0));
    }
}
