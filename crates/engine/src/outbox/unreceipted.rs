// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Contents that a server has accepted and that a device of the recipient has not acknowledged with a
//! receipt yet. They are kept, so that what was lost behind the server can be sent again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use waxwing_identity::encoding::{LayoutError, Reader, Writer};
use waxwing_proto::{AccountKey, DeviceId, MessageId, limits};
use zeroize::Zeroizing;

use crate::error::EngineError;
use crate::row::{Row, Table};

const FORMAT: u8 = 1;

/// One content without all of its receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreceipted {
    pub(crate) account: AccountKey,
    pub(crate) message_id: MessageId,
    /// Of the message in this profile.
    pub(crate) cursor: u64,
    pub(crate) created_at_ms: u64,
    /// When the last sending was accepted, by the wall clock.
    pub(crate) sent_at_ms: u64,
    /// How often it was accepted.
    pub(crate) sendings: u32,
    /// The devices that have not sent a receipt.
    pub(crate) devices: BTreeSet<DeviceId>,
    pub(crate) content: Bytes,
}

impl Unreceipted {
    /// The stored row.
    pub(crate) fn to_row(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::new()
            .u8(FORMAT)
            .raw(self.account.as_bytes())
            .raw(self.message_id.as_bytes())
            .u64(self.cursor)
            .u64(self.created_at_ms)
            .u64(self.sent_at_ms)
            .u32(self.sendings)
            .u8(u8::try_from(self.devices.len()).unwrap_or(u8::MAX));
        for device in &self.devices {
            writer = writer.raw(device.as_bytes());
        }
        Zeroizing::new(writer.raw(&self.content).into_bytes())
    }

    /// Reads a stored row.
    pub(crate) fn from_row(row: &Row) -> Result<Self, EngineError> {
        read(Reader::new(&row.value)).map_err(|_| EngineError::CorruptRow(Table::Outbox))
    }
}

fn read(mut reader: Reader<'_>) -> Result<Unreceipted, LayoutError> {
    if reader.u8()? != FORMAT {
        return Err(LayoutError::Value);
    }
    let account = AccountKey::new(reader.array()?);
    let message_id = MessageId::new(reader.array()?);
    let (cursor, created_at_ms, sent_at_ms) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let sendings = reader.u32()?;
    let count = usize::from(reader.u8()?);
    if count > limits::DEVICES_MAX {
        return Err(LayoutError::Limit);
    }
    let devices = (0..count)
        .map(|_| Ok(DeviceId::new(reader.array()?)))
        .collect::<Result<_, LayoutError>>()?;
    Ok(Unreceipted {
        account,
        message_id,
        cursor,
        created_at_ms,
        sent_at_ms,
        sendings,
        devices,
        content: Bytes::copy_from_slice(reader.take_rest()),
    })
}

/// All of them, by the number of the shipment that was accepted first.
#[derive(Default)]
pub(crate) struct UnreceiptedList {
    by_number: BTreeMap<u64, Unreceipted>,
    numbers: BTreeMap<(AccountKey, MessageId), u64>,
    bytes: usize,
}

impl UnreceiptedList {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// Puts one in, in place of an earlier state of it.
    pub(crate) fn put(&mut self, number: u64, content: Unreceipted) {
        self.numbers
            .insert((content.account, content.message_id), number);
        self.bytes = self.bytes.saturating_add(content.content.len());
        if let Some(old) = self.by_number.insert(number, content) {
            self.bytes = self.bytes.saturating_sub(old.content.len());
        }
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, number: u64) {
        if let Some(old) = self.by_number.remove(&number) {
            self.numbers.remove(&(old.account, old.message_id));
            self.bytes = self.bytes.saturating_sub(old.content.len());
        }
    }

    /// The one with this number.
    pub(crate) fn get(&self, number: u64) -> Option<&Unreceipted> {
        self.by_number.get(&number)
    }

    /// The one with this message id, and its number.
    pub(crate) fn find(&self, account: &AccountKey, id: &MessageId) -> Option<(u64, &Unreceipted)> {
        let number = *self.numbers.get(&(*account, *id))?;
        Some((number, self.by_number.get(&number)?))
    }

    /// The accounts for which there are any.
    pub(crate) fn accounts(&self) -> BTreeSet<AccountKey> {
        self.numbers.keys().map(|(account, _)| *account).collect()
    }

    /// Those of one account, oldest first, with their numbers.
    pub(crate) fn of<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> impl Iterator<Item = (u64, &'a Unreceipted)> {
        let all = self.by_number.iter();
        all.filter(move |(_, content)| content.account == *account)
            .map(|(number, content)| (*number, content))
    }

    /// The oldest, as long as there are more than may be kept: they are not sent again.
    pub(crate) fn excess(&self) -> Option<u64> {
        let full = self.by_number.len() > limits::UNRECEIPTED_CONTENTS_MAX
            || self.bytes > limits::UNRECEIPTED_BYTES_MAX;
        self.by_number.keys().next().copied().filter(|_| full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;

    fn content(number: u8) -> Unreceipted {
        Unreceipted {
            account: AccountKey::new([1; 32]),
            message_id: MessageId::new([number; 16]),
            cursor: 3,
            created_at_ms: 4,
            sent_at_ms: 5,
            sendings: 6,
            devices: BTreeSet::from([DeviceId::new([7; 16]), DeviceId::new([8; 16])]),
            content: Bytes::from_static(b"content"),
        }
    }

    #[test]
    fn a_row_comes_back() {
        let row = Row {
            key: keys::unreceipted(1),
            value: content(1).to_row(),
        };
        assert_eq!(Unreceipted::from_row(&row).unwrap(), content(1));
        for length in 0..row.value.len() - 7 {
            let cut = Row {
                key: row.key.clone(),
                value: Zeroizing::new(row.value[..length].to_vec()),
            };
            assert!(Unreceipted::from_row(&cut).is_err(), "{length}");
        }
    }

    #[test]
    fn the_oldest_go_beyond_the_bound() {
        let mut list = UnreceiptedList::default();
        for number in 0..4 {
            let large = Unreceipted {
                content: Bytes::from(vec![0; limits::UNRECEIPTED_BYTES_MAX / 3]),
                ..content(number)
            };
            list.put(number.into(), large);
        }
        assert_eq!(list.excess(), Some(0));
        list.remove(0);
        assert_eq!(list.excess(), None);
        let (number, found) = list
            .find(&AccountKey::new([1; 32]), &MessageId::new([2; 16]))
            .unwrap();
        assert_eq!((number, found.sendings), (2, 6));
        assert_eq!(list.of(&AccountKey::new([1; 32])).count(), 3);
        list.put(1, content(1));
        assert!(list.bytes < limits::UNRECEIPTED_BYTES_MAX);
    }
}
