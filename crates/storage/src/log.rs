// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The delivery log: append-only segments that an acknowledgement waits for.
//!
//! A step takes the log's [`Turn`], decides on what the mailboxes hold, and commits one [`Group`]:
//! records that are there after a crash all or not at all. The answer to a step is given when its
//! group is durable; what is not durable is shown to nobody.
//!
//! Where to read on: [`file`] is the seam below; `format` the bytes; `record` what they say; `index` what
//! is held, in memory; `committer` the batches; `reading` what is shown; `checkpoint` the index on disk; `recovery` the opening;
//! `keeper` the thread that prepares segments, writes checkpoints and copies forward.
//!
//! Nothing that was deleted can come back: an opening replays only what is after a checkpoint,
//! and a segment is used again only when none of the two newest checkpoints refers to it.

mod buffers;
mod checkpoint;
mod committer;
pub mod disk;
pub mod file;
mod fingerprint;
pub(crate) mod format;
mod index;
mod keeper;
pub mod memory;
mod packed;
mod pieces;
mod reading;
pub(crate) mod record;
mod recovery;
mod scan;
mod segments;
#[cfg(test)]
mod tests;
mod turn;
mod verify;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use waxwing_proto::limits::{LOG_QUEUE_BYTES_MAX, LOG_QUEUE_RETRY_MS, LOG_SEGMENT_SIZE};
use waxwing_proto::{DeliveryId, EnvelopeId};

use self::committer::Committer;
use self::file::LogFolder;
use self::format::{LogId, Place, Sealer};
use self::index::{Fingerprint, FingerprintKey, Index};
use self::keeper::{Keeper, Signal};
use self::segments::Segments;
use crate::{Day, StoreError};

pub(crate) use recovery::ReadLog;

pub use index::{Held, Mailbox};
pub use record::{Arrival, MailboxKey};
pub use scan::Damage;
pub use turn::{Change, Committed, Group, Prepared, Turn};
pub use verify::{Verified, verify};

/// How a log is opened.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The size of one segment, in bytes.
    pub segment_size: u32,
    /// Envelopes that a mailbox remembers after they are gone.
    pub remembered_max: usize,
    /// Random bytes: the log's id and the key of its fingerprints, where it is made new.
    pub entropy: [u8; 32],
    /// From which place on table records are handed out.
    pub tables_from: LogPosition,
}

impl LogOptions {
    /// What a server uses.
    #[must_use]
    pub fn new(entropy: [u8; 32]) -> Self {
        Self {
            segment_size: LOG_SEGMENT_SIZE,
            remembered_max: waxwing_proto::limits::REMEMBERED_ENVELOPE_IDS_MAX,
            entropy,
            tables_from: LogPosition(0),
        }
    }
}

/// A place in the log; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogPosition(pub u64);

impl From<Place> for LogPosition {
    fn from(place: Place) -> Self {
        Self((u64::from(place.segment) << 32) | u64::from(place.offset))
    }
}

impl From<LogPosition> for Place {
    fn from(position: LogPosition) -> Self {
        let half = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self {
            segment: half(position.0 >> 32),
            offset: half(position.0),
        }
    }
}

/// What is stored of a log as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The random id that all its records are bound to.
    pub log: [u8; 16],
    /// The random key of its fingerprints.
    pub fingerprint_key: [u8; 16],
    /// The last day on which remembered envelopes were forgotten.
    pub forgotten: Option<Day>,
    /// Its end.
    pub position: LogPosition,
}

/// A log that was opened, and what was found.
pub struct Opened {
    /// The log.
    pub log: DeliveryLog,
    /// Places that were durable and cannot be read any more. What is not in them is there.
    pub damage: Vec<Damage>,
    /// The table records from [`LogOptions::tables_from`] on, each with the place after it.
    pub tables: Vec<(LogPosition, Bytes)>,
}

struct State {
    index: Index,
    /// Where the next record goes.
    tail: Place,
    /// Whether the next group begins a segment, whatever room there is.
    must_roll: bool,
    next_hot: u32,
    next_cold: u32,
    /// Bytes appended since the last checkpoint.
    since_checkpoint: u64,
    /// Bytes appended since the log was opened.
    appended: u64,
    /// The end of the last table record.
    last_tables: Place,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    committer: Arc<Committer>,
    segments: Arc<Segments>,
    sealer: Sealer,
    log: LogId,
    fingerprint_key: FingerprintKey,
    /// Envelopes that could not be read since the log was opened.
    damaged: AtomicU64,
    /// Up to where table records are durable elsewhere.
    tables_kept: AtomicU64,
    /// Told of every checkpoint.
    told: OnceLock<Box<dyn Fn() + Send + Sync>>,
    signal: Signal,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the first segment after the opening has its file before any step is taken, unless
    /// there is no room for it.
    fn begin(&self) -> Result<(), StoreError> {
        if self.segments.has_begun() {
            return Ok(());
        }
        // No step was taken: the number is still that of the first one.
        let next_hot = self.state().next_hot;
        self.segments.begin(next_hot).inspect_err(|error| {
            tracing::error!(code = error.code(), "the delivery log stopped: {error}");
            self.committer.fail();
        })
    }
}

/// The delivery log.
pub struct DeliveryLog {
    shared: Arc<Shared>,
    committers: Vec<JoinHandle<()>>,
    keeper: Keeper,
}

impl Drop for DeliveryLog {
    /// Makes everything durable that was queued, and writes a checkpoint for a fast opening.
    fn drop(&mut self) {
        self.keeper.close();
        self.shared.committer.close();
        for thread in self.committers.drain(..) {
            if thread.join().is_err() {
                tracing::error!(code = "store_bug", "a committer of the log panicked");
            }
        }
    }
}

impl DeliveryLog {
    /// Opens the log of a folder, which is made where nothing is in it.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`]; [`StoreError::Corrupt`] where no checkpoint can be read;
    /// [`StoreError::Io`], [`StoreError::DiskFull`].
    pub fn open(folder: Arc<dyn LogFolder>, options: &LogOptions) -> Result<Opened, StoreError> {
        recovery::open(folder, options)
    }

    /// Reads the log of a folder, which is made where nothing is in it; [`ReadLog::open`] is the rest of
    /// [`DeliveryLog::open`].
    ///
    /// # Errors
    /// As [`DeliveryLog::open`].
    pub(crate) fn read_all(
        folder: Arc<dyn LogFolder>,
        options: &LogOptions,
    ) -> Result<ReadLog, StoreError> {
        recovery::read(folder, options)
    }

    /// Encodes an envelope and computes its checksum: to be called before the turn is taken.
    #[must_use]
    pub fn prepare(&self, mailbox: MailboxKey, arrival: &Arrival) -> Prepared {
        let payload = record::ENVELOPE_FIELDS.saturating_add(arrival.body.len());
        Prepared {
            mailbox,
            delivery_id: arrival.delivery_id,
            kind: arrival.kind,
            fingerprint: self.fingerprint(&arrival.delivery_id, &arrival.envelope_id),
            payload: u32::try_from(payload).unwrap_or(u32::MAX),
            record: record::envelope(&mailbox, arrival),
        }
    }

    fn fingerprint(&self, delivery: &DeliveryId, envelope: &EnvelopeId) -> Fingerprint {
        Fingerprint::new(&self.shared.fingerprint_key, delivery, envelope)
    }

    /// Whether another step may be taken now.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while more than [`LOG_QUEUE_BYTES_MAX`] bytes are not durable yet;
    /// [`StoreError::Stopped`].
    pub fn admit(&self) -> Result<(), StoreError> {
        if self.shared.committer.has_stopped() {
            return Err(StoreError::Stopped);
        }
        if self.shared.committer.unpublished_bytes() > LOG_QUEUE_BYTES_MAX {
            return Err(StoreError::Busy {
                retry_after_ms: LOG_QUEUE_RETRY_MS,
            });
        }
        Ok(())
    }

    /// Takes the turn. The first one waits for the first segment, where the opening found no file for it.
    ///
    /// # Errors
    /// [`StoreError::Stopped`], or the files'.
    pub fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let shared = &*self.shared;
        if shared.committer.has_stopped() {
            return Err(StoreError::Stopped);
        }
        shared.begin()?;
        Ok(Turn::new(shared))
    }

    /// At most `limit` mailboxes after one, in their order.
    #[must_use]
    pub fn mailboxes_after(&self, after: Option<MailboxKey>, limit: usize) -> Vec<MailboxKey> {
        let state = self.shared.state();
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = state
            .index
            .mailboxes
            .range((from, std::ops::Bound::Unbounded));
        range.map(|(mailbox, _)| *mailbox).take(limit).collect()
    }

    /// What is stored of the log as a whole.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let state = self.shared.state();
        Facts {
            log: self.shared.log,
            fingerprint_key: self.shared.fingerprint_key,
            forgotten: state.index.forgotten,
            position: state.tail.into(),
        }
    }

    /// Says up to where table records are durable elsewhere; the segments before that may go.
    pub fn keep_tables_from(&self, position: LogPosition) {
        self.shared
            .tables_kept
            .fetch_max(position.0, Ordering::Relaxed);
    }

    /// Tells of every checkpoint from now on. Whoever keeps tables elsewhere then notes how far they are:
    /// an opening reads the log from the checkpoint or from there, whichever comes first. The first
    /// one to ask is told.
    pub fn on_checkpoint(&self, told: Box<dyn Fn() + Send + Sync>) {
        let _first = self.shared.told.set(told);
    }

    /// Returns when everything before a position is durable. Blocks the thread.
    ///
    /// # Errors
    /// [`StoreError::Stopped`].
    pub fn wait_until_durable(&self, position: LogPosition) -> Result<(), StoreError> {
        self.shared.committer.wait_until_durable(position.into())
    }

    /// How many envelopes could not be read since the log was opened.
    #[must_use]
    pub fn damaged_count(&self) -> u64 {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    /// What is held, in all mailboxes.
    #[must_use]
    pub fn held(&self) -> Held {
        let state = self.shared.state();
        Held {
            envelopes: state.index.entries,
            bytes: state.index.live_bytes,
        }
    }

    /// Writes a checkpoint and copies forward what is due, now.
    ///
    /// # Errors
    /// The files could not be written: the log has stopped.
    pub fn tidy_up(&self) -> Result<(), StoreError> {
        self.keeper.tidy_up()
    }
}
