// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Write before send, in one place: every effect waits for everything that was staged before it.
//!
//! A turn of the engine stages row changes and effects. [`Journal::checkpoint`] turns the changes
//! into one batch, puts its commit first and lets every effect of the turn name it. So no code has to
//! remember which batch its ciphertext depends on, and none can forget it.

use std::collections::{BTreeMap, VecDeque};

use zeroize::Zeroizing;

use crate::effect::Effect;
use crate::row::{Batch, BatchId, RowKey, RowWrite};

/// A batch is closed at the next safe point once it is this large, in bytes. What one step adds to it,
/// an envelope with its content and a copy of that, stays far below the bound of a batch.
const BATCH_SIZE_SOFT: usize = 48 * 1024;

/// Staged changes and effects, and the queue of what the host has not polled yet.
#[derive(Default)]
pub(crate) struct Journal {
    staged: BTreeMap<RowKey, Option<Zeroizing<Vec<u8>>>>,
    staged_size: usize,
    held: Vec<Effect>,
    ready: VecDeque<Effect>,
    last_batch: Option<BatchId>,
}

impl Journal {
    /// Stages a row.
    pub(crate) fn put(&mut self, key: RowKey, value: Zeroizing<Vec<u8>>) {
        self.staged_size = self
            .staged_size
            .saturating_add(value.len())
            .saturating_add(96);
        self.staged.insert(key, Some(value));
    }

    /// Stages the deletion of a row.
    pub(crate) fn delete(&mut self, key: RowKey) {
        self.staged_size = self.staged_size.saturating_add(96);
        self.staged.insert(key, None);
    }

    /// Adds an effect. What it waits for is filled in at the next checkpoint.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.held.push(effect);
    }

    /// Whether a safe point should close the batch.
    pub(crate) fn is_large(&self) -> bool {
        self.staged_size >= BATCH_SIZE_SOFT
    }

    /// Closes the batch. Everything staged so far must be a state from which a restart goes on.
    pub(crate) fn checkpoint(&mut self) {
        // SES-39, BOX-21.
        if !self.staged.is_empty() {
            let id = BatchId(self.last_batch.map_or(0, |id| id.0).saturating_add(1));
            let writes = core::mem::take(&mut self.staged)
                .into_iter()
                .map(|(key, value)| RowWrite { key, value })
                .collect();
            self.staged_size = 0;
            self.last_batch = Some(id);
            self.ready.push_back(Effect::Commit(Batch { id, writes }));
        }
        for mut effect in self.held.drain(..) {
            match &mut effect {
                Effect::Request { after, .. }
                | Effect::Acknowledge { after, .. }
                | Effect::Answer { after, .. }
                | Effect::Notify { after, .. } => *after = self.last_batch,
                Effect::Commit(_)
                | Effect::Load { .. }
                | Effect::Connect(_)
                | Effect::KeyPins(_)
                | Effect::Disconnect
                | Effect::Subscribe => {}
            }
            self.ready.push_back(effect);
        }
    }

    /// The next effect for the host.
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Table;

    fn key(order: u64) -> RowKey {
        RowKey {
            table: Table::Outbox,
            scope: Vec::new(),
            order,
        }
    }

    /// [BOX-21].
    #[test]
    fn an_effect_names_the_batch_of_its_turn_even_when_it_was_pushed_first() {
        let mut journal = Journal::default();
        journal.push(Effect::Acknowledge {
            after: None,
            up_to: 1,
            positions: vec![],
        });
        journal.put(key(1), Zeroizing::new(vec![1]));
        journal.checkpoint();
        assert!(matches!(journal.poll(), Some(Effect::Commit(batch)) if batch.id == BatchId(1)));
        assert!(matches!(
            journal.poll(),
            Some(Effect::Acknowledge {
                after: Some(BatchId(1)),
                ..
            })
        ));
        assert!(journal.poll().is_none());
    }

    #[test]
    fn the_last_change_of_a_key_wins() {
        let mut journal = Journal::default();
        journal.put(key(1), Zeroizing::new(vec![1]));
        journal.delete(key(1));
        journal.checkpoint();
        let Some(Effect::Commit(batch)) = journal.poll() else {
            panic!("a commit");
        };
        assert_eq!(batch.writes.len(), 1);
        assert!(batch.writes[0].value.is_none());
    }
}
