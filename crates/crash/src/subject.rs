// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was acknowledged, and whether a store that was opened from an image keeps to it.

mod client;
mod mailbox;
mod server;

use std::path::Path;

use anyhow::Result;

pub use client::ClientSubject;
pub use server::{ServerSubject, was_rebuilt};

use crate::choice::Choice;

/// How an image broke a promise.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// The store did not open, or could not be read or written to afterwards.
    Refused,
    /// Something acknowledged is gone.
    Lost,
    /// Something is there twice.
    Doubled,
    /// Something whose deletion was acknowledged is there again.
    ShownAgain,
    /// A key, a prekey or a position that was used would be used again.
    UsedTwice,
    /// Something is there that nobody wrote, or only a part of one step.
    Wrong,
    /// The process that opened it ended, or did not answer.
    Died,
}

impl Broken {
    /// Whether it can come of something that is missing, and of nothing worse.
    #[must_use]
    pub const fn is_missing(self) -> bool {
        matches!(
            self,
            Self::Lost | Self::Doubled | Self::UsedTwice | Self::ShownAgain
        )
    }
}

/// A broken promise, with what exactly is wrong.
pub type Finding = (Broken, String);

/// Shorthand for a finding.
pub fn broken<T>(kind: Broken, what: impl Into<String>) -> Result<T, Finding> {
    Err((kind, what.into()))
}

/// A kind of store, and what was acknowledged to its users so far.
pub trait Subject {
    /// Takes in a line that the work said.
    ///
    /// # Errors
    /// The line is not one.
    fn hear(&mut self, line: &str) -> Result<()>;

    /// Opens the store in a folder with the real code and compares. The folder is used up.
    ///
    /// # Errors
    /// The first promise that is broken.
    fn check(
        &self,
        folder: &Path,
        choice: &mut Choice,
    ) -> impl Future<Output = Result<(), Finding>>;
}
