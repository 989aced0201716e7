// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server's store over a key-value store: one step at a time, answered when it is durable.

use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use waxwing_proto::limits;

use super::format::{Content, Format, Found};
use super::key_value::{Batch, KeyRange, KeyValue, Order};
use super::records::{Record, StoreRow, key};
use super::removal::{self, Removal};
use super::rows::Step;
use crate::StoreError;
use crate::server::Outcome;

/// How much a server keeps. The default is what [`limits`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Envelopes that one mailbox holds.
    pub mailbox_envelopes_max: usize,
    /// Bytes of envelopes that one mailbox holds.
    pub mailbox_bytes_max: u64,
    /// Envelopes that strangers together may leave in one mailbox.
    pub mailbox_stranger_envelopes_max: usize,
    /// Bytes of envelopes that strangers together may leave in one mailbox.
    pub mailbox_stranger_bytes_max: u64,
    /// Envelopes that may wait in one mailbox under one contact's delivery id.
    pub mailbox_contact_envelopes_max: usize,
    /// Bytes of envelopes that may wait in one mailbox under one contact's delivery id.
    pub mailbox_contact_bytes_max: u64,
    /// Envelope ids that a mailbox remembers after their envelopes are gone.
    pub remembered_envelope_ids_max: usize,
    /// How long an envelope is kept for a device that does not come, in days.
    pub retention_days: u32,
    /// Delivery ids of one account.
    pub delivery_ids_max: usize,
    /// One-time prekey pairs of one device.
    pub one_time_prekeys_max: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            mailbox_envelopes_max: limits::MAILBOX_ENVELOPES_MAX,
            mailbox_bytes_max: limits::MAILBOX_BYTES_MAX,
            mailbox_stranger_envelopes_max: limits::MAILBOX_STRANGER_ENVELOPES_MAX,
            mailbox_stranger_bytes_max: limits::MAILBOX_STRANGER_BYTES_MAX,
            mailbox_contact_envelopes_max: limits::MAILBOX_CONTACT_ENVELOPES_MAX,
            mailbox_contact_bytes_max: limits::MAILBOX_CONTACT_BYTES_MAX,
            remembered_envelope_ids_max: limits::REMEMBERED_ENVELOPE_IDS_MAX,
            retention_days: limits::RETENTION_DAYS,
            delivery_ids_max: limits::DELIVERY_IDS_MAX,
            one_time_prekeys_max: limits::ONE_TIME_PREKEYS_MAX,
        }
    }
}

/// How a server's store is opened.
#[derive(Clone, Copy)]
pub struct ServerOptions {
    /// How much it keeps.
    pub limits: ServerLimits,
    /// Random bytes. A store that is empty keeps them as the key of the hashes of held names; any
    /// other store has its own and leaves these unused.
    pub new_name_key: [u8; 32],
}

/// The server's store. Implements [`crate::server::Store`].
pub struct EmbeddedStore<K> {
    pub(super) key_value: K,
    /// Held while a step decides, never across a wait. In it are the removals that are decided and for whose rest
    /// the disk had no room.
    turn: Mutex<Vec<Removal>>,
    pub(super) limits: ServerLimits,
    pub(super) name_key: Bytes,
}

/// The format of the server's store. In format 1 the mailboxes were rows; what moves them into the
/// delivery log runs beside this migration, which has nothing left to do.
pub(crate) const fn format<K: KeyValue>() -> Format<K> {
    Format {
        content: Content::Server,
        current: 2,
        migrations: &[|_| Ok(Batch::new())],
    }
}

impl<K: KeyValue> EmbeddedStore<K> {
    /// Opens a server's store over a key-value store that holds one of the current format, or nothing.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`], [`StoreError::OlderFormat`] (stores on files are migrated before
    /// this), [`StoreError::Corrupt`], or the key-value store's own.
    pub async fn open(key_value: K, options: ServerOptions) -> Result<Self, StoreError> {
        match format::<K>().find(&key_value)? {
            Found::Empty => format().write(&key_value).await?,
            Found::Current => {}
            Found::Older(found) => return Err(StoreError::OlderFormat { found }),
        }
        let mut step = Step::new(&key_value);
        let row_key = key::<StoreRow>(&[]);
        let name_key = if let Some(row) = step.get::<StoreRow>(&row_key)? {
            row.name_key
        } else {
            let name_key = Bytes::copy_from_slice(&options.new_name_key);
            step.put(
                row_key,
                &StoreRow {
                    name_key: name_key.clone(),
                },
            )?;
            name_key
        };
        let batch = step.into_batch();
        key_value.apply(batch).await?;
        let mut left = removal::left(&key_value)?;
        finish_if_there_is_room(&key_value, &mut left)?;
        key_value.apply(Batch::new()).await?;
        Ok(Self {
            key_value,
            turn: Mutex::new(left),
            limits: options.limits,
            name_key,
        })
    }

    /// Runs a step that writes or refuses. A refusal drops what the step has staged.
    pub(super) async fn step<T, R>(
        &self,
        decide: impl FnOnce(&mut Step<'_, K>, &mut Vec<Removal>) -> Outcome<T, R>,
    ) -> Outcome<T, R> {
        let (answer, durable) = {
            self.key_value.admit()?;
            let mut left = self.turn()?;
            let unfinished = finish_if_there_is_room(&self.key_value, &mut left)?;
            let mut step = Step::new(&self.key_value);
            let mut removals = Vec::new();
            let answer = decide(&mut step, &mut removals)?;
            let saw_pending = step.has_seen_pending();
            let batch = match &answer {
                Ok(_) => step.into_batch(),
                Err(_) => Batch::new(),
            };
            if let Some(busy) = unfinished
                && !batch.is_empty()
            {
                return Err(busy);
            }
            let durable = if answer.is_ok() && !removals.is_empty() {
                removal::begin(&self.key_value, batch, &removals)?;
                *left = removals;
                finish_if_there_is_room(&self.key_value, &mut left)?;
                Some(self.key_value.apply(Batch::new()))
            } else if saw_pending || !batch.is_empty() {
                Some(self.key_value.apply(batch))
            } else {
                None
            };
            (answer, durable)
        };
        if let Some(durable) = durable {
            durable.await?;
        }
        Ok(answer)
    }

    /// Runs a step that writes and cannot be refused.
    pub(super) async fn write<T>(
        &self,
        decide: impl FnOnce(&mut Step<'_, K>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let answer = self
            .step(|step, _| decide(step).map(Ok::<T, core::convert::Infallible>))
            .await?;
        match answer {
            Ok(answer) => Ok(answer),
            Err(never) => match never {},
        }
    }

    /// Runs a step that only reads, and waits until what it has read is durable.
    pub(super) async fn look<T>(
        &self,
        read: impl FnOnce(&mut Step<'_, K>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.write(|step| {
            let answer = read(step)?;
            Ok(answer)
        })
        .await
    }

    /// Reads without waiting; the caller leaves out what is pending.
    pub(super) fn glance<T>(
        &self,
        read: impl FnOnce(&mut Step<'_, K>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _turn = self.turn()?;
        read(&mut Step::new(&self.key_value))
    }

    pub(super) fn first_key(&self, range: &KeyRange) -> Result<Option<Bytes>, StoreError> {
        let scan = self.key_value.scan(range, Order::Ascending, 1)?;
        Ok(scan.rows.into_iter().next().map(|row| row.key))
    }

    pub(super) fn turn(&self) -> Result<MutexGuard<'_, Vec<Removal>>, StoreError> {
        self.turn
            .lock()
            .map_err(|_| StoreError::Bug("a step panicked"))
    }
}

/// Queues the rest of removals. Answers why not, where it has to wait for room.
fn finish_if_there_is_room<K: KeyValue>(
    key_value: &K,
    left: &mut Vec<Removal>,
) -> Result<Option<StoreError>, StoreError> {
    match removal::finish(key_value, left) {
        Ok(()) => Ok(None),
        Err(busy @ StoreError::Busy { .. }) => Ok(Some(busy)),
        Err(error) => Err(error),
    }
}

impl<K: KeyValue> Step<'_, K> {
    /// The record at a key.
    pub(super) fn get<R: Record>(&mut self, key: &[u8]) -> Result<Option<R>, StoreError> {
        self.get_bytes(key, R::TABLE.name)?
            .map(|value| R::read(&value))
            .transpose()
    }

    /// Stages a record.
    pub(super) fn put<R: Record>(&mut self, key: Bytes, record: &R) -> Result<(), StoreError> {
        self.put_bytes(key, &record.encode_to_vec())
    }
}
