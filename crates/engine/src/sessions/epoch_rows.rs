// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rows beside a session's hot state: its KEM epoch, and the hashes of what it sent.

use waxwing_ratchet::{
    Acknowledgement, KemChanges, KemRowId, Opened, SentChanges, SentHash, SentHashes, Session,
    SessionId,
};
use zeroize::Zeroizing;

use super::{OpenedEnvelope, Sessions};
use crate::error::EngineError;
use crate::journal::Journal;
use crate::keys;
use crate::row::{Row, Table};

impl Sessions {
    /// Stages what a message changes in the KEM rows.
    pub(super) fn put_kem(journal: &mut Journal, id: SessionId, changes: KemChanges) {
        for (row, value) in changes {
            let key = keys::kem_row(id.as_bytes(), row.to_byte());
            match value {
                Some(value) => journal.put(key, value.into()),
                None => journal.delete(key),
            }
        }
    }

    /// Stages what a sending adds to the hashes.
    pub(super) fn record_sent(&mut self, journal: &mut Journal, id: SessionId, sent: &SentHash) {
        let hashes = self.sent.entry(id).or_default();
        let SentChanges { put, delete } = hashes.record(sent);
        let key = |row: [u8; 8]| keys::sent_hashes(id.as_bytes(), row);
        for row in delete {
            journal.delete(key(row.to_bytes()));
        }
        journal.put(key(put.0.to_bytes()), Zeroizing::new(put.1));
    }

    /// Whether the peer has opened an envelope that this device did not send: it exists twice.
    pub(crate) fn is_foreign(&self, opened: &OpenedEnvelope) -> bool {
        let opened: &Opened = match opened {
            OpenedEnvelope::Known { opened, .. } => opened,
            OpenedEnvelope::First { accepted, .. } => &accepted.opened,
        };
        opened.acknowledged.as_ref().is_some_and(|acknowledged| {
            let hashes = self.sent.get(&opened.session.id());
            hashes.is_some_and(|sent| sent.judge(acknowledged) == Acknowledgement::Foreign)
        })
    }

    /// Destroys both.
    pub(super) fn forget_rows(&mut self, journal: &mut Journal, id: SessionId, session: &Session) {
        for row in session.kem_rows() {
            journal.delete(keys::kem_row(id.as_bytes(), row.to_byte()));
        }
        for row in self.sent.remove(&id).unwrap_or_default().rows() {
            journal.delete(keys::sent_hashes(id.as_bytes(), row.to_bytes()));
        }
    }

    /// Reads the hashes of one session; `rows` in the order of their names.
    pub(crate) fn read_sent(&mut self, id: SessionId, rows: &[&Row]) -> Result<(), EngineError> {
        let rows = rows.iter().map(|row| {
            let name = waxwing_ratchet::SentRowId::from_bytes(row.key.order.to_be_bytes());
            (name, row.value.as_slice())
        });
        let sent =
            SentHashes::restore(rows).map_err(|_| EngineError::CorruptRow(Table::SentHashes))?;
        self.sent.insert(id, sent);
        Ok(())
    }
}

/// The name and the value of a KEM row.
pub(crate) fn kem_row(row: &Row) -> Result<(KemRowId, &[u8]), EngineError> {
    let name = u8::try_from(row.key.order).map_err(|_| EngineError::CorruptRow(Table::KemRows))?;
    Ok((KemRowId::from_byte(name), row.value.as_slice()))
}
