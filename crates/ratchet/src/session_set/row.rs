// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The set as a sealed row. Strict: what is read encodes to the same bytes, but for the first format,
//! which knew no predecessors and is written anew in the second.

use waxwing_identity::encoding::{LayoutError, Reader, Writer};
use waxwing_proto::limits::GONE_SESSIONS_MAX;

use super::{Entry, Gone, SESSIONS_PER_DEVICE_MAX, SessionSet};
use crate::{ContinuityId, RatchetError, SessionId};

const FORMAT: u8 = 2;
const FORMAT_WITHOUT_PREDECESSORS: u8 = 1;

const CONTINUES: u8 = 1;
const ENDED: u8 = 1 << 1;
const OWN: u8 = 1 << 2;
const WON: u8 = 1 << 1;
/// Names of continuity secrets of one session.
const NAMES_MAX: usize = 2;

impl SessionSet {
    /// The row for the sealed store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let mut writer = Writer::new()
            .u8(FORMAT)
            .u8(count(self.entries.len()))
            .u8(count(self.gone.len()))
            .u64(self.drained_at)
            .u8(u8::from(self.root.is_some()))
            .raw(id_bytes(self.root).as_slice());
        for entry in &self.entries {
            let flags = [
                (entry.predecessor.is_some(), CONTINUES),
                (entry.ended_at.is_some(), ENDED),
                (entry.own, OWN),
            ];
            writer = writer
                .u8(flags_byte(&flags))
                .raw(entry.id.as_bytes())
                .raw(id_bytes(entry.predecessor).as_slice())
                .u32(entry.attempt)
                .u64(entry.placed_at)
                .u64(entry.ended_at.unwrap_or(0));
        }
        for gone in &self.gone {
            let flags = [(gone.id.is_some(), CONTINUES), (gone.winner.is_some(), WON)];
            let (attempt, winner) = gone.winner.map_or((0, None), |(at, id)| (at, Some(id)));
            writer = writer
                .u8(flags_byte(&flags))
                .raw(id_bytes(gone.id).as_slice())
                .u8(count(gone.continuity.len()));
            for name in &gone.continuity {
                writer = writer.raw(name.as_bytes());
            }
            writer = writer
                .u32(attempt)
                .raw(id_bytes(winner).as_slice())
                .u64(gone.at);
        }
        writer.into_bytes()
    }

    /// Reads what [`SessionSet::encode`] wrote, now or in an earlier version.
    ///
    /// # Errors
    /// [`RatchetError::Corrupt`] or [`RatchetError::UnsupportedFormat`].
    pub fn decode(row: &[u8]) -> Result<Self, RatchetError> {
        let read = match row.first() {
            Some(&FORMAT) => read(Reader::new(row)),
            Some(&FORMAT_WITHOUT_PREDECESSORS) => read_without_predecessors(Reader::new(row)),
            Some(format) => return Err(RatchetError::UnsupportedFormat(*format)),
            None => return Err(RatchetError::Corrupt),
        };
        read.map_err(|_| RatchetError::Corrupt)
    }
}

fn flags_byte(flags: &[(bool, u8)]) -> u8 {
    let set = flags.iter().filter(|(set, _)| *set);
    set.fold(0, |all, (_, flag)| all | flag)
}

fn id_bytes(id: Option<SessionId>) -> [u8; 32] {
    id.map_or([0; 32], |id| *id.as_bytes())
}

/// An id that is there, or zeros.
fn read_id(reader: &mut Reader<'_>, there: bool) -> Result<Option<SessionId>, LayoutError> {
    let bytes: [u8; 32] = reader.array()?;
    if !there && bytes != [0; 32] {
        return Err(LayoutError::Value);
    }
    Ok(there.then(|| SessionId::new(bytes)))
}

fn read(mut reader: Reader<'_>) -> Result<SessionSet, LayoutError> {
    let r = &mut reader;
    r.u8()?;
    let (entries, gone) = (usize::from(r.u8()?), usize::from(r.u8()?));
    if entries > SESSIONS_PER_DEVICE_MAX || gone > GONE_SESSIONS_MAX {
        return Err(LayoutError::Limit);
    }
    let drained_at = r.u64()?;
    let root = match r.u8()? {
        0 => read_id(r, false)?,
        1 => read_id(r, true)?,
        _ => return Err(LayoutError::Value),
    };
    let entries = (0..entries)
        .map(|_| read_entry(r))
        .collect::<Result<_, _>>()?;
    let gone = (0..gone).map(|_| read_gone(r)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(SessionSet {
        entries,
        root,
        gone,
        drained_at,
    })
}

fn read_entry(r: &mut Reader<'_>) -> Result<Entry, LayoutError> {
    let flags = r.u8()?;
    if flags & !(CONTINUES | ENDED | OWN) != 0 {
        return Err(LayoutError::Value);
    }
    let id = SessionId::new(r.array()?);
    let predecessor = read_id(r, flags & CONTINUES != 0)?;
    let (attempt, placed_at, ended_at) = (r.u32()?, r.u64()?, r.u64()?);
    let ended = flags & ENDED != 0;
    if !ended && ended_at != 0 {
        return Err(LayoutError::Value);
    }
    Ok(Entry {
        id,
        predecessor,
        attempt,
        placed_at,
        ended_at: ended.then_some(ended_at),
        own: flags & OWN != 0,
    })
}

fn read_gone(r: &mut Reader<'_>) -> Result<Gone, LayoutError> {
    let flags = r.u8()?;
    if flags & !(CONTINUES | WON) != 0 {
        return Err(LayoutError::Value);
    }
    let id = read_id(r, flags & CONTINUES != 0)?;
    let names = usize::from(r.u8()?);
    if names > NAMES_MAX {
        return Err(LayoutError::Limit);
    }
    let continuity = (0..names)
        .map(|_| Ok(ContinuityId::new(r.array()?)))
        .collect::<Result<_, LayoutError>>()?;
    let attempt = r.u32()?;
    let winner = read_id(r, flags & WON != 0)?;
    if winner.is_none() && attempt != 0 {
        return Err(LayoutError::Value);
    }
    Ok(Gone {
        id,
        continuity,
        winner: winner.map(|winner| (attempt, winner)),
        at: r.u64()?,
    })
}

/// The first format: sessions that continue nothing. Who made a handshake was not noted; one whose
/// prefix has not ended counts as unconfirmed.
fn read_without_predecessors(mut reader: Reader<'_>) -> Result<SessionSet, LayoutError> {
    const ENDED: u8 = 1;
    const SUPERSEDED: u8 = 1 << 1;
    const DRAINED: u8 = 1 << 2;
    reader.u8()?;
    let count = usize::from(reader.u8()?);
    if count > SESSIONS_PER_DEVICE_MAX {
        return Err(LayoutError::Limit);
    }
    let mut set = SessionSet::new();
    for _ in 0..count {
        let id = SessionId::new(reader.array()?);
        let (attempt, placed_at) = (reader.u32()?, reader.u64()?);
        let flags = reader.u8()?;
        let superseded_at = reader.u64()?;
        if flags & !(ENDED | SUPERSEDED | DRAINED) != 0
            || (flags & SUPERSEDED == 0 && superseded_at != 0)
        {
            return Err(LayoutError::Value);
        }
        let ended = flags & ENDED != 0;
        set.entries.push(Entry {
            id,
            predecessor: None,
            attempt,
            placed_at,
            ended_at: ended.then_some(placed_at),
            own: !ended,
        });
    }
    reader.finish()?;
    Ok(set)
}
