// SPDX-License-Identifier: Apache-2.0 OR MIT
//! sled 0.34.7 with guards, since its `flush` alone is no durability.
//!
//! One tree. Guards by number, from the audit of sled 0.34.7's source:
//! G1 the `fdatasync` of a second handle of `db`; G2 new files are synced before anything is
//! acknowledged, and torn ones of a store that never was are set aside; G3 half-written snapshots are deleted before opening; G4 a bad snapshot is moved
//! aside once; G5 no row is so large that sled would put a page into a file that it never syncs;
//! G6 the first error of any kind stops the store for good; G7 a flush that sled would let wait for
//! ever after an error is woken.

mod guards;
mod waking;
mod witness;

pub(in crate::embedded) use self::guards::open_when_unlocked;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use waxwing_proto::limits::STORE_BATCH_SIZE_MAX;

use self::guards::failure;
use self::waking::Waker;
use self::witness::Witness;
use super::FileOptions;
use super::engine::{Engine, Rows};
use crate::StoreError;
use crate::embedded::format::COUNT_KEY;
use crate::embedded::key_value::{Batch, KeyRange, batch_size};
use crate::platform;
use crate::syncer::Syncer;

/// sled, guarded.
pub(super) struct SledEngine {
    tree: sled::Db,
    /// The second handle of its file (G1).
    file: File,
    path: PathBuf,
    syncer: Arc<dyn Syncer>,
    witness: Option<Mutex<Witness>>,
    waker: Waker,
}

impl SledEngine {
    /// Opens the files in `path`, with a witness in `witnessed` if there is to be one. Answers whether
    /// sled has lost commits.
    pub(super) fn open(
        path: &Path,
        files: &FileOptions,
        witnessed: Option<&Path>,
    ) -> Result<(Self, bool), StoreError> {
        let (tree, file) = guards::open(path, files.cache_bytes, files.syncer.as_ref())?;
        let witness = match witnessed {
            Some(folder) => {
                let count = tree.get(COUNT_KEY).map_err(|error| failure(&error))?;
                Some(Witness::open(folder, count.as_deref())?)
            }
            None => None,
        };
        let is_behind = witness.as_ref().is_some_and(Witness::is_behind);
        let waker = {
            let tree = tree.clone();
            Waker::start(move || {
                // Whether it succeeds is for the committer's own flush to say.
                let _known = tree.flush();
            })?
        };
        let engine = Self {
            tree,
            file,
            path: path.to_owned(),
            syncer: Arc::clone(&files.syncer),
            witness: witness.map(Mutex::new),
            waker,
        };
        Ok((engine, is_behind))
    }

    fn apply(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.tree
            .apply_batch(batch)
            .map_err(|error| failure(&error))
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.tree.get(key).map_err(|error| failure(&error))?;
        Ok(value.as_ref().map(bytes))
    }

    fn range<'a>(&'a self, range: &KeyRange) -> Result<Rows<'a>, StoreError> {
        let start = range.start.as_ref();
        let rows = match &range.end {
            Some(end) => self.tree.range(start..end.as_ref()),
            None => self.tree.range(start..),
        };
        Ok(Box::new(rows.map(|row| {
            row.map(|(key, value)| (bytes(&key), bytes(&value)))
                .map_err(|error| failure(&error))
        })))
    }

    /// One flush, one sync.
    fn commit(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        let mut witness = self
            .witness
            .as_ref()
            .map(|witness| witness.lock().unwrap_or_else(PoisonError::into_inner));
        let mut merged = sled::Batch::default();
        let mut size = 0_usize;
        for batch in batches {
            let next = batch_size(batch);
            if size > 0 && size.saturating_add(next) > STORE_BATCH_SIZE_MAX {
                self.apply(std::mem::take(&mut merged))?;
                size = 0;
            }
            size = size.saturating_add(next);
            for (key, value) in *batch {
                match value {
                    Some(value) => merged.insert(key.as_ref(), value.as_ref()),
                    None => merged.remove(key.as_ref()),
                }
            }
        }
        if let Some(witness) = witness.as_mut() {
            merged.insert(COUNT_KEY, &witness.next());
        }
        self.apply(merged)?;
        self.waker
            .during(|| self.tree.flush())
            .map_err(|error| failure(&error))?;
        // G5, the second belt: nothing should be there.
        guards::sync_blobs(&self.path, &platform::sync_folder)?;
        // G1: sled's flush does not reach the disk; this does.
        self.syncer.sync(&self.file)?;
        if let Some(witness) = witness {
            witness.note()?;
        }
        Ok(())
    }
}

fn bytes(value: &sled::IVec) -> Bytes {
    Bytes::copy_from_slice(value)
}
