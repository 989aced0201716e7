// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mailboxes over rows: appending, reading, acknowledging.

use bytes::Bytes;
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use waxwing_proto::{AccountKey, DeliveryId, DeviceId};

use super::accounts::account_key;
use super::delivery_ids::{kind_from_row, kind_to_row};
use super::expiry;
use super::key_value::{KeyRange, KeyValue};
#[cfg(feature = "sled")]
use super::logged;
use super::records::{
    AccountRow, DeliveryIdRow, EnvelopeDigestRow, EnvelopeRow, MailboxRow, Record,
    RememberedEnvelopeRow, delivery_id_key, device_key, fixed,
};
use super::rows::Step;
use super::server::{EmbeddedStore, ServerLimits};
use super::shares::{self, Held, Usage};
#[cfg(feature = "sled")]
use crate::log::MailboxKey;
use crate::server::{
    AddressedEnvelope, Append, AppendRefusal, Appended, DeliveryIdKind, ExpiredCount, MailboxStore,
    Outcome, Position, Recipient, StoredEnvelope,
};
use crate::{Day, StoreError};

const DIGEST_LENGTH: usize = 16;

/// One mailbox.
#[derive(Clone, Copy)]
pub(super) struct Mailbox {
    pub(super) account: AccountKey,
    pub(super) device: DeviceId,
}

impl Mailbox {
    pub(super) fn key<R: Record>(&self, rest: &[u8]) -> Bytes {
        device_key::<R>(&self.account, &self.device, rest)
    }

    pub(super) fn row<K: KeyValue>(
        &self,
        step: &mut Step<'_, K>,
    ) -> Result<MailboxRow, StoreError> {
        let row = step.get::<MailboxRow>(&self.key::<MailboxRow>(&[]))?;
        Ok(row.unwrap_or_default())
    }

    /// Deletes an envelope and remembers it, in the mailbox's row too.
    pub(super) fn delete<K: KeyValue>(
        &self,
        step: &mut Step<'_, K>,
        row: &mut MailboxRow,
        envelope_key: Bytes,
        envelope: &EnvelopeRow,
        limits: &ServerLimits,
    ) -> Result<(), StoreError> {
        let size = size_of(&envelope.envelope);
        row.envelopes = row.envelopes.saturating_sub(1);
        row.envelope_bytes = row.envelope_bytes.saturating_sub(size);
        match kind_from_row(envelope.kind)? {
            DeliveryIdKind::Public => {
                row.stranger_envelopes = row.stranger_envelopes.saturating_sub(1);
            }
            DeliveryIdKind::Own => {
                row.own_envelopes = row.own_envelopes.saturating_sub(1);
                row.own_bytes = row.own_bytes.saturating_sub(size);
            }
            DeliveryIdKind::Contact => {}
        }
        row.leave_share(&envelope.delivery_id, size);
        step.delete(envelope_key)?;
        let remembered = RememberedEnvelopeRow {
            digest: digest(&envelope.delivery_id, &envelope.envelope_id),
        };
        let order = row.remembered_end.to_be_bytes();
        step.put(self.key::<RememberedEnvelopeRow>(&order), &remembered)?;
        row.remembered_end = row.remembered_end.saturating_add(1);
        let kept = u64::try_from(limits.remembered_envelope_ids_max).unwrap_or(u64::MAX);
        let first = row.remembered_end.saturating_sub(kept);
        self.forget_below(step, row, first)
    }

    /// Forgets the remembered envelopes whose order is below `first`.
    pub(super) fn forget_below<K: KeyValue>(
        &self,
        step: &mut Step<'_, K>,
        row: &mut MailboxRow,
        first: u64,
    ) -> Result<(), StoreError> {
        while row.remembered_first < first {
            let order = row.remembered_first.to_be_bytes();
            let order_key = self.key::<RememberedEnvelopeRow>(&order);
            if let Some(remembered) = step.get::<RememberedEnvelopeRow>(&order_key)? {
                step.delete(self.key::<EnvelopeDigestRow>(&remembered.digest))?;
                step.delete(order_key)?;
            }
            row.remembered_first = row.remembered_first.saturating_add(1);
        }
        Ok(())
    }

    /// Stores an envelope unless it is a duplicate; `Err` where the mailbox is full.
    fn append<K: KeyValue>(
        &self,
        step: &mut Step<'_, K>,
        limits: &ServerLimits,
        arrival: &Arrival,
        addressed: AddressedEnvelope,
    ) -> Outcome<Option<Position>, AppendRefusal> {
        let Arrival {
            delivery_id,
            kind,
            today,
        } = *arrival;
        let digest = digest(delivery_id.as_bytes(), addressed.envelope_id.as_bytes());
        let digest_key = self.key::<EnvelopeDigestRow>(&digest);
        if step.get::<EnvelopeDigestRow>(&digest_key)?.is_some() {
            return Ok(Ok(None));
        }
        let mut row = self.row(step)?;
        let size = size_of(&addressed.envelope);
        if !shares::has_room(&row.usage(&delivery_id), limits, kind, size) {
            return Ok(Err(AppendRefusal::MailboxFull));
        }
        row.last_position = row.last_position.saturating_add(1);
        row.envelopes = row.envelopes.saturating_add(1);
        row.envelope_bytes = row.envelope_bytes.saturating_add(size);
        match kind {
            DeliveryIdKind::Public => {
                row.stranger_envelopes = row.stranger_envelopes.saturating_add(1);
            }
            DeliveryIdKind::Own => {
                row.own_envelopes = row.own_envelopes.saturating_add(1);
                row.own_bytes = row.own_bytes.saturating_add(size);
            }
            DeliveryIdKind::Contact => {}
        }
        row.use_share(&delivery_id, size);
        let envelope = EnvelopeRow {
            envelope_id: addressed.envelope_id.to_wire(),
            delivery_id: delivery_id.to_wire(),
            kind: kind_to_row(kind),
            arrived: today.0,
            envelope: addressed.envelope,
        };
        let position = row.last_position;
        step.put(self.key::<EnvelopeRow>(&position.to_be_bytes()), &envelope)?;
        step.put(digest_key, &EnvelopeDigestRow {})?;
        step.put(self.key::<MailboxRow>(&[]), &row)?;
        Ok(Ok(Some(Position(position))))
    }
}

/// What the envelopes of one sending have in common.
struct Arrival {
    delivery_id: DeliveryId,
    kind: DeliveryIdKind,
    today: Day,
}

impl MailboxRow {
    /// What is held under a delivery id.
    fn share(&self, delivery_id: &[u8]) -> Held {
        let place = self.share_ids.iter().position(|id| id == delivery_id);
        let number = |counts: &[u64]| {
            place
                .and_then(|place| counts.get(place))
                .copied()
                .unwrap_or(0)
        };
        Held {
            envelopes: number(&self.share_envelopes),
            bytes: number(&self.share_bytes),
        }
    }

    fn set_share(&mut self, delivery_id: &[u8], held: Held) {
        let place = self.share_ids.iter().position(|id| id == delivery_id);
        let place = match place {
            Some(place) if held.envelopes == 0 => {
                self.share_ids.swap_remove(place);
                self.share_envelopes.swap_remove(place);
                self.share_bytes.swap_remove(place);
                return;
            }
            Some(place) => place,
            None => {
                self.share_ids.push(Bytes::copy_from_slice(delivery_id));
                self.share_envelopes.push(0);
                self.share_bytes.push(0);
                self.share_ids.len().saturating_sub(1)
            }
        };
        if let Some(envelopes) = self.share_envelopes.get_mut(place) {
            *envelopes = held.envelopes;
        }
        if let Some(bytes) = self.share_bytes.get_mut(place) {
            *bytes = held.bytes;
        }
    }

    fn use_share(&mut self, delivery_id: &DeliveryId, size: u64) {
        let held = self.share(delivery_id.as_bytes());
        let held = Held {
            envelopes: held.envelopes.saturating_add(1),
            bytes: held.bytes.saturating_add(size),
        };
        self.set_share(delivery_id.as_bytes(), held);
    }

    fn leave_share(&mut self, delivery_id: &[u8], size: u64) {
        let held = self.share(delivery_id);
        let left = Held {
            envelopes: held.envelopes.saturating_sub(1),
            bytes: held.bytes.saturating_sub(size),
        };
        if held.envelopes > 0 {
            self.set_share(delivery_id, left);
        }
    }

    fn usage(&self, delivery_id: &DeliveryId) -> Usage {
        Usage {
            all: Held {
                envelopes: self.envelopes,
                bytes: self.envelope_bytes,
            },
            own: Held {
                envelopes: self.own_envelopes,
                bytes: self.own_bytes,
            },
            // There is one delivery id for strangers, so its share is theirs.
            strangers: self.share(delivery_id.as_bytes()),
            same_id: self.share(delivery_id.as_bytes()),
        }
    }
}

pub(super) fn size_of(envelope: &Bytes) -> u64 {
    u64::try_from(envelope.len()).unwrap_or(u64::MAX)
}

/// Names an envelope for deduplication: the first half of SHA-256(delivery id || envelope id).
fn digest(delivery_id: &[u8], envelope_id: &[u8]) -> Bytes {
    let digest = Sha256::new()
        .chain_update(delivery_id)
        .chain_update(envelope_id)
        .finalize();
    digest.into_iter().take(DIGEST_LENGTH).collect()
}

fn stored_envelope(position: u64, row: EnvelopeRow) -> Result<StoredEnvelope, StoreError> {
    let table = EnvelopeRow::TABLE.name;
    Ok(StoredEnvelope {
        position: Position(position),
        envelope_id: fixed(&row.envelope_id, table)?,
        delivery_id: fixed(&row.delivery_id, table)?,
        envelope: row.envelope,
    })
}

/// The position at the end of an envelope's key.
fn position_in(envelope_key: &[u8]) -> Result<u64, StoreError> {
    envelope_key
        .last_chunk()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or(StoreError::Corrupt {
            what: EnvelopeRow::TABLE.name,
        })
}

/// Whom a delivery id leads to, by the rows.
pub(super) fn recipient_in<K: KeyValue>(
    step: &mut Step<'_, K>,
    id: &DeliveryId,
) -> Result<Option<Recipient>, StoreError> {
    let Some(row) = step.get::<DeliveryIdRow>(&delivery_id_key(id))? else {
        return Ok(None);
    };
    let account: AccountKey = fixed(&row.account, DeliveryIdRow::TABLE.name)?;
    let listed = step
        .get::<AccountRow>(&account_key(&account))?
        .ok_or(StoreError::Corrupt {
            what: AccountRow::TABLE.name,
        })?;
    Ok(Some(Recipient {
        account,
        kind: kind_from_row(row.kind)?,
        manifest_version: listed.manifest_version,
        devices: listed.device_ids()?.into(),
    }))
}

impl<K: KeyValue> EmbeddedStore<K> {
    /// [`MailboxStore::append_all`] of one sending, where envelopes are rows.
    async fn append_to_rows(&self, append: Append) -> Outcome<Appended, AppendRefusal> {
        // BOX-9, BOX-10, BOX-12, BOX-13.
        self.step(|step, _| {
            let id_key = delivery_id_key(&append.delivery_id);
            let Some(id_row) = step.get::<DeliveryIdRow>(&id_key)? else {
                return Ok(Err(AppendRefusal::DeliveryIdGone));
            };
            let kind = kind_from_row(id_row.kind)?;
            let account: AccountKey = fixed(&id_row.account, DeliveryIdRow::TABLE.name)?;
            let damaged = StoreError::Corrupt {
                what: AccountRow::TABLE.name,
            };
            let row = step
                .get::<AccountRow>(&account_key(&account))?
                .ok_or(damaged)?;
            let is_stale = append.manifest_version != row.manifest_version
                || !append.envelopes.iter().all(|one| row.lists(&one.device));
            if is_stale {
                let manifest = step.newest_manifest(&account, &row)?;
                return Ok(Err(AppendRefusal::StaleDevices { manifest }));
            }
            let arrival = Arrival {
                delivery_id: append.delivery_id,
                kind,
                today: append.today,
            };
            let mut stored = Vec::new();
            for addressed in append.envelopes {
                let device = addressed.device;
                let mailbox = Mailbox { account, device };
                match mailbox.append(step, &self.limits, &arrival, addressed)? {
                    Ok(Some(position)) => stored.push((device, position)),
                    Ok(None) => {}
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            Ok(Ok(Appended { account, stored }))
        })
        .await
    }
}

impl<K: KeyValue> MailboxStore for EmbeddedStore<K> {
    async fn recipient(&self, delivery_id: DeliveryId) -> Result<Option<Recipient>, StoreError> {
        #[cfg(feature = "sled")]
        if self.key_value.delivery_log().is_some() {
            return logged::recipient(self, &delivery_id);
        }
        self.glance(|step| recipient_in(step, &delivery_id))
    }

    async fn append_all(&self, appends: Vec<Append>) -> Vec<Outcome<Appended, AppendRefusal>> {
        #[cfg(feature = "sled")]
        if let Some(log) = self.key_value.delivery_log() {
            return logged::append_all(self, log, appends).await;
        }
        // Each is decided when it is polled first, which happens in their order.
        let appending = appends
            .into_iter()
            .map(|append| self.append_to_rows(append));
        Box::pin(join_all(appending)).await
    }

    async fn read(
        &self,
        account: AccountKey,
        device: DeviceId,
        after: Position,
        max_count: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEnvelope>, StoreError> {
        // BOX-16, BOX-17.
        #[cfg(feature = "sled")]
        if let Some(log) = self.key_value.delivery_log() {
            let mailbox = MailboxKey { account, device };
            return logged::read(log, mailbox, after, max_count, max_bytes);
        }
        let mailbox = Mailbox { account, device };
        let range = KeyRange::prefix(&mailbox.key::<EnvelopeRow>(&[]))
            .after(&mailbox.key::<EnvelopeRow>(&after.0.to_be_bytes()));
        let mut bytes_left = max_bytes;
        let mut is_first = true;
        // Positions become durable in their order, so what follows a pending one is pending too.
        let rows = self.glance(|step| {
            step.scan_bytes(&range, max_count, EnvelopeRow::TABLE.name, |row| {
                let left = bytes_left.checked_sub(row.value.len());
                let is_wanted = !row.pending && (is_first || left.is_some());
                bytes_left = left.unwrap_or(0);
                is_first = false;
                is_wanted
            })
        })?;
        rows.iter()
            .map(|row| stored_envelope(position_in(&row.key)?, EnvelopeRow::read(&row.value)?))
            .collect()
    }

    async fn acknowledge(
        &self,
        account: AccountKey,
        device: DeviceId,
        positions: Vec<Position>,
    ) -> Result<(), StoreError> {
        // BOX-22.
        #[cfg(feature = "sled")]
        if let Some(log) = self.key_value.delivery_log() {
            let mailbox = MailboxKey { account, device };
            return logged::acknowledge(log, mailbox, positions).await;
        }
        let mailbox = Mailbox { account, device };
        self.write(|step| {
            let mut row = mailbox.row(step)?;
            let mut is_changed = false;
            for position in positions {
                let envelope_key = mailbox.key::<EnvelopeRow>(&position.0.to_be_bytes());
                if let Some(envelope) = step.get::<EnvelopeRow>(&envelope_key)? {
                    mailbox.delete(step, &mut row, envelope_key, &envelope, &self.limits)?;
                    is_changed = true;
                }
            }
            if is_changed {
                step.put(mailbox.key::<MailboxRow>(&[]), &row)?;
            }
            Ok(())
        })
        .await
    }

    async fn expire(&self, today: Day) -> Result<u64, StoreError> {
        #[cfg(feature = "sled")]
        if let Some(log) = self.key_value.delivery_log() {
            return logged::expire(self, log, today).await;
        }
        expiry::expire(self, today).await
    }

    async fn expired_counts(
        &self,
        account: AccountKey,
        device: DeviceId,
    ) -> Result<Vec<ExpiredCount>, StoreError> {
        expiry::counts(self, Mailbox { account, device }).await
    }

    async fn acknowledge_expired(
        &self,
        account: AccountKey,
        device: DeviceId,
        held: Vec<ExpiredCount>,
    ) -> Result<(), StoreError> {
        if held.is_empty() {
            return Ok(());
        }
        expiry::acknowledge_counts(self, Mailbox { account, device }, held).await
    }
}
