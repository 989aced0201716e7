// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bare relay's log: every message and every acknowledgement, durable by group commit.
//!
//! Whoever appends fills a buffer; a thread writes what has gathered with one write and one
//! `fdatasync`, without a timer, and says up to where it is durable. A segment is used again when
//! it and all older ones hold no message that is still needed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::frames::{ADDRESS, Address, take, take_u32, take_u64};
use crate::store::segments::{SEGMENT, Segments};

const SEGMENT_SIZE: u64 = SEGMENT as u64;
/// A segment begins with its number and that of the oldest one that is needed.
const SEGMENT_HEADER: u64 = 16;
/// Checksum and length of what follows them.
const RECORD_HEADER: usize = 8;
/// Position, kind and mailbox.
const RECORD_FIELDS: usize = 8 + 1 + ADDRESS;

const MESSAGE: u8 = 1;
const ACKNOWLEDGEMENT: u8 = 2;

/// A place in the log: the segment's number times its size, and the place in the segment.
pub(super) type Position = u64;

/// What was found in a log.
pub(super) enum Found<'a> {
    Message(Position, Address, &'a [u8]),
    /// The mailbox's owner has everything up to there.
    Acknowledgement(Address, Position),
}

/// Bytes for one segment that are not written yet.
struct Chunk {
    segment: u64,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Queue {
    chunks: Vec<Chunk>,
    /// The last position in them.
    last: Position,
    /// The oldest segment that is needed.
    oldest: u64,
    /// A buffer that was written.
    spare: Vec<u8>,
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

/// Messages that are needed in one segment.
struct Needed {
    segment: u64,
    messages: usize,
}

/// The end that appends.
pub(super) struct Log {
    shared: Arc<Shared>,
    next: Position,
    needed: VecDeque<Needed>,
}

impl Log {
    /// Reads what a folder holds and goes on behind it. What is durable is told by the receiver.
    pub(super) fn open(
        folder: &Path,
        found: impl FnMut(Found<'_>),
    ) -> Result<(Self, UnboundedReceiver<Position>)> {
        let (files, newest) = super::replay::read(folder, found)?;
        let segments = Segments::start(folder, files);
        let shared = Arc::new(Shared::default());
        let (durable, told) = unbounded_channel();
        {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || commit(&shared, &segments, &durable));
        }
        let log = Self {
            shared,
            // As if that one were full: a new life has segments of its own.
            next: newest.saturating_add(1) * SEGMENT_SIZE,
            needed: VecDeque::new(),
        };
        Ok((log, told))
    }

    /// Appends a message. It counts once its position is durable.
    pub(super) fn message(&mut self, to: &Address, envelope: &[u8]) -> Position {
        let position = self.append(MESSAGE, to, envelope);
        if let Some(newest) = self.needed.back_mut() {
            newest.messages += 1;
        }
        position
    }

    /// Appends an acknowledgement.
    pub(super) fn acknowledgement(&mut self, by: &Address, up_to: Position) -> Position {
        self.append(ACKNOWLEDGEMENT, by, &up_to.to_le_bytes())
    }

    /// A message is needed no more: the acknowledgement of it is durable.
    pub(super) fn forget(&mut self, message: Position) {
        let segment = message / SEGMENT_SIZE;
        // Those of a former life are not in the list, and their segments are not used again.
        let needed = self.needed.iter_mut().find(|it| it.segment == segment);
        if let Some(needed) = needed {
            needed.messages = needed.messages.saturating_sub(1);
        }
        while self.needed.len() > 1 && self.needed.front().is_some_and(|it| it.messages == 0) {
            self.needed.pop_front();
        }
    }

    /// Lets the thread know that something was appended.
    pub(super) fn commit(&self) {
        self.shared.filled.notify_one();
    }

    fn append(&mut self, kind: u8, mailbox: &Address, body: &[u8]) -> Position {
        let fields = RECORD_FIELDS + body.len();
        let size = u64::try_from(RECORD_HEADER + fields).unwrap_or(SEGMENT_SIZE);
        let mut place = self.next % SEGMENT_SIZE;
        if place == 0 || place + size > SEGMENT_SIZE {
            let begins = self.next.next_multiple_of(SEGMENT_SIZE);
            self.begin_segment(begins / SEGMENT_SIZE);
            self.next = begins + SEGMENT_HEADER;
            place = SEGMENT_HEADER;
        }
        let position = self.next;
        let segment = (position - place) / SEGMENT_SIZE;
        self.next = position + size;
        let mut queue = self.shared.queue();
        queue.last = position;
        let bytes = queue.of_segment(segment);
        let header = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&u32::try_from(fields).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&position.to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(mailbox);
        bytes.extend_from_slice(body);
        if let Some((checksum, checked)) = bytes
            .get_mut(header..)
            .and_then(|record| record.split_first_chunk_mut::<4>())
        {
            *checksum = crc32fast::hash(checked).to_le_bytes();
        }
        position
    }

    fn begin_segment(&mut self, number: u64) {
        self.needed.push_back(Needed {
            segment: number,
            messages: 0,
        });
        let oldest = self.needed.front().map_or(number, |it| it.segment);
        let mut queue = self.shared.queue();
        queue.oldest = oldest;
        let bytes = queue.of_segment(number);
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&oldest.to_le_bytes());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.queue().is_closed = true;
        self.shared.filled.notify_one();
    }
}

impl Queue {
    fn of_segment(&mut self, segment: u64) -> &mut Vec<u8> {
        if self.chunks.last().is_none_or(|it| it.segment != segment) {
            let bytes = std::mem::take(&mut self.spare);
            self.chunks.push(Chunk { segment, bytes });
        }
        match self.chunks.last_mut() {
            Some(chunk) => &mut chunk.bytes,
            // It was pushed above.
            None => &mut self.spare,
        }
    }
}

/// The thread: everything that has gathered, one write and one sync.
fn commit(shared: &Shared, segments: &Segments, durable: &UnboundedSender<Position>) -> Result<()> {
    // Segments with their numbers, the one that is written last.
    let mut files: VecDeque<(u64, File)> = VecDeque::new();
    loop {
        let (mut chunks, last, oldest) = {
            let mut queue = shared.queue();
            while queue.chunks.is_empty() && !queue.is_closed {
                let waited = shared.filled.wait(queue);
                queue = waited.unwrap_or_else(PoisonError::into_inner);
            }
            (std::mem::take(&mut queue.chunks), queue.last, queue.oldest)
        };
        if chunks.is_empty() {
            return Ok(());
        }
        for chunk in &chunks {
            if files.back().is_none_or(|file| file.0 != chunk.segment) {
                if let Some((_, full)) = files.back() {
                    full.sync_data()?;
                }
                files.push_back((chunk.segment, segments.next()?));
            }
            if let Some((_, file)) = files.back_mut() {
                file.write_all(&chunk.bytes)?;
            }
        }
        if let Some((_, file)) = files.back() {
            file.sync_data()?;
        }
        if durable.send(last).is_err() {
            return Ok(());
        }
        while files.len() > 1 && files.front().is_some_and(|file| file.0 < oldest) {
            if let Some((_, unneeded)) = files.pop_front() {
                segments.use_again(unneeded);
            }
        }
        if let Some(mut chunk) = chunks.pop() {
            chunk.bytes.clear();
            shared.queue().spare = chunk.bytes;
        }
    }
}

/// Reads one segment's records up to the first that was not written for this place.
pub(super) fn records(segment: &[u8], number: u64, mut found: impl FnMut(Found<'_>)) {
    let mut rest = segment;
    let mut position = number * SEGMENT_SIZE + SEGMENT_HEADER;
    if take(&mut rest, 16).is_none() {
        return;
    }
    while let Some((kind, mailbox, body, size)) = record(&mut rest, position) {
        match (kind, <[u8; 8]>::try_from(body)) {
            (MESSAGE, _) => found(Found::Message(position, mailbox, body)),
            (ACKNOWLEDGEMENT, Ok(up_to)) => {
                found(Found::Acknowledgement(mailbox, u64::from_le_bytes(up_to)));
            }
            _ => return,
        }
        position += size;
    }
}

fn record<'a>(rest: &mut &'a [u8], position: Position) -> Option<(u8, Address, &'a [u8], u64)> {
    let checksum = take_u32(rest)?;
    let checked = *rest;
    let length = usize::try_from(take_u32(rest)?).ok()?;
    let mut fields = take(rest, length)?;
    let checked = checked.get(..4 + length)?;
    if crc32fast::hash(checked) != checksum || take_u64(&mut fields)? != position {
        return None;
    }
    let kind = *take(&mut fields, 1)?.first()?;
    let mailbox = take(&mut fields, ADDRESS)?.try_into().ok()?;
    let size = u64::try_from(RECORD_HEADER + length).ok()?;
    Some((kind, mailbox, fields, size))
}
