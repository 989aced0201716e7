// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The text files of the repository, as a rule sees them.

use std::path::Path;

use anyhow::{Context as _, Result};

/// What holds what tools make, or what is not ours.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

/// One text file.
pub(super) struct File {
    /// Below the root, with `/` between the parts.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// Whether the path ends in `.` and this extension.
    pub(super) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }
}

/// All text files, sorted by path.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

impl Tree {
    /// Reads every file below the root that is UTF-8 text.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder)
                .with_context(|| format!("cannot list {}", folder.display()))?;
            for entry in entries {
                let entry = entry?;
                let kind = entry.file_type()?;
                let name = entry.file_name();
                // In a linked worktree `.git` is a file.
                if SKIPPED.iter().any(|skipped| name == *skipped) {
                    continue;
                }
                if kind.is_dir() {
                    folders.push(entry.path());
                }
                if !kind.is_file() {
                    continue;
                }
                // A file that another program removes at this moment is not part of the tree.
                let Ok(bytes) = std::fs::read(entry.path()) else {
                    continue;
                };
                if let (Ok(text), Ok(path)) =
                    (String::from_utf8(bytes), entry.path().strip_prefix(root))
                {
                    let path = path.to_string_lossy().replace('\\', "/");
                    files.push(File { path, text });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }

    /// The files below a folder that end in an extension.
    pub(super) fn below<'a>(
        &'a self,
        folder: &'a str,
        extension: &'a str,
    ) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.path.starts_with(folder) && file.has_extension(extension))
    }

    /// A tree made of literals, for the tests of the rules.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        Self { files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_output_and_binary_files_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("crates/x/src")).unwrap();
        std::fs::create_dir_all(root.join("target/debug")).unwrap();
        std::fs::write(root.join("crates/x/src/lib.rs"), "//! x").unwrap();
        std::fs::write(root.join("target/debug/made.rs"), "x").unwrap();
        std::fs::write(root.join("vector.bin"), [0xff, 0xfe, 0x00]).unwrap();
        let tree = Tree::read(root).unwrap();
        assert_eq!(tree.files.len(), 1);
        assert_eq!(tree.text("crates/x/src/lib.rs"), Some("//! x"));
        assert_eq!(tree.below("crates/", "rs").count(), 1);
    }
}
