// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The least that a durable append can cost: no index, nothing ever read or found again.
//!
//! One committer takes whatever is queued, without a timer, and makes it durable with one vectored
//! write and one `fdatasync`. Where messages go again, segments are used again when they are old; where
//! all stay, a new one is written with zeros by a helper, as in every log that keeps what it was given.

use std::collections::VecDeque;
use std::io::{IoSlice, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use super::segments::{SEGMENT, Segments};

/// Segments that a server would still need where its mailboxes are drained; older ones are used again.
pub(super) const SEGMENTS_KEPT: usize = 8;
const HEADER: usize = 8;

struct Request {
    record: Vec<u8>,
    done: oneshot::Sender<()>,
}

#[derive(Default)]
struct Queue {
    requests: Vec<Request>,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log.
pub(super) struct BareLog {
    shared: Arc<Shared>,
    committer: Option<JoinHandle<Result<()>>>,
}

impl BareLog {
    /// Starts a log in an empty folder, which uses segments again when so many newer ones are full; never
    /// for `None`.
    pub(super) fn open(folder: &Path, kept: Option<usize>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let segments = Segments::start(folder, 0);
        let committer = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || commit(&shared, &segments, kept))
        };
        Ok(Self {
            shared,
            committer: Some(committer),
        })
    }

    /// Appends; resolves when it is durable. The record and its checksum are made by the caller.
    pub(super) async fn append(&self, body: &[u8]) -> Result<()> {
        let mut record = Vec::with_capacity(HEADER.saturating_add(body.len()));
        record.extend_from_slice(&u32::try_from(body.len())?.to_le_bytes());
        record.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        record.extend_from_slice(body);
        let (done, durable) = oneshot::channel();
        self.shared.queue().requests.push(Request { record, done });
        self.shared.filled.notify_one();
        durable.await.context("the committer ended")
    }
}

impl Drop for BareLog {
    fn drop(&mut self) {
        self.shared.queue().is_closed = true;
        self.shared.filled.notify_one();
        if let Some(committer) = self.committer.take() {
            let _ended = committer.join();
        }
    }
}

fn commit(shared: &Shared, segments: &Segments, kept: Option<usize>) -> Result<()> {
    let mut segment = segments.next()?;
    let mut older = VecDeque::new();
    let mut place = 0_usize;
    loop {
        let requests = {
            let mut queue = shared.queue();
            while queue.requests.is_empty() && !queue.is_closed {
                queue = shared
                    .filled
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::take(&mut queue.requests)
        };
        if requests.is_empty() {
            return Ok(());
        }
        let size: usize = requests.iter().map(|request| request.record.len()).sum();
        if place.saturating_add(size) > SEGMENT {
            let full = std::mem::replace(&mut segment, segments.next_at_once()?);
            place = 0;
            if let Some(kept) = kept {
                older.push_back(full);
                if older.len() > kept
                    && let Some(oldest) = older.pop_front()
                {
                    segments.use_again(oldest);
                }
            }
        }
        let mut slices: Vec<IoSlice<'_>> = requests
            .iter()
            .map(|request| IoSlice::new(&request.record))
            .collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let written = segment.write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, written);
        }
        segment.sync_data()?;
        place = place.saturating_add(size);
        for request in requests {
            let _gone = request.done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_lie_one_after_the_other_in_segments_that_were_written_before() {
        let folder = tempfile::tempdir().unwrap();
        let log = BareLog::open(folder.path(), None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            log.append(b"one").await.unwrap();
            log.append(b"three").await.unwrap();
        });
        drop(log);
        let segment = std::fs::read(folder.path().join("segment.0")).unwrap();
        assert_eq!(segment.len(), SEGMENT);
        assert_eq!(&segment[..4], 3_u32.to_le_bytes());
        assert_eq!(segment[4..8], crc32fast::hash(b"one").to_le_bytes());
        assert_eq!(&segment[8..11], b"one");
        assert_eq!(&segment[19..24], b"three");
    }
}
