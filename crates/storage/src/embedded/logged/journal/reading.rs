// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading a row journal, and what is left of a damaged one.

use std::sync::Arc;

use bytes::Bytes;

use super::super::decode;
use super::super::entry::{Codec, HEADER, Header, Kind};
use super::{HEAD, Head, Journal, name, number_in};
use crate::StoreError;
use crate::embedded::key_value::Batch;
use crate::log::LogPosition;
use crate::log::file::{LogFile, LogFolder, make_durable};

/// Bytes that are read together.
const WINDOW: usize = 1024 * 1024;

const DAMAGED: StoreError = StoreError::Corrupt {
    what: "row journal",
};

/// Batches that were durable and cannot be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) struct Gap {
    /// They come after this position.
    pub(in crate::embedded) after: LogPosition,
    /// The last of them ends here or before.
    pub(in crate::embedded) up_to: LogPosition,
    /// How many they are.
    pub(in crate::embedded) missing: u64,
}

/// The batches of a journal from a position on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::embedded) struct Tail {
    /// Each with the log's position after it.
    pub(in crate::embedded) batches: Vec<(LogPosition, Batch)>,
    /// What is missing, whatever the position.
    pub(in crate::embedded) gaps: Vec<Gap>,
}

/// What was found when a whole journal was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalCheck {
    /// Rows that it begins with.
    pub rows: u64,
    /// Batches since.
    pub batches: u64,
    /// Parts of it that cannot be read.
    pub damaged: u64,
}

/// A file, read a window at a time.
struct Reading {
    file: Arc<dyn LogFile>,
    length: u64,
    codec: Codec,
    window: Bytes,
    from: u64,
}

/// An entry, and where the next one begins.
struct Found {
    header: Header,
    payload: Bytes,
    next: u64,
}

impl Reading {
    fn new(file: Arc<dyn LogFile>, codec: Codec) -> Result<Self, StoreError> {
        Ok(Self {
            length: file.length()?,
            file,
            codec,
            window: Bytes::new(),
            from: 0,
        })
    }

    /// Bytes of the file; fewer where it ends.
    fn bytes(&mut self, offset: u64, count: usize) -> Result<Bytes, StoreError> {
        let within = |from: u64, window: &Bytes| {
            let start = usize::try_from(offset.checked_sub(from)?).ok()?;
            let end = start.checked_add(count)?;
            (end <= window.len()).then(|| window.slice(start..end))
        };
        if let Some(bytes) = within(self.from, &self.window) {
            return Ok(bytes);
        }
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut window = vec![0; count.max(WINDOW).min(left)];
        let read = self.file.read_at(&mut window, offset)?;
        window.truncate(read);
        self.window = Bytes::from(window);
        self.from = offset;
        Ok(self.window.slice(..count.min(self.window.len())))
    }

    /// The entry at an offset; `None` where there is none.
    fn entry(&mut self, offset: u64) -> Result<Option<Found>, StoreError> {
        let bytes = self.bytes(offset, HEADER)?;
        let Some(header) = self.codec.header(&bytes) else {
            return Ok(None);
        };
        let payload_at = offset.saturating_add(u64::try_from(HEADER).unwrap_or(u64::MAX));
        let payload = self.bytes(payload_at, header.length)?;
        Ok(header.fits(&payload).then(|| Found {
            header,
            next: payload_at.saturating_add(u64::try_from(header.length).unwrap_or(u64::MAX)),
            payload,
        }))
    }

    /// The first entry after an offset where there is none.
    fn next_entry(&mut self, offset: u64) -> Result<Option<u64>, StoreError> {
        let mut at = offset.saturating_add(1);
        while at < self.length {
            if self.entry(at)?.is_some() {
                return Ok(Some(at));
            }
            at = at.saturating_add(1);
        }
        Ok(None)
    }
}

/// The number of the newest file.
fn newest(folder: &dyn LogFolder) -> Result<Option<u32>, StoreError> {
    let names = folder.list()?;
    Ok(names.iter().filter_map(|name| number_in(name)).max())
}

/// Opens the newest file; `None` where there is none, an error where it says nothing of itself.
fn open(folder: &dyn LogFolder) -> Result<Option<(Reading, Head)>, StoreError> {
    let Some(number) = newest(folder)? else {
        return Ok(None);
    };
    let file = folder.open(&name(number))?;
    let mut bytes = [0; HEAD];
    let read = file.read_at(&mut bytes, 0)?;
    let head = Head::decode(bytes.get(..read).unwrap_or_default(), number)?.ok_or(DAMAGED)?;
    Ok(Some((Reading::new(file, head.codec())?, head)))
}

/// The position that the newest file begins with: an engine that is behind it has lost rows that
/// no batch brings back. `None` where there is no file or it cannot be read.
pub(in crate::embedded) fn start(
    folder: &dyn LogFolder,
) -> Result<Option<LogPosition>, StoreError> {
    match open(folder) {
        Ok(opened) => Ok(opened.map(|(_, head)| head.position)),
        Err(StoreError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the batches of a file come to.
struct Batches {
    tail: Tail,
    end: u64,
    /// Where the last write began, which no later one says to be durable.
    last_write: u64,
    /// Where the next one would begin.
    next_write: u64,
    last: u64,
    position: LogPosition,
}

/// Reads the batches of a file, and keeps those after a position.
fn batches(reading: &mut Reading, head: &Head, after: LogPosition) -> Result<Batches, StoreError> {
    let mut found = Batches {
        tail: Tail::default(),
        end: head.batches,
        last_write: head.batches,
        next_write: head.batches,
        last: 0,
        position: head.position,
    };
    let mut at = head.batches;
    loop {
        let Some(entry) = reading.entry(at)? else {
            match reading.next_entry(at)? {
                Some(next) => at = next,
                // What was being written when the machine stopped.
                None => return Ok(found),
            }
            continue;
        };
        let Header {
            kind,
            number,
            position,
            ..
        } = entry.header;
        let before = match kind {
            Kind::Batch => number.saturating_sub(1),
            _ => number,
        };
        let missing = before.saturating_sub(found.last);
        if missing > 0 {
            let up_to = match kind {
                Kind::Batch => LogPosition(position.0.saturating_sub(1)),
                _ => position,
            };
            found.tail.gaps.push(Gap {
                after: found.position,
                up_to,
                missing,
            });
        }
        if kind == Kind::Batch && position > after {
            let batch = decode(&entry.payload).map_err(|_| DAMAGED)?;
            found.tail.batches.push((position, batch));
        }
        found.last = found.last.max(number);
        found.position = found.position.max(position);
        at = entry.next;
        found.end = at;
        if kind == Kind::End {
            found.last_write = std::mem::replace(&mut found.next_write, at);
        }
    }
}

impl Journal {
    /// Opens the newest file of this log, with its batches after a position; `None` where there is no file.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it says nothing of itself or belongs to another log.
    pub(in crate::embedded) fn open(
        folder: &Arc<dyn LogFolder>,
        log: [u8; 16],
        after: LogPosition,
    ) -> Result<Option<(Self, Tail)>, StoreError> {
        let Some((mut reading, head)) = open(folder.as_ref())? else {
            return Ok(None);
        };
        if head.log != log {
            return Err(DAMAGED);
        }
        let found = batches(&mut reading, &head, after)?;
        // What was torn is written over; its rest must not be taken for entries later.
        if found.end < reading.length {
            reading.file.truncate(found.end)?;
        }
        // BOX-75. What was read may be in the memory of the machine alone, also after a sync that failed.
        make_durable(reading.file.as_ref(), found.last_write, found.end)?;
        let journal = Self {
            folder: Arc::clone(folder),
            file: reading.file,
            codec: reading.codec,
            end: found.end,
            batch: found.last,
            position: found.position,
            head,
        };
        Ok(Some((journal, found.tail)))
    }
}

/// Gives all rows and then the batches up to the first gap, in their order, and answers the position that
/// they reach; `None` where there is no file.
///
/// # Errors
/// [`StoreError::Corrupt`] where the rows are not whole, or what `each` answers.
pub(in crate::embedded) fn restore(
    folder: &dyn LogFolder,
    each: &mut dyn FnMut(Batch) -> Result<(), StoreError>,
) -> Result<Option<LogPosition>, StoreError> {
    let Some((mut reading, head)) = open(folder)? else {
        return Ok(None);
    };
    rows(&mut reading, &head, &mut |batch| each(batch))?;
    let found = batches(&mut reading, &head, head.position)?;
    let first_gap = found.tail.gaps.first().map(|gap| gap.after);
    let reached = first_gap.unwrap_or(found.position);
    for (position, batch) in found.tail.batches {
        if position <= reached {
            each(batch)?;
        }
    }
    Ok(Some(reached))
}

/// Gives the rows that the file begins with.
fn rows(
    reading: &mut Reading,
    head: &Head,
    each: &mut dyn FnMut(Batch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut at = u64::try_from(HEAD).unwrap_or(u64::MAX);
    let mut number = 0_u64;
    while at < head.batches {
        let entry = reading.entry(at)?.ok_or(DAMAGED)?;
        match entry.header.kind {
            Kind::Rows if entry.header.number == number.saturating_add(1) => {
                number = entry.header.number;
                each(decode(&entry.payload).map_err(|_| DAMAGED)?)?;
            }
            Kind::End if entry.header.number == number && entry.next == head.batches => {
                return Ok(());
            }
            _ => return Err(DAMAGED),
        }
        at = entry.next;
    }
    Err(DAMAGED)
}

/// Reads the newest file as a whole; `None` where there is none.
///
/// # Errors
/// The files'.
pub(in crate::embedded) fn check(
    folder: &dyn LogFolder,
) -> Result<Option<JournalCheck>, StoreError> {
    let mut found = JournalCheck::default();
    let (mut reading, head) = match open(folder) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Ok(None),
        Err(StoreError::Corrupt { .. }) => {
            found.damaged = 1;
            return Ok(Some(found));
        }
        Err(error) => return Err(error),
    };
    let counted = rows(&mut reading, &head, &mut |batch| {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        found.rows = found.rows.saturating_add(count);
        Ok(())
    });
    match counted {
        Ok(()) => {}
        Err(StoreError::Corrupt { .. }) => found.damaged = found.damaged.saturating_add(1),
        Err(error) => return Err(error),
    }
    let since = batches(&mut reading, &head, LogPosition(u64::MAX))?;
    found.batches = since.last;
    let gaps = u64::try_from(since.tail.gaps.len()).unwrap_or(u64::MAX);
    found.damaged = found.damaged.saturating_add(gaps);
    Ok(Some(found))
}
