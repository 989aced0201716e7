// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One mailbox: what was sent to it, and what was deleted from it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use waxwing_storage::server::StoredEnvelope;

use super::{Broken, Finding, broken};
use crate::work::server::{envelope, envelope_id};

/// A mailbox as it was acknowledged.
#[derive(Debug, Default)]
pub(super) struct KnownMailbox {
    /// Messages whose sending was tried.
    tried: BTreeSet<u32>,
    /// Acknowledged messages by position.
    stored: BTreeMap<u64, u32>,
    deleting: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
}

impl KnownMailbox {
    /// Takes in a line about this mailbox; `false` where it is about something else.
    pub(super) fn hear(&mut self, name: &str, first: &str, second: &str) -> Result<bool> {
        match name {
            "put?" => drop(self.tried.insert(first.parse()?)),
            "put" => drop(self.stored.insert(second.parse()?, first.parse()?)),
            "delete?" => drop(self.deleting.insert(first.parse()?)),
            "delete" => drop(self.deleted.insert(first.parse()?)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The highest position that was acknowledged.
    pub(super) fn highest(&self) -> u64 {
        self.stored.keys().next_back().copied().unwrap_or(0)
    }

    /// The newest message that was deleted.
    pub(super) fn newest_deleted(&self) -> Option<u32> {
        let position = self.deleted.iter().next_back()?;
        self.stored.get(position).copied()
    }

    /// Compares what is in mailbox `number` with what must be; gives its messages.
    pub(super) fn judge(
        &self,
        number: u8,
        found: &[StoredEnvelope],
    ) -> Result<BTreeSet<u32>, Finding> {
        let mut messages = BTreeSet::new();
        let mut positions = BTreeSet::new();
        let mut last = 0;
        for one in found {
            let position = one.position.0;
            if position <= last {
                return broken(Broken::Wrong, format!("position {position} after {last}"));
            }
            last = position;
            let id = one.envelope_id.as_bytes();
            let message = id
                .first_chunk()
                .map_or(0, |first| u32::from_be_bytes(*first));
            let place = format!("message {message} of mailbox {number} at {position}");
            if one.envelope_id != envelope_id(message) || one.envelope != envelope(number, message)
            {
                return broken(Broken::Wrong, place);
            }
            if !self.tried.contains(&message) {
                return broken(Broken::Wrong, format!("{place} was never sent"));
            }
            if !messages.insert(message) {
                return broken(Broken::Doubled, place);
            }
            if self.deleted.contains(&position) {
                return broken(Broken::ShownAgain, place);
            }
            let known = self.stored.get(&position);
            if known.is_some_and(|known| *known != message) {
                return broken(Broken::UsedTwice, format!("{place}: another one was there"));
            }
            positions.insert(position);
        }
        for (position, message) in &self.stored {
            if !positions.contains(position) && !self.deleting.contains(position) {
                let what = format!("message {message} of mailbox {number} at {position}");
                return broken(Broken::Lost, what);
            }
        }
        Ok(messages)
    }
}
