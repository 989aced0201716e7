// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What records say. Payloads name their mailbox in full, so that each can be read alone.

use bytes::Bytes;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, EnvelopeId};

use super::format::{Reader, begin_record, end_record};
use crate::Day;
use crate::server::DeliveryIdKind;

/// The kinds of records. Numbers are never used twice. 8 is kept for a body that several envelopes
/// share; envelopes whose `body form` is 1 will point to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Envelope,
    Acknowledge,
    RemoveMailbox,
    RemoveAccount,
    Forget,
    Tables,
}

impl Kind {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Envelope => 1,
            Self::Acknowledge => 2,
            Self::RemoveMailbox => 3,
            Self::RemoveAccount => 4,
            Self::Forget => 5,
            Self::Tables => 6,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Envelope,
            2 => Self::Acknowledge,
            3 => Self::RemoveMailbox,
            4 => Self::RemoveAccount,
            5 => Self::Forget,
            6 => Self::Tables,
            _ => return None,
        })
    }
}

/// One mailbox: a device of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxKey {
    /// The account.
    pub account: AccountKey,
    /// The device.
    pub device: DeviceId,
}

/// An envelope on its way into a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The sender's id for it.
    pub envelope_id: EnvelopeId,
    /// The capability that was used.
    pub delivery_id: DeliveryId,
    /// For whom that capability was made.
    pub kind: DeliveryIdKind,
    /// The day of its arrival.
    pub day: Day,
    /// The envelope.
    pub body: Bytes,
}

/// Bytes of an envelope record's payload before the body.
pub(crate) const ENVELOPE_FIELDS: usize = 88;
const BODY_INLINE: u8 = 0;

/// An envelope record as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvelopeRecord {
    pub(crate) mailbox: MailboxKey,
    pub(crate) arrival: Arrival,
}

/// Positions next to each other: the first, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) count: u32,
}

/// What happened, as a record says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Envelope(EnvelopeRecord),
    Acknowledge(MailboxKey, Vec<Range>),
    RemoveMailbox(MailboxKey),
    RemoveAccount(AccountKey),
    Forget(Day),
    Tables(Bytes),
}

const fn kind_to_byte(kind: DeliveryIdKind) -> u8 {
    match kind {
        DeliveryIdKind::Public => 1,
        DeliveryIdKind::Own => 2,
        DeliveryIdKind::Contact => 3,
    }
}

pub(crate) const fn kind_from_byte(byte: u8) -> Option<DeliveryIdKind> {
    Some(match byte {
        1 => DeliveryIdKind::Public,
        2 => DeliveryIdKind::Own,
        3 => DeliveryIdKind::Contact,
        _ => return None,
    })
}

/// The number that stands for a kind in a checkpoint.
pub(crate) const fn kind_byte(kind: DeliveryIdKind) -> u8 {
    kind_to_byte(kind)
}

fn put_mailbox(record: &mut Vec<u8>, mailbox: &MailboxKey) {
    record.extend_from_slice(mailbox.account.as_bytes());
    record.extend_from_slice(mailbox.device.as_bytes());
}

pub(crate) fn read_mailbox(reader: &mut Reader<'_>) -> Option<MailboxKey> {
    Some(MailboxKey {
        account: AccountKey::new(reader.array()?),
        device: DeviceId::new(reader.array()?),
    })
}

/// The record of an envelope; place and position are missing.
pub(crate) fn envelope(mailbox: &MailboxKey, arrival: &Arrival) -> Vec<u8> {
    let mut record = begin_record(ENVELOPE_FIELDS.saturating_add(arrival.body.len()));
    put_mailbox(&mut record, mailbox);
    record.extend_from_slice(arrival.envelope_id.as_bytes());
    record.extend_from_slice(arrival.delivery_id.as_bytes());
    record.extend_from_slice(&arrival.day.0.to_le_bytes());
    record.extend_from_slice(&[kind_to_byte(arrival.kind), BODY_INLINE, 0, 0]);
    record.extend_from_slice(&arrival.body);
    end_record(&mut record, Kind::Envelope);
    record
}

/// The record of an acknowledgement.
pub(crate) fn acknowledge(mailbox: &MailboxKey, ranges: &[Range]) -> Vec<u8> {
    let mut record = begin_record(ranges.len().saturating_mul(12).saturating_add(48));
    put_mailbox(&mut record, mailbox);
    for range in ranges {
        record.extend_from_slice(&range.first.to_le_bytes());
        record.extend_from_slice(&range.count.to_le_bytes());
    }
    end_record(&mut record, Kind::Acknowledge);
    record
}

pub(crate) fn remove_mailbox(mailbox: &MailboxKey) -> Vec<u8> {
    let mut record = begin_record(48);
    put_mailbox(&mut record, mailbox);
    end_record(&mut record, Kind::RemoveMailbox);
    record
}

pub(crate) fn remove_account(account: &AccountKey) -> Vec<u8> {
    let mut record = begin_record(AccountKey::LENGTH);
    record.extend_from_slice(account.as_bytes());
    end_record(&mut record, Kind::RemoveAccount);
    record
}

pub(crate) fn forget(day: Day) -> Vec<u8> {
    let mut record = begin_record(4);
    record.extend_from_slice(&day.0.to_le_bytes());
    end_record(&mut record, Kind::Forget);
    record
}

pub(crate) fn tables(rows: &[u8]) -> Vec<u8> {
    let mut record = begin_record(rows.len());
    record.extend_from_slice(rows);
    end_record(&mut record, Kind::Tables);
    record
}

/// Reads a payload; `None` where it is not what its kind says.
pub(crate) fn event(kind: Kind, payload: &Bytes) -> Option<Event> {
    let mut reader = Reader(payload);
    let event = match kind {
        Kind::Envelope => Event::Envelope(envelope_record(payload)?),
        Kind::Acknowledge => {
            let mailbox = read_mailbox(&mut reader)?;
            let mut ranges = Vec::new();
            while !reader.0.is_empty() {
                ranges.push(Range {
                    first: reader.u64()?,
                    count: reader.u32()?,
                });
            }
            Event::Acknowledge(mailbox, ranges)
        }
        Kind::RemoveMailbox => Event::RemoveMailbox(read_mailbox(&mut reader)?),
        Kind::RemoveAccount => Event::RemoveAccount(AccountKey::new(reader.array()?)),
        Kind::Forget => Event::Forget(Day(reader.u32()?)),
        Kind::Tables => Event::Tables(payload.clone()),
    };
    Some(event)
}

fn envelope_record(payload: &Bytes) -> Option<EnvelopeRecord> {
    let mut reader = Reader(payload);
    let mailbox = read_mailbox(&mut reader)?;
    let envelope_id = EnvelopeId::new(reader.array()?);
    let delivery_id = DeliveryId::new(reader.array()?);
    let day = Day(reader.u32()?);
    let kind = kind_from_byte(reader.u8()?)?;
    if reader.array::<3>()? != [BODY_INLINE, 0, 0] {
        return None;
    }
    Some(EnvelopeRecord {
        mailbox,
        arrival: Arrival {
            envelope_id,
            delivery_id,
            kind,
            day,
            body: payload.slice_ref(reader.0),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::format::RECORD_HEADER;

    fn mailbox() -> MailboxKey {
        MailboxKey {
            account: AccountKey::new([1; 32]),
            device: DeviceId::new([2; 16]),
        }
    }

    #[test]
    fn events_come_back_as_they_were_recorded() {
        let arrival = Arrival {
            envelope_id: EnvelopeId::new([3; 16]),
            delivery_id: DeliveryId::new([4; 16]),
            kind: DeliveryIdKind::Own,
            day: Day(20_000),
            body: Bytes::from_static(b"sealed"),
        };
        let ranges = vec![Range { first: 5, count: 2 }, Range { first: 9, count: 1 }];
        let rows = Bytes::from_static(b"rows and ro");
        let length = |kind: Kind| match kind {
            Kind::Envelope => ENVELOPE_FIELDS + 6,
            Kind::Acknowledge => 48 + 24,
            Kind::RemoveMailbox => 48,
            Kind::RemoveAccount => 32,
            Kind::Forget => 4,
            Kind::Tables => 11,
        };
        for (kind, record, expected) in [
            (
                Kind::Envelope,
                envelope(&mailbox(), &arrival),
                Event::Envelope(EnvelopeRecord {
                    mailbox: mailbox(),
                    arrival,
                }),
            ),
            (
                Kind::Acknowledge,
                acknowledge(&mailbox(), &ranges),
                Event::Acknowledge(mailbox(), ranges),
            ),
            (
                Kind::RemoveMailbox,
                remove_mailbox(&mailbox()),
                Event::RemoveMailbox(mailbox()),
            ),
            (
                Kind::RemoveAccount,
                remove_account(&mailbox().account),
                Event::RemoveAccount(mailbox().account),
            ),
            (Kind::Forget, forget(Day(7)), Event::Forget(Day(7))),
            (Kind::Tables, tables(&rows), Event::Tables(rows)),
        ] {
            let payload = Bytes::from(record).slice(RECORD_HEADER..RECORD_HEADER + length(kind));
            assert_eq!(event(kind, &payload), Some(expected));
            assert_eq!(Kind::from_byte(kind.to_byte()), Some(kind));
            if kind != Kind::Tables {
                let cut = payload.slice(..3);
                assert_eq!(event(kind, &cut), None);
            }
        }
        assert_eq!(Kind::from_byte(0), None);
    }
}
