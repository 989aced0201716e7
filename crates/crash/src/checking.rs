// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Comparing one folder with what was acknowledged, in a process that may end or hang.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::choice::Choice;
use crate::examine::catch;
use crate::process;
use crate::recording::{Kind, Place, Recorder};
use crate::subject::{Broken, ClientSubject, Finding, ServerSubject, Subject};
use crate::trace::Event;

/// A folder to be compared.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// The kind of store.
    pub kind: Kind,
    /// What was acknowledged is in this recording.
    pub place: &'a Place,
    /// The folder. It is used up.
    pub folder: &'a Path,
    /// Decides, with the number, what is looked at besides.
    pub seed: u64,
    /// The number.
    pub number: u64,
}

impl Check<'_> {
    /// Compares in this process.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub async fn here(&self) -> Result<Option<Finding>> {
        let events = self.place.events()?;
        let mut choice = Choice::new(self.seed, self.number);
        let found = match self.kind {
            Kind::Server | Kind::ServerRedb => {
                let subject = ServerSubject::new(self.kind.engine(), None);
                let subject = after(subject, &events)?;
                catch(subject.check(self.folder, &mut choice)).await
            }
            Kind::Client => {
                let subject = after(ClientSubject::new(None), &events)?;
                catch(subject.check(self.folder, &mut choice)).await
            }
        };
        Ok(found.err())
    }

    /// Compares in a process of its own. Where that ends or hangs, that is what is found.
    ///
    /// # Errors
    /// It could not be started, or could not read the recording.
    pub fn run(&self, recorder: &Recorder) -> Result<Option<Finding>> {
        let mut command = Command::new(&recorder.program);
        command
            .args(["check", self.kind.name()])
            .arg("--recording")
            .arg(self.place.folder())
            .arg("--folder")
            .arg(self.folder)
            .args(["--seed", &self.seed.to_string()])
            .args(["--number", &self.number.to_string()]);
        let ended = process::run(&mut command)?;
        if ended.is_success() {
            return serde_json::from_str(&ended.stdout).context("the finding is not JSON");
        }
        let is_error = ended.status.and_then(|status| status.code()) == Some(2);
        if is_error {
            bail!("a check failed: {}", ended.stderr.trim());
        }
        Ok(Some((Broken::Died, ended.in_words())))
    }
}

fn after<S: Subject>(mut subject: S, events: &[Event]) -> Result<S> {
    for event in events {
        if let Event::Mark(line) = event {
            subject.hear(line)?;
        }
    }
    Ok(subject)
}
