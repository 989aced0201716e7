// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Delivery ids over rows.

use waxwing_proto::{AccountKey, DeliveryId};

use super::accounts::account_key;
use super::key_value::{KeyRange, KeyValue};
use super::records::{
    AccountDeliveryIdRow, AccountRow, DeliveryIdRow, Record, delivery_id_key, fixed, key,
};
use super::rows::Step;
use super::server::EmbeddedStore;
use crate::StoreError;
use crate::server::{CreateDeliveryIdsRefusal, DeliveryIdKind, DeliveryIdStore, Outcome};

/// Ids that one step revokes.
const REVOKED_PER_STEP: usize = 512;

/// The number that stands for a kind in rows.
pub(super) const fn kind_to_row(kind: DeliveryIdKind) -> u32 {
    match kind {
        DeliveryIdKind::Public => 1,
        DeliveryIdKind::Own => 2,
        DeliveryIdKind::Contact => 3,
    }
}

/// The kind that a number in a row stands for.
pub(super) const fn kind_from_row(number: u32) -> Result<DeliveryIdKind, StoreError> {
    match number {
        1 => Ok(DeliveryIdKind::Public),
        2 => Ok(DeliveryIdKind::Own),
        3 => Ok(DeliveryIdKind::Contact),
        _ => Err(StoreError::Corrupt {
            what: DeliveryIdRow::TABLE.name,
        }),
    }
}

/// Whether the id is a contact id of this account: `None` where it is nobody's.
fn is_contact_id_of<K: KeyValue>(
    step: &mut Step<'_, K>,
    account: &AccountKey,
    delivery_id: &DeliveryId,
) -> Result<Option<bool>, StoreError> {
    let Some(row) = step.get::<DeliveryIdRow>(&delivery_id_key(delivery_id))? else {
        return Ok(None);
    };
    let is_contact = matches!(kind_from_row(row.kind)?, DeliveryIdKind::Contact);
    Ok(Some(
        is_contact && row.account == account.as_bytes().as_slice(),
    ))
}

impl<K: KeyValue> DeliveryIdStore for EmbeddedStore<K> {
    async fn create_delivery_ids(
        &self,
        account: AccountKey,
        delivery_ids: Vec<DeliveryId>,
    ) -> Outcome<(), CreateDeliveryIdsRefusal> {
        // BOX-1, BOX-2.
        self.step(|step, _| {
            let Some(mut row) = step.get::<AccountRow>(&account_key(&account))? else {
                return Ok(Err(CreateDeliveryIdsRefusal::UnknownAccount));
            };
            for delivery_id in &delivery_ids {
                match is_contact_id_of(step, &account, delivery_id)? {
                    Some(true) => continue,
                    Some(false) => return Ok(Err(CreateDeliveryIdsRefusal::Taken)),
                    None => {}
                }
                row.delivery_id_count = row.delivery_id_count.saturating_add(1);
                let id_row = DeliveryIdRow {
                    account: account.to_wire(),
                    kind: kind_to_row(DeliveryIdKind::Contact),
                };
                step.put(delivery_id_key(delivery_id), &id_row)?;
                step.put(
                    key::<AccountDeliveryIdRow>(&[account.as_bytes(), delivery_id.as_bytes()]),
                    &AccountDeliveryIdRow {},
                )?;
            }
            let count = usize::try_from(row.delivery_id_count).unwrap_or(usize::MAX);
            if count > self.limits.delivery_ids_max {
                return Ok(Err(CreateDeliveryIdsRefusal::TooMany));
            }
            step.put(account_key(&account), &row)?;
            Ok(Ok(()))
        })
        .await
    }

    async fn revoke_delivery_ids(
        &self,
        account: AccountKey,
        delivery_ids: Vec<DeliveryId>,
    ) -> Result<(), StoreError> {
        self.write(|step| {
            let Some(mut row) = step.get::<AccountRow>(&account_key(&account))? else {
                return Ok(());
            };
            for delivery_id in &delivery_ids {
                if is_contact_id_of(step, &account, delivery_id)? == Some(true) {
                    row.delivery_id_count = row.delivery_id_count.saturating_sub(1);
                    step.delete(delivery_id_key(delivery_id))?;
                    step.delete(key::<AccountDeliveryIdRow>(&[
                        account.as_bytes(),
                        delivery_id.as_bytes(),
                    ]))?;
                }
            }
            step.put(account_key(&account), &row)
        })
        .await
    }

    async fn revoke_contact_ids(&self, account: AccountKey) -> Result<(), StoreError> {
        loop {
            let revoked = self
                .write(|step| {
                    let Some(mut row) = step.get::<AccountRow>(&account_key(&account))? else {
                        return Ok(0);
                    };
                    let table = AccountDeliveryIdRow::TABLE.name;
                    let prefix = key::<AccountDeliveryIdRow>(&[account.as_bytes()]);
                    let range = KeyRange::prefix(&prefix);
                    let contacts = step.scan_bytes(&range, REVOKED_PER_STEP, table, |_| true)?;
                    for contact in &contacts {
                        let damaged = StoreError::Corrupt { what: table };
                        let id = contact.key.get(prefix.len()..).ok_or(damaged)?;
                        step.delete(delivery_id_key(&fixed(id, table)?))?;
                        step.delete(contact.key.clone())?;
                        row.delivery_id_count = row.delivery_id_count.saturating_sub(1);
                    }
                    if !contacts.is_empty() {
                        step.put(account_key(&account), &row)?;
                    }
                    Ok(contacts.len())
                })
                .await?;
            if revoked == 0 {
                return Ok(());
            }
        }
    }
}
