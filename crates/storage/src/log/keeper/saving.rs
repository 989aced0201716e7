// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writing checkpoints.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::{ENTRIES_PER_LOOK, Kept, Work};
use crate::StoreError;
use crate::log::checkpoint::{self, Head};
use crate::log::record::MailboxKey;
use crate::log::segments::number_in;

impl Work {
    /// Writes the index as it is now. Steps go on meanwhile: each mailbox is written as of a place of
    /// its own, from which on its records are replayed.
    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        // One that is closed at once has packed mailboxes still.
        self.unpack(|| false)?;
        let number = self.last_checkpoint.saturating_add(1);
        let (start, forgotten, generation, before) = {
            let state = shared.state();
            (
                state.tail,
                state.index.forgotten,
                state.index.generation,
                state.appended,
            )
        };
        let mut mailboxes = Vec::new();
        let mut remembering = self.begin_remembering();
        let mut segments = BTreeSet::new();
        let mut after: Option<MailboxKey> = None;
        let mut end;
        loop {
            let mut is_last = true;
            {
                let mut state = shared.state();
                let state = &mut *state;
                end = state.tail;
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let mut looked_at = 0_usize;
                for (key, held) in state.index.mailboxes.range_mut((from, Bound::Unbounded)) {
                    checkpoint::write_mailbox(&mut mailboxes, key, held, state.tail);
                    let remembered = remembering.add(key, held);
                    segments.extend(held.entries.iter().map(|entry| entry.place.segment));
                    after = Some(*key);
                    looked_at = looked_at
                        .saturating_add(held.entries.len())
                        .saturating_add(remembered)
                        .saturating_add(16);
                    if looked_at >= ENTRIES_PER_LOOK {
                        is_last = false;
                        break;
                    }
                }
            }
            self.save_some(&mut remembering, is_last)?;
            if is_last {
                break;
            }
        }
        self.end_remembering(&remembering);
        shared.committer.wait_until_durable(end)?;
        let head = Head {
            log: shared.log,
            fingerprint_key: shared.fingerprint_key,
            number,
            start,
            durable: end,
            forgotten,
            generation,
            remembered: self.remembered.clone(),
        };
        let mut bytes = head.encode();
        bytes.append(&mut mailboxes);
        checkpoint::finish(&mut bytes);
        checkpoint::store(shared.segments.folder.as_ref(), number, &bytes)?;
        self.last_checkpoint = number;
        {
            let mut state = shared.state();
            let later = state.appended.saturating_sub(before);
            state.since_checkpoint = later;
        }
        self.kept.push_back(Kept {
            number,
            start,
            segments,
            remembered: self.remembered.clone(),
        });
        self.drop_older()?;
        if let Some(told) = shared.told.get() {
            told();
        }
        Ok(())
    }

    /// Removes the checkpoints before the newest two, and what only they listed.
    fn drop_older(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let folder = shared.segments.folder.as_ref();
        while self.kept.len() > 2 {
            self.kept.pop_front();
        }
        let oldest = self.kept.front().map_or(0, |kept| kept.number);
        let listed: BTreeSet<u32> = self
            .kept
            .iter()
            .flat_map(|kept| &kept.remembered)
            .chain(&self.remembered)
            .map(|file| file.number)
            .collect();
        for name in folder.list()? {
            let is_old = number_in(&name, "checkpoint").is_some_and(|number| number < oldest);
            let is_unlisted =
                number_in(&name, "remembered").is_some_and(|number| !listed.contains(&number));
            if is_old || is_unlisted {
                folder.remove(&name)?;
            }
        }
        Ok(())
    }
}
