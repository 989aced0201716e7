// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prekey pairs, as the bytes that their device signed.

use core::future::Future;

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeviceId};

use crate::StoreError;
use crate::server::Outcome;

/// A signed pair, which is also the last resort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPair {
    /// The id inside the bytes; not 0.
    pub id: u32,
    /// The exact bytes as received, at most [`waxwing_proto::limits::PREKEY_SIZE_MAX`].
    pub bytes: Bytes,
}

/// A one-time pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTimePair {
    /// The id inside the bytes. A device numbers its one-time pairs upwards.
    pub id: u32,
    /// The exact bytes as received, at most [`waxwing_proto::limits::PREKEY_SIZE_MAX`].
    pub bytes: Bytes,
}

/// What a device publishes.
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// Replaces the stored signed pair; `None` leaves it.
    pub signed_pair: Option<SignedPair>,
    /// Added to the stored ones.
    pub one_time_pairs: Vec<OneTimePair>,
}

/// Why prekeys were not published. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefusal {
    /// No such account, or its newest manifest does not list the device.
    #[error("the device is unknown")]
    UnknownDevice,
    /// The device would have more than [`waxwing_proto::limits::ONE_TIME_PREKEYS_MAX`].
    #[error("the device has too many one-time prekeys")]
    TooMany,
}

/// Why no prekeys were taken. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeRefusal {
    /// No such account.
    #[error("the account is unknown")]
    UnknownAccount,
}

/// What is stored of one device's prekeys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrekeyStatus {
    /// One-time pairs left.
    pub one_time_remaining: u32,
    /// The id of the stored signed pair, 0 where there is none.
    pub signed_pair_id: u32,
    /// The exact bytes of the stored signed pair, empty where there is none.
    pub signed_pair: Bytes,
}

/// The prekeys for one session with one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrekeyBundle {
    /// The device.
    pub device: DeviceId,
    /// Its signed pair.
    pub signed_pair: Bytes,
    /// A one-time pair that nobody else has got or will get; `None` when none is left.
    pub one_time_pair: Option<Bytes>,
}

/// The answer to a taking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenPrekeys {
    /// The exact bytes of the newest manifest, read in the same step.
    pub manifest: Bytes,
    /// One bundle for each wanted device that is listed and has published, in the manifest's order.
    pub bundles: Vec<PrekeyBundle>,
}

/// Prekey pairs.
pub trait PrekeyStore: Send + Sync + 'static {
    /// Stores a device's pairs and answers what is stored then.
    ///
    /// One-time pairs whose id is not above every id that the device has published before are
    /// passed over: they are a retry, and the first may have been taken since.
    fn publish_prekeys(
        &self,
        account: AccountKey,
        device: DeviceId,
        publication: Publication,
    ) -> impl Future<Output = Outcome<PrekeyStatus, PublishRefusal>> + Send;

    /// What is stored of a device's prekeys; all zero where it has none.
    fn prekey_status(
        &self,
        account: AccountKey,
        device: DeviceId,
    ) -> impl Future<Output = Result<PrekeyStatus, StoreError>> + Send;

    /// Takes a bundle for each of `devices`; an empty list means all devices of the account. Each
    /// one-time pair is handed out at most once, even across a crash: it is durably gone before
    /// the future resolves.
    fn take_prekeys(
        &self,
        account: AccountKey,
        devices: Vec<DeviceId>,
    ) -> impl Future<Output = Outcome<TakenPrekeys, TakeRefusal>> + Send;
}
