// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading envelopes. Those that lie near each other in one segment are read with one call into one
//! buffer, of which their bodies are parts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::format::{Place, RECORD_HEADER};
use super::index::{COLD_FIRST, Entry};
use super::record::{self, Arrival, EnvelopeRecord, MailboxKey};
use super::segments::Segment;
use super::{DeliveryLog, Shared};
use crate::StoreError;
use crate::server::{Position, StoredEnvelope};

/// The largest buffer for more than one envelope, in bytes: each body holds all of its buffer.
const BUFFER_MAX: u32 = 256 * 1024;
/// How many bytes that nobody asked for are read along between two envelopes.
const GAP_MAX: u32 = 4 * 1024;

/// An entry to be read, and its segment, held so that it is not written over meanwhile.
struct Wanted {
    entry: Entry,
    segment: Option<Arc<Segment>>,
}

impl Wanted {
    /// Where its record begins and its payload ends, in its segment.
    fn span(&self) -> (u32, u32) {
        let begin = self.entry.place.offset;
        let header = u32::try_from(RECORD_HEADER).unwrap_or(u32::MAX);
        let length = header.saturating_add(self.entry.length);
        (begin, begin.saturating_add(length))
    }

    /// Reads it; nothing where the device does not.
    fn read_alone(&self) -> Bytes {
        let (begin, end) = self.span();
        let segment = self.segment.as_ref();
        let read =
            segment.and_then(|segment| segment.read_or_say(begin, end.saturating_sub(begin)));
        read.unwrap_or_default()
    }
}

impl DeliveryLog {
    /// The envelopes of a mailbox after a position, in order: at most `max_count`, and at most
    /// `max_bytes` of them, but the first in any case. Only what is durable is shown. An envelope that
    /// is damaged, or that the device does not read, is passed over and counted.
    ///
    /// # Errors
    /// The log stopped, or a mailbox could not be unpacked.
    pub fn read(
        &self,
        mailbox: &MailboxKey,
        after: Position,
        max_count: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEnvelope>, StoreError> {
        // BOX-77.
        let shared = &*self.shared;
        let mut after = after;
        loop {
            let wanted = shared.wanted(mailbox, after, max_count, max_bytes)?;
            let Some(last) = wanted.last() else {
                return Ok(Vec::new());
            };
            after = Position(last.entry.position);
            let mut found = Vec::with_capacity(wanted.len());
            shared.read(mailbox, &wanted, |position, arrival| {
                let Some(arrival) = arrival else {
                    shared.damaged.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(code = "store_corrupt", "an envelope in the log is damaged");
                    return;
                };
                found.push(StoredEnvelope {
                    position,
                    envelope_id: arrival.envelope_id,
                    delivery_id: arrival.delivery_id,
                    envelope: arrival.body,
                });
            });
            // Where all of them are damaged what comes after them is wanted.
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    /// The arrivals of a mailbox after a position with their positions; `None` for one that is
    /// damaged or cannot be read. Bounded as [`DeliveryLog::read`].
    ///
    /// # Errors
    /// As [`DeliveryLog::read`].
    pub fn arrivals(
        &self,
        mailbox: &MailboxKey,
        after: Position,
        max_count: usize,
    ) -> Result<Vec<(Position, Option<Arrival>)>, StoreError> {
        let wanted = self.shared.wanted(mailbox, after, max_count, usize::MAX)?;
        let mut found = Vec::with_capacity(wanted.len());
        self.shared.read(mailbox, &wanted, |position, arrival| {
            found.push((position, arrival));
        });
        Ok(found)
    }
}

impl Shared {
    fn wanted(
        &self,
        mailbox: &MailboxKey,
        after: Position,
        max_count: usize,
        max_bytes: usize,
    ) -> Result<Vec<Wanted>, StoreError> {
        if self.committer.has_stopped() {
            return Err(StoreError::Stopped);
        }
        let mut state = self.state();
        state.index.unpack(mailbox)?;
        let Some(held) = state.index.mailboxes.get(mailbox) else {
            return Ok(Vec::new());
        };
        let first = held
            .entries
            .partition_point(|entry| entry.position <= after.0);
        let mut bytes_left = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        let mut wanted: Vec<Wanted> = Vec::new();
        // Positions become durable in their order, so what follows a pending one is pending too.
        for entry in held.entries.range(first..).take(max_count) {
            let end = Place {
                offset: entry.place.offset.saturating_add(1),
                ..entry.place
            };
            let is_durable = entry.place.segment >= COLD_FIRST || self.committer.is_durable(end);
            let left = bytes_left.checked_sub(entry.body());
            if !is_durable || (left.is_none() && !wanted.is_empty()) {
                break;
            }
            bytes_left = left.unwrap_or(0);
            // Held while it is read, so that it is not written over meanwhile.
            let segment = match wanted.last() {
                Some(last) if last.entry.place.segment == entry.place.segment => {
                    last.segment.clone()
                }
                _ => self.segments.get(entry.place.segment),
            };
            wanted.push(Wanted {
                entry: *entry,
                segment,
            });
        }
        Ok(wanted)
    }

    /// Reads what is wanted and hands each over in its turn; `None` for what is damaged or cannot be read.
    fn read(
        &self,
        mailbox: &MailboxKey,
        wanted: &[Wanted],
        mut found: impl FnMut(Position, Option<Arrival>),
    ) {
        let mut rest = wanted;
        while let Some((near, after)) = rest.split_at_checked(count_near(rest)) {
            let Some((first, others)) = near.split_first() else {
                break;
            };
            rest = after;
            let (begin, _) = first.span();
            let mut show = |one: &Wanted, begin: u32, buffer: &Bytes| {
                let from = one.entry.place.offset.saturating_sub(begin);
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                let own = buffer.slice(from.min(buffer.len())..);
                let position = Position(one.entry.position);
                found(position, self.arrival(mailbox, one, &own));
            };
            // What the device does not read may be what nobody asked for.
            let together = match others {
                [] => None,
                _ => read_near(near).ok(),
            };
            for one in near {
                match &together {
                    Some(buffer) => show(one, begin, buffer),
                    None => show(one, one.span().0, &one.read_alone()),
                }
            }
        }
    }

    /// The envelope whose record begins a buffer; `None` where it is not the one that is wanted, or not whole.
    fn arrival(&self, mailbox: &MailboxKey, wanted: &Wanted, buffer: &Bytes) -> Option<Arrival> {
        let entry = &wanted.entry;
        let segment = wanted.segment.as_ref()?;
        let (header, payload) =
            segment.record_in(&self.sealer, entry.place.offset, entry.length, buffer)?;
        match record::event(header.kind, &payload) {
            Some(record::Event::Envelope(EnvelopeRecord {
                mailbox: of,
                arrival,
            })) if of == *mailbox && header.position == entry.position => Some(arrival),
            _ => None,
        }
    }
}

/// How many of the first ones are read with one call: those that follow each other in one segment, with
/// small gaps, up to the bound of a buffer.
fn count_near(wanted: &[Wanted]) -> usize {
    let mut rest = wanted.iter();
    let Some(first) = rest.next() else {
        return 0;
    };
    let (begin, mut last_end) = first.span();
    let mut count = 1_usize;
    for one in rest {
        let (from, end) = one.span();
        let is_near = one.entry.place.segment == first.entry.place.segment
            && from >= last_end
            && from.saturating_sub(last_end) <= GAP_MAX
            && end.saturating_sub(begin) <= BUFFER_MAX;
        if !is_near {
            break;
        }
        last_end = end;
        count = count.saturating_add(1);
    }
    count
}

/// Reads from where the first one begins to where the last one ends; less where the file does.
fn read_near(near: &[Wanted]) -> io::Result<Bytes> {
    let (Some(first), Some(last)) = (near.first(), near.last()) else {
        return Ok(Bytes::new());
    };
    let Some(segment) = &first.segment else {
        return Ok(Bytes::new());
    };
    let (begin, end) = (first.span().0, last.span().1);
    segment.read(begin, end.saturating_sub(begin))
}
