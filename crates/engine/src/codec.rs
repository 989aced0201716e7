// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Small conversions between stored or received fields and the types that the engine works with.

use bytes::Bytes;
use waxwing_identity::{Digest, ManifestHead};
use waxwing_proto::{MessageId, v1};
use zeroize::Zeroizing;

use crate::error::EngineError;
use crate::notice::AlarmKind;
use crate::row::{Row, Table};

/// Encodes a row of `profile.proto`.
pub(crate) fn encode(row: &impl prost::Message) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(row.encode_to_vec())
}

/// Decodes a row of `profile.proto`.
pub(crate) fn decode<M: prost::Message + Default>(row: &Row) -> Result<M, EngineError> {
    M::decode(row.value.as_slice()).map_err(|_| EngineError::CorruptRow(row.key.table))
}

/// A field of fixed length in a row.
pub(crate) fn fixed<'a, T: TryFrom<&'a [u8]>>(
    bytes: &'a Bytes,
    table: Table,
) -> Result<T, EngineError> {
    T::try_from(bytes.as_ref()).map_err(|_| EngineError::CorruptRow(table))
}

/// A field of fixed length that may be empty.
pub(crate) fn optional<'a, T: TryFrom<&'a [u8]>>(
    bytes: &'a Bytes,
    table: Table,
) -> Result<Option<T>, EngineError> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        fixed(bytes, table).map(Some)
    }
}

/// Message ids; what has a wrong length is left out.
pub(crate) fn message_ids(list: &[Bytes], most: usize) -> Vec<MessageId> {
    list.iter()
        .take(most)
        .filter_map(|bytes| MessageId::try_from(bytes.as_ref()).ok())
        .collect()
}

/// Message ids as fields.
pub(crate) fn message_ids_to_wire(list: &[MessageId]) -> Vec<Bytes> {
    list.iter().map(|id| id.to_wire()).collect()
}

/// A head as a field; `None` where it is missing or malformed.
pub(crate) fn head(field: Option<&v1::ManifestHead>) -> Option<ManifestHead> {
    let field = field?;
    Some(ManifestHead {
        version: field.version,
        hash: Digest::try_from(field.hash.as_ref()).ok()?,
    })
}

/// An alarm as a stored number, below 32.
pub(crate) const fn alarm_number(alarm: AlarmKind) -> u32 {
    match alarm {
        AlarmKind::KeyChanged => 1,
        AlarmKind::Equivocation => 2,
        AlarmKind::Rollback => 3,
        AlarmKind::SuspiciousRemoval => 4,
        AlarmKind::ClonedDevice => 5,
        AlarmKind::Recovered => 6,
        AlarmKind::RemovedFromAccount => 7,
        AlarmKind::RestoredStore => 8,
        AlarmKind::SessionsInVain => 9,
        AlarmKind::ListContested => 10,
    }
}

/// The alarm of a stored number.
pub(crate) const fn alarm_from_number(number: u32) -> Option<AlarmKind> {
    match number {
        1 => Some(AlarmKind::KeyChanged),
        2 => Some(AlarmKind::Equivocation),
        3 => Some(AlarmKind::Rollback),
        4 => Some(AlarmKind::SuspiciousRemoval),
        5 => Some(AlarmKind::ClonedDevice),
        6 => Some(AlarmKind::Recovered),
        7 => Some(AlarmKind::RemovedFromAccount),
        8 => Some(AlarmKind::RestoredStore),
        9 => Some(AlarmKind::SessionsInVain),
        10 => Some(AlarmKind::ListContested),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_keep_their_numbers() {
        for number in 0..12 {
            let alarm = alarm_from_number(number);
            assert!(alarm.is_none_or(|alarm| alarm_number(alarm) == number));
        }
        assert_eq!(alarm_number(AlarmKind::RestoredStore), 8);
    }
}
