// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whom delivery ids lead to, in memory: what every sending asks, without reading and decoding rows.
//!
//! A cache over two tables. Whatever changes a row of theirs takes the row's entry out, as a part of the
//! change; an entry is put in only if nothing was taken out since its rows were read. So an entry is
//! what the rows say, and without it nothing but time is lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waxwing_proto::limits::ROUTES_CACHED_MAX;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId};

use crate::embedded::key_value::Batch;
use crate::embedded::records::{AccountRow, DeliveryIdRow, Record};
use crate::server::{DeliveryIdKind, Recipient};

/// Where the sendings of one delivery id go.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) account: AccountKey,
    pub(super) kind: DeliveryIdKind,
    pub(super) listed: Arc<Listed>,
}

impl From<Recipient> for Route {
    fn from(recipient: Recipient) -> Self {
        Self {
            account: recipient.account,
            kind: recipient.kind,
            listed: Arc::new(Listed::new(recipient.manifest_version, recipient.devices)),
        }
    }
}

/// An account as its newest manifest has it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) manifest_version: u32,
    pub(super) devices: Arc<[DeviceId]>,
    /// The account's row has changed since.
    is_stale: AtomicBool,
}

impl Listed {
    pub(super) const fn new(manifest_version: u32, devices: Arc<[DeviceId]>) -> Self {
        Self {
            manifest_version,
            devices,
            is_stale: AtomicBool::new(false),
        }
    }
}

#[derive(Default)]
struct Known {
    ids: HashMap<DeliveryId, Route>,
    accounts: HashMap<AccountKey, Arc<Listed>>,
}

/// The cache.
#[derive(Default)]
pub struct Routes {
    known: Mutex<Known>,
    /// Counts changes of rows. Written while `known` is held.
    changes: AtomicU64,
}

/// How many changes there had been. Between two equal moments no route has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Routes {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &DeliveryId) -> Option<Route> {
        let known = self.known();
        let route = known.ids.get(id)?;
        let is_stale = route.listed.is_stale.load(Ordering::Relaxed);
        (!is_stale).then(|| route.clone())
    }

    /// To be taken before what it is compared for is read.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.changes.load(Ordering::Acquire))
    }

    /// Keeps what rows said, unless any has changed since the moment.
    pub(super) fn put(&self, id: DeliveryId, route: &Route, read: Moment) {
        let mut known = self.known();
        if self.moment() != read {
            return;
        }
        if known.ids.len() >= ROUTES_CACHED_MAX {
            known.ids.clear();
        }
        if known.accounts.len() >= ROUTES_CACHED_MAX {
            // What is not marked any more is not found any more.
            known.ids.clear();
            known.accounts.clear();
        }
        // All ids of an account share what is listed, so that one mark reaches all of them.
        let listed = Arc::clone(
            known
                .accounts
                .entry(route.account)
                .or_insert_with(|| Arc::clone(&route.listed)),
        );
        let route = Route {
            listed,
            ..route.clone()
        };
        known.ids.insert(id, route);
    }

    /// Takes out what a batch changes. To be called once the batch can be read.
    pub(super) fn forget(&self, batch: &Batch) {
        let mut known = None;
        for key in batch.keys() {
            let Some((prefix, rest)) = key.split_first() else {
                continue;
            };
            let is_id = *prefix == DeliveryIdRow::TABLE.prefix;
            if !is_id && *prefix != AccountRow::TABLE.prefix {
                continue;
            }
            let known = known.get_or_insert_with(|| self.known());
            self.changes.fetch_add(1, Ordering::AcqRel);
            if is_id {
                if let Ok(id) = DeliveryId::try_from(rest) {
                    known.ids.remove(&id);
                }
            } else if let Ok(account) = AccountKey::try_from(rest)
                && let Some(listed) = known.accounts.remove(&account)
            {
                listed.is_stale.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::accounts::account_key;
    use crate::embedded::records::delivery_id_key;

    fn route(account: u8) -> Route {
        Route {
            account: AccountKey::new([account; 32]),
            kind: DeliveryIdKind::Contact,
            listed: Arc::new(Listed::new(1, [DeviceId::new([account; 16])].into())),
        }
    }

    #[test]
    fn a_changed_row_takes_its_entry_out_and_no_other() {
        let routes = Routes::default();
        let ids = [1, 2].map(|number| DeliveryId::new([number; 16]));
        for (id, account) in ids.iter().zip([7, 8]) {
            routes.put(*id, &route(account), routes.moment());
        }
        assert_eq!(routes.get(&ids[0]).unwrap().account, route(7).account);
        routes.forget(&Batch::from([(account_key(&route(7).account), None)]));
        assert!(routes.get(&ids[0]).is_none());
        assert_eq!(routes.get(&ids[1]).unwrap().account, route(8).account);
        routes.forget(&Batch::from([(delivery_id_key(&ids[1]), None)]));
        assert!(routes.get(&ids[1]).is_none());
    }

    #[test]
    fn a_changed_account_takes_out_all_of_its_ids() {
        let routes = Routes::default();
        let ids = [1, 2].map(|number| DeliveryId::new([number; 16]));
        for id in ids {
            routes.put(id, &route(7), routes.moment());
        }
        routes.forget(&Batch::from([(account_key(&route(7).account), None)]));
        assert!(ids.iter().all(|id| routes.get(id).is_none()));
        routes.put(ids[0], &route(7), routes.moment());
        assert!(routes.get(&ids[0]).is_some());
        assert!(routes.get(&ids[1]).is_none());
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let routes = Routes::default();
        let id = DeliveryId::new([1; 16]);
        let read = routes.moment();
        routes.forget(&Batch::from([(account_key(&route(7).account), None)]));
        routes.put(id, &route(7), read);
        assert!(routes.get(&id).is_none());
    }

    #[test]
    fn it_holds_no_more_than_its_bound() {
        let routes = Routes::default();
        for number in 0..=u32::try_from(ROUTES_CACHED_MAX).unwrap() {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            routes.put(DeliveryId::new(id), &route(7), routes.moment());
        }
        assert_eq!(routes.known().ids.len(), 1);
    }
}
