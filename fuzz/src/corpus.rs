// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where inputs come from: the corpus of each target, and the golden files.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Every golden file: its path below `vectors/compat/v1`, with `/`, and its bytes.
static GOLDEN: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(read_all);

/// The folder with the inputs of one target, in this repository.
#[must_use]
pub fn corpus_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name)
}

/// The golden files whose path below `vectors/compat/v1` begins so, in the order of their paths.
///
/// # Panics
/// Where there is none: a target that starts from nothing by mistake should be noticed.
#[must_use]
pub fn golden(beginning: &str) -> Vec<&'static [u8]> {
    let wanted = GOLDEN
        .iter()
        .filter(|(path, _)| path.starts_with(beginning));
    let found: Vec<&[u8]> = wanted.map(|(_, bytes)| bytes.as_slice()).collect();
    assert!(!found.is_empty(), "no golden file begins with {beginning}");
    found
}

fn read_all() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/compat/v1");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the golden files can be listed") {
            let path = entry.expect("the golden files can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "bin") {
                let relative = path.strip_prefix(&root).unwrap_or(&path);
                let name = relative.to_string_lossy().replace('\\', "/");
                found.push((
                    name,
                    std::fs::read(&path).expect("a golden file can be read"),
                ));
            }
        }
    }
    found.sort();
    found
}
