// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rows that are durable in the log, and in sled a little later.

use core::future::Future;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha256};
use waxwing_proto::limits::{LOG_QUEUE_RETRY_MS, STORE_BATCH_SIZE_MAX, STORE_VALUE_SIZE_MAX};

use super::{Routes, decode, encode, position_of, position_value};
use crate::StoreError;
use crate::embedded::files::{FileKeyValue, FileOptions};
use crate::embedded::format::POSITION_KEY;
use crate::embedded::key_value::{
    Batch, Found, KeyRange, KeyValue, MailboxChange, Order, Scan, batch_size,
};
use crate::embedded::overlay::{Overlay, Sequence};
use crate::embedded::server::ServerOptions;
use crate::log::disk::DiskFolder;
use crate::log::file::LogFolder;
use crate::log::{
    Change, Committed, DeliveryLog, Group, LogOptions, LogPosition, MailboxKey, Opened,
};

/// How many bytes of batches may wait for sled; then steps are put off.
const WAITING_MAX: usize = 32 * 1024 * 1024;

struct Waiting {
    sequence: Sequence,
    batch: Batch,
    size: usize,
    /// The log's position after the batch.
    end: LogPosition,
}

#[derive(Default)]
struct Desk {
    /// What is in the log and not in sled.
    overlay: Overlay,
    queue: VecDeque<Waiting>,
    queued_bytes: usize,
    last: Sequence,
    failed: bool,
    closing: bool,
}

struct Shared {
    desk: Mutex<Desk>,
    filled: Condvar,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<MutexGuard<'_, Desk>, StoreError> {
        let desk = self.desk();
        if desk.failed || desk.closing {
            return Err(StoreError::Stopped);
        }
        Ok(desk)
    }
}

/// Rows in sled behind the delivery log.
pub struct LoggedKeyValue {
    shared: Arc<Shared>,
    routes: Routes,
    writer: Option<JoinHandle<()>>,
    log: Option<Arc<DeliveryLog>>,
    /// Closed last, and with it the lock of the folder.
    sled: Option<Arc<FileKeyValue>>,
}

impl LoggedKeyValue {
    /// Opens the log in `folder` before `sled`, and gives sled what only the log has.
    /// `is_made` says that the log was made before: one that is not there then is damage.
    pub(in crate::embedded) async fn open(
        sled: FileKeyValue,
        folder: &Path,
        options: &ServerOptions,
        is_made: bool,
        files: &FileOptions,
    ) -> Result<Self, StoreError> {
        let folder = log_folder(folder, files)?;
        if is_made && folder.list()?.is_empty() {
            return Err(StoreError::Corrupt { what: "log" });
        }
        let position = match sled.get(POSITION_KEY)?.value {
            Some(value) => position_of(&value)?,
            None => LogPosition(0),
        };
        let mut options = log_options(options, files);
        options.tables_from = position;
        let Opened {
            log,
            damage,
            tables,
        } = DeliveryLog::open(folder, &options)?;
        if !damage.is_empty() {
            tracing::error!(
                code = "store_corrupt",
                places = damage.len(),
                "parts of the delivery log are damaged; `waxwingd verify` says which"
            );
        }
        let mut caught_up = position;
        for (end, rows) in tables {
            let mut batch = decode(&rows)?;
            batch.insert(POSITION_KEY.into(), Some(position_value(end)));
            drop(sled.apply(batch));
            caught_up = end;
        }
        sled.apply(Batch::new()).await?;
        log.keep_tables_from(caught_up);
        let (log, sled) = (Arc::new(log), Arc::new(sled));
        let shared = Arc::new(Shared {
            desk: Mutex::default(),
            filled: Condvar::new(),
        });
        let writer = {
            let (shared, log, sled) = (Arc::clone(&shared), Arc::clone(&log), Arc::clone(&sled));
            thread::Builder::new()
                .name("store-tables".to_owned())
                .spawn(move || write_behind(&shared, &log, &sled))?
        };
        Ok(Self {
            shared,
            routes: Routes::default(),
            writer: Some(writer),
            log: Some(log),
            sled: Some(sled),
        })
    }

    fn log(&self) -> Result<&DeliveryLog, StoreError> {
        self.log.as_deref().ok_or(StoreError::Stopped)
    }

    fn sled(&self) -> Result<&FileKeyValue, StoreError> {
        self.sled.as_deref().ok_or(StoreError::Stopped)
    }

    fn commit(&self, batch: Batch, changes: Vec<MailboxChange>) -> Result<Committed, StoreError> {
        let is_too_large = |value: &Option<bytes::Bytes>| {
            value
                .as_ref()
                .is_some_and(|value| value.len() > STORE_VALUE_SIZE_MAX)
        };
        if batch.values().any(is_too_large) {
            return Err(StoreError::Limit { what: "value" });
        }
        let mut group: Group = changes.into_iter().map(change).collect();
        if !batch.is_empty() {
            group.push(Change::Tables(encode(&batch)));
        }
        let mut desk = self.shared.running()?;
        let turn = self.log()?.turn()?;
        let committed = turn.commit(group)?;
        if !batch.is_empty() {
            desk.last = desk.last.saturating_add(1);
            let sequence = desk.last;
            desk.overlay.add(sequence, &batch);
            self.routes.forget(&batch);
            let size = batch_size(&batch);
            desk.queued_bytes = desk.queued_bytes.saturating_add(size);
            desk.queue.push_back(Waiting {
                sequence,
                batch,
                size,
                end: committed.end,
            });
            drop(desk);
            self.shared.filled.notify_all();
        }
        Ok(committed)
    }
}

impl Drop for LoggedKeyValue {
    /// Gives sled everything, then closes the log and sled.
    fn drop(&mut self) {
        self.shared.desk().closing = true;
        self.shared.filled.notify_all();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(code = "store_bug", "the writer of the tables panicked");
        }
        self.log = None;
        self.sled = None;
    }
}

/// Opens a log that nothing is in yet.
pub(in crate::embedded) fn open_log(
    folder: &Path,
    options: &ServerOptions,
    files: &FileOptions,
) -> Result<DeliveryLog, StoreError> {
    let folder = log_folder(folder, files)?;
    let options = log_options(options, files);
    Ok(DeliveryLog::open(folder, &options)?.log)
}

fn log_folder(folder: &Path, files: &FileOptions) -> Result<Arc<dyn LogFolder>, StoreError> {
    let syncer = Arc::clone(&files.log_syncer);
    Ok(Arc::new(DiskFolder::with_syncer(folder, syncer)?))
}

fn log_options(server: &ServerOptions, files: &FileOptions) -> LogOptions {
    let mut options = LogOptions::new(log_entropy(&server.new_name_key));
    options.remembered_max = server.limits.remembered_envelope_ids_max;
    if let Some(size) = files.segment_size {
        options.segment_size = size;
    }
    options
}

/// The log's own random bytes: the store's key of names is not to be told from them.
fn log_entropy(entropy: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"waxwing delivery log")
        .chain_update(entropy)
        .finalize()
        .into()
}

fn change(change: MailboxChange) -> Change {
    match change {
        MailboxChange::RemoveAccount(account) => Change::RemoveAccount(account),
        MailboxChange::RemoveMailbox(account, device) => {
            Change::RemoveMailbox(MailboxKey { account, device })
        }
        MailboxChange::Acknowledge(account, device, positions) => {
            Change::Acknowledge(MailboxKey { account, device }, positions)
        }
    }
}

/// Gives sled what is durable in the log, until the store is closed or anything fails.
fn write_behind(shared: &Shared, log: &DeliveryLog, sled: &FileKeyValue) {
    loop {
        let some = {
            let mut desk = shared.desk();
            while desk.queue.is_empty() && !desk.closing {
                desk = shared
                    .filled
                    .wait(desk)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if desk.queue.is_empty() {
                return;
            }
            take_some(&mut desk)
        };
        if let Err(error) = write_some(log, sled, &some) {
            tracing::error!(code = error.code(), "the store stopped: {error}");
            shared.desk().failed = true;
            return;
        }
        let mut desk = shared.desk();
        for waiting in &some {
            desk.overlay.remove(waiting.sequence, &waiting.batch);
            desk.queued_bytes = desk.queued_bytes.saturating_sub(waiting.size);
        }
        drop(desk);
        shared.filled.notify_all();
    }
}

/// Batches that go to sled as one: at least one, and no more than sled takes at a time.
fn take_some(desk: &mut Desk) -> Vec<Waiting> {
    let mut size = 0_usize;
    let mut some = Vec::new();
    while let Some(next) = desk.queue.front() {
        size = size.saturating_add(next.size);
        if size > STORE_BATCH_SIZE_MAX && !some.is_empty() {
            break;
        }
        some.extend(desk.queue.pop_front());
    }
    some
}

fn write_some(log: &DeliveryLog, sled: &FileKeyValue, some: &[Waiting]) -> Result<(), StoreError> {
    let Some(end) = some.last().map(|waiting| waiting.end) else {
        return Ok(());
    };
    // sled is never ahead of the log: what a power cut takes from the log must not be left here.
    log.wait_until_durable(end)?;
    let mut merged = Batch::new();
    for waiting in some {
        merged.extend(
            waiting
                .batch
                .iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    merged.insert(POSITION_KEY.into(), Some(position_value(end)));
    sled.apply_blocking(merged)?;
    log.keep_tables_from(end);
    Ok(())
}

impl KeyValue for LoggedKeyValue {
    fn get(&self, key: &[u8]) -> Result<Found, StoreError> {
        let desk = self.shared.running()?;
        match desk.overlay.get(key) {
            Some(found) => Ok(found),
            // What sled has not synced yet is durable in the log.
            None => Ok(Found {
                pending: false,
                ..self.sled()?.get(key)?
            }),
        }
    }

    fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Scan, StoreError> {
        let desk = self.shared.running()?;
        let hidden = desk.overlay.hidden_in(range);
        let below = self
            .sled()?
            .scan(range, order, limit.saturating_add(hidden))?;
        let mut rows: Vec<_> = below
            .rows
            .into_iter()
            .map(|row| Ok((row.key, row.value)))
            .collect();
        if order == Order::Descending {
            rows.reverse();
        }
        desk.overlay.scan(range, order, limit, rows.into_iter())
    }

    fn apply(&self, batch: Batch) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        self.apply_with(batch, Vec::new())
    }

    fn admit(&self) -> Result<(), StoreError> {
        if self.shared.running()?.queued_bytes > WAITING_MAX {
            return Err(StoreError::Busy {
                retry_after_ms: LOG_QUEUE_RETRY_MS,
            });
        }
        self.log()?.admit()
    }

    fn delivery_log(&self) -> Option<&DeliveryLog> {
        self.log.as_deref()
    }

    fn routes(&self) -> Option<&Routes> {
        Some(&self.routes)
    }

    fn apply_with(
        &self,
        batch: Batch,
        changes: Vec<MailboxChange>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let committed = self.commit(batch, changes);
        async move { committed?.durable().await }
    }
}
