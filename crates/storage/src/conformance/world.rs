// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Accounts, devices and envelopes for the rules.

use std::collections::BTreeMap;

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, EnvelopeId, InviteToken};

use super::ServerPlace;
use crate::embedded::{ServerLimits, ServerOptions};
use crate::server::{
    AddressedEnvelope, Append, AppendRefusal, Appended, ManifestHead, ManifestVersion, OneTimePair,
    Position, Publication, Registration, SignedPair, Store, StoredEnvelope,
};
use crate::{Day, Minute};

/// The day on which the rules happen.
pub const TODAY: Day = Day(20_000);

/// Small limits, so that they are reached.
#[must_use]
pub fn limits() -> ServerLimits {
    ServerLimits {
        mailbox_envelopes_max: 16,
        mailbox_bytes_max: 400_000,
        mailbox_stranger_envelopes_max: 3,
        mailbox_stranger_bytes_max: 100_000,
        mailbox_contact_envelopes_max: 16,
        mailbox_contact_bytes_max: 400_000,
        remembered_envelope_ids_max: 4,
        retention_days: 45,
        delivery_ids_max: 3,
        one_time_prekeys_max: 64,
    }
}

/// Opens a place with `limits`.
pub async fn open_with<P: ServerPlace>(place: &P, limits: ServerLimits) -> P::Store {
    let options = ServerOptions {
        limits,
        new_name_key: [0x5a; 32],
    };
    place.open(options).await.unwrap()
}

/// Opens a place with the limits of the system.
pub async fn open<P: ServerPlace>(place: &P) -> P::Store {
    open_with(place, ServerLimits::default()).await
}

/// Loses the store and opens it again.
pub async fn crash<P: ServerPlace>(place: &P, store: P::Store) -> P::Store {
    drop(store);
    place.crash();
    open(place).await
}

/// The account of a number.
#[must_use]
pub const fn account(number: u8) -> AccountKey {
    AccountKey::new([number; 32])
}

/// A device; the same number is another device in another account.
#[must_use]
pub const fn device(number: u8) -> DeviceId {
    DeviceId::new([number; 16])
}

/// The delivery id for strangers of an account.
#[must_use]
pub const fn public_id(number: u8) -> DeliveryId {
    DeliveryId::new([number, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
}

/// The delivery id for own devices of an account.
#[must_use]
pub const fn own_id(number: u8) -> DeliveryId {
    DeliveryId::new([number, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
}

/// A delivery id for a contact of an account.
#[must_use]
pub const fn contact_id(number: u8, contact: u8) -> DeliveryId {
    DeliveryId::new([number, 3, contact, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3])
}

/// A version of a manifest that lists devices.
#[must_use]
pub fn manifest(version: u32, devices: &[u8]) -> ManifestVersion {
    let bytes = [&version.to_be_bytes(), devices].concat();
    let mut hash = [0_u8; 32];
    hash[..bytes.len()].copy_from_slice(&bytes);
    ManifestVersion {
        head: ManifestHead { version, hash },
        devices: devices.iter().map(|number| device(*number)).collect(),
        bytes: Bytes::from(bytes),
    }
}

/// A registration on an open server, with the name `user-N`.
#[must_use]
pub fn registration(number: u8, devices: &[u8]) -> Registration {
    Registration {
        account: account(number),
        name: format!("user-{number}").parse().unwrap(),
        manifest: manifest(1, devices),
        public_delivery_id: public_id(number),
        own_delivery_id: own_id(number),
        invite: None,
        open: true,
        now: Minute::from(TODAY),
    }
}

/// A registration by invite.
#[must_use]
pub fn invited(number: u8, token: InviteToken) -> Registration {
    Registration {
        invite: Some(token),
        open: false,
        ..registration(number, &[1])
    }
}

/// Registers an account.
pub async fn register<S: Store>(store: &S, number: u8, devices: &[u8]) {
    let answer = store.register(registration(number, devices)).await;
    answer.unwrap().unwrap();
}

/// Registers an account with a delivery id for contact 1.
pub async fn register_with_contact<S: Store>(store: &S, number: u8, devices: &[u8]) {
    register(store, number, devices).await;
    let ids = vec![contact_id(number, 1)];
    let created = store.create_delivery_ids(account(number), ids).await;
    created.unwrap().unwrap();
}

/// The id of the envelope of a number.
#[must_use]
pub fn envelope_id(number: u32) -> EnvelopeId {
    let mut id = [0xe0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    EnvelopeId::new(id)
}

/// A sending of one envelope to devices, by manifest version 1.
#[must_use]
pub fn sending(delivery_id: DeliveryId, devices: &[u8], number: u32, body: &[u8]) -> Append {
    Append {
        delivery_id,
        manifest_version: 1,
        envelopes: devices
            .iter()
            .map(|to| AddressedEnvelope {
                device: device(*to),
                envelope_id: envelope_id(number),
                envelope: Bytes::copy_from_slice(body),
            })
            .collect(),
        today: TODAY,
    }
}

/// Sends.
pub async fn send<S: Store>(store: &S, append: Append) -> Result<Appended, AppendRefusal> {
    store.append(append).await.unwrap()
}

/// Everything that is in a mailbox.
pub async fn mailbox<S: Store>(store: &S, number: u8, of: u8) -> Vec<StoredEnvelope> {
    let read = store.read(
        account(number),
        device(of),
        Position::START,
        usize::MAX,
        usize::MAX,
    );
    read.await.unwrap()
}

/// One-time pairs `first..end` and the signed pair 1.
#[must_use]
pub fn publication(first: u32, end: u32) -> Publication {
    Publication {
        signed_pair: Some(SignedPair {
            id: 1,
            bytes: Bytes::from_static(b"signed"),
        }),
        one_time_pairs: (first..end)
            .map(|id| OneTimePair {
                id,
                bytes: Bytes::from(format!("one-time {id}")),
            })
            .collect(),
    }
}

/// How many rows each table has that are tied to an account.
pub async fn rows_of<S: Store>(store: &S, number: u8) -> BTreeMap<&'static str, usize> {
    let mut rows = BTreeMap::new();
    let owner = Some(account(number));
    let mut visit = |row: crate::server::DisclosedRow| {
        if row.owner == owner {
            *rows.entry(row.table).or_insert(0) += 1;
        }
    };
    store.walk(&mut visit).await.unwrap();
    rows
}
