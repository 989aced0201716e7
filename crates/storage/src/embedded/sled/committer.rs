// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One thread that makes batches durable: whatever is queued goes together, without a timer.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use waxwing_proto::limits::{STORE_BATCH_SIZE_MAX, STORE_VALUE_SIZE_MAX};

use super::guards::{self, failure};
use super::waking::Waker;
use super::witness::Witness;
use super::{bytes, platform};
use crate::StoreError;
use crate::embedded::format::COUNT_KEY;
use crate::embedded::key_value::{Batch, Found, KeyRange, Order, Scan, batch_size};
use crate::embedded::overlay::{Overlay, Sequence};
use crate::syncer::Syncer;

type Durable = oneshot::Receiver<Result<(), StoreError>>;

struct Request {
    sequence: Sequence,
    batch: Batch,
    done: oneshot::Sender<Result<(), StoreError>>,
}

#[derive(Default)]
struct Desk {
    overlay: Overlay,
    queue: VecDeque<Request>,
    /// The number of the last batch taken.
    last: Sequence,
    /// The number of the last batch that is durable.
    durable: Sequence,
    failed: bool,
    closing: bool,
}

/// What the store and its committer share.
pub(super) struct Shared {
    tree: RwLock<Option<sled::Db>>,
    desk: Mutex<Desk>,
    filled: Condvar,
}

impl Shared {
    pub(super) fn new(tree: sled::Db) -> Self {
        Self {
            tree: RwLock::new(Some(tree)),
            desk: Mutex::default(),
            filled: Condvar::new(),
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tree(&self) -> Result<sled::Db, StoreError> {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        tree.clone().ok_or(StoreError::Stopped)
    }

    fn running(&self) -> Result<MutexGuard<'_, Desk>, StoreError> {
        let desk = self.desk();
        if desk.failed || desk.closing {
            return Err(StoreError::Stopped);
        }
        Ok(desk)
    }

    /// Stops the store where a read failed: what is durable is unknown from here on (G6).
    fn or_stop<T>(desk: &mut Desk, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            desk.failed = true;
        }
        result
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Found, StoreError> {
        let mut desk = self.running()?;
        if let Some(found) = desk.overlay.get(key) {
            return Ok(found);
        }
        let value = self.tree()?.get(key).map_err(|error| failure(&error));
        let value = Self::or_stop(&mut desk, value)?;
        Ok(Found {
            value: value.as_ref().map(bytes),
            pending: false,
        })
    }

    pub(super) fn scan(
        &self,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Scan, StoreError> {
        let mut desk = self.running()?;
        if range.is_empty() {
            return Ok(Scan::default());
        }
        let tree = self.tree()?;
        let start = range.start.as_ref();
        let rows = match &range.end {
            Some(end) => tree.range(start..end.as_ref()),
            None => tree.range(start..),
        };
        let below = rows.map(|row| {
            row.map(|(key, value)| (bytes(&key), bytes(&value)))
                .map_err(|error| failure(&error))
        });
        let scan = desk.overlay.scan(range, order, limit, below);
        Self::or_stop(&mut desk, scan)
    }

    /// Takes a batch; `None` where there is nothing to wait for.
    pub(super) fn queue(&self, batch: Batch) -> Result<Option<Durable>, StoreError> {
        let mut desk = self.running()?;
        if batch.is_empty() && desk.durable == desk.last {
            return Ok(None);
        }
        let is_too_large = |value: &Option<bytes::Bytes>| {
            value
                .as_ref()
                .is_some_and(|value| value.len() > STORE_VALUE_SIZE_MAX)
        };
        if batch.values().any(is_too_large) {
            return Err(StoreError::Limit { what: "value" });
        }
        if !batch.is_empty() {
            desk.last = desk.last.saturating_add(1);
        }
        let sequence = desk.last;
        desk.overlay.add(sequence, &batch);
        let (done, durable) = oneshot::channel();
        desk.queue.push_back(Request {
            sequence,
            batch,
            done,
        });
        drop(desk);
        self.filled.notify_one();
        Ok(Some(durable))
    }

    /// Lets the committer end after what is queued.
    pub(super) fn close(&self) {
        self.desk().closing = true;
        self.filled.notify_one();
    }

    /// Closes sled, when the committer has ended.
    pub(super) fn drop_tree(&self) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        *tree = None;
    }

    /// Waits for requests and takes them all; `None` when the store is closed and none is left.
    fn take(&self) -> Option<VecDeque<Request>> {
        let mut desk = self.desk();
        loop {
            if !desk.queue.is_empty() {
                return Some(std::mem::take(&mut desk.queue));
            }
            if desk.closing {
                return None;
            }
            desk = self
                .filled
                .wait(desk)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that requests are durable, or that the store failed, and answers.
    fn answer(&self, requests: VecDeque<Request>, result: Result<(), StoreError>) {
        let mut desk = self.desk();
        for request in &requests {
            match result {
                Ok(()) => {
                    desk.overlay.remove(request.sequence, &request.batch);
                    desk.durable = desk.durable.max(request.sequence);
                }
                Err(_) => desk.failed = true,
            }
        }
        drop(desk);
        for request in requests {
            // Whoever asked may have gone away.
            let _gone = request.done.send(result);
        }
    }
}

/// However the committer ends, nobody waits for it for ever.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut desk = self.0.desk();
        desk.failed = true;
        // Who waits for these hears that the store has stopped.
        desk.queue.clear();
    }
}

/// Starts the committer.
pub(super) fn start(
    shared: Arc<Shared>,
    file: File,
    syncer: Arc<dyn Syncer>,
    path: PathBuf,
    mut witness: Option<Witness>,
) -> Result<JoinHandle<()>, StoreError> {
    let waker = {
        let shared = Arc::clone(&shared);
        Waker::start(move || {
            // Whether it succeeds is for the committer's own flush to say.
            let _known = shared.tree().map(|tree| tree.flush());
        })?
    };
    let thread = thread::Builder::new().name("store-committer".to_owned());
    let run = move || {
        let shared = Ending(shared);
        let shared = &shared.0;
        while let Some(requests) = shared.take() {
            let result = shared.tree().and_then(|tree| {
                let files = (&file, syncer.as_ref(), path.as_path());
                commit(&tree, &requests, (files, &waker), witness.as_mut())
            });
            if let Err(error) = result {
                tracing::error!(code = error.code(), "the store stopped: {error}");
            }
            shared.answer(requests, result);
            if result.is_err() {
                return;
            }
        }
    };
    Ok(thread.spawn(run)?)
}

/// Applies requests and makes them durable: one flush, one sync.
fn commit(
    tree: &sled::Db,
    requests: &VecDeque<Request>,
    ((file, syncer, path), waker): ((&File, &dyn Syncer, &Path), &Waker),
    mut witness: Option<&mut Witness>,
) -> Result<(), StoreError> {
    let mut merged = sled::Batch::default();
    let mut size = 0_usize;
    let mut is_empty = true;
    for request in requests.iter().filter(|request| !request.batch.is_empty()) {
        let next = batch_size(&request.batch);
        if size > 0 && size.saturating_add(next) > STORE_BATCH_SIZE_MAX {
            tree.apply_batch(std::mem::take(&mut merged))
                .map_err(|error| failure(&error))?;
            size = 0;
        }
        size = size.saturating_add(next);
        is_empty = false;
        for (key, value) in &request.batch {
            match value {
                Some(value) => merged.insert(key.as_ref(), value.as_ref()),
                None => merged.remove(key.as_ref()),
            }
        }
    }
    if is_empty {
        return Ok(());
    }
    if let Some(witness) = witness.as_mut() {
        merged.insert(COUNT_KEY, &witness.next());
    }
    tree.apply_batch(merged).map_err(|error| failure(&error))?;
    waker
        .during(|| tree.flush())
        .map_err(|error| failure(&error))?;
    // G5, the second belt: nothing should be there.
    guards::sync_blobs(path, &platform::sync_folder)?;
    // G1: sled's flush does not reach the disk; this does.
    syncer.sync(file)?;
    if let Some(witness) = witness {
        witness.note()?;
    }
    Ok(())
}
