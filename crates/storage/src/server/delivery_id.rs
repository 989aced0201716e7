// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Delivery ids: capabilities to write to one account.

use core::future::Future;

use waxwing_proto::{AccountKey, DeliveryId};

use crate::StoreError;
use crate::server::Outcome;

/// For whom a delivery id was made. It decides which share of the mailbox its envelopes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryIdKind {
    /// For strangers; one an account, it cannot be revoked.
    Public,
    /// For the account's own devices; one an account, it cannot be revoked.
    Own,
    /// For one contact.
    Contact,
}

/// Why no delivery id was created. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreateDeliveryIdsRefusal {
    /// No such account.
    #[error("the account is unknown")]
    UnknownAccount,
    /// One of the ids is in use by another account, or as a public or own id.
    #[error("a delivery id is taken")]
    Taken,
    /// The account would have more than [`waxwing_proto::limits::DELIVERY_IDS_MAX`].
    #[error("the account has too many delivery ids")]
    TooMany,
}

/// Delivery ids of the kind [`DeliveryIdKind::Contact`].
pub trait DeliveryIdStore: Send + Sync + 'static {
    /// Makes ids valid, all or none. An id that the account has already is a success.
    fn create_delivery_ids(
        &self,
        account: AccountKey,
        delivery_ids: Vec<DeliveryId>,
    ) -> impl Future<Output = Outcome<(), CreateDeliveryIdsRefusal>> + Send;

    /// Makes ids invalid. Ids that are not contact ids of this account are passed over. Envelopes
    /// that were accepted under them stay.
    fn revoke_delivery_ids(
        &self,
        account: AccountKey,
        delivery_ids: Vec<DeliveryId>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes every contact id of an account invalid, in bounded steps: a crash may leave some.
    fn revoke_contact_ids(
        &self,
        account: AccountKey,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
