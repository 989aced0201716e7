// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Makes groups of records durable: one batch is synced while the next one is filled.
//!
//! Two threads take turns. Whoever finds no sync under way takes all that is queued, writes it with one
//! vectored write, syncs once, and answers. While that sync runs the other thread writes what has
//! been queued, once that is worth a system call. There is no timer: what comes during a sync is the
//! next batch.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::format::{LogId, Place, SEGMENT_HEADER, Sealer, SegmentHeader};
use super::segments::{Segment, Segments};
use crate::StoreError;

/// From how many queued bytes on they are written while an earlier batch is still being synced.
const FILL: usize = 64 * 1024;

/// What is answered with the records of a group: whoever made them frees them, since memory that one
/// thread takes and another one gives back makes both wait for each other.
pub(crate) type Answer = Result<Vec<Vec<u8>>, StoreError>;

/// Records of whole groups, with their place.
pub(crate) struct Request {
    /// The header of the segment that begins with them, where one does.
    opens: Option<SegmentHeader>,
    /// Where the first record goes.
    place: Place,
    records: Vec<Vec<u8>>,
    /// The bytes of the records.
    size: u32,
    /// Whoever waits for them.
    done: Option<oneshot::Sender<Answer>>,
}

impl Request {
    pub(crate) fn new(
        opens: Option<SegmentHeader>,
        place: Place,
        records: Vec<Vec<u8>>,
        done: Option<oneshot::Sender<Answer>>,
    ) -> Self {
        let size = records.iter().map(Vec::len).fold(0, usize::saturating_add);
        Self {
            opens,
            place,
            records,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            done,
        }
    }

    fn bytes(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    /// Where the next ones will begin.
    const fn end(&self) -> Place {
        Place {
            segment: self.place.segment,
            offset: self.place.offset.saturating_add(self.size),
        }
    }
}

#[derive(Default)]
struct Desk {
    queue: VecDeque<Request>,
    queued_bytes: usize,
    /// Written and not synced.
    written: Vec<Request>,
    writing: bool,
    syncing: bool,
    /// A thread was woken and has not looked yet.
    woken: bool,
    failed: bool,
    closing: bool,
}

/// The end of what is written.
struct Tail {
    segment: Arc<Segment>,
    end: u32,
    synced_to: u32,
}

/// What the log and its two threads share.
pub(crate) struct Committer {
    desk: Mutex<Desk>,
    changed: Condvar,
    /// Told of every batch that is durable.
    published: Condvar,
    tail: Mutex<Option<Tail>>,
    /// Answers are given in the order of the batches.
    publishing: Mutex<()>,
    /// Up to which place everything is durable: segment and offset.
    durable: AtomicU64,
    /// Whether the desk says that it has failed or closes, and how much of what was queued is not durable:
    /// for those who only look.
    stopped: AtomicBool,
    unpublished_bytes: AtomicUsize,
    segments: Arc<Segments>,
    log: LogId,
    sealer: Sealer,
}

const fn pack(place: Place) -> u64 {
    ((place.segment as u64) << 32) | place.offset as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Committer {
    pub(crate) fn new(segments: Arc<Segments>, log: LogId, durable: Place) -> Self {
        Self {
            desk: Mutex::default(),
            changed: Condvar::new(),
            published: Condvar::new(),
            tail: Mutex::new(None),
            publishing: Mutex::new(()),
            durable: AtomicU64::new(pack(durable)),
            stopped: AtomicBool::new(false),
            unpublished_bytes: AtomicUsize::new(0),
            segments,
            sealer: Sealer::new(&log),
            log,
        }
    }

    /// Whether everything below a place is durable.
    pub(crate) fn is_durable(&self, end: Place) -> bool {
        self.durable.load(Ordering::Acquire) >= pack(end)
    }

    /// Whether nothing is acknowledged any more.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// About how many bytes are not durable yet, written or not.
    pub(crate) fn unpublished_bytes(&self) -> usize {
        self.unpublished_bytes.load(Ordering::Relaxed)
    }

    /// Queues records. They are queued in the order of their places.
    pub(crate) fn queue(&self, request: Request) -> Result<(), StoreError> {
        let mut desk = lock(&self.desk);
        if desk.failed || desk.closing {
            return Err(StoreError::Stopped);
        }
        let size = request.bytes();
        desk.queued_bytes = desk.queued_bytes.saturating_add(size);
        self.unpublished_bytes.fetch_add(size, Ordering::Relaxed);
        desk.queue.push_back(request);
        let is_idle = !desk.syncing && !desk.writing;
        let is_worth_filling = desk.queued_bytes >= FILL && !desk.writing;
        let wakes = (is_idle || is_worth_filling) && !desk.woken;
        desk.woken |= wakes;
        drop(desk);
        if wakes {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Stops acknowledging, for good.
    pub(crate) fn fail(&self) {
        // BOX-75.
        let mut desk = lock(&self.desk);
        desk.failed = true;
        self.stopped.store(true, Ordering::Release);
        // Who waits for these hears that the store has stopped.
        desk.queue.clear();
        desk.written.clear();
        drop(desk);
        self.changed.notify_all();
        self.published.notify_all();
    }

    /// Returns when everything below a place is durable.
    pub(crate) fn wait_until_durable(&self, end: Place) -> Result<(), StoreError> {
        let mut desk = lock(&self.desk);
        loop {
            if desk.failed {
                return Err(StoreError::Stopped);
            }
            if self.is_durable(end) {
                return Ok(());
            }
            desk = self
                .published
                .wait(desk)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the threads end after what is queued.
    pub(crate) fn close(&self) {
        lock(&self.desk).closing = true;
        self.stopped.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    pub(crate) fn start(self: &Arc<Self>) -> io::Result<Vec<JoinHandle<()>>> {
        (0..2)
            .map(|number| {
                let committer = Arc::clone(self);
                thread::Builder::new()
                    .name(format!("log-committer-{number}"))
                    .spawn(move || {
                        let ending = Ending(&committer);
                        while committer.turn() {}
                        drop(ending);
                    })
            })
            .collect()
    }

    /// Waits for something to do and does it; `false` when there will be nothing more.
    fn turn(&self) -> bool {
        let mut desk = lock(&self.desk);
        let (batch, commits) = loop {
            desk.woken = false;
            if desk.failed {
                return false;
            }
            let has_some = !desk.queue.is_empty() || !desk.written.is_empty();
            if !desk.writing {
                if !desk.syncing && has_some {
                    desk.syncing = true;
                    break (self.take(&mut desk), true);
                }
                if desk.syncing && desk.queued_bytes >= FILL {
                    break (self.take(&mut desk), false);
                }
            }
            if desk.closing && !has_some && !desk.syncing && !desk.writing {
                drop(desk);
                self.changed.notify_all();
                return false;
            }
            desk = self
                .changed
                .wait(desk)
                .unwrap_or_else(PoisonError::into_inner);
        };
        drop(desk);
        self.write(batch, commits).is_ok()
    }

    /// Stops acknowledging. To be called while the batch is still there: whoever waits for it hears of
    /// the failure only when nothing more is taken.
    fn stop(&self, error: StoreError) -> StoreError {
        tracing::error!(code = error.code(), "the delivery log stopped: {error}");
        self.fail();
        error
    }

    fn take(&self, desk: &mut Desk) -> Vec<Request> {
        desk.writing = true;
        desk.queued_bytes = 0;
        desk.queue.drain(..).collect()
    }

    /// Writes a batch, and where nobody else does, makes it durable.
    fn write(&self, mut batch: Vec<Request>, commits: bool) -> Result<(), StoreError> {
        let segment = self
            .write_records(&mut batch)
            .map_err(|error| self.stop(error.into()))?;
        let mut desk = lock(&self.desk);
        desk.writing = false;
        desk.written.append(&mut batch);
        let is_worth_filling = desk.queued_bytes >= FILL;
        if !commits {
            drop(desk);
            self.changed.notify_all();
            return Ok(());
        }
        let batch = std::mem::take(&mut desk.written);
        drop(desk);
        if is_worth_filling {
            self.changed.notify_all();
        }
        let Some(end) = batch.last().map(Request::end) else {
            return Err(self.stop(StoreError::Bug("an empty batch of the log")));
        };
        // Whatever of the batch is in an older segment was synced before this one was begun.
        if let Some(segment) = segment {
            segment.sync().map_err(|error| self.stop(error.into()))?;
        }
        if let Some(tail) = lock(&self.tail).as_mut()
            && tail.segment.number == end.segment
        {
            tail.synced_to = tail.synced_to.max(end.offset);
        }
        let publishing = lock(&self.publishing);
        let mut desk = lock(&self.desk);
        if desk.failed {
            return Err(StoreError::Stopped);
        }
        desk.syncing = false;
        let has_more = !desk.queue.is_empty() || !desk.written.is_empty() || desk.closing;
        self.durable.fetch_max(pack(end), Ordering::Release);
        let size = batch.iter().map(Request::bytes).sum();
        self.unpublished_bytes.fetch_sub(size, Ordering::Relaxed);
        drop(desk);
        self.published.notify_all();
        if has_more {
            self.changed.notify_all();
        }
        for request in batch {
            // Whoever asked may have gone away.
            let _gone = request.done.map(|done| done.send(Ok(request.records)));
        }
        drop(publishing);
        Ok(())
    }

    /// Answers which segment is the newest one after that.
    fn write_records(&self, batch: &mut [Request]) -> io::Result<Option<Arc<Segment>>> {
        let mut tail = lock(&self.tail);
        let mut rest = batch;
        while let Some(first) = rest.first() {
            let segment = first.place.segment;
            let same = rest
                .iter()
                .take_while(|request| request.place.segment == segment)
                .count();
            let Some((now, later)) = rest.split_at_mut_checked(same) else {
                break;
            };
            rest = later;
            self.write_segment(&mut tail, now)?;
        }
        Ok(tail.as_ref().map(|tail| Arc::clone(&tail.segment)))
    }

    /// Writes what lies next to each other in one segment.
    fn write_segment(&self, tail: &mut Option<Tail>, requests: &mut [Request]) -> io::Result<()> {
        let Some(first) = requests.first() else {
            return Ok(());
        };
        let mut begin = first.place.offset;
        let mut header = None;
        if let Some(opens) = first.opens {
            // The header of a segment says where the one before it ends: that has to be durable.
            if let Some(before) = tail.take() {
                before.segment.sync()?;
            }
            *tail = Some(Tail {
                segment: self.segments.take(opens.number)?,
                end: 0,
                synced_to: 0,
            });
            header = Some(opens.encode(&self.log));
            begin = 0;
        }
        let tail = tail
            .as_mut()
            .filter(|tail| tail.end == begin)
            .ok_or_else(|| io::Error::other("groups of the log do not follow each other"))?;
        for request in requests.iter_mut() {
            let mut place = request.place;
            for record in &mut request.records {
                self.sealer.seal(record, place, tail.synced_to);
                let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
                place.offset = place.offset.saturating_add(length);
            }
            tail.end = place.offset;
        }
        let records = requests.iter().flat_map(|request| &request.records);
        let parts: Vec<IoSlice<'_>> = header
            .iter()
            .map(|header| header.as_slice())
            .chain(records.map(Vec::as_slice))
            .map(IoSlice::new)
            .collect();
        if parts.is_empty() {
            return Ok(());
        }
        tail.segment.file.write_vectored_at(&parts, begin.into())
    }
}

/// However a thread ends, nobody waits for it for ever.
struct Ending<'a>(&'a Committer);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail();
        }
    }
}

/// The first offset of a segment's records.
pub(crate) fn first_offset() -> u32 {
    u32::try_from(SEGMENT_HEADER).unwrap_or(u32::MAX)
}
