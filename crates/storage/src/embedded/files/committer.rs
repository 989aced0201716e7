// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One thread that makes batches durable: whatever is queued goes together, without a timer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use waxwing_proto::limits::STORE_VALUE_SIZE_MAX;

use super::engine::Engine;
use crate::StoreError;
use crate::embedded::key_value::{Batch, Found, KeyRange, Order, Scan};
use crate::embedded::overlay::{Overlay, Sequence};

pub(super) type Durable = oneshot::Receiver<Result<(), StoreError>>;

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
    engine: RwLock<Option<Arc<dyn Engine>>>,
    desk: Mutex<Desk>,
    filled: Condvar,
}

impl Shared {
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine: RwLock::new(Some(engine)),
            desk: Mutex::default(),
            filled: Condvar::new(),
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engine(&self) -> Result<Arc<dyn Engine>, StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        engine.clone().ok_or(StoreError::Stopped)
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
        let value = self.engine()?.get(key);
        let value = Self::or_stop(&mut desk, value)?;
        Ok(Found {
            value,
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
        let engine = self.engine()?;
        let scan = engine
            .range(range)
            .and_then(|below| desk.overlay.scan(range, order, limit, below));
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

    /// Closes the engine, when the committer has ended.
    pub(super) fn drop_engine(&self) {
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        *engine = None;
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
pub(super) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, StoreError> {
    let thread = thread::Builder::new().name("store-committer".to_owned());
    let run = move || {
        let shared = Ending(shared);
        let shared = &shared.0;
        while let Some(requests) = shared.take() {
            let result = shared
                .engine()
                .and_then(|engine| commit(engine.as_ref(), &requests));
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

/// Makes requests durable together.
fn commit(engine: &dyn Engine, requests: &VecDeque<Request>) -> Result<(), StoreError> {
    let batches: Vec<&Batch> = requests
        .iter()
        .map(|request| &request.batch)
        .filter(|batch| !batch.is_empty())
        .collect();
    if batches.is_empty() {
        return Ok(());
    }
    engine.commit(&batches)
}
