// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Saving what mailboxes remember of envelopes that are gone: each checkpoint appends what is new to a file.
//! When the files hold twice what is still remembered, and two files more, all of it is written anew.

use std::io::IoSlice;
use std::sync::Arc;

use super::{REMEMBERED_FILE_SHARE, Work};
use crate::StoreError;
use crate::log::checkpoint::{self, RememberedFile};
use crate::log::index::Mailbox;
use crate::log::record::MailboxKey;
use crate::log::segments::remembered_name;

/// What a mailbox's part of a block takes beside 8 bytes for each envelope: its key, and their count.
const PART: u64 = 58;

/// What one checkpoint saves.
pub(super) struct Remembering {
    /// What no file has yet.
    bytes: Vec<u8>,
    /// The files that are given up when all is written anew.
    older: Option<Vec<RememberedFile>>,
    /// What all mailboxes together remember takes.
    takes: u64,
}

impl Remembering {
    /// Adds what a mailbox newly remembers, or all. Answers how many envelopes that is.
    pub(super) fn add(&mut self, key: &MailboxKey, held: &mut Mailbox) -> usize {
        if self.older.is_some() {
            held.unsaved = held.remembered.len();
        }
        checkpoint::write_remembered(&mut self.bytes, key, held);
        let count = u64::try_from(held.remembered.len()).unwrap_or(u64::MAX);
        if count > 0 {
            let takes = count.saturating_mul(8).saturating_add(PART);
            self.takes = self.takes.saturating_add(takes);
        }
        std::mem::take(&mut held.unsaved)
    }
}

impl Work {
    pub(super) fn begin_remembering(&mut self) -> Remembering {
        let lengths = self.remembered.iter().map(|file| u64::from(file.length));
        let slack = u64::from(self.remembered_file_max()).saturating_mul(2);
        let is_anew = lengths.sum::<u64>()
            > self
                .remembered_takes
                .saturating_mul(2)
                .saturating_add(slack);
        let bytes = std::mem::take(&mut self.unsaved);
        Remembering {
            // What is not saved is remembered still, or was forgotten.
            bytes: if is_anew { Vec::new() } else { bytes },
            older: is_anew.then(|| std::mem::take(&mut self.remembered)),
            takes: 0,
        }
    }

    /// Saves what has gathered when it is enough for a file, or the last.
    pub(super) fn save_some(
        &mut self,
        remembering: &mut Remembering,
        is_last: bool,
    ) -> Result<(), StoreError> {
        let enough = usize::try_from(self.remembered_file_max()).unwrap_or(usize::MAX);
        if !is_last && remembering.bytes.len() < enough {
            return Ok(());
        }
        // As late as can be: whoever was remembered meanwhile is not forgotten too early.
        let latest = self.shared.state().index.generation;
        if let Err(error) = self.save_remembered(&remembering.bytes, latest) {
            // What the file holds beyond its length is unknown: the next try takes another one.
            self.remembered_file = None;
            self.remembered.retain(|file| file.length > 0);
            if let Some(mut older) = remembering.older.take() {
                older.append(&mut self.remembered);
                self.remembered = older;
            }
            self.unsaved = std::mem::take(&mut remembering.bytes);
            return Err(error);
        }
        remembering.bytes.clear();
        Ok(())
    }

    /// Everything was saved.
    pub(super) const fn end_remembering(&mut self, remembering: &Remembering) {
        self.remembered_takes = remembering.takes;
    }

    /// From which length on what is remembered goes into another file.
    fn remembered_file_max(&self) -> u32 {
        self.shared.segments.size.div_euclid(REMEMBERED_FILE_SHARE)
    }

    /// Appends what is newly remembered to a file, and drops the files of days that are over.
    fn save_remembered(&mut self, bytes: &[u8], generation: u32) -> Result<(), StoreError> {
        self.remembered
            .retain(|file| file.generation.saturating_add(1) >= generation);
        if bytes.is_empty() {
            return Ok(());
        }
        let folder = &self.shared.segments.folder;
        let length = u32::try_from(bytes.len().saturating_add(8))
            .map_err(|_| StoreError::Bug("too much is remembered at once"))?;
        let fits = self.remembered.last().is_some_and(|file| {
            file.generation == generation && file.length < self.remembered_file_max()
        });
        let file = match (fits, &self.remembered_file) {
            (true, Some(file)) => Arc::clone(file),
            _ => {
                let number = self.next_remembered;
                self.next_remembered = number.saturating_add(1);
                let file = folder.create(&remembered_name(number))?;
                folder.sync()?;
                self.remembered.push(RememberedFile {
                    number,
                    length: 0,
                    generation,
                });
                self.remembered_file = Some(Arc::clone(&file));
                file
            }
        };
        if let Some(last) = self.remembered.last_mut() {
            let parts = [IoSlice::new(&checkpoint::block(bytes)), IoSlice::new(bytes)]
                .map(|part| part.to_vec())
                .concat();
            file.write_vectored_at(&[IoSlice::new(&parts)], last.length.into())?;
            file.sync_data()?;
            last.length = last.length.saturating_add(length);
        }
        Ok(())
    }
}
