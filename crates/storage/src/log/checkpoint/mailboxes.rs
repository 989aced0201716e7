// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One mailbox of a checkpoint: what it holds as a whole, and its entries as a length of bytes that an opening does
//! not look into.
//!
//! The bytes: 1, account 32, device 16, then as numbers the place from which on it is replayed, the last position,
//! how many it remembers and how many of those are older; the shares, each with delivery id 16, kind 1,
//! envelopes and bytes; how many entries, the bytes that their records take, the length of what follows,
//! and the entries. In version 1 a share is delivery id and kind, and the entries follow their number.

use bytes::Bytes;
use waxwing_proto::DeliveryId;

use super::{read_number, write_number};
use crate::log::format::{Place, Reader};
use crate::log::index::{Held, Mailbox, Share};
use crate::log::packed::{Packed, pack, read_entry, read_place, write_place};
use crate::log::record::{MailboxKey, kind_byte, kind_from_byte, read_mailbox};

/// How entries are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Version 1: they have to be read to be passed over.
    Entries,
    /// Their length is said.
    Packed,
}

/// A mailbox as it is read; what it remembers is somewhere else.
pub(super) struct Stored {
    pub(super) key: MailboxKey,
    pub(super) held: Mailbox,
    pub(super) packed: Packed,
    pub(super) remembered: usize,
    pub(super) older: usize,
}

/// Adds a mailbox, which is unpacked. `since` is the place from which on its records are replayed.
pub(crate) fn write_mailbox(to: &mut Vec<u8>, key: &MailboxKey, held: &Mailbox, since: Place) {
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    to.push(1);
    to.extend_from_slice(key.account.as_bytes());
    to.extend_from_slice(key.device.as_bytes());
    write_place(to, since);
    write_number(to, held.last_position);
    write_number(to, count(held.remembered.len()));
    write_number(to, count(held.older));
    write_number(to, count(held.shares.len()));
    for share in &held.shares {
        to.extend_from_slice(share.delivery_id.as_bytes());
        to.push(kind_byte(share.kind));
        write_number(to, share.held.envelopes);
        write_number(to, share.held.bytes);
    }
    let mut packed = Vec::new();
    pack(&mut packed, held.entries.iter());
    let records = held.entries.iter().map(|entry| entry.record());
    write_number(to, count(held.entries.len()));
    write_number(to, records.fold(0, u64::saturating_add));
    write_number(to, count(packed.len()));
    to.append(&mut packed);
}

/// Reads every mailbox and the zero after them; `None` where that is not what is there.
pub(super) fn read_all(reader: &mut Reader<'_>, file: &Bytes, form: Form) -> Option<Vec<Stored>> {
    let mut stored: Vec<Stored> = Vec::new();
    while reader.u8()? == 1 {
        let mailbox = read(reader, file, form)?;
        // Each once.
        if stored.last().is_some_and(|last| last.key >= mailbox.key) {
            return None;
        }
        stored.push(mailbox);
    }
    reader.0.is_empty().then_some(stored)
}

fn read(reader: &mut Reader<'_>, file: &Bytes, form: Form) -> Option<Stored> {
    let number = |reader: &mut Reader<'_>| usize::try_from(read_number(reader)?).ok();
    let key = read_mailbox(reader)?;
    let mut held = Mailbox::default();
    held.since = read_place(reader)?;
    held.last_position = read_number(reader)?;
    let remembered = number(reader)?;
    let older = number(reader)?;
    for _ in 0..read_number(reader)? {
        let mut share = Share {
            delivery_id: DeliveryId::new(reader.array()?),
            kind: kind_from_byte(reader.u8()?)?,
            held: Held::default(),
        };
        if form == Form::Packed {
            share.held.envelopes = read_number(reader)?;
            share.held.bytes = read_number(reader)?;
        }
        held.shares.push(share);
    }
    let count = number(reader)?;
    let (bytes, records) = match form {
        Form::Entries => pass_over(reader, count, &mut held)?,
        Form::Packed => {
            let records = read_number(reader)?;
            let length = number(reader)?;
            (reader.take(length)?, records)
        }
    };
    Some(Stored {
        key,
        held,
        packed: Packed::new(file.slice_ref(bytes), count, records)?,
        remembered,
        older,
    })
}

/// Passes over entries, and counts what they say of their mailbox.
fn pass_over<'a>(
    reader: &mut Reader<'a>,
    count: usize,
    held: &mut Mailbox,
) -> Option<(&'a [u8], u64)> {
    let before = reader.0;
    let (mut position, mut records) = (0, 0_u64);
    for _ in 0..count {
        let entry = read_entry(reader, position)?;
        position = entry.position;
        records = records.checked_add(entry.record())?;
        let share = held.shares.get_mut(usize::try_from(entry.share).ok()?)?;
        share.held.add(entry.body());
    }
    let length = before.len().checked_sub(reader.0.len())?;
    Some((before.get(..length)?, records))
}
