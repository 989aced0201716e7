// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk in memory: what is synced, what is not, crashes, faults, and a sync that takes as long
//! as the caller's hook says. Deterministic; for the simulator and for tests.

use core::future::Future;
use core::pin::Pin;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::key_value::{Batch, Found, KeyRange, KeyValue, Order, Scan};
use super::overlay::{Overlay, Sequence};
use crate::StoreError;

/// How long one sync takes.
pub trait SyncLatency: Send + Sync + 'static {
    /// Resolves when the sync that begins now may end.
    fn wait(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A sync that takes no time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Immediate;

impl SyncLatency for Immediate {
    fn wait(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(core::future::ready(()))
    }
}

impl<F> SyncLatency for F
where
    F: Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static,
{
    fn wait(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self()
    }
}

/// What goes wrong at every sync from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The sync fails with an I/O error.
    SyncFails,
    /// No space is left.
    DiskFull,
    /// The sync says that it succeeded and made nothing durable: a planted fault that a checker of
    /// durability has to find.
    SyncLies,
}

#[derive(Debug, Default)]
struct Disk {
    durable: BTreeMap<Bytes, Bytes>,
    overlay: Overlay,
    /// Batches that are not durable, oldest first.
    unsynced: VecDeque<(Sequence, Batch)>,
    /// The number of the last batch taken.
    last: Sequence,
    /// Grows with every crash; a store opened before a crash is dead after it.
    epoch: u64,
    open: bool,
    stopped: bool,
    fault: Option<Fault>,
    syncs: u64,
}

impl Disk {
    /// Makes the oldest batch durable.
    fn settle(&mut self) {
        if let Some((sequence, batch)) = self.unsynced.pop_front() {
            self.overlay.remove(sequence, &batch);
            for (key, value) in batch {
                match value {
                    Some(value) => self.durable.insert(key, value),
                    None => self.durable.remove(&key),
                };
            }
        }
    }

    fn check(&self, epoch: u64) -> Result<(), StoreError> {
        if self.epoch == epoch && !self.stopped {
            Ok(())
        } else {
            Err(StoreError::Stopped)
        }
    }

    fn sync(&mut self, epoch: u64, sequence: Sequence) -> Result<(), StoreError> {
        self.check(epoch)?;
        let is_due =
            |front: Option<&(Sequence, Batch)>| front.is_some_and(|(at, _)| *at <= sequence);
        if !is_due(self.unsynced.front()) {
            return Ok(());
        }
        match self.fault {
            Some(Fault::SyncLies) => return Ok(()),
            Some(fault) => {
                self.stopped = true;
                return Err(match fault {
                    Fault::DiskFull => StoreError::DiskFull,
                    Fault::SyncFails | Fault::SyncLies => StoreError::Io {
                        kind: std::io::ErrorKind::Other,
                    },
                });
            }
            None => self.syncs = self.syncs.saturating_add(1),
        }
        while is_due(self.unsynced.front()) {
            self.settle();
        }
        Ok(())
    }
}

/// A disk that outlives the stores opened on it. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the disk.
    ///
    /// # Errors
    /// [`StoreError::StoreInUse`] while a store on it is open and has not crashed.
    pub fn open(&self, latency: Arc<dyn SyncLatency>) -> Result<MemoryKeyValue, StoreError> {
        let mut disk = self.lock()?;
        if disk.open {
            return Err(StoreError::StoreInUse);
        }
        disk.open = true;
        disk.stopped = false;
        Ok(MemoryKeyValue {
            disk: self.clone(),
            epoch: disk.epoch,
            latency,
        })
    }

    /// Cuts the power: the store opened on the disk is dead, and of the batches that were not
    /// synced the oldest `kept` survive, because a disk may have written them on its own.
    /// `usize::MAX` is the death of the process alone. Answers how many were lost. Call it
    /// before the tasks of the store are dropped or after, it makes no difference.
    pub fn crash(&self, kept: usize) -> usize {
        let Ok(mut disk) = self.lock() else {
            return 0;
        };
        for _ in 0..kept.min(disk.unsynced.len()) {
            disk.settle();
        }
        let lost = disk.unsynced.len();
        disk.unsynced.clear();
        disk.overlay.clear();
        disk.epoch = disk.epoch.wrapping_add(1);
        disk.open = false;
        lost
    }

    /// Sets what goes wrong from now on; `None` for nothing.
    pub fn set_fault(&self, fault: Option<Fault>) {
        if let Ok(mut disk) = self.lock() {
            disk.fault = fault;
        }
    }

    /// How many batches a crash could lose now.
    #[must_use]
    pub fn unsynced_count(&self) -> usize {
        self.lock().map_or(0, |disk| disk.unsynced.len())
    }

    /// How many syncs have made something durable.
    #[must_use]
    pub fn sync_count(&self) -> u64 {
        self.lock().map_or(0, |disk| disk.syncs)
    }

    /// Every row on the disk, synced and not.
    #[must_use]
    pub fn rows(&self) -> Vec<(Bytes, Bytes)> {
        self.lock().map_or_else(
            |_| Vec::new(),
            |disk| {
                disk.durable
                    .iter()
                    .chain(disk.overlay.rows())
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect()
            },
        )
    }

    /// Whether a row's key or value contains these bytes. Values over 5 KiB lie in several rows.
    #[must_use]
    pub fn contains(&self, needle: &[u8]) -> bool {
        let holds = |hay: &[u8]| {
            !needle.is_empty() && hay.windows(needle.len()).any(|window| window == needle)
        };
        self.rows()
            .iter()
            .any(|(key, value)| holds(key) || holds(value))
    }

    /// Writes a row as it stands, past every check: to damage a store in a test, or to load one.
    pub fn write_raw(&self, key: Bytes, value: Bytes) {
        if let Ok(mut disk) = self.lock() {
            disk.durable.insert(key, value);
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, Disk>, StoreError> {
        self.0
            .lock()
            .map_err(|_| StoreError::Bug("the memory disk is poisoned"))
    }
}

/// A [`MemoryDisk`] that is open.
pub struct MemoryKeyValue {
    disk: MemoryDisk,
    epoch: u64,
    latency: Arc<dyn SyncLatency>,
}

impl Drop for MemoryKeyValue {
    fn drop(&mut self) {
        if let Ok(mut disk) = self.disk.lock()
            && disk.epoch == self.epoch
        {
            disk.open = false;
        }
    }
}

impl KeyValue for MemoryKeyValue {
    fn get(&self, key: &[u8]) -> Result<Found, StoreError> {
        let disk = self.disk.lock()?;
        disk.check(self.epoch)?;
        Ok(disk.overlay.get(key).unwrap_or_else(|| Found {
            value: disk.durable.get(key).cloned(),
            pending: false,
        }))
    }

    fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Scan, StoreError> {
        let disk = self.disk.lock()?;
        disk.check(self.epoch)?;
        if range.is_empty() {
            return Ok(Scan::default());
        }
        let end = range.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let below = disk
            .durable
            .range((Bound::Included(range.start.clone()), end))
            .map(|(key, value)| Ok((key.clone(), value.clone())));
        disk.overlay.scan(range, order, limit, below)
    }

    fn apply(&self, batch: Batch) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let disk = self.disk.clone();
        let epoch = self.epoch;
        let latency = Arc::clone(&self.latency);
        let taken = take(&disk, epoch, batch);
        async move {
            if let Some(sequence) = taken? {
                latency.wait().await;
                disk.lock()?.sync(epoch, sequence)?;
            }
            Ok(())
        }
    }
}

/// Queues a batch and answers up to which one a sync is needed, if any is.
fn take(disk: &MemoryDisk, epoch: u64, batch: Batch) -> Result<Option<Sequence>, StoreError> {
    let mut disk = disk.lock()?;
    disk.check(epoch)?;
    if !batch.is_empty() {
        disk.last = disk.last.wrapping_add(1);
        let sequence = disk.last;
        disk.overlay.add(sequence, &batch);
        disk.unsynced.push_back((sequence, batch));
    }
    Ok(disk.unsynced.back().map(|(sequence, _)| *sequence))
}

#[cfg(test)]
mod tests;
