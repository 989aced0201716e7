// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The search: one pass of Aho and Corasick's automaton over a stream, for all forms at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use anyhow::{Context as _, Result, ensure};

use super::canary::Canaries;

/// Bytes that are read at a time.
const CHUNK_SIZE: usize = 1 << 20;

/// All forms of all canaries, ready to be searched for.
pub(crate) struct Needles<'a> {
    automaton: AhoCorasick,
    /// For each pattern: the canary's title, the form, and where it was planted.
    meanings: Vec<Meaning<'a>>,
    longest: usize,
}

#[derive(Clone, Copy)]
struct Meaning<'a> {
    title: &'a str,
    form: &'static str,
    planted: Option<&'static str>,
}

/// A canary that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) title: String,
    pub(crate) form: &'static str,
    /// The file or the mapping.
    pub(crate) part: String,
    /// The place where it was planted, when it is not a secret of the run.
    pub(crate) planted: Option<&'static str>,
}

/// What a search looked at and found.
#[derive(Debug, Default)]
pub(crate) struct Searched {
    pub(crate) bytes: u64,
    pub(crate) parts: u64,
    /// With the offset of the first occurrence and the number of them.
    pub(crate) findings: BTreeMap<Finding, (u64, u64)>,
}

impl Searched {
    /// Adds what another search of the same place found.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.parts = self.parts.saturating_add(other.parts);
        for (finding, (offset, count)) in other.findings {
            let entry = self.findings.entry(finding).or_insert((offset, 0));
            entry.1 = entry.1.saturating_add(count);
        }
    }

    /// The findings that were not planted anywhere.
    pub(crate) fn leaks(&self) -> impl Iterator<Item = (&Finding, &(u64, u64))> {
        self.findings
            .iter()
            .filter(|(finding, _)| finding.planted.is_none())
    }

    /// The titles of the planted leaks of `place` that were found.
    pub(crate) fn found_planted(&self, place: &str) -> Vec<&str> {
        let mut titles: Vec<&str> = self
            .findings
            .keys()
            .filter(|finding| finding.planted == Some(place))
            .map(|finding| finding.title.as_str())
            .collect();
        titles.dedup();
        titles
    }
}

impl<'a> Needles<'a> {
    /// Builds the automaton.
    pub(crate) fn new(canaries: &'a Canaries) -> Result<Self> {
        let mut patterns: Vec<&[u8]> = Vec::new();
        let mut meanings = Vec::new();
        for canary in canaries.iter() {
            ensure!(
                !canary.forms().is_empty(),
                "`{}` is too short to be searched for",
                canary.title
            );
            for (form, bytes) in canary.forms() {
                patterns.push(bytes);
                meanings.push(Meaning {
                    title: &canary.title,
                    form,
                    planted: canary.planted,
                });
            }
        }
        let longest = patterns
            .iter()
            .map(|pattern| pattern.len())
            .max()
            .unwrap_or(1);
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&patterns)
            .context("cannot build the search automaton")?;
        Ok(Self {
            automaton,
            meanings,
            longest,
        })
    }

    /// Searches a stream to its end, also across the borders of what is read at a time.
    pub(crate) fn stream(&self, part: &str, mut source: impl Read) -> Result<Searched> {
        let mut searched = Searched {
            parts: 1,
            ..Searched::default()
        };
        let mut window: Vec<u8> = Vec::with_capacity(CHUNK_SIZE.saturating_add(self.longest));
        // Where the window begins in the stream, and how much of it was searched before.
        let (mut begin, mut old) = (0_u64, 0_usize);
        loop {
            let chunk = u64::try_from(CHUNK_SIZE).unwrap_or(u64::MAX);
            let count = match source.by_ref().take(chunk).read_to_end(&mut window) {
                Ok(0) => return Ok(searched),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).with_context(|| format!("cannot read {part}")),
            };
            searched.bytes = searched.bytes.saturating_add(u64::try_from(count)?);
            for found in self.automaton.find_overlapping_iter(&window) {
                // One that ends in the old part was counted with the window before.
                if found.end() > old
                    && let Some(meaning) = self.meanings.get(found.pattern().as_usize())
                {
                    let offset = begin.saturating_add(u64::try_from(found.start())?);
                    searched.count(part, *meaning, offset);
                }
            }
            old = window.len().min(self.longest.saturating_sub(1));
            let gone = window.len().saturating_sub(old);
            window.drain(..gone);
            begin = begin.saturating_add(u64::try_from(gone)?);
        }
    }

    /// Searches one file.
    pub(crate) fn file(&self, name: &str, path: &Path) -> Result<Searched> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        self.stream(name, file)
    }

    /// Searches every file below a folder, and the names of files and folders too. Links are not
    /// followed; what `skip` names is left out; what vanishes meanwhile is no longer there.
    pub(crate) fn folder(&self, root: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<Searched> {
        let mut searched = Searched::default();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder)
                .with_context(|| format!("cannot list {}", folder.display()))?;
            for entry in entries {
                let entry = entry?;
                let path = entry.path();
                if skip(&path) {
                    continue;
                }
                let name = path
                    .strip_prefix(root)
                    .unwrap_or(&path)
                    .display()
                    .to_string();
                let mut in_name = self.stream(&format!("the name {name}"), name.as_bytes())?;
                (in_name.bytes, in_name.parts) = (0, 0);
                searched.absorb(in_name);
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    match self.file(&name, &path) {
                        Err(_) if !path.exists() => {}
                        found => searched.absorb(found?),
                    }
                }
            }
        }
        Ok(searched)
    }
}

impl Searched {
    fn count(&mut self, part: &str, meaning: Meaning<'_>, offset: u64) {
        let finding = Finding {
            title: meaning.title.to_owned(),
            form: meaning.form,
            part: part.to_owned(),
            planted: meaning.planted,
        };
        let entry = self.findings.entry(finding).or_insert((offset, 0));
        entry.1 = entry.1.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
