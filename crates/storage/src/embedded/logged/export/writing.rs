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
    /// Rows are as of one moment, and steps wait for as long as reading them takes. Of each mailbox that
    /// there was then, what waits in it a little later is written. Blocks the thread.
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
            all_mailboxes(log)
        };
        for mailbox in &mailboxes {
            export_mailbox(log, mailbox, &mut writing, &mut exported)?;
        }
        writing.entry(Kind::End, 0, &[])?;
        // What was read is not to be more than what a crash now would leave.
        log.wait_until_durable(log.facts().position)?;
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

fn all_mailboxes(log: &DeliveryLog) -> Vec<MailboxKey> {
    let mut all = Vec::new();
    loop {
        let page = log.mailboxes_after(all.last().copied(), PAGE_MAILBOXES);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn export_mailbox(
    log: &DeliveryLog,
    mailbox: &MailboxKey,
    writing: &mut Writing<'_>,
    exported: &mut Exported,
) -> Result<(), StoreError> {
    let last_position = match log.turn()?.mailbox(mailbox)? {
        Some(held) => held.last_position(),
        None => return Ok(()),
    };
    exported.mailboxes = exported.mailboxes.saturating_add(1);
    writing.entry(Kind::Mailbox, last_position.0, &mailbox_payload(mailbox))?;
    let mut after = Position::START;
    loop {
        let page = log.arrivals(mailbox, after, PAGE_ENVELOPES)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = *last;
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
