// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Copying forward.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::victims::Segments;
use super::{COPY, Cold, ENTRIES_PER_LOOK, Work};
use crate::StoreError;
use crate::log::committer::first_offset;
use crate::log::format::{Place, SegmentHeader, Stream, begin_record, end_record, set_position};
use crate::log::index::Entry;
use crate::log::record::{Kind, MailboxKey};

impl Work {
    /// Copies forward what is wanted in segments that are mostly unwanted, where too much room is
    /// used. Answers whether anything was copied.
    pub(super) fn copy_forward(&mut self, is_quiet: bool) -> Result<bool, StoreError> {
        let copied = self.copy(is_quiet);
        if copied.is_err() {
            // What the segment holds behind what is in the index is unknown: the next try takes another.
            self.cold = None;
        }
        copied
    }

    fn copy(&mut self, is_quiet: bool) -> Result<bool, StoreError> {
        let victims = self.victims(is_quiet);
        if victims.is_empty() {
            return Ok(false);
        }
        let mut wanted = self.entries_in(&victims);
        wanted.sort_by_key(|(_, entry)| entry.place);
        let shared = Arc::clone(&self.shared);
        let mut moves = Vec::with_capacity(wanted.len());
        let mut buffer: Vec<u8> = Vec::new();
        for (key, entry) in wanted {
            let Some(segment) = shared.segments.get(entry.place.segment) else {
                continue;
            };
            // It was said, and looking again in each round would help nobody.
            if self.damaged.contains(&entry.place) {
                continue;
            }
            let read = segment.record(&shared.sealer, entry.place.offset, entry.length);
            let Some((header, payload)) = read else {
                // BOX-77. A damaged envelope keeps its segment until it expires.
                tracing::error!(code = "store_corrupt", "an envelope in the log is damaged");
                shared.damaged.fetch_add(1, Ordering::Relaxed);
                self.damaged.insert(entry.place);
                continue;
            };
            let mut record = begin_record(payload.len());
            record.extend_from_slice(&payload);
            end_record(&mut record, Kind::Envelope);
            set_position(&mut record, header.position);
            let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
            let to = self.cold_place(length, &mut buffer)?;
            shared.sealer.seal(&mut record, to, to.offset);
            buffer.extend_from_slice(&record);
            moves.push((key, entry, to));
            if buffer.len() >= COPY {
                self.write_cold(&mut buffer)?;
            }
        }
        self.write_cold(&mut buffer)?;
        if let Some(cold) = &self.cold {
            cold.segment.sync()?;
        }
        for chunk in moves.chunks(ENTRIES_PER_LOOK) {
            let mut state = shared.state();
            for (key, entry, to) in chunk {
                state.index.relocate(key, entry.position, entry.place, *to);
            }
        }
        Ok(!moves.is_empty())
    }

    /// Which segments to copy forward.
    fn victims(&mut self, is_quiet: bool) -> BTreeSet<u32> {
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        let before = std::mem::replace(&mut self.wanted, state.index.live.clone());
        // Segments that are replayed cannot be given back whatever is copied.
        let replayed_from = self.kept.back().map_or(0, |kept| kept.start.segment);
        let cold = self.cold.as_ref();
        Segments {
            size: shared.segments.size,
            live: &state.index.live,
            live_bytes: state.index.live_bytes,
            before: &before,
            hot_below: replayed_from.min(state.tail.segment),
            copied_to: cold.map(|cold| (cold.segment.number, cold.end)),
        }
        .victims(is_quiet)
    }

    fn entries_in(&self, victims: &BTreeSet<u32>) -> Vec<(MailboxKey, Entry)> {
        let mut wanted = Vec::new();
        let mut after: Option<MailboxKey> = None;
        loop {
            let state = self.shared.state();
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut looked_at = 0_usize;
            let mut is_last = true;
            for (key, held) in state.index.mailboxes.range((from, Bound::Unbounded)) {
                wanted.extend(
                    held.entries
                        .iter()
                        .filter(|entry| victims.contains(&entry.place.segment))
                        .map(|entry| (*key, *entry)),
                );
                after = Some(*key);
                looked_at = looked_at
                    .saturating_add(held.entries.len())
                    .saturating_add(16);
                if looked_at >= ENTRIES_PER_LOOK.saturating_mul(4) {
                    is_last = false;
                    break;
                }
            }
            if is_last {
                return wanted;
            }
        }
    }

    /// The place for a record of this length in the cold stream; begins a segment where it is due.
    fn cold_place(&mut self, length: u32, buffer: &mut Vec<u8>) -> Result<Place, StoreError> {
        let waiting = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        if let Some(cold) = &self.cold {
            let offset = cold.end.saturating_add(waiting);
            if offset.saturating_add(length) <= self.shared.segments.size {
                return Ok(Place {
                    segment: cold.segment.number,
                    offset,
                });
            }
        }
        self.write_cold(buffer)?;
        if let Some(full) = &self.cold {
            full.segment.sync()?;
        }
        let number = {
            let mut state = self.shared.state();
            let number = state.next_cold;
            state.next_cold = number
                .checked_add(1)
                .ok_or(StoreError::Bug("the log has used up its numbers"))?;
            number
        };
        let header = SegmentHeader {
            stream: Stream::Cold,
            number,
            previous: 0,
            previous_end: 0,
        };
        let segment = self.shared.segments.take_cold(number)?;
        let header = header.encode(&self.shared.log);
        segment
            .file
            .write_vectored_at(&[IoSlice::new(&header)], 0)?;
        self.cold = Some(Cold {
            segment,
            end: first_offset(),
        });
        Ok(Place {
            segment: number,
            offset: first_offset(),
        })
    }

    fn write_cold(&mut self, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        if buffer.is_empty() {
            return Ok(());
        }
        let cold = self
            .cold
            .as_mut()
            .ok_or(StoreError::Bug("nothing is open to copy into"))?;
        cold.segment
            .file
            .write_vectored_at(&[IoSlice::new(buffer)], cold.end.into())?;
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        cold.end = cold.end.saturating_add(length);
        buffer.clear();
        Ok(())
    }
}
