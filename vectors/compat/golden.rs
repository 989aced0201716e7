// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Golden files, as the tests `compat` of several crates read them. See `README.md` beside this.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

/// Writes the files that are missing, and nothing else.
const WRITE: &str = "WAXWING_WRITE_COMPAT";

/// The golden files of one group, `v1/GROUP/*.bin`, and their index.
pub(crate) struct Golden {
    folder: PathBuf,
    seen: BTreeSet<String>,
    is_writing: bool,
}

impl Golden {
    pub(crate) fn open(group: &str) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/compat/v1");
        let folder = root.join(group);
        let is_writing = std::env::var_os(WRITE).is_some_and(|value| value == "1");
        if is_writing {
            std::fs::create_dir_all(&folder).unwrap();
        }
        Self {
            folder,
            seen: BTreeSet::new(),
            is_writing,
        }
    }

    /// What was written once under this name. `what` says in the index what it is.
    pub(crate) fn bytes(
        &mut self,
        name: &str,
        what: &str,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Vec<u8> {
        let path = self.folder.join(name).with_extension("bin");
        let is_missing = !path.exists();
        if is_missing && self.is_writing {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).open(&path).unwrap();
            file.write_all(&make()).unwrap();
        }
        let Ok(bytes) = std::fs::read(&path) else {
            panic!(
                "{} is missing; {WRITE}=1 writes what is missing",
                path.display()
            );
        };
        let line = format!(
            r#"{{"file":"{name}.bin","what":"{what}","bytes":{}}}"#,
            bytes.len()
        );
        if is_missing {
            let mut options = std::fs::OpenOptions::new();
            let mut index = options
                .append(true)
                .create(true)
                .open(self.index())
                .unwrap();
            writeln!(index, "{line}").unwrap();
        }
        assert!(self.seen.insert(line), "{name} stands for two things");
        bytes
    }

    /// Whether index, files and tests name the same things: nothing is forgotten, nothing was removed.
    pub(crate) fn finish(self) {
        let index = std::fs::read_to_string(self.index()).unwrap();
        let lines: BTreeSet<String> = index.lines().map(str::to_owned).collect();
        assert_eq!(lines, self.seen, "the index and the test differ");
        let files = std::fs::read_dir(&self.folder).unwrap();
        let count = files
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
            .count();
        assert_eq!(
            count,
            self.seen.len(),
            "a file in {} is in no index",
            self.folder.display()
        );
    }

    fn index(&self) -> PathBuf {
        self.folder.join("index.jsonl")
    }
}
