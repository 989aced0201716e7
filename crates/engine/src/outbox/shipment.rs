// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One content on its way to the devices of one account, and its rows.

use std::collections::BTreeMap;

use bytes::Bytes;
use waxwing_proto::v1::shipment_row::Kind;
use waxwing_proto::{AccountKey, DeviceId, EnvelopeId, MessageId, v1};
use zeroize::Zeroizing;

use crate::codec;
use crate::error::EngineError;
use crate::keys;
use crate::row::{Row, RowKey, Table};

/// Bytes of an envelope in one row.
const PART_SIZE: usize = 48 * 1024;

/// An envelope for one device. It is sent again byte for byte, under the same id.
#[derive(Debug, Clone)]
pub(crate) struct SealedEnvelope {
    pub(crate) id: EnvelopeId,
    /// Its place among the rows of the shipment; never given twice in one shipment.
    pub(crate) index: u32,
    pub(crate) bytes: Bytes,
}

/// A content for one account.
#[derive(Debug, Clone)]
pub(crate) struct Shipment {
    pub(crate) number: u64,
    pub(crate) account: AccountKey,
    pub(crate) kind: Kind,
    pub(crate) message_id: MessageId,
    /// 0 for what shows nothing.
    pub(crate) cursor: u64,
    pub(crate) created_at_ms: u64,
    /// The encoded content; fixed once `sealed`.
    pub(crate) content: Bytes,
    /// Whether an envelope was made from the content.
    pub(crate) sealed: bool,
    /// The version of the manifest that the envelopes fit; 0 before there are any.
    pub(crate) manifest_version: u32,
    pub(crate) envelopes: BTreeMap<DeviceId, SealedEnvelope>,
    /// It does not leave before this device can be reached.
    pub(crate) awaited_device: Option<DeviceId>,
}

impl Shipment {
    /// The index of the next envelope.
    pub(crate) fn next_index(&self) -> u32 {
        self.envelopes
            .values()
            .map(|envelope| envelope.index.saturating_add(1))
            .max()
            .unwrap_or(0)
    }

    /// The row, without the envelopes' bytes.
    pub(crate) fn to_row(&self) -> Zeroizing<Vec<u8>> {
        codec::encode(&v1::ShipmentRow {
            account_key: self.account.to_wire(),
            kind: self.kind.into(),
            message_id: self.message_id.to_wire(),
            cursor: self.cursor,
            created_at_ms: self.created_at_ms,
            content: self.content.clone(),
            sealed: self.sealed,
            manifest_version: self.manifest_version,
            envelopes: self
                .envelopes
                .iter()
                .map(|(device, envelope)| v1::ShipmentEnvelope {
                    device_id: device.to_wire(),
                    envelope_id: envelope.id.to_wire(),
                    index: envelope.index,
                    parts: u32::try_from(parts_of(&envelope.bytes)).unwrap_or(u32::MAX),
                })
                .collect(),
            awaited_device_id: self
                .awaited_device
                .map(DeviceId::to_wire)
                .unwrap_or_default(),
        })
    }

    /// The rows of one envelope.
    pub(crate) fn envelope_rows(
        number: u64,
        envelope: &SealedEnvelope,
    ) -> Vec<(RowKey, Zeroizing<Vec<u8>>)> {
        envelope
            .bytes
            .chunks(PART_SIZE)
            .zip(0_u64..)
            .map(|(part, place)| {
                (
                    keys::envelope_part(number, envelope.index, place),
                    Zeroizing::new(part.to_vec()),
                )
            })
            .collect()
    }

    /// Where the rows of one envelope lie.
    pub(crate) fn envelope_keys(number: u64, envelope: &SealedEnvelope) -> Vec<RowKey> {
        (0..parts_of(&envelope.bytes))
            .map(|place| keys::envelope_part(number, envelope.index, place))
            .collect()
    }

    /// Reads a row, with the envelope rows of the same shipment by their order numbers.
    pub(crate) fn from_row(
        row: &Row,
        parts: &BTreeMap<u64, Zeroizing<Vec<u8>>>,
    ) -> Result<Self, EngineError> {
        let table = Table::Outbox;
        let number = row.key.order;
        let stored: v1::ShipmentRow = codec::decode(row)?;
        let mut envelopes = BTreeMap::new();
        for envelope in &stored.envelopes {
            let mut bytes = Vec::new();
            for place in 0..u64::from(envelope.parts) {
                let key = keys::envelope_part(number, envelope.index, place);
                let part = parts
                    .get(&key.order)
                    .ok_or(EngineError::MissingRow(table))?;
                bytes.extend_from_slice(part);
            }
            let sealed = SealedEnvelope {
                id: codec::fixed(&envelope.envelope_id, table)?,
                index: envelope.index,
                bytes: bytes.into(),
            };
            envelopes.insert(codec::fixed(&envelope.device_id, table)?, sealed);
        }
        Ok(Self {
            number,
            account: codec::fixed(&stored.account_key, table)?,
            kind: stored.kind(),
            message_id: codec::fixed(&stored.message_id, table)?,
            cursor: stored.cursor,
            created_at_ms: stored.created_at_ms,
            content: stored.content.clone(),
            sealed: stored.sealed,
            manifest_version: stored.manifest_version,
            envelopes,
            awaited_device: codec::optional(&stored.awaited_device_id, table)?,
        })
    }
}

fn parts_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len().div_ceil(PART_SIZE)).unwrap_or(u64::MAX)
}
