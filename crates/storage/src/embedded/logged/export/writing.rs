// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writing an export.

use std::io::Write;

use super::super::entry::{Codec, Kind};
use super::super::{LoggedKeyValue, encode};
use super::{Exported, envelope_payload, head, mailbox_payload};
use crate::StoreError;
use crate::embedded::EmbeddedStore;
use crate::embedded::format::POSITION_KEY;
use crate::embedded::key_value::{Batch, KeyRange, KeyValue, Order};
use crate::log::{DeliveryLog, LogPosition, MailboxKey};
use crate::server::Position;

/// Rows of one entry.
const PAGE_ROWS: usize = 256;
/// Mailboxes that are listed together.
const PAGE_MAILBOXES: usize = 1024;
/// Envelopes that are looked at together.
const PAGE_ENVELOPES: usize = 64;

struct Writing<'a> {
    codec: Codec,
    to: &'a mut (dyn Write + Send),
    number: u64,
    buffer: Vec<u8>,
}

impl Writing<'_> {
    fn entry(&mut self, kind: Kind, position: u64, payload: &[u8]) -> Result<(), StoreError> {
        self.number = self.number.saturating_add(1);
        self.buffer.clear();
        let about = (kind, self.number, LogPosition(position));
        self.codec.write(&mut self.buffer, about, payload);
        Ok(self.to.write_all(&self.buffer)?)
    }
}

impl EmbeddedStore<LoggedKeyValue> {
    /// Writes everything that is stored, as one stream that [`crate::embedded::files::import_server`]
    /// reads. It holds what the store holds: who has an account, ciphertext, and the key of the
    /// hashes of held names.
    ///
    /// It is of one moment, when the rows have been read; steps wait for as long as that takes. Every mailbox
    /// that there was then is written with its last position, and every envelope that came before, but for
    /// those that are deleted before it is their turn. Blocks the thread.
    ///
    /// # Errors
    /// The store's, or the writer's.
    pub fn export(&self, to: &mut (dyn Write + Send)) -> Result<Exported, StoreError> {
        let log = self
            .key_value
            .delivery_log()
            .ok_or(StoreError::Bug("a store on files without a log"))?;
        let id = log.facts().log;
        to.write_all(&head(&id))?;
        let mut writing = Writing {
            codec: Codec::new(&id),
            to,
            number: 0,
            buffer: Vec::new(),
        };
        let mut exported = Exported::default();
        let mailboxes = {
            let _turn = self.turn()?;
            self.export_rows(&mut writing, &mut exported)?;
            all_mailboxes(log)?
        };
        // What is read is not to be more than what a crash would leave, and all of it can be read then.
        log.wait_until_durable(log.facts().position)?;
        for (mailbox, last) in &mailboxes {
            export_mailbox(log, (mailbox, *last), &mut writing, &mut exported)?;
        }
        writing.entry(Kind::End, 0, &[])?;
        Ok(exported)
    }

    fn export_rows(
        &self,
        writing: &mut Writing<'_>,
        exported: &mut Exported,
    ) -> Result<(), StoreError> {
        let mut range = KeyRange::all();
        loop {
            let page = self
                .key_value
                .scan(&range, Order::Ascending, PAGE_ROWS)?
                .rows;
            let Some(last) = page.last() else {
                return Ok(());
            };
            range = range.after(&last.key);
            let batch: Batch = page
                .into_iter()
                .filter(|row| row.key != POSITION_KEY)
                .map(|row| (row.key, Some(row.value)))
                .collect();
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            exported.rows = exported.rows.saturating_add(count);
            writing.entry(Kind::Rows, 0, &encode(&batch))?;
        }
    }
}

/// Every mailbox with the last position that was used in it.
fn all_mailboxes(log: &DeliveryLog) -> Result<Vec<(MailboxKey, Position)>, StoreError> {
    let mut all: Vec<(MailboxKey, Position)> = Vec::new();
    loop {
        let after = all.last().map(|(mailbox, _)| *mailbox);
        let page = log.mailboxes_after(after, PAGE_MAILBOXES);
        if page.is_empty() {
            return Ok(all);
        }
        let mut turn = log.turn()?;
        for mailbox in page {
            let held = turn.mailbox(&mailbox)?;
            let last = held.map_or(Position::START, |held| held.last_position());
            all.push((mailbox, last));
        }
    }
}

/// Writes a mailbox, and what waits in it up to a position. What has come since is of a later moment.
fn export_mailbox(
    log: &DeliveryLog,
    (mailbox, last): (&MailboxKey, Position),
    writing: &mut Writing<'_>,
    exported: &mut Exported,
) -> Result<(), StoreError> {
    exported.mailboxes = exported.mailboxes.saturating_add(1);
    writing.entry(Kind::Mailbox, last.0, &mailbox_payload(mailbox))?;
    let mut after = Position::START;
    loop {
        let mut page = log.arrivals(mailbox, after, PAGE_ENVELOPES)?;
        page.retain(|(position, _)| *position <= last);
        let Some((end, _)) = page.last() else {
            return Ok(());
        };
        after = *end;
        for (position, arrival) in page {
            let Some(arrival) = arrival else {
                exported.damaged = exported.damaged.saturating_add(1);
                continue;
            };
            exported.envelopes = exported.envelopes.saturating_add(1);
            writing.entry(Kind::Envelope, position.0, &envelope_payload(&arrival))?;
        }
    }
}
