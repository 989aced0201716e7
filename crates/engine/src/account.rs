// SPDX-License-Identifier: Apache-2.0 OR MIT
//! This device and its account: keys, server, phase, and the numbers that only grow.

use waxwing_crypto::DeviceSecrets;
use waxwing_identity::{DeviceKeys, Signatory};
use waxwing_proto::v1::account_row::Phase;
use waxwing_proto::{AccountKey, AccountName, DeliveryId, DeviceId, KeyPin, ServerAddress, v1};
use zeroize::Zeroizing;

use crate::alarms::Alarms;
use crate::codec;
use crate::error::EngineError;
use crate::expiry::HeldExpiry;
use crate::row::{Row, Table};

/// This account, as far as this device knows it.
pub(crate) struct Account {
    pub(crate) phase: Phase,
    /// `None` on a new device that does not know its account yet.
    pub(crate) key: Option<AccountKey>,
    pub(crate) device: DeviceId,
    pub(crate) secrets: DeviceSecrets,
    pub(crate) server: ServerAddress,
    /// Keys by which the server was known before, newest first: links and addresses name them still.
    pub(crate) former_key_pins: Vec<KeyPin>,
    /// `None` until the server told a linked or recovered device.
    pub(crate) name: Option<AccountName>,
    /// Counts the starts of this device; signed and left with the server.
    pub(crate) generation: u64,
    pub(crate) public_delivery_id: Option<DeliveryId>,
    pub(crate) own_delivery_id: Option<DeliveryId>,
    pub(crate) signed_pair: SignedPairState,
    /// The id that the next prekey pair gets, from 1.
    pub(crate) next_prekey_id: u32,
    pub(crate) receipts_off: bool,
    pub(crate) alarms: Alarms,
    /// Messages that the server deleted, until the user was told.
    pub(crate) expired: Vec<HeldExpiry>,
    /// Ids that nobody is to write to any more, until the server knows.
    pub(crate) revoking: Vec<DeliveryId>,
    pub(crate) read_receipts_off: bool,
    /// Receipts leave on texts only.
    pub(crate) receipts_ride_only: bool,
}

/// The newest signed pair of this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SignedPairState {
    /// 0 where there is none.
    pub(crate) id: u32,
    pub(crate) made_at_ms: u64,
    pub(crate) manifest_version: u32,
}

impl Account {
    /// A new device on a server.
    pub(crate) const fn new(
        phase: Phase,
        device: DeviceId,
        secrets: DeviceSecrets,
        server: ServerAddress,
    ) -> Self {
        Self {
            phase,
            key: None,
            device,
            secrets,
            server,
            former_key_pins: Vec::new(),
            name: None,
            generation: 0,
            public_delivery_id: None,
            own_delivery_id: None,
            signed_pair: SignedPairState {
                id: 0,
                made_at_ms: 0,
                manifest_version: 0,
            },
            next_prekey_id: 1,
            receipts_off: false,
            alarms: Alarms::NONE,
            expired: Vec::new(),
            revoking: Vec::new(),
            read_receipts_off: false,
            receipts_ride_only: false,
        }
    }

    /// The public half of this device.
    pub(crate) fn device_keys(&self) -> DeviceKeys {
        self.secrets.public_keys(self.device)
    }

    /// This device as a signer.
    pub(crate) fn signatory(&self) -> Signatory {
        self.device_keys().signatory()
    }

    /// Whether this device may do what a member of the account does.
    pub(crate) fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// `name@host`; empty while the name is not known.
    pub(crate) fn address(&self) -> String {
        self.name
            .as_ref()
            .map(|name| format!("{name}@{}", self.server.host))
            .unwrap_or_default()
    }

    /// The stored row, without the secrets.
    pub(crate) fn to_row(&self) -> Zeroizing<Vec<u8>> {
        codec::encode(&v1::AccountRow {
            phase: self.phase.into(),
            account_key: self.key.map(AccountKey::to_wire).unwrap_or_default(),
            device_id: self.device.to_wire(),
            server: Some(self.server.to_wire()),
            name: self
                .name
                .as_ref()
                .map(|name| name.as_str().to_owned())
                .unwrap_or_default(),
            generation: self.generation,
            public_delivery_id: self
                .public_delivery_id
                .map(DeliveryId::to_wire)
                .unwrap_or_default(),
            own_delivery_id: self
                .own_delivery_id
                .map(DeliveryId::to_wire)
                .unwrap_or_default(),
            signed_pair_id: self.signed_pair.id,
            signed_pair_made_at_ms: self.signed_pair.made_at_ms,
            signed_pair_manifest_version: self.signed_pair.manifest_version,
            next_prekey_id: self.next_prekey_id,
            receipts_off: self.receipts_off,
            alarm: 0,
            alarms: self.alarms.to_row(),
            expired: self
                .expired
                .iter()
                .copied()
                .map(HeldExpiry::to_row)
                .collect(),
            revoking_delivery_ids: self.revoking.iter().map(|id| id.to_wire()).collect(),
            read_receipts_off: self.read_receipts_off,
            receipts_ride_only: self.receipts_ride_only,
            former_key_pins: self
                .former_key_pins
                .iter()
                .map(|pin| pin.to_wire())
                .collect(),
        })
    }

    /// Reads the two rows of the account.
    pub(crate) fn from_rows(row: &Row, secrets: &Row) -> Result<Self, EngineError> {
        let table = Table::Account;
        let corrupt = EngineError::CorruptRow(table);
        let stored: v1::AccountRow = codec::decode(row)?;
        let secrets = DeviceSecrets::from_sealed_row(&secrets.value).map_err(|_| corrupt)?;
        let server = stored.server.as_ref().ok_or(corrupt)?;
        let name = if stored.name.is_empty() {
            None
        } else {
            Some(stored.name.parse().map_err(|_| corrupt)?)
        };
        let phase = stored.phase();
        if phase == Phase::Unspecified {
            return Err(corrupt);
        }
        Ok(Self {
            phase,
            key: codec::optional(&stored.account_key, table)?,
            device: codec::fixed(&stored.device_id, table)?,
            secrets,
            server: ServerAddress::try_from(server).map_err(|_| corrupt)?,
            name,
            generation: stored.generation,
            public_delivery_id: codec::optional(&stored.public_delivery_id, table)?,
            own_delivery_id: codec::optional(&stored.own_delivery_id, table)?,
            signed_pair: SignedPairState {
                id: stored.signed_pair_id,
                made_at_ms: stored.signed_pair_made_at_ms,
                manifest_version: stored.signed_pair_manifest_version,
            },
            next_prekey_id: stored.next_prekey_id.max(1),
            receipts_off: stored.receipts_off,
            alarms: Alarms::from_row(stored.alarms, stored.alarm),
            expired: stored.expired.iter().map(HeldExpiry::from_row).collect(),
            revoking: stored
                .revoking_delivery_ids
                .iter()
                .map(|id| codec::fixed(id, table))
                .collect::<Result<_, _>>()?,
            read_receipts_off: stored.read_receipts_off,
            receipts_ride_only: stored.receipts_ride_only,
            former_key_pins: stored
                .former_key_pins
                .iter()
                .map(|pin| codec::fixed(pin, table))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Numbers that only grow, in one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The cursor of the next message, from 1.
    pub(crate) next_cursor: u64,
    /// The number of the next shipment, from 1.
    pub(crate) next_shipment: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            next_cursor: 1,
            next_shipment: 1,
        }
    }
}

impl Counters {
    pub(crate) fn take_cursor(&mut self) -> u64 {
        let cursor = self.next_cursor;
        self.next_cursor = cursor.saturating_add(1);
        cursor
    }

    pub(crate) fn take_shipment(&mut self) -> u64 {
        let number = self.next_shipment;
        self.next_shipment = number.saturating_add(1);
        number
    }

    pub(crate) fn to_row(self) -> Zeroizing<Vec<u8>> {
        codec::encode(&v1::CountersRow {
            next_cursor: self.next_cursor,
            next_shipment: self.next_shipment,
        })
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, EngineError> {
        let stored: v1::CountersRow = codec::decode(row)?;
        Ok(Self {
            next_cursor: stored.next_cursor.max(1),
            next_shipment: stored.next_shipment.max(1),
        })
    }
}
