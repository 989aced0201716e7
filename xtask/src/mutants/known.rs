// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known of each crate's mutants, kept in the tree with a hash of the code that it is of.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::workspace;

/// What is known of one crate's mutants.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Known {
    /// The code that was changed.
    pub(super) source: String,
    pub(super) shards: Vec<u32>,
    /// What became of each mutant, by its name.
    pub(super) mutants: BTreeMap<String, Fate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// A test failed, or the tests did not end.
    Noticed,
    /// All tests passed.
    Missed,
    /// It does not compile.
    Unviable,
}

/// Where the results of a crate are kept.
pub(super) fn results(package: &str) -> PathBuf {
    let name = format!("{}.json", short(package));
    workspace::root().join("xtask/mutants").join(name)
}

/// What the crate's code is, without its tests.
pub(super) fn source_hash(package: &str) -> Result<String> {
    let source = workspace::root()
        .join("crates")
        .join(short(package))
        .join("src");
    let output = Command::new("git")
        .current_dir(&source)
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            ".",
        ])
        .output()
        .context("cannot start git")?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut files: Vec<&str> = listed.lines().collect();
    files.sort_unstable();
    let mut hash = crc32fast::Hasher::new();
    for file in files {
        if is_of_tests(file) {
            continue;
        }
        let text = fs::read_to_string(source.join(file))?;
        hash.update(file.as_bytes());
        hash.update(without_tests(&text).as_bytes());
    }
    Ok(format!("{:08x}", hash.finalize()))
}

/// Whether a file, named from the crate's `src`, is of tests alone.
fn is_of_tests(file: &str) -> bool {
    file == "tests.rs"
        || file.starts_with("tests/")
        || file.ends_with("/tests.rs")
        || file.ends_with("_tests.rs")
}

/// A file up to its tests, which stand at its end.
fn without_tests(text: &str) -> &str {
    let end = text.find("\n#[cfg(test)]\nmod tests {");
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

fn short(package: &str) -> &str {
    package.strip_prefix("waxwing-").unwrap_or(package)
}

/// What is known of `source`: nothing, where the code was another.
pub(super) fn load(file: &Path, source: &str) -> Result<Known> {
    let fresh = || Known {
        source: source.to_owned(),
        ..Known::default()
    };
    match fs::read(file) {
        Ok(bytes) => {
            let known: Known = serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is not what this command writes", file.display()))?;
            Ok(Some(known)
                .filter(|known| known.source == source)
                .unwrap_or_else(fresh))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(fresh()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn save(file: &Path, known: &Known) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut text = serde_json::to_string_pretty(known)?;
    text.push('\n');
    Ok(fs::write(file, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_of_one_code_and_tests_are_no_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/a.json");
        let mut known = load(&file, "1").unwrap();
        assert_eq!((known.source.as_str(), known.shards.len()), ("1", 0));
        known.shards.push(7);
        save(&file, &known).unwrap();
        assert_eq!(load(&file, "1").unwrap().shards, [7]);
        assert!(load(&file, "2").unwrap().shards.is_empty());
        fs::write(&file, "{").unwrap();
        assert!(load(&file, "1").is_err());

        let code = "fn a() {}\n";
        let with = format!("{code}\n#[cfg(test)]\nmod tests {{\n}}\n");
        assert_eq!(without_tests(&with), code);
        assert_eq!(without_tests(code), code);
        for file in ["tests.rs", "tests/a.rs", "a/tests.rs", "a/b_tests.rs"] {
            assert!(is_of_tests(file), "{file}");
        }
        assert!(!is_of_tests("a/contests.rs") && !is_of_tests("a.rs"));
    }
}
