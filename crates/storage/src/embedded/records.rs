// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server's tables: what each row's key and value hold.
//!
//! A table is declared once; the same declaration encodes its rows and discloses them, so nothing can
//! be stored that `disclose` does not show. Numbers of tables and fields are never used twice.

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId};

use super::disclosed::{self, Fields};
use crate::StoreError;

/// What one part of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyPart {
    /// The account that the row is tied to: 32 bytes.
    Owner,
    /// Bytes of this length.
    Bytes(usize),
    /// Whatever bytes are left, as text.
    Text,
    /// A big-endian number of 4 bytes.
    Number4,
    /// A big-endian number of 8 bytes.
    Number8,
    /// A day: a big-endian number of 4 bytes.
    Day,
}

/// A value as named fields, and the account that it ties its row to.
pub(crate) type Disclosed = (Option<AccountKey>, Fields);

/// A table of the server's store.
pub(crate) struct Table {
    /// The first byte of its keys.
    pub(crate) prefix: u8,
    pub(crate) name: &'static str,
    pub(crate) key: &'static [(&'static str, KeyPart)],
    /// The fields of its values.
    #[cfg_attr(
        not(test),
        allow(dead_code, reason = "compared with the reviewed list in tests")
    )]
    pub(crate) fields: &'static [&'static str],
    /// Decodes a value into named fields, and the account that the value ties the row to.
    pub(crate) disclose: fn(&[u8]) -> Result<Disclosed, StoreError>,
}

/// A row's value.
pub(crate) trait Record: prost::Message + Default {
    /// Its table.
    const TABLE: Table;

    /// Decodes a value.
    fn read(value: &[u8]) -> Result<Self, StoreError> {
        Self::decode(value).map_err(|_| StoreError::Corrupt {
            what: Self::TABLE.name,
        })
    }
}

macro_rules! tables {
    ($(
        $(#[$doc:meta])*
        $prefix:literal $table:literal $record:ident
            [ $($key:literal $part:expr),* ]
            { $( $(#[$attribute:meta])* $field:ident : $type:ty = $shown:ident ),* $(,)? }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, ::prost::Message)]
            pub(crate) struct $record {
                $( $(#[$attribute])* pub(crate) $field: $type, )*
            }

            impl Record for $record {
                const TABLE: Table = Table {
                    prefix: $prefix,
                    name: $table,
                    key: &[ $(($key, $part)),* ],
                    fields: &[ $(stringify!($field)),* ],
                    disclose: |value| {
                        #[allow(unused_mut, reason = "a table may have keys alone")]
                        let mut fields = Fields::new();
                        #[allow(unused_mut, reason = "few values name an account")]
                        let mut owner = None;
                        let Self { $($field),* } = Self::read(value)?;
                        $( disclosed::$shown(stringify!($field), &$field, &mut fields, &mut owner); )*
                        Ok((owner, fields))
                    },
                };
            }
        )*

        /// Every table, by prefix.
        pub(crate) const TABLES: &[Table] = &[ $( <$record as Record>::TABLE ),* ];
    };
}

tables! {
    /// The store itself: one row.
    0x10 "store" StoreRow [] {
        #[prost(bytes = "bytes", tag = "1")]
        name_key: Bytes = bytes,
    }
    /// Accounts and their devices.
    0x11 "accounts" AccountRow ["account" KeyPart::Owner] {
        #[prost(string, tag = "1")]
        name: String = text,
        #[prost(uint32, tag = "2")]
        manifest_version: u32 = number,
        #[prost(bytes = "bytes", tag = "3")]
        manifest_hash: Bytes = bytes,
        #[prost(bytes = "bytes", tag = "4")]
        public_delivery_id: Bytes = bytes,
        #[prost(bytes = "bytes", tag = "5")]
        own_delivery_id: Bytes = bytes,
        #[prost(uint32, tag = "6")]
        delivery_id_count: u32 = number,
        #[prost(bytes = "bytes", repeated, tag = "7")]
        devices: Vec<Bytes> = each_bytes,
        #[prost(uint64, repeated, tag = "8")]
        generations: Vec<u64> = each_number,
    }
    /// Which account has a name.
    0x12 "names" NameRow ["name" KeyPart::Text] {
        #[prost(bytes = "bytes", tag = "1")]
        account: Bytes = owner,
    }
    /// Names that nobody may have yet.
    0x13 "held_names" HeldNameRow ["name_hash" KeyPart::Bytes(32)] {
        #[prost(uint32, tag = "1")]
        free_from: u32 = day,
    }
    /// Manifest chains.
    0x14 "manifests" ManifestRow ["account" KeyPart::Owner, "version" KeyPart::Number4] {
        #[prost(bytes = "bytes", tag = "1")]
        manifest: Bytes = bytes,
    }
    /// Which account a delivery id belongs to.
    0x15 "delivery_ids" DeliveryIdRow ["delivery_id" KeyPart::Bytes(16)] {
        #[prost(bytes = "bytes", tag = "1")]
        account: Bytes = owner,
        #[prost(uint32, tag = "2")]
        kind: u32 = number,
    }
    /// Which delivery ids an account has.
    0x16 "account_delivery_ids" AccountDeliveryIdRow
        ["account" KeyPart::Owner, "delivery_id" KeyPart::Bytes(16)] {}
    /// Invites.
    0x17 "invites" InviteRow ["token_sha256" KeyPart::Bytes(32)] {
        #[prost(uint32, tag = "1")]
        uses_left: u32 = number,
        #[prost(uint32, optional, tag = "2")]
        expires: Option<u32> = minute,
    }
    /// The signed pair of each device.
    0x18 "signed_prekeys" SignedPrekeyRow
        ["account" KeyPart::Owner, "device" KeyPart::Bytes(16)] {
        #[prost(uint32, tag = "1")]
        id: u32 = number,
        #[prost(bytes = "bytes", tag = "2")]
        pair: Bytes = bytes,
    }
    /// One-time pairs that nobody has taken.
    0x19 "one_time_prekeys" OneTimePrekeyRow
        ["account" KeyPart::Owner, "device" KeyPart::Bytes(16), "id" KeyPart::Number4] {
        #[prost(bytes = "bytes", tag = "1")]
        pair: Bytes = bytes,
    }
    /// How many one-time pairs a device has left, and which were published.
    0x1a "prekey_counters" PrekeyCounterRow
        ["account" KeyPart::Owner, "device" KeyPart::Bytes(16)] {
        #[prost(uint32, tag = "1")]
        remaining: u32 = number,
        #[prost(uint32, optional, tag = "2")]
        highest_id: Option<u32> = optional_number,
    }
    /// What each mailbox holds.
    0x1b "mailboxes" MailboxRow ["account" KeyPart::Owner, "device" KeyPart::Bytes(16)] {
        #[prost(uint64, tag = "1")]
        last_position: u64 = number,
        #[prost(uint64, tag = "2")]
        envelopes: u64 = number,
        #[prost(uint64, tag = "3")]
        envelope_bytes: u64 = number,
        #[prost(uint64, tag = "4")]
        stranger_envelopes: u64 = number,
        #[prost(uint64, tag = "5")]
        own_envelopes: u64 = number,
        #[prost(uint64, tag = "6")]
        own_bytes: u64 = number,
        #[prost(uint64, tag = "7")]
        remembered_first: u64 = number,
        #[prost(uint64, tag = "8")]
        remembered_end: u64 = number,
        #[prost(uint64, tag = "9")]
        remembered_mark: u64 = number,
        #[prost(uint32, tag = "10")]
        remembered_mark_day: u32 = day,
        #[prost(bytes = "bytes", repeated, tag = "11")]
        share_ids: Vec<Bytes> = each_bytes,
        #[prost(uint64, repeated, tag = "12")]
        share_envelopes: Vec<u64> = each_number,
        #[prost(uint64, repeated, tag = "13")]
        share_bytes: Vec<u64> = each_number,
    }
    /// Envelopes that wait for their device.
    0x1c "envelopes" EnvelopeRow
        ["account" KeyPart::Owner, "device" KeyPart::Bytes(16), "position" KeyPart::Number8] {
        #[prost(bytes = "bytes", tag = "1")]
        envelope_id: Bytes = bytes,
        #[prost(bytes = "bytes", tag = "2")]
        delivery_id: Bytes = bytes,
        #[prost(uint32, tag = "3")]
        kind: u32 = number,
        #[prost(uint32, tag = "4")]
        arrived: u32 = day,
        #[prost(bytes = "bytes", tag = "5")]
        envelope: Bytes = bytes,
    }
    /// Envelopes that a mailbox holds or remembers, for deduplication.
    0x1d "envelope_digests" EnvelopeDigestRow
        ["account" KeyPart::Owner, "device" KeyPart::Bytes(16), "digest" KeyPart::Bytes(16)] {}
    /// Envelopes that a mailbox remembers, in the order of their deletion.
    0x1e "remembered_envelopes" RememberedEnvelopeRow
        ["account" KeyPart::Owner, "device" KeyPart::Bytes(16), "order" KeyPart::Number8] {
        #[prost(bytes = "bytes", tag = "1")]
        digest: Bytes = bytes,
    }
    /// Envelopes that reached the retention limit.
    0x1f "expired_counts" ExpiredCountRow
        ["account" KeyPart::Owner, "device" KeyPart::Bytes(16), "arrived" KeyPart::Day] {
        #[prost(uint32, tag = "1")]
        count: u32 = number,
    }
    /// Accounts and devices whose rows are being removed.
    0x20 "removals" RemovalRow ["account" KeyPart::Owner, "device" KeyPart::Bytes(16)] {
        #[prost(bool, tag = "1")]
        whole_account: bool = flag,
    }
}

/// A key of `R`'s table, or the beginning of one.
pub(crate) fn key<R: Record>(parts: &[&[u8]]) -> Bytes {
    let mut key = vec![R::TABLE.prefix];
    for part in parts {
        key.extend_from_slice(part);
    }
    Bytes::from(key)
}

/// A key that begins with a device, and the rows that belong to it.
pub(crate) fn device_key<R: Record>(account: &AccountKey, device: &DeviceId, rest: &[u8]) -> Bytes {
    key::<R>(&[account.as_bytes(), device.as_bytes(), rest])
}

/// The key of a delivery id.
pub(crate) fn delivery_id_key(delivery_id: &DeliveryId) -> Bytes {
    key::<DeliveryIdRow>(&[delivery_id.as_bytes()])
}

/// A stored fixed-length value; damage where its length is wrong.
pub(crate) fn fixed<'a, T>(bytes: &'a [u8], table: &'static str) -> Result<T, StoreError>
where
    T: TryFrom<&'a [u8]>,
{
    T::try_from(bytes).map_err(|_| StoreError::Corrupt { what: table })
}
