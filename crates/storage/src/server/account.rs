// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Accounts, their names, their manifest chains and their devices' generations.

use core::future::Future;

use bytes::Bytes;
use waxwing_proto::{AccountKey, AccountName, DeliveryId, DeviceId, InviteToken};

use crate::server::{DeliveryIdKind, Outcome};
use crate::{Day, Minute, StoreError};

/// Which version of an account's manifest: its number and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ManifestHead {
    /// The version number; the first is 1.
    pub version: u32,
    /// The hash that the next version names as its previous one.
    pub hash: [u8; 32],
}

/// One version of a manifest, verified by the caller. The store takes the facts beside the bytes as
/// true and never reads the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestVersion {
    /// Number and hash of these bytes.
    pub head: ManifestHead,
    /// The devices that it lists, at most [`waxwing_proto::limits::DEVICES_MAX`].
    pub devices: Vec<DeviceId>,
    /// The exact bytes as received, at most [`waxwing_proto::limits::MANIFEST_SIZE_MAX`].
    pub bytes: Bytes,
}

/// A new account.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The account identity key, which is the account's id.
    pub account: AccountKey,
    /// The name on this server.
    pub name: AccountName,
    /// The first version of the manifest.
    pub manifest: ManifestVersion,
    /// The delivery id that everybody learns who looks the name up.
    pub public_delivery_id: DeliveryId,
    /// The delivery id that the account's own devices use among themselves.
    pub own_delivery_id: DeliveryId,
    /// The invite; where the server is open it may be absent, and is not used when it is there.
    pub invite: Option<InviteToken>,
    /// Whether this server registers without an invite.
    pub open: bool,
    /// The time, against which the invite's expiry and held names are checked.
    pub now: Minute,
}

/// Why an account was not registered. Nothing was changed; the invite was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegisterRefusal {
    /// The server is not open and no invite was given.
    #[error("an invite is needed")]
    InviteMissing,
    /// No such invite, or it was revoked.
    #[error("the invite is unknown")]
    InviteUnknown,
    /// All uses of the invite are used.
    #[error("the invite is used up")]
    InviteUsed,
    /// The invite's time is over.
    #[error("the invite has expired")]
    InviteExpired,
    /// Another account has the name.
    #[error("the name is taken")]
    NameTaken,
    /// The name was freed less than [`waxwing_proto::limits::NAME_HOLD_DAYS`] ago.
    #[error("the name is held back")]
    NameHeld,
    /// The account is registered, and with something else than this registration says.
    #[error("the account exists")]
    AccountExists,
    /// A delivery id is in use, or both are the same.
    #[error("a delivery id is taken")]
    DeliveryIdTaken,
}

/// Why a manifest was not replaced. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceRefusal {
    /// No such account.
    #[error("the account is unknown")]
    UnknownAccount,
    /// The newest version is not the expected one: somebody else was faster.
    #[error("the manifest was replaced by another version")]
    HeadMoved {
        /// The newest version now.
        current: ManifestHead,
    },
    /// [`waxwing_proto::limits::MANIFEST_VERSIONS_MAX`] is reached.
    #[error("the manifest has too many versions")]
    TooManyVersions,
}

/// Why a generation was not advanced. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerationRefusal {
    /// No such account, or its newest manifest does not list the device.
    #[error("the device is unknown")]
    UnknownDevice,
    /// The stored generation is higher: the device runs on a restored or copied store.
    #[error("the generation went back")]
    Lower {
        /// The stored generation.
        stored: u64,
    },
}

/// Why an account was not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseRefusal {
    /// No such account.
    #[error("the account is unknown")]
    UnknownAccount,
}

/// A device of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRecord {
    /// The device.
    pub device: DeviceId,
    /// The generation that it left last; 0 before the first.
    pub generation: u64,
}

/// What the server knows of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account.
    pub account: AccountKey,
    /// Its name.
    pub name: AccountName,
    /// Number and hash of the newest manifest.
    pub head: ManifestHead,
    /// The exact bytes of the newest manifest.
    pub manifest: Bytes,
    /// The devices that the newest manifest lists, in its order.
    pub devices: Vec<DeviceRecord>,
    /// The delivery id for strangers.
    pub public_delivery_id: DeliveryId,
    /// The delivery id that the account's own devices use among themselves.
    pub own_delivery_id: DeliveryId,
}

/// Accounts and their manifest chains.
pub trait AccountStore: Send + Sync + 'static {
    /// Registers an account and uses the invite once.
    ///
    /// The same registration again (same account, name, manifest hash and delivery ids) is a retry:
    /// it is answered with success and uses nothing.
    fn register(
        &self,
        registration: Registration,
    ) -> impl Future<Output = Outcome<(), RegisterRefusal>> + Send;

    /// Puts a version after `expected`, if `expected` is the newest one.
    ///
    /// In the same step mailbox, prekeys and generation of every device that it no longer lists
    /// are gone. Where its number is not above the newest one (an account-signed version that voids
    /// later ones), the versions from its number on are replaced. A retry of the newest version
    /// is a success that changes nothing.
    fn replace_manifest(
        &self,
        account: AccountKey,
        expected: ManifestHead,
        manifest: ManifestVersion,
    ) -> impl Future<Output = Outcome<(), ReplaceRefusal>> + Send;

    /// An account by its key.
    fn account(
        &self,
        account: AccountKey,
    ) -> impl Future<Output = Result<Option<AccountRecord>, StoreError>> + Send;

    /// An account by its name.
    fn account_by_name(
        &self,
        name: AccountName,
    ) -> impl Future<Output = Result<Option<AccountRecord>, StoreError>> + Send;

    /// The account that a delivery id belongs to, and for whom the id was made.
    fn account_by_delivery_id(
        &self,
        delivery_id: DeliveryId,
    ) -> impl Future<Output = Result<Option<(AccountRecord, DeliveryIdKind)>, StoreError>> + Send;

    /// The exact bytes of at most `limit` versions after `after_version`, lowest number first.
    /// Empty for an unknown account.
    fn manifests(
        &self,
        account: AccountKey,
        after_version: u32,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Bytes>, StoreError>> + Send;

    /// Stores a device's generation, unless a higher one is stored. An equal one is a success.
    fn advance_generation(
        &self,
        account: AccountKey,
        device: DeviceId,
        generation: u64,
    ) -> impl Future<Output = Outcome<(), GenerationRefusal>> + Send;

    /// Removes every row of the account. The name is held back for
    /// [`waxwing_proto::limits::NAME_HOLD_DAYS`] as a keyed hash.
    fn close_account(
        &self,
        account: AccountKey,
        today: Day,
    ) -> impl Future<Output = Outcome<(), CloseRefusal>> + Send;

    /// How many accounts there are.
    fn account_count(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;
}
