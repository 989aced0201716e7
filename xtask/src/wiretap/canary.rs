// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Canaries: what must not be found anywhere, and what was planted and must be found.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use data_encoding::HEXLOWER;

use super::form::{self, Form};

/// One byte string to search for.
pub(crate) struct Canary {
    /// What it is, never its content: this is printed.
    pub(crate) title: String,
    forms: Vec<Form>,
    /// The place that it was planted in; a secret of the run has none.
    pub(crate) planted: Option<&'static str>,
}

impl Canary {
    /// Its forms with their names.
    pub(crate) fn forms(&self) -> &[Form] {
        &self.forms
    }
}

/// All canaries of a run. The same bytes count once, under their first title.
#[derive(Default)]
pub(crate) struct Canaries(BTreeMap<Vec<u8>, Canary>);

impl Canaries {
    /// A secret text: searched for as UTF-16 as well.
    pub(crate) fn text(&mut self, title: impl Into<String>, text: &str) {
        self.insert(text.as_bytes(), title.into(), form::of_text(text), None);
    }

    /// Secret bytes.
    pub(crate) fn bytes(&mut self, title: impl Into<String>, bytes: &[u8]) {
        // Zeros stand for what is absent, and are everywhere.
        if bytes.iter().any(|byte| *byte != 0) {
            self.insert(bytes, title.into(), form::of_bytes(bytes), None);
        }
    }

    /// A text that somebody leaks into `place` on purpose.
    pub(crate) fn planted(&mut self, place: &'static str, text: &str) {
        let title = format!(
            "planted leak {}: {place}",
            self.planted_in(place).saturating_add(1)
        );
        self.insert(text.as_bytes(), title, form::of_text(text), Some(place));
    }

    /// How many leaks were planted in a place.
    pub(crate) fn planted_in(&self, place: &str) -> usize {
        self.iter()
            .filter(|canary| canary.planted == Some(place))
            .count()
    }

    fn insert(
        &mut self,
        bytes: &[u8],
        title: String,
        forms: Vec<Form>,
        planted: Option<&'static str>,
    ) {
        self.0.entry(bytes.to_vec()).or_insert(Canary {
            title,
            forms,
            planted,
        });
    }

    /// All of them, in an order that does not change.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Canary> {
        self.0.values()
    }

    /// How many must not be found.
    pub(crate) fn secrets(&self) -> usize {
        self.iter()
            .filter(|canary| canary.planted.is_none())
            .count()
    }
}

/// 16 random hex digits, so that a canary is found only where it came to.
pub(crate) fn nonce() -> Result<String> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).context("no randomness")?;
    Ok(HEXLOWER.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_count_once_and_zeros_do_not_count() {
        let mut canaries = Canaries::default();
        canaries.text("a message", "the same thing twice");
        canaries.text("again", "the same thing twice");
        canaries.bytes("an absent key", &[0; 32]);
        canaries.planted("log", "planted in the log");
        assert_eq!(canaries.secrets(), 1);
        assert_eq!(
            (canaries.planted_in("log"), canaries.planted_in("traffic")),
            (1, 0)
        );
        assert_eq!(canaries.iter().count(), 2);
        assert_ne!(nonce().unwrap(), nonce().unwrap());
    }
}
