// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole server's store as one stream of bytes, whatever keeps its rows.
//!
//! The bytes: magic 8, version 4, zeros 4, id 16, checksum 4; then entries as [`super::entry`] has them,
//! numbered through: all rows; each mailbox, followed by its envelopes; and the end, without which an
//! export is not whole. What a mailbox remembers of deleted envelopes is not in it: a sender that
//! heard no answer before may have its envelope stored once more, and its receiver notices.

mod reading;
mod writing;

use bytes::Bytes;
use waxwing_proto::limits;

use super::entry::HEADER;
use crate::Day;
use crate::StoreError;
use crate::log::format::Reader;
use crate::log::record::{kind_byte, kind_from_byte, read_mailbox};
use crate::log::{Arrival, MailboxKey};

pub(in crate::embedded) use reading::import;

const MAGIC: [u8; 8] = *b"WXEXPORT";
const VERSION: u32 = 1;
/// The bytes before the first entry.
const HEAD: usize = 36;
/// The longest entry that is not rows: an envelope and what is known of it.
const ENVELOPE_MAX: usize = limits::ENVELOPE_SIZE_MAX + 256;

const DAMAGED: StoreError = StoreError::Corrupt { what: "export" };

/// What an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Rows of tables.
    pub rows: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Envelopes in them.
    pub envelopes: u64,
    /// Envelopes that are damaged, and left out.
    pub damaged: u64,
}

pub(super) fn head(id: &[u8; 16]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(id);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The id in a head.
fn id_in(bytes: &[u8; HEAD]) -> Result<[u8; 16], StoreError> {
    let read = || {
        let mut reader = Reader(bytes);
        let magic: [u8; 8] = reader.array()?;
        let version = reader.u32()?;
        reader.take(4)?;
        let id = reader.array::<16>()?;
        let covered = bytes.get(..HEAD.saturating_sub(4))?;
        let is_whole = magic == MAGIC && reader.u32()? == crc32fast::hash(covered);
        is_whole.then_some((version, id))
    };
    let (version, id) = read().ok_or(DAMAGED)?;
    if version > VERSION {
        return Err(StoreError::NewerFormat {
            found: version,
            known: VERSION,
        });
    }
    Ok(id)
}

fn mailbox_payload(mailbox: &MailboxKey) -> Vec<u8> {
    [
        mailbox.account.as_bytes().as_slice(),
        mailbox.device.as_bytes().as_slice(),
    ]
    .concat()
}

fn mailbox_of(payload: &[u8]) -> Option<MailboxKey> {
    let mut reader = Reader(payload);
    let mailbox = read_mailbox(&mut reader)?;
    reader.0.is_empty().then_some(mailbox)
}

fn envelope_payload(arrival: &Arrival) -> Vec<u8> {
    let mut payload = Vec::with_capacity(HEADER.saturating_add(arrival.body.len()));
    payload.push(kind_byte(arrival.kind));
    payload.extend_from_slice(&arrival.day.0.to_le_bytes());
    payload.extend_from_slice(arrival.envelope_id.as_bytes());
    payload.extend_from_slice(arrival.delivery_id.as_bytes());
    payload.extend_from_slice(&arrival.body);
    payload
}

fn envelope_of(payload: &Bytes) -> Option<Arrival> {
    let mut reader = Reader(payload);
    let kind = kind_from_byte(reader.u8()?)?;
    let day = Day(reader.u32()?);
    let envelope_id = waxwing_proto::EnvelopeId::new(reader.array()?);
    let delivery_id = waxwing_proto::DeliveryId::new(reader.array()?);
    let body = payload.slice_ref(reader.0);
    Some(Arrival {
        envelope_id,
        delivery_id,
        kind,
        day,
        body,
    })
}
