// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rows that are durable in the log, and in journal and engine a little later.

use core::future::Future;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use waxwing_proto::limits::{LOG_QUEUE_RETRY_MS, STORE_BATCH_SIZE_MAX, STORE_VALUE_SIZE_MAX};

use super::journal::Journal;
use super::{Routes, encode, position_value};
use crate::StoreError;
use crate::embedded::files::FileKeyValue;
use crate::embedded::format::POSITION_KEY;
use crate::embedded::key_value::{
    Batch, Found, KeyRange, KeyValue, MailboxChange, Order, Scan, batch_size,
};
use crate::embedded::overlay::{Overlay, Sequence};
use crate::log::{Change, Committed, DeliveryLog, Group, LogPosition, MailboxKey, Turn};

/// How many bytes of batches may wait for the engine; then steps are put off.
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
    /// What is in the log and not in the engine.
    overlay: Overlay,
    queue: VecDeque<Waiting>,
    last: Sequence,
    /// Whether the journal is to be written anew.
    is_journal_due: bool,
    /// Whether it is to be noted how far the rows are.
    is_note_due: bool,
    failed: bool,
    closing: bool,
}

struct Shared {
    desk: Mutex<Desk>,
    filled: Condvar,
    /// What the desk says, for those who only look.
    queued_bytes: AtomicUsize,
    stopped: AtomicBool,
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

/// Rows in an engine behind the delivery log.
pub struct LoggedKeyValue {
    shared: Arc<Shared>,
    routes: Routes,
    writer: Option<JoinHandle<()>>,
    log: Option<Arc<DeliveryLog>>,
    /// Closed last, and with it the lock of the folder.
    rows: Option<Arc<FileKeyValue>>,
}

impl LoggedKeyValue {
    /// Takes a log, rows and a journal that are as far as each other.
    pub(super) fn start(
        log: DeliveryLog,
        rows: FileKeyValue,
        journal: Journal,
    ) -> Result<Self, StoreError> {
        let (log, rows) = (Arc::new(log), Arc::new(rows));
        let shared = Arc::new(Shared {
            desk: Mutex::default(),
            filled: Condvar::new(),
            queued_bytes: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let told = Arc::clone(&shared);
        log.on_checkpoint(Box::new(move || {
            told.desk().is_note_due = true;
            told.filled.notify_all();
        }));
        let writer = {
            let (shared, log, rows) = (Arc::clone(&shared), Arc::clone(&log), Arc::clone(&rows));
            thread::Builder::new()
                .name("store-tables".to_owned())
                .spawn(move || write_behind(&shared, &Below { log, rows }, journal))?
        };
        Ok(Self {
            shared,
            routes: Routes::default(),
            writer: Some(writer),
            log: Some(log),
            rows: Some(rows),
        })
    }

    fn log(&self) -> Result<&DeliveryLog, StoreError> {
        self.log.as_deref().ok_or(StoreError::Stopped)
    }

    fn rows(&self) -> Result<&FileKeyValue, StoreError> {
        self.rows.as_deref().ok_or(StoreError::Stopped)
    }

    /// Commits where `holds` says so of what the mailboxes hold; `None` where nothing was done.
    fn commit(
        &self,
        batch: Batch,
        changes: Vec<MailboxChange>,
        holds: impl FnOnce(&mut Turn<'_>) -> Result<bool, StoreError>,
    ) -> Result<Option<Committed>, StoreError> {
        let is_too_large = |value: &Option<bytes::Bytes>| {
            value
                .as_ref()
                .is_some_and(|value| value.len() > STORE_VALUE_SIZE_MAX)
        };
        if batch.values().any(is_too_large) {
            return Err(StoreError::Limit { what: "value" });
        }
        // BOX-74. Every change of a mailbox here takes something out of it.
        let frees = !changes.is_empty() || batch.values().all(Option::is_none);
        let mut group: Group = changes.into_iter().map(change).collect();
        match batch.is_empty() {
            true => {}
            false if frees => group.push(Change::FreeingTables(encode(&batch))),
            false => group.push(Change::Tables(encode(&batch))),
        }
        let mut desk = self.shared.running()?;
        let mut turn = self.log()?.turn()?;
        if !holds(&mut turn)? {
            return Ok(None);
        }
        // Whoever decides in the next turn sees that rows have changed.
        self.routes.forget(&batch);
        let committed = turn.commit(group)?;
        if !batch.is_empty() {
            desk.last = desk.last.saturating_add(1);
            let sequence = desk.last;
            desk.overlay.add(sequence, &batch);
            // And what was read of the rows before this is not kept.
            self.routes.forget(&batch);
            let size = batch_size(&batch);
            self.shared.queued_bytes.fetch_add(size, Ordering::Relaxed);
            desk.queue.push_back(Waiting {
                sequence,
                batch,
                size,
                end: committed.end,
            });
            drop(desk);
            self.shared.filled.notify_all();
        }
        Ok(Some(committed))
    }
}

/// Resolves when what was committed is durable.
async fn settled(committed: Option<Committed>) -> Result<(), StoreError> {
    match committed {
        Some(committed) => committed.durable().await,
        None => Ok(()),
    }
}

impl Drop for LoggedKeyValue {
    /// Gives the engine everything, then closes the log and the engine.
    fn drop(&mut self) {
        self.shared.desk().closing = true;
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.filled.notify_all();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(code = "store_bug", "the writer of the tables panicked");
        }
        self.log = None;
        self.rows = None;
    }
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

/// Where batches go to.
struct Below {
    log: Arc<DeliveryLog>,
    rows: Arc<FileKeyValue>,
}

/// Gives journal and engine what is durable in the log, until the store is closed or anything fails.
fn write_behind(shared: &Shared, below: &Below, mut journal: Journal) {
    loop {
        let (some, is_journal_due, note, is_last) = {
            let mut desk = shared.desk();
            while desk.queue.is_empty()
                && !desk.closing
                && !desk.is_journal_due
                && !desk.is_note_due
            {
                desk = shared
                    .filled
                    .wait(desk)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let some = take_some(&mut desk);
            let is_due = std::mem::take(&mut desk.is_journal_due);
            // Batches are queued under this lock, so where none is left the rows have them all. The
            // checkpoint that the log writes when it is closed is one to be noted for too.
            let is_last = desk.closing && desk.queue.is_empty();
            let is_note_due = desk.queue.is_empty() && (desk.is_note_due || is_last);
            desk.is_note_due &= !is_note_due;
            let note = is_note_due.then(|| below.log.facts().position);
            (some, is_due, note, is_last)
        };
        let written = below
            .write(&some, &mut journal, is_journal_due)
            .and_then(|()| below.note(note, &mut journal));
        if let Err(error) = written {
            tracing::error!(code = error.code(), "the store stopped: {error}");
            shared.desk().failed = true;
            shared.stopped.store(true, Ordering::Release);
            return;
        }
        let mut desk = shared.desk();
        for waiting in &some {
            desk.overlay.remove(waiting.sequence, &waiting.batch);
            shared
                .queued_bytes
                .fetch_sub(waiting.size, Ordering::Relaxed);
        }
        drop(desk);
        shared.filled.notify_all();
        if is_last {
            return;
        }
    }
}

/// Batches that go to the engine as one: at least one, and no more than it takes at a time.
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

impl Below {
    /// Notes how far journal and rows are, so that an opening need not read the log from further back.
    fn note(&self, end: Option<LogPosition>, journal: &mut Journal) -> Result<(), StoreError> {
        let Some(end) = end.filter(|end| *end > journal.position()) else {
            return Ok(());
        };
        self.log.wait_until_durable(end)?;
        journal.note(end)?;
        let position = Batch::from([(POSITION_KEY.into(), Some(position_value(end)))]);
        self.rows.apply_blocking(position)?;
        self.log.keep_tables_from(end);
        Ok(())
    }

    fn write(
        &self,
        some: &[Waiting],
        journal: &mut Journal,
        is_journal_due: bool,
    ) -> Result<(), StoreError> {
        if let Some(end) = some.last().map(|waiting| waiting.end) {
            // Nothing here is ahead of the log: what a power cut takes from it must not be left.
            self.log.wait_until_durable(end)?;
            journal.append(some.iter().map(|waiting| (waiting.end, &waiting.batch)))?;
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
            self.rows.apply_blocking(merged)?;
            self.log.keep_tables_from(end);
        }
        if journal.is_due() || (is_journal_due && journal.has_batches()) {
            journal.rewrite(self.rows.as_ref())?;
        }
        Ok(())
    }
}

impl KeyValue for LoggedKeyValue {
    fn get(&self, key: &[u8]) -> Result<Found, StoreError> {
        let desk = self.shared.running()?;
        match desk.overlay.get(key) {
            Some(found) => Ok(found),
            // What the engine has not synced yet is durable in the log.
            None => Ok(Found {
                pending: false,
                ..self.rows()?.get(key)?
            }),
        }
    }

    fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Scan, StoreError> {
        let desk = self.shared.running()?;
        let hidden = desk.overlay.hidden_in(range);
        let below = self
            .rows()?
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
        let committed = self.commit(batch, Vec::new(), |_| Ok(true));
        async move { settled(committed?).await }
    }

    fn admit(&self) -> Result<(), StoreError> {
        if self.shared.stopped.load(Ordering::Acquire) {
            return Err(StoreError::Stopped);
        }
        if self.shared.queued_bytes.load(Ordering::Relaxed) > WAITING_MAX {
            return Err(StoreError::Busy {
                retry_after_ms: LOG_QUEUE_RETRY_MS,
            });
        }
        self.log()?.admit()
    }

    fn forget_deleted(&self) {
        self.shared.desk().is_journal_due = true;
        self.shared.filled.notify_all();
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
    ) -> Result<impl Future<Output = Result<(), StoreError>> + Send + use<>, StoreError> {
        Ok(settled(self.commit(batch, changes, |_| Ok(true))?))
    }

    fn apply_if(
        &self,
        batch: Batch,
        changes: Vec<MailboxChange>,
        holds: &dyn Fn(&mut Turn<'_>) -> Result<bool, StoreError>,
    ) -> Result<Option<impl Future<Output = Result<(), StoreError>> + Send + use<>>, StoreError>
    {
        let committed = self.commit(batch, changes, holds)?;
        Ok(committed.map(Committed::durable))
    }
}
