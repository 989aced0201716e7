// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rows in files as the key-value seam wants them: an engine behind a committer.

use core::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::FileOptions;
use super::committer::{self, Durable, Shared};
use super::engine::{Engine, EngineKind};
use super::folder::Folder;
use super::panics::{Guarded, Site};
#[cfg(feature = "redb")]
use super::redb::RedbEngine;
use super::sled::SledEngine;
use crate::StoreError;
use crate::embedded::key_value::{Batch, Found, KeyRange, KeyValue, MailboxChange, Order, Scan};

/// Rows in files.
pub struct FileKeyValue {
    is_behind: bool,
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
    /// Holds the lock of the folder; dropped after the engine.
    folder: Option<Folder>,
}

impl FileKeyValue {
    pub(in crate::embedded) fn open(path: &Path, files: &FileOptions) -> Result<Self, StoreError> {
        Self::open_with(path, files, None)
    }

    /// `witnessed` is where the engine's number of commits is noted, for an engine that may lose some.
    pub(super) fn open_with(
        path: &Path,
        files: &FileOptions,
        witnessed: Option<&Path>,
    ) -> Result<Self, StoreError> {
        let site = Site::new(files.engine.name(), path);
        let (engine, is_behind) = site.enter(|| engine(path, files, witnessed))?;
        if is_behind {
            tracing::error!(code = "store_corrupt", "sled has lost commits");
        }
        Self::start(Arc::new(Guarded::new(engine, site)), is_behind)
    }

    /// Puts a committer before an engine.
    pub(super) fn start(engine: Arc<dyn Engine>, is_behind: bool) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(engine));
        let committer = committer::start(Arc::clone(&shared))?;
        Ok(Self {
            is_behind,
            shared,
            committer: Some(committer),
            folder: None,
        })
    }

    /// Keeps the folder locked as long as the rows are open.
    pub(super) fn hold(&mut self, folder: Folder) {
        self.folder = Some(folder);
    }

    /// Takes a batch and returns when it is durable. Blocks the thread.
    pub(in crate::embedded) fn apply_blocking(&self, batch: Batch) -> Result<(), StoreError> {
        match self.shared.queue(batch)? {
            Some(durable) => durable.blocking_recv().unwrap_or(Err(StoreError::Stopped)),
            None => Ok(()),
        }
    }
}

/// Opens an engine. Answers whether it has lost commits.
fn engine(
    path: &Path,
    files: &FileOptions,
    witnessed: Option<&Path>,
) -> Result<(Box<dyn Engine>, bool), StoreError> {
    Ok(match files.engine {
        EngineKind::Sled => {
            let (engine, is_behind) = SledEngine::open(path, files, witnessed)?;
            (Box::new(engine), is_behind)
        }
        #[cfg(feature = "redb")]
        EngineKind::Redb => (Box::new(RedbEngine::open(path, files)?), false),
    })
}

impl Drop for FileKeyValue {
    /// Makes everything durable that was queued, and closes the files.
    fn drop(&mut self) {
        self.shared.close();
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!(code = "store_bug", "the committer panicked");
        }
        self.shared.drop_engine();
        self.folder = None;
    }
}

/// Resolves when a batch is durable.
async fn settled(queued: Option<Durable>) -> Result<(), StoreError> {
    match queued {
        Some(durable) => durable.await.unwrap_or(Err(StoreError::Stopped)),
        None => Ok(()),
    }
}

impl KeyValue for FileKeyValue {
    fn is_behind(&self) -> bool {
        self.is_behind
    }

    fn get(&self, key: &[u8]) -> Result<Found, StoreError> {
        self.shared.get(key)
    }

    fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Scan, StoreError> {
        self.shared.scan(range, order, limit)
    }

    fn apply(&self, batch: Batch) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let queued = self.shared.queue(batch);
        async move { settled(queued?).await }
    }

    fn apply_with(
        &self,
        batch: Batch,
        _: Vec<MailboxChange>,
    ) -> Result<impl Future<Output = Result<(), StoreError>> + Send + use<>, StoreError> {
        Ok(settled(self.shared.queue(batch)?))
    }
}
