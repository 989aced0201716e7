// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Steps: one turn at a time decides on what the mailboxes hold and commits a group of changes.

use std::sync::MutexGuard;

use bytes::Bytes;
use tokio::sync::oneshot;
use waxwing_proto::{AccountKey, DeliveryId};

use super::buffers;
use super::committer::{Answer, Request, first_offset};
use super::format::{Place, SegmentHeader, Stream, record_length, set_more, set_position};
use super::index::{COLD_FIRST, Entry, Fingerprint, Index, Mailbox};
use super::record::{self, MailboxKey};
use super::{LogPosition, Shared, State};
use crate::server::{DeliveryIdKind, Position};
use crate::{Day, StoreError};

/// On a full disk one part in this many of the last segment is kept for what makes room.
const RESERVE_SHARE: u32 = 4;
/// One part in this many is kept for what makes room and changes no rows: acknowledgements.
const LAST_RESERVE_SHARE: u32 = 8;
/// After how long a step is worth another try that the disk had no room for, in milliseconds.
const FULL_RETRY_MS: u32 = 30_000;

/// An envelope that is encoded: all that is missing is its place.
pub struct Prepared {
    pub(super) mailbox: MailboxKey,
    pub(super) delivery_id: DeliveryId,
    pub(super) kind: DeliveryIdKind,
    pub(super) fingerprint: Fingerprint,
    pub(super) payload: u32,
    pub(super) record: Vec<u8>,
}

impl Prepared {
    /// The mailbox that it goes to.
    #[must_use]
    pub const fn mailbox(&self) -> &MailboxKey {
        &self.mailbox
    }
}

/// Something to commit.
pub enum Change {
    /// An envelope comes, at the next position of its mailbox.
    Deliver(Prepared),
    /// An envelope comes from another store, with the position that it had there, which is above all
    /// of its mailbox.
    Import(Prepared, Position),
    /// Envelopes go, and are remembered. Positions that hold nothing are passed over.
    Acknowledge(MailboxKey, Vec<Position>),
    /// A mailbox goes with all that is in it and all that it remembers.
    RemoveMailbox(MailboxKey),
    /// Every mailbox of an account goes.
    RemoveAccount(AccountKey),
    /// A day has come: what was remembered before the last such day is forgotten. Whoever says so on two days
    /// that follow each other may say it twice within minutes.
    Forget(Day),
    /// Rows of tables, for whoever keeps them.
    Tables(Bytes),
    /// The same, where rows go, or say what else of the group goes: on a full disk these are taken for longer.
    FreeingTables(Bytes),
}

/// Changes that are there after a crash all or not at all.
pub type Group = Vec<Change>;

/// Decides, alone, on what the mailboxes hold.
pub struct Turn<'a> {
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
    staged: Staged,
}

/// Groups that have taken effect in memory and lie next to each other in one segment.
#[derive(Default)]
struct Staged {
    opens: Option<SegmentHeader>,
    begin: Option<Place>,
    records: Vec<Vec<u8>>,
}

/// What was committed.
pub struct Committed {
    /// The positions of the delivered envelopes of [`Turn::commit`], in the order of the changes.
    pub positions: Vec<Position>,
    /// The place after everything that was committed.
    pub end: LogPosition,
    durable: Option<oneshot::Receiver<Answer>>,
}

impl Committed {
    /// Resolves when the group and everything before it is durable.
    ///
    /// # Errors
    /// The log stopped: what is durable is unknown.
    pub async fn durable(self) -> Result<(), StoreError> {
        match self.durable {
            Some(durable) => durable
                .await
                .unwrap_or(Err(StoreError::Stopped))
                .map(buffers::give_back),
            None => Ok(()),
        }
    }
}

impl<'a> Turn<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            state: shared.state(),
            staged: Staged::default(),
        }
    }

    /// A mailbox, with everything that was committed, durable or not.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the checkpoint that was opened says of it what cannot be.
    pub fn mailbox(&mut self, mailbox: &MailboxKey) -> Result<Option<&Mailbox>, StoreError> {
        self.state.index.unpack(mailbox)?;
        Ok(self.state.index.mailboxes.get(mailbox))
    }

    /// Whether envelopes are at all these positions of a mailbox.
    ///
    /// # Errors
    /// As [`Turn::mailbox`].
    pub fn holds(
        &mut self,
        mailbox: &MailboxKey,
        positions: &[Position],
    ) -> Result<bool, StoreError> {
        let held = self.mailbox(mailbox)?;
        let holds = |at: &Position| held.is_some_and(|held| held.find(at.0).is_some());
        Ok(positions.iter().all(holds))
    }

    /// Whether a day is later than the last one that was committed with [`Change::Forget`].
    #[must_use]
    pub fn is_new_day(&self, day: Day) -> bool {
        self.state.index.is_new_day(day)
    }

    /// Commits a group: it takes effect in memory before this returns.
    ///
    /// # Errors
    /// As [`Turn::stage`].
    pub fn commit(mut self, mut group: Group) -> Result<Committed, StoreError> {
        let mut positions = Vec::new();
        self.stage(&mut group, &mut positions)?;
        Ok(Committed {
            positions,
            ..self.finish()?
        })
    }

    /// Lets a group take effect in memory, and those who decide later in this turn see it. It is
    /// committed with the turn's end, [`Turn::finish`]. The group is used up, and the positions of the
    /// delivered envelopes are added to `positions` in the order of the changes.
    ///
    /// # Errors
    /// [`StoreError::Limit`] where the group is larger than a segment; [`StoreError::Busy`] where it would
    /// need a segment that there is no room for on the disk. Nothing of it was done then, and what was
    /// staged before stays; so it is with the errors of [`Turn::mailbox`]. [`StoreError::Stopped`]: nothing
    /// of either is kept.
    pub fn stage(
        &mut self,
        group: &mut Group,
        positions: &mut Vec<Position>,
    ) -> Result<(), StoreError> {
        self.unpack(group)?;
        let large = self.room_for(group)?;
        let shared = self.shared;
        let state = &mut *self.state;
        let room = shared.segments.size.saturating_sub(state.tail.offset);
        if large > 0 && (state.must_roll || large > room) {
            send(shared, &mut self.staged, None)?;
            self.staged.opens = Some(roll(state)?);
            shared.signal.notice();
        }
        let begin = state.tail;
        self.staged.begin.get_or_insert(begin);
        let records = &mut self.staged.records;
        let before = records.len();
        for change in group.drain(..) {
            let is_tables = matches!(change, Change::Tables(_) | Change::FreeingTables(_));
            if let Some(record) = apply(state, change, positions) {
                let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
                state.tail.offset = state.tail.offset.saturating_add(length);
                records.push(record);
            }
            if is_tables {
                state.last_tables = state.tail;
            }
        }
        let mut own = records.iter_mut().skip(before);
        if own.next_back().is_some() {
            own.for_each(|record| set_more(record));
        }
        let bytes = u64::from(state.tail.offset.saturating_sub(begin.offset));
        state.since_checkpoint = state.since_checkpoint.saturating_add(bytes);
        state.appended = state.appended.saturating_add(bytes);
        Ok(())
    }

    /// Commits what was staged.
    ///
    /// # Errors
    /// [`StoreError::Stopped`].
    pub fn finish(mut self) -> Result<Committed, StoreError> {
        let end = self.state.tail;
        let committer = &self.shared.committer;
        let is_there = self.staged.is_empty() && committer.is_durable(end);
        let durable = if is_there {
            None
        } else {
            let (done, durable) = oneshot::channel();
            self.staged.begin.get_or_insert(end);
            send(self.shared, &mut self.staged, Some(done))?;
            Some(durable)
        };
        Ok(Committed {
            positions: Vec::new(),
            end: end.into(),
            durable,
        })
    }

    /// Unpacks what the group changes: nothing can go wrong with that later.
    fn unpack(&mut self, group: &[Change]) -> Result<(), StoreError> {
        let index = &mut self.state.index;
        if index.packed == 0 {
            return Ok(());
        }
        for change in group {
            match change {
                Change::Deliver(prepared) | Change::Import(prepared, _) => {
                    index.unpack(&prepared.mailbox)?;
                }
                Change::Acknowledge(mailbox, _) | Change::RemoveMailbox(mailbox) => {
                    index.unpack(mailbox)?;
                }
                Change::RemoveAccount(account) => {
                    for mailbox in index.mailboxes_of(account) {
                        index.unpack(&mailbox)?;
                    }
                }
                Change::Forget(_) | Change::Tables(_) | Change::FreeingTables(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the group fits: the bytes that it takes at most.
    fn room_for(&self, group: &[Change]) -> Result<u32, StoreError> {
        let (shared, state) = (self.shared, &*self.state);
        let limit = shared.segments.size.saturating_sub(first_offset());
        // What is removed here has to be known before the group's size is, and a group that is too
        // large must change nothing. Only envelopes and tables can be large.
        let large: usize = group
            .iter()
            .map(|change| match change {
                Change::Deliver(prepared) | Change::Import(prepared, _) => prepared.record.len(),
                Change::Tables(rows) | Change::FreeingTables(rows) => record_length(rows.len()),
                Change::Acknowledge(_, positions) => {
                    record_length(positions.len().saturating_mul(12).saturating_add(48))
                }
                _ => record_length(48),
            })
            .fold(0, usize::saturating_add);
        let large = u32::try_from(large).unwrap_or(u32::MAX);
        if large > limit {
            return Err(StoreError::Limit { what: "group" });
        }
        // BOX-74.
        if shared.segments.lacks_room_for(state.next_hot) {
            let room = shared.segments.size.saturating_sub(state.tail.offset);
            let reserved = shared.segments.size.div_euclid(reserve_share(group));
            let left = room.saturating_sub(reserved);
            let is_over = large > left && reserved > 0;
            // A log that has just been opened has no room at all: it begins with a segment.
            if is_over || (state.must_roll && large > 0) {
                return Err(StoreError::Busy {
                    retry_after_ms: FULL_RETRY_MS,
                });
            }
        }
        Ok(large)
    }
}

impl Drop for Turn<'_> {
    /// What has taken effect in memory must not be missing in the log.
    fn drop(&mut self) {
        // Where it cannot be committed the log has stopped, and says so to everybody.
        let _stopped = send(self.shared, &mut self.staged, None);
    }
}

impl Staged {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.opens.is_none()
    }
}

/// Which part of the last segment a group leaves to others on a full disk: one in so many. Groups of
/// acknowledgements leave none.
fn reserve_share(group: &[Change]) -> u32 {
    let shares = group.iter().filter_map(|change| match change {
        Change::Deliver(_) | Change::Tables(_) => Some(RESERVE_SHARE),
        Change::FreeingTables(_) => Some(LAST_RESERVE_SHARE),
        _ => None,
    });
    shares.min().unwrap_or(u32::MAX)
}

/// Gives what was staged to the committer; nothing is staged then. Without anybody who waits, nothing is
/// given where nothing was staged.
fn send(
    shared: &Shared,
    staged: &mut Staged,
    done: Option<oneshot::Sender<Answer>>,
) -> Result<(), StoreError> {
    let Staged {
        opens,
        begin,
        records,
    } = core::mem::take(staged);
    let Some(place) = begin.filter(|_| done.is_some() || opens.is_some() || !records.is_empty())
    else {
        return Ok(());
    };
    shared
        .committer
        .queue(Request::new(opens, place, records, done))
}

/// Begins a segment.
fn roll(state: &mut State) -> Result<SegmentHeader, StoreError> {
    let number = state.next_hot;
    if number >= COLD_FIRST {
        return Err(StoreError::Bug("the log has used up its numbers"));
    }
    let header = SegmentHeader {
        stream: Stream::Hot,
        number,
        previous: state.tail.segment,
        previous_end: state.tail.offset,
    };
    state.next_hot = number.saturating_add(1);
    state.must_roll = false;
    state.tail = Place {
        segment: number,
        offset: first_offset(),
    };
    Ok(header)
}

/// Applies a change to the index; the record that says so, where there is something to say.
fn apply(state: &mut State, change: Change, positions: &mut Vec<Position>) -> Option<Vec<u8>> {
    let index = &mut state.index;
    match change {
        Change::Deliver(prepared) => {
            let (position, record) = deliver(index, state.tail, prepared, None);
            positions.push(position);
            Some(record)
        }
        Change::Import(prepared, position) => {
            let (position, record) = deliver(index, state.tail, prepared, Some(position));
            positions.push(position);
            Some(record)
        }
        Change::Acknowledge(mailbox, gone) => {
            let ranges = index.acknowledge(&mailbox, gone.iter().map(|position| position.0));
            (!ranges.is_empty()).then(|| record::acknowledge(&mailbox, &ranges))
        }
        Change::RemoveMailbox(mailbox) => {
            index.remove_mailbox(&mailbox);
            Some(record::remove_mailbox(&mailbox))
        }
        Change::RemoveAccount(account) => {
            for mailbox in index.mailboxes_of(&account) {
                index.remove_mailbox(&mailbox);
            }
            Some(record::remove_account(&account))
        }
        Change::Forget(day) => {
            if !index.is_new_day(day) {
                return None;
            }
            index.turn_day(day);
            for held in index.mailboxes.values_mut() {
                held.forget_older();
            }
            Some(record::forget(day))
        }
        Change::Tables(rows) | Change::FreeingTables(rows) => Some(record::tables(&rows)),
    }
}

/// Puts an envelope into the index, at the next position where none is given. The position, and the record
/// that says so.
fn deliver(
    index: &mut Index,
    place: Place,
    mut prepared: Prepared,
    at: Option<Position>,
) -> (Position, Vec<u8>) {
    let entry = Entry {
        position: at.map_or(0, |at| at.0),
        fingerprint: prepared.fingerprint.0,
        place,
        length: prepared.payload,
        share: 0,
    };
    let Prepared {
        mailbox,
        delivery_id,
        kind,
        ..
    } = prepared;
    let position = match at {
        Some(at) => {
            index.add(mailbox, delivery_id, kind, entry);
            at
        }
        None => Position(index.add_next(mailbox, delivery_id, kind, entry)),
    };
    set_position(&mut prepared.record, position.0);
    (position, prepared.record)
}
