// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server's store on files: the delivery log and an engine for rows together.
//!
//! Every step is one group of the log: what changes in mailboxes, and the batch of rows. When the group
//! is durable the step is answered, and the batch goes to the row journal and to the engine behind it, with
//! the log's position in the same batch. A store that is opened gives the engine the batches that it has
//! not got. So the engine is never what an answer waits for, and never ahead of the log; and where it is
//! damaged, journal and log together make it anew.

mod ahead;
mod disclosed;
mod entry;
mod export;
pub(super) mod journal;
mod key_value;
mod mailboxes;
mod migration;
mod opening;
mod rebuilding;
mod retention;
mod routes;
mod verification;

pub use export::Exported;
pub use journal::JournalCheck;
pub use key_value::LoggedKeyValue;
pub use routes::Routes;
pub use verification::Verification;

pub(super) use ahead::Ahead;
#[cfg(test)]
pub(super) use disclosed::LOG_TABLES;
pub(super) use disclosed::walk;
pub(super) use export::import;
pub(super) use mailboxes::{acknowledge, append_all, read, recipient};
pub(super) use migration::move_mailboxes;
pub(super) use opening::{Places, journal_folder, open_log};
pub(super) use rebuilding::{is_behind_journal, rebuild};
pub(super) use retention::expire;
pub(super) use verification::verify_rows;

use bytes::Bytes;

use super::key_value::Batch;
use crate::StoreError;
use crate::log::LogPosition;

/// A batch as the log holds it: for each key its length, the key, and the value's length plus one and
/// the value; 0 for a removal. Lengths are little-endian numbers of 4 bytes.
pub(super) fn encode(batch: &Batch) -> Bytes {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut encoded = Vec::with_capacity(
        super::key_value::batch_size(batch).saturating_add(batch.len().saturating_mul(8)),
    );
    for (key, value) in batch {
        encoded.extend_from_slice(&length(key).to_le_bytes());
        encoded.extend_from_slice(key);
        match value {
            Some(value) => {
                let length = length(value).saturating_add(1);
                encoded.extend_from_slice(&length.to_le_bytes());
                encoded.extend_from_slice(value);
            }
            None => encoded.extend_from_slice(&0_u32.to_le_bytes()),
        }
    }
    Bytes::from(encoded)
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(encoded: &Bytes) -> Result<Batch, StoreError> {
    let damaged = StoreError::Corrupt { what: "log" };
    let mut batch = Batch::new();
    let mut rest = encoded.clone();
    while !rest.is_empty() {
        let key_length = take_length(&mut rest).ok_or(damaged)?;
        let key = take(&mut rest, key_length).ok_or(damaged)?;
        let value = match take_length(&mut rest).ok_or(damaged)?.checked_sub(1) {
            Some(length) => Some(take(&mut rest, length).ok_or(damaged)?),
            None => None,
        };
        batch.insert(key, value);
    }
    Ok(batch)
}

fn take(rest: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn take_length(rest: &mut Bytes) -> Option<usize> {
    let bytes = take(rest, 4)?;
    let length = u32::from_le_bytes(*bytes.first_chunk::<4>()?);
    usize::try_from(length).ok()
}

fn position_value(position: LogPosition) -> Bytes {
    Bytes::copy_from_slice(&position.0.to_be_bytes())
}

fn position_of(value: &[u8]) -> Result<LogPosition, StoreError> {
    let bytes = <[u8; 8]>::try_from(value).map_err(|_| StoreError::Corrupt {
        what: "log position",
    })?;
    Ok(LogPosition(u64::from_be_bytes(bytes)))
}

#[cfg(test)]
pub(super) mod tests;
