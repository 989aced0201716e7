// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is finished, in a file, so that a run that was ended goes on where it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Shown;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// The programs and the settings that the results are of.
    of: String,
    finished: BTreeMap<String, Shown>,
}

/// The file of finished parts.
pub(super) struct State {
    path: PathBuf,
    content: Content,
}

impl State {
    /// Reads the file. What was found with other programs or settings is forgotten.
    pub(super) fn open(path: &Path, settings: &str, programs: &[&Path]) -> Result<Self> {
        let mut of = settings.to_owned();
        for program in programs {
            let found = std::fs::metadata(program)
                .with_context(|| format!("{} is missing", program.display()))?;
            let changed = found.modified()?.duration_since(UNIX_EPOCH)?;
            of.push_str(&format!(" {}-{}", found.len(), changed.as_nanos()));
        }
        let content = std::fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Content>(&bytes).ok())
            .filter(|content| content.of == of)
            .unwrap_or(Content {
                of,
                finished: BTreeMap::new(),
            });
        Ok(Self {
            path: path.to_owned(),
            content,
        })
    }

    pub(super) fn forget(&mut self) {
        self.content.finished.clear();
    }

    /// What a finished part showed. One that was broken is run again.
    pub(super) fn finished(&self, name: &str) -> Option<Shown> {
        let found = self.content.finished.get(name);
        found.filter(|shown| shown.holds).cloned()
    }

    pub(super) fn finish(&mut self, name: &str, shown: &Shown) -> Result<()> {
        self.content.finished.insert(name.to_owned(), shown.clone());
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let next = self.path.with_extension("next");
        std::fs::write(&next, serde_json::to_vec_pretty(&self.content)?)?;
        std::fs::rename(next, &self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(holds: bool) -> Shown {
        Shown {
            holds,
            line: "x".to_owned(),
            kills: 1,
            images: 2,
        }
    }

    #[test]
    fn what_is_finished_is_known_again_and_other_programs_start_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, program) = (folder.path().join("a/state"), folder.path().join("program"));
        std::fs::write(&program, "1").unwrap();
        let open = |settings| State::open(&path, settings, &[&program]).unwrap();
        let mut state = open("seed 1");
        state.finish("good", &shown(true)).unwrap();
        state.finish("bad", &shown(false)).unwrap();
        assert!(open("seed 1").finished("good").is_some());
        assert!(open("seed 1").finished("bad").is_none());
        assert!(open("seed 2").finished("good").is_none());
        std::fs::write(&program, "22").unwrap();
        assert!(open("seed 1").finished("good").is_none());
    }
}
