// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prekey pairs over rows.

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeviceId};

use super::accounts::account_key;
use super::key_value::{KeyRange, KeyValue};
use super::records::{
    AccountRow, OneTimePrekeyRow, PrekeyCounterRow, Record, SignedPrekeyRow, device_key,
};
use super::rows::Step;
use super::server::EmbeddedStore;
use crate::StoreError;
use crate::server::{
    Outcome, PrekeyBundle, PrekeyStatus, PrekeyStore, Publication, PublishRefusal, TakeRefusal,
    TakenPrekeys,
};

impl<K: KeyValue> Step<'_, K> {
    fn prekey_status(
        &mut self,
        account: &AccountKey,
        device: &DeviceId,
    ) -> Result<PrekeyStatus, StoreError> {
        let signed =
            self.get::<SignedPrekeyRow>(&device_key::<SignedPrekeyRow>(account, device, &[]))?;
        let counter =
            self.get::<PrekeyCounterRow>(&device_key::<PrekeyCounterRow>(account, device, &[]))?;
        let signed = signed.unwrap_or_default();
        Ok(PrekeyStatus {
            one_time_remaining: counter.map_or(0, |counter| counter.remaining),
            signed_pair_id: signed.id,
            signed_pair: signed.pair,
        })
    }

    /// Takes the one-time pair with the lowest id.
    fn take_one_time_pair(
        &mut self,
        account: &AccountKey,
        device: &DeviceId,
    ) -> Result<Option<Bytes>, StoreError> {
        // PRE-12.
        let range = KeyRange::prefix(&device_key::<OneTimePrekeyRow>(account, device, &[]));
        let lowest = self.scan_bytes(&range, 1, OneTimePrekeyRow::TABLE.name, |_| true)?;
        let Some(lowest) = lowest.into_iter().next() else {
            return Ok(None);
        };
        let counter_key = device_key::<PrekeyCounterRow>(account, device, &[]);
        let mut counter = self
            .get::<PrekeyCounterRow>(&counter_key)?
            .unwrap_or_default();
        counter.remaining = counter.remaining.saturating_sub(1);
        self.put(counter_key, &counter)?;
        self.delete(lowest.key)?;
        Ok(Some(OneTimePrekeyRow::read(&lowest.value)?.pair))
    }
}

impl<K: KeyValue> PrekeyStore for EmbeddedStore<K> {
    async fn publish_prekeys(
        &self,
        account: AccountKey,
        device: DeviceId,
        publication: Publication,
    ) -> Outcome<PrekeyStatus, PublishRefusal> {
        // PRE-10.
        self.step(|step, _| {
            let row = step.get::<AccountRow>(&account_key(&account))?;
            if !row.is_some_and(|row| row.lists(&device)) {
                return Ok(Err(PublishRefusal::UnknownDevice));
            }
            if let Some(signed) = publication.signed_pair {
                let signed_row = SignedPrekeyRow {
                    id: signed.id,
                    pair: signed.bytes,
                };
                step.put(
                    device_key::<SignedPrekeyRow>(&account, &device, &[]),
                    &signed_row,
                )?;
            }
            let counter_key = device_key::<PrekeyCounterRow>(&account, &device, &[]);
            let mut counter = step
                .get::<PrekeyCounterRow>(&counter_key)?
                .unwrap_or_default();
            let mut pairs = publication.one_time_pairs;
            pairs.sort_by_key(|pair| pair.id);
            let mut is_changed = false;
            for pair in pairs {
                if counter.highest_id.is_some_and(|highest| pair.id <= highest) {
                    continue;
                }
                counter.highest_id = Some(pair.id);
                counter.remaining = counter.remaining.saturating_add(1);
                is_changed = true;
                step.put(
                    device_key::<OneTimePrekeyRow>(&account, &device, &pair.id.to_be_bytes()),
                    &OneTimePrekeyRow { pair: pair.bytes },
                )?;
            }
            let remaining = usize::try_from(counter.remaining).unwrap_or(usize::MAX);
            if remaining > self.limits.one_time_prekeys_max {
                return Ok(Err(PublishRefusal::TooMany));
            }
            if is_changed {
                step.put(counter_key, &counter)?;
            }
            step.prekey_status(&account, &device).map(Ok)
        })
        .await
    }

    async fn prekey_status(
        &self,
        account: AccountKey,
        device: DeviceId,
    ) -> Result<PrekeyStatus, StoreError> {
        self.look(|step| step.prekey_status(&account, &device))
            .await
    }

    async fn take_prekeys(
        &self,
        account: AccountKey,
        devices: Vec<DeviceId>,
    ) -> Outcome<TakenPrekeys, TakeRefusal> {
        self.step(|step, _| {
            let Some(row) = step.get::<AccountRow>(&account_key(&account))? else {
                return Ok(Err(TakeRefusal::UnknownAccount));
            };
            let mut bundles = Vec::new();
            for device in row.device_ids()? {
                if !devices.is_empty() && !devices.contains(&device) {
                    continue;
                }
                let signed_key = device_key::<SignedPrekeyRow>(&account, &device, &[]);
                let Some(signed) = step.get::<SignedPrekeyRow>(&signed_key)? else {
                    continue;
                };
                bundles.push(PrekeyBundle {
                    device,
                    signed_pair: signed.pair,
                    one_time_pair: step.take_one_time_pair(&account, &device)?,
                });
            }
            Ok(Ok(TakenPrekeys {
                manifest: step.newest_manifest(&account, &row)?,
                bundles,
            }))
        })
        .await
    }
}
