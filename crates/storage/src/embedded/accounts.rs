// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Accounts over rows.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use waxwing_proto::{AccountKey, AccountName, DeliveryId, DeviceId, limits};

use super::delivery_ids::{kind_from_row, kind_to_row};
use super::key_value::{KeyRange, KeyValue};
use super::records::{
    AccountDeliveryIdRow, AccountRow, DeliveryIdRow, HeldNameRow, InviteRow, ManifestRow, NameRow,
    Record, delivery_id_key, fixed, key,
};
use super::removal::Removal;
use super::rows::Step;
use super::server::EmbeddedStore;
use crate::server::{
    AccountRecord, AccountStore, CloseRefusal, DeliveryIdKind, DeviceRecord, GenerationRefusal,
    InviteId, ManifestHead, ManifestVersion, Outcome, RegisterRefusal, Registration,
    ReplaceRefusal,
};
use crate::{Day, StoreError};

const ACCOUNTS: &str = AccountRow::TABLE.name;

pub(super) fn account_key(account: &AccountKey) -> Bytes {
    key::<AccountRow>(&[account.as_bytes()])
}

pub(super) fn manifest_key(account: &AccountKey, version: u32) -> Bytes {
    key::<ManifestRow>(&[account.as_bytes(), &version.to_be_bytes()])
}

fn name_key(name: &AccountName) -> Bytes {
    key::<NameRow>(&[name.as_str().as_bytes()])
}

impl AccountRow {
    pub(super) fn head(&self) -> Result<ManifestHead, StoreError> {
        Ok(ManifestHead {
            version: self.manifest_version,
            hash: fixed(&self.manifest_hash, ACCOUNTS)?,
        })
    }

    pub(super) fn lists(&self, device: &DeviceId) -> bool {
        self.devices
            .iter()
            .any(|listed| listed == device.as_bytes().as_slice())
    }

    pub(super) fn device_ids(&self) -> Result<Vec<DeviceId>, StoreError> {
        self.devices
            .iter()
            .map(|device| fixed(device, ACCOUNTS))
            .collect()
    }

    /// Puts a version's facts in place; devices that stay keep their generation.
    fn set_manifest(&mut self, manifest: &ManifestVersion) {
        let known: Vec<(Bytes, u64)> = self
            .devices
            .drain(..)
            .zip(self.generations.drain(..))
            .collect();
        for device in &manifest.devices {
            let device = device.to_wire();
            let generation = known
                .iter()
                .find(|(listed, _)| *listed == device)
                .map_or(0, |(_, generation)| *generation);
            self.devices.push(device);
            self.generations.push(generation);
        }
        self.manifest_version = manifest.head.version;
        self.manifest_hash = Bytes::copy_from_slice(&manifest.head.hash);
    }
}

impl<K: KeyValue> Step<'_, K> {
    /// The newest manifest of an account.
    pub(super) fn newest_manifest(
        &mut self,
        account: &AccountKey,
        row: &AccountRow,
    ) -> Result<Bytes, StoreError> {
        let damaged = StoreError::Corrupt {
            what: ManifestRow::TABLE.name,
        };
        let manifest = self.get::<ManifestRow>(&manifest_key(account, row.manifest_version))?;
        Ok(manifest.ok_or(damaged)?.manifest)
    }

    fn put_manifest(
        &mut self,
        account: &AccountKey,
        manifest: &ManifestVersion,
    ) -> Result<(), StoreError> {
        let row = ManifestRow {
            manifest: manifest.bytes.clone(),
        };
        self.put(manifest_key(account, manifest.head.version), &row)
    }

    fn put_delivery_id(
        &mut self,
        account: &AccountKey,
        delivery_id: &DeliveryId,
        kind: DeliveryIdKind,
    ) -> Result<(), StoreError> {
        let row = DeliveryIdRow {
            account: account.to_wire(),
            kind: kind_to_row(kind),
        };
        self.put(delivery_id_key(delivery_id), &row)
    }

    fn record(&mut self, account: &AccountKey) -> Result<Option<AccountRecord>, StoreError> {
        let Some(row) = self.get::<AccountRow>(&account_key(account))? else {
            return Ok(None);
        };
        let damaged = StoreError::Corrupt { what: ACCOUNTS };
        Ok(Some(AccountRecord {
            account: *account,
            name: row.name.parse().map_err(|_| damaged)?,
            head: row.head()?,
            manifest: self.newest_manifest(account, &row)?,
            devices: row
                .device_ids()?
                .into_iter()
                .zip(&row.generations)
                .map(|(device, generation)| DeviceRecord {
                    device,
                    generation: *generation,
                })
                .collect(),
            public_delivery_id: fixed(&row.public_delivery_id, ACCOUNTS)?,
            own_delivery_id: fixed(&row.own_delivery_id, ACCOUNTS)?,
        }))
    }
}

impl<K: KeyValue> EmbeddedStore<K> {
    /// Held names are not readable in the store, only recognisable with its key.
    fn held_name_key(&self, name: &AccountName) -> Result<Bytes, StoreError> {
        // IDN-32.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.name_key)
            .map_err(|_| StoreError::Bug("HMAC takes keys of every length"))?;
        mac.update(name.as_str().as_bytes());
        Ok(key::<HeldNameRow>(&[&mac.finalize().into_bytes()]))
    }
}

/// Uses an invite once.
fn use_invite<K: KeyValue>(
    step: &mut Step<'_, K>,
    registration: &Registration,
) -> Outcome<(), RegisterRefusal> {
    // IDN-31.
    if registration.open {
        return Ok(Ok(()));
    }
    let Some(token) = &registration.invite else {
        return Ok(Err(RegisterRefusal::InviteMissing));
    };
    let invite_key = key::<InviteRow>(&[&InviteId::of(token).0]);
    let Some(mut invite) = step.get::<InviteRow>(&invite_key)? else {
        return Ok(Err(RegisterRefusal::InviteUnknown));
    };
    if invite.expires.is_some_and(|end| registration.now.0 >= end) {
        return Ok(Err(RegisterRefusal::InviteExpired));
    }
    let Some(uses_left) = invite.uses_left.checked_sub(1) else {
        return Ok(Err(RegisterRefusal::InviteUsed));
    };
    invite.uses_left = uses_left;
    step.put(invite_key, &invite)?;
    Ok(Ok(()))
}

impl<K: KeyValue> AccountStore for EmbeddedStore<K> {
    async fn register(&self, registration: Registration) -> Outcome<(), RegisterRefusal> {
        let held_name_key = self.held_name_key(&registration.name)?;
        self.step(|step, _| {
            let account = &registration.account;
            let public = &registration.public_delivery_id;
            let own = &registration.own_delivery_id;
            if let Some(row) = step.get::<AccountRow>(&account_key(account))? {
                let is_retry = row.name == registration.name.as_str()
                    && row.head()? == registration.manifest.head
                    && row.public_delivery_id == public.as_bytes().as_slice()
                    && row.own_delivery_id == own.as_bytes().as_slice();
                return Ok(if is_retry {
                    Ok(())
                } else {
                    Err(RegisterRefusal::AccountExists)
                });
            }
            if let Err(refusal) = use_invite(step, &registration)? {
                return Ok(Err(refusal));
            }
            let taken_name_key = name_key(&registration.name);
            if step.get::<NameRow>(&taken_name_key)?.is_some() {
                return Ok(Err(RegisterRefusal::NameTaken));
            }
            if let Some(held) = step.get::<HeldNameRow>(&held_name_key)? {
                if held.free_from > registration.now.day().0 {
                    return Ok(Err(RegisterRefusal::NameHeld));
                }
                step.delete(held_name_key)?;
            }
            let is_taken = public == own
                || step
                    .get::<DeliveryIdRow>(&delivery_id_key(public))?
                    .is_some()
                || step.get::<DeliveryIdRow>(&delivery_id_key(own))?.is_some();
            if is_taken {
                return Ok(Err(RegisterRefusal::DeliveryIdTaken));
            }
            let mut row = AccountRow {
                name: registration.name.as_str().to_owned(),
                public_delivery_id: public.to_wire(),
                own_delivery_id: own.to_wire(),
                ..AccountRow::default()
            };
            row.set_manifest(&registration.manifest);
            step.put(account_key(account), &row)?;
            step.put(
                taken_name_key,
                &NameRow {
                    account: account.to_wire(),
                },
            )?;
            step.put_manifest(account, &registration.manifest)?;
            step.put_delivery_id(account, public, DeliveryIdKind::Public)?;
            step.put_delivery_id(account, own, DeliveryIdKind::Own)?;
            Ok(Ok(()))
        })
        .await
    }

    async fn replace_manifest(
        &self,
        account: AccountKey,
        expected: ManifestHead,
        manifest: ManifestVersion,
    ) -> Outcome<(), ReplaceRefusal> {
        self.step(|step, removals| {
            let Some(mut row) = step.get::<AccountRow>(&account_key(&account))? else {
                return Ok(Err(ReplaceRefusal::UnknownAccount));
            };
            let current = row.head()?;
            if current == manifest.head {
                return Ok(Ok(()));
            }
            if current != expected {
                return Ok(Err(ReplaceRefusal::HeadMoved { current }));
            }
            if manifest.head.version > limits::MANIFEST_VERSIONS_MAX {
                return Ok(Err(ReplaceRefusal::TooManyVersions));
            }
            for voided in manifest.head.version..=current.version {
                step.delete(manifest_key(&account, voided))?;
            }
            for device in row.device_ids()? {
                if !manifest.devices.contains(&device) {
                    removals.push(Removal::Device(account, device));
                }
            }
            row.set_manifest(&manifest);
            step.put(account_key(&account), &row)?;
            step.put_manifest(&account, &manifest)?;
            Ok(Ok(()))
        })
        .await
    }

    async fn account(&self, account: AccountKey) -> Result<Option<AccountRecord>, StoreError> {
        self.look(|step| step.record(&account)).await
    }

    async fn account_by_name(
        &self,
        name: AccountName,
    ) -> Result<Option<AccountRecord>, StoreError> {
        self.look(|step| match step.get::<NameRow>(&name_key(&name))? {
            Some(row) => step.record(&fixed(&row.account, NameRow::TABLE.name)?),
            None => Ok(None),
        })
        .await
    }

    async fn account_by_delivery_id(
        &self,
        delivery_id: DeliveryId,
    ) -> Result<Option<(AccountRecord, DeliveryIdKind)>, StoreError> {
        self.look(|step| {
            let Some(row) = step.get::<DeliveryIdRow>(&delivery_id_key(&delivery_id))? else {
                return Ok(None);
            };
            let kind = kind_from_row(row.kind)?;
            let account = fixed(&row.account, DeliveryIdRow::TABLE.name)?;
            Ok(step.record(&account)?.map(|record| (record, kind)))
        })
        .await
    }

    async fn manifests(
        &self,
        account: AccountKey,
        after_version: u32,
        limit: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let range = KeyRange::prefix(&key::<ManifestRow>(&[account.as_bytes()]))
            .after(&manifest_key(&account, after_version));
        self.look(|step| {
            step.scan_bytes(&range, limit, ManifestRow::TABLE.name, |_| true)?
                .iter()
                .map(|row| Ok(ManifestRow::read(&row.value)?.manifest))
                .collect()
        })
        .await
    }

    async fn advance_generation(
        &self,
        account: AccountKey,
        device: DeviceId,
        generation: u64,
    ) -> Outcome<(), GenerationRefusal> {
        self.step(|step, _| {
            let mut row = step
                .get::<AccountRow>(&account_key(&account))?
                .unwrap_or_default();
            let place = row
                .devices
                .iter()
                .position(|listed| listed == device.as_bytes().as_slice());
            let Some(stored) = place.and_then(|place| row.generations.get_mut(place)) else {
                return Ok(Err(GenerationRefusal::UnknownDevice));
            };
            if generation < *stored {
                return Ok(Err(GenerationRefusal::Lower { stored: *stored }));
            }
            if generation > *stored {
                *stored = generation;
                step.put(account_key(&account), &row)?;
            }
            Ok(Ok(()))
        })
        .await
    }

    async fn close_account(&self, account: AccountKey, today: Day) -> Outcome<(), CloseRefusal> {
        self.step(|step, removals| {
            let Some(row) = step.get::<AccountRow>(&account_key(&account))? else {
                return Ok(Err(CloseRefusal::UnknownAccount));
            };
            let damaged = StoreError::Corrupt { what: ACCOUNTS };
            let name: AccountName = row.name.parse().map_err(|_| damaged)?;
            let held = HeldNameRow {
                free_from: today.plus(limits::NAME_HOLD_DAYS).0,
            };
            step.put(self.held_name_key(&name)?, &held)?;
            step.delete(name_key(&name))?;
            step.delete(account_key(&account))?;
            let prefix = key::<AccountDeliveryIdRow>(&[account.as_bytes()]);
            let table = AccountDeliveryIdRow::TABLE.name;
            let range = KeyRange::prefix(&prefix);
            let contacts = step.scan_bytes(&range, usize::MAX, table, |_| true)?;
            for contact in contacts {
                let id = contact.key.get(prefix.len()..).ok_or(damaged)?;
                step.delete(delivery_id_key(&fixed(id, table)?))?;
            }
            for id in [&row.public_delivery_id, &row.own_delivery_id] {
                step.delete(delivery_id_key(&fixed(id, ACCOUNTS)?))?;
            }
            removals.push(Removal::Account(account));
            Ok(Ok(()))
        })
        .await
    }

    async fn account_count(&self) -> Result<u64, StoreError> {
        let mut count = 0_u64;
        let mut range = KeyRange::prefix(&[AccountRow::TABLE.prefix]);
        loop {
            let page = self
                .look(|step| step.scan_bytes(&range, 256, ACCOUNTS, |_| true))
                .await?;
            let Some(last) = page.last() else {
                return Ok(count);
            };
            range = range.after(&last.key);
            count = count.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
        }
    }
}
