// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading an export into rows and a log that nothing is in.

use std::io::Read;

use bytes::Bytes;
use prost::Message as _;

use super::super::decode;
use super::super::entry::{Codec, HEADER, Header, Kind};
use super::super::migration::use_up;
use super::{DAMAGED, ENVELOPE_MAX, Exported, HEAD, envelope_of, id_in, mailbox_of};
use crate::StoreError;
use crate::embedded::files::FileKeyValue;
use crate::embedded::format::POSITION_KEY;
use crate::embedded::key_value::{Batch, KeyValue};
use crate::embedded::records::{OneTimePrekeyRow, PrekeyCounterRow, Record as _};
use crate::embedded::rows::replaced;
use crate::log::{Arrival, Change, Committed, DeliveryLog, MailboxKey};
use crate::server::Position;

/// Envelopes that are on their way to the disk together.
const ON_THEIR_WAY_MAX: usize = 256;

/// Fills rows and a log from an export.
///
/// # Errors
/// [`StoreError::Corrupt`] where the export is not whole, [`StoreError::NewerFormat`], the reader's,
/// or the store's. What was filled is of no use then.
pub(in crate::embedded) async fn import(
    from: &mut (dyn Read + Send),
    rows: &FileKeyValue,
    log: &DeliveryLog,
) -> Result<Exported, StoreError> {
    let mut bytes = [0; HEAD];
    fill(from, &mut bytes)?;
    let codec = Codec::new(&id_in(&bytes)?);
    let mut importing = Importing {
        log,
        imported: Exported::default(),
        mailbox: None,
        on_their_way: Vec::new(),
    };
    let mut number = 0_u64;
    loop {
        let (header, payload) = entry(from, &codec)?;
        number = number.saturating_add(1);
        if header.number != number {
            return Err(DAMAGED);
        }
        let position = Position(header.position.0);
        match header.kind {
            Kind::Rows => {
                let mut batch = decode(&payload).map_err(|_| DAMAGED)?;
                // A position is of one log alone: it would hide batches of the new one.
                if batch.contains_key(POSITION_KEY) || batch.values().any(Option::is_none) {
                    return Err(DAMAGED);
                }
                without_one_time_pairs(&mut batch)?;
                let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                importing.imported.rows = importing.imported.rows.saturating_add(count);
                rows.apply(batch).await?;
            }
            Kind::Mailbox => {
                let mailbox = mailbox_of(&payload).ok_or(DAMAGED)?;
                importing.end_mailbox().await?;
                importing.begin_mailbox(mailbox, position);
            }
            Kind::Envelope => {
                let arrival = envelope_of(&payload).ok_or(DAMAGED)?;
                importing.envelope(position, &arrival).await?;
            }
            Kind::End => break,
            Kind::Batch => return Err(DAMAGED),
        }
    }
    importing.end_mailbox().await?;
    importing.settle().await?;
    if from.read(&mut [0])? != 0 {
        return Err(DAMAGED);
    }
    Ok(importing.imported)
}

/// Takes the one-time pairs out: since the export was made some were handed out, and a pair is handed
/// out once. Their devices see that none is left, and publish new ones.
fn without_one_time_pairs(batch: &mut Batch) -> Result<(), StoreError> {
    // PRE-12.
    let is_in = |key: &Bytes, prefix: u8| key.first() == Some(&prefix);
    batch.retain(|key, _| !is_in(key, OneTimePrekeyRow::TABLE.prefix));
    for (key, value) in batch.iter_mut() {
        if is_in(key, PrekeyCounterRow::TABLE.prefix)
            && let Some(bytes) = value
        {
            let emptied = replaced(key, bytes, |row| {
                let mut counter = PrekeyCounterRow::read(row).ok()?;
                counter.remaining = 0;
                Some(counter.encode_to_vec())
            });
            *value = Some(emptied.ok_or(DAMAGED)?);
        }
    }
    Ok(())
}

/// Reads an entry. Its length is believed only after its header's checksum.
fn entry(from: &mut dyn Read, codec: &Codec) -> Result<(Header, Bytes), StoreError> {
    let mut bytes = [0; HEADER];
    fill(from, &mut bytes)?;
    let header = codec.header(&bytes).ok_or(DAMAGED)?;
    if header.kind != Kind::Rows && header.length > ENVELOPE_MAX {
        return Err(DAMAGED);
    }
    let mut payload = vec![0; header.length];
    fill(from, &mut payload)?;
    if !header.fits(&payload) {
        return Err(DAMAGED);
    }
    Ok((header, Bytes::from(payload)))
}

/// Reads so many bytes. A stream that ends before is no export.
fn fill(from: &mut dyn Read, bytes: &mut [u8]) -> Result<(), StoreError> {
    from.read_exact(bytes).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            DAMAGED
        } else {
            StoreError::from(error)
        }
    })
}

struct Importing<'a> {
    log: &'a DeliveryLog,
    imported: Exported,
    /// The mailbox whose envelopes come: its last position, and that of its last envelope.
    mailbox: Option<(MailboxKey, Position, Position)>,
    on_their_way: Vec<Committed>,
}

impl Importing<'_> {
    fn begin_mailbox(&mut self, mailbox: MailboxKey, last: Position) {
        self.imported.mailboxes = self.imported.mailboxes.saturating_add(1);
        self.mailbox = Some((mailbox, last, Position::START));
    }

    async fn envelope(&mut self, position: Position, arrival: &Arrival) -> Result<(), StoreError> {
        let (mailbox, last, before) = self.mailbox.ok_or(DAMAGED)?;
        if position <= before || position > last {
            return Err(DAMAGED);
        }
        self.mailbox = Some((mailbox, last, position));
        self.imported.envelopes = self.imported.envelopes.saturating_add(1);
        let prepared = self.log.prepare(mailbox, arrival);
        self.commit(vec![Change::Import(prepared, position)]).await
    }

    /// Uses up the last position, if its envelope has gone.
    async fn end_mailbox(&mut self) -> Result<(), StoreError> {
        let Some((mailbox, last, before)) = self.mailbox.take() else {
            return Ok(());
        };
        if before >= last {
            return Ok(());
        }
        self.commit(use_up(self.log, mailbox, last)).await
    }

    async fn commit(&mut self, group: Vec<Change>) -> Result<(), StoreError> {
        let committed = self.log.turn()?.commit(group)?;
        self.on_their_way.push(committed);
        if self.on_their_way.len() >= ON_THEIR_WAY_MAX {
            self.settle().await?;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        for committed in self.on_their_way.drain(..) {
            committed.durable().await?;
        }
        Ok(())
    }
}
