// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One contact: how it is reached, what the user decided about it, and how far the conversation is.

use waxwing_identity::ManifestHead;
use waxwing_proto::v1::contact_state::Request as RequestState;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, MessageId, ServerAddress, limits, v1};
use zeroize::Zeroizing;

use crate::alarms::Alarms;
use crate::codec;
use crate::command::ContactSummary;
use crate::error::EngineError;
use crate::gaps::Sequences;
use crate::receipts::Owed;
use crate::row::{Row, Table};

/// How an account is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// Its server.
    pub(crate) server: ServerAddress,
    /// The capability.
    pub(crate) delivery_id: DeliveryId,
}

/// The delivery id that this account made for a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GivenId {
    /// The capability.
    pub(crate) id: DeliveryId,
    /// Whether the own server holds it: it is not told to anybody before.
    pub(crate) active: bool,
    /// Whether the contact has used it.
    pub(crate) used: bool,
}

/// The heads that were told to a contact last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadsTold {
    /// This account's.
    pub(crate) own: ManifestHead,
    /// The one held of the contact.
    pub(crate) peer: ManifestHead,
    /// The day, since the Unix epoch.
    pub(crate) day: u32,
}

/// A contact.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) account: AccountKey,
    /// The user's own name for it.
    pub(crate) label: String,
    /// `name@host`, from a link or a server that was asked; where `address_claimed`, as it calls itself.
    pub(crate) address: String,
    /// Nobody but the contact said that the address is its own: shown, and looked up for a request only.
    pub(crate) address_claimed: bool,
    /// `None` until a stranger told how it is reached.
    pub(crate) route: Option<Route>,
    /// The public id, to fall back to.
    pub(crate) public_delivery_id: Option<DeliveryId>,
    pub(crate) given: Option<GivenId>,
    /// Whether the contact has to be told anew how this account is reached.
    pub(crate) address_due: bool,
    /// When a content that does nothing else leaves, by the wall clock; 0 where none does.
    pub(crate) address_leaves_at_ms: u64,
    /// Whether the user has not decided about a stranger's request yet.
    pub(crate) request_pending: bool,
    pub(crate) blocked: bool,
    pub(crate) verified: bool,
    pub(crate) last_verified_head: Option<ManifestHead>,
    /// The devices of that head.
    pub(crate) verified_devices: Vec<DeviceId>,
    pub(crate) alarms: Alarms,
    /// When the user's decisions about it changed last, by the wall clock.
    pub(crate) changed_at_ms: u64,
    /// Visible contents that this device wrote here.
    pub(crate) sequence: u64,
    /// The newest contents: those that no other known content refers to.
    pub(crate) seen: Vec<MessageId>,
    pub(crate) heads_told: Option<HeadsTold>,
    pub(crate) owed: Owed,
    /// What came of each sending device, and what did not.
    pub(crate) sequences: Sequences,
    /// Shipments that left before anything arrived.
    pub(crate) unanswered: u32,
    pub(crate) answered: bool,
    pub(crate) by_name: bool,
    /// Contents that are kept of it while it is a request.
    pub(crate) request_contents: u32,
}

impl Contact {
    /// A contact of which only the account is known.
    pub(crate) fn new(account: AccountKey, label: String) -> Self {
        Self {
            account,
            label,
            address: String::new(),
            address_claimed: false,
            route: None,
            public_delivery_id: None,
            given: None,
            address_due: false,
            address_leaves_at_ms: 0,
            request_pending: false,
            blocked: false,
            verified: false,
            last_verified_head: None,
            verified_devices: Vec::new(),
            alarms: Alarms::default(),
            changed_at_ms: 0,
            sequence: 0,
            seen: Vec::new(),
            heads_told: None,
            owed: Owed::default(),
            sequences: Sequences::default(),
            unanswered: 0,
            answered: false,
            by_name: false,
            request_contents: 0,
        }
    }

    /// Whether the user takes part in the conversation: receipts, return addresses and heads are for
    /// such contacts only.
    pub(crate) const fn is_accepted(&self) -> bool {
        !self.request_pending && !self.blocked
    }

    /// Notes a content as the newest, and what it refers to as older.
    pub(crate) fn saw(&mut self, id: MessageId, refers_to: &[MessageId]) {
        self.seen
            .retain(|seen| !refers_to.contains(seen) && *seen != id);
        self.seen.push(id);
        let excess = self.seen.len().saturating_sub(limits::SEEN_REFERENCES_MAX);
        self.seen.drain(..excess);
    }

    /// The contact as lists show it.
    pub(crate) fn summary(&self, devices: usize) -> ContactSummary {
        ContactSummary {
            account: self.account,
            label: self.label.clone(),
            address: self.address.clone(),
            address_claimed: self.address_claimed,
            verified: self.verified,
            request: self.request_pending,
            blocked: self.blocked,
            alarm: self.alarms.first(),
            devices,
        }
    }

    /// The stored row.
    pub(crate) fn to_row(&self) -> Zeroizing<Vec<u8>> {
        let head = |head: &ManifestHead| head.to_wire();
        codec::encode(&v1::ContactRow {
            label: self.label.clone(),
            address: self.address.clone(),
            server: self.route.as_ref().map(|route| route.server.to_wire()),
            delivery_id: self
                .route
                .as_ref()
                .map(|route| route.delivery_id.to_wire())
                .unwrap_or_default(),
            public_delivery_id: self
                .public_delivery_id
                .map(DeliveryId::to_wire)
                .unwrap_or_default(),
            given_delivery_id: self
                .given
                .map(|given| given.id.to_wire())
                .unwrap_or_default(),
            given_active: self.given.is_some_and(|given| given.active),
            given_used: self.given.is_some_and(|given| given.used),
            request: if self.request_pending {
                RequestState::Pending.into()
            } else {
                RequestState::Accepted.into()
            },
            blocked: self.blocked,
            verified: self.verified,
            last_verified_head: self.last_verified_head.as_ref().map(head),
            alarm: 0,
            alarms: self.alarms.to_row(),
            address_claimed: self.address_claimed,
            request_contents: self.request_contents,
            changed_at_ms: self.changed_at_ms,
            sequence: self.sequence,
            seen: codec::message_ids_to_wire(&self.seen),
            own_head_told: self.heads_told.as_ref().map(|told| head(&told.own)),
            peer_head_told: self.heads_told.as_ref().map(|told| head(&told.peer)),
            heads_told_day: self.heads_told.map_or(0, |told| told.day),
            receipts_due: codec::message_ids_to_wire(&self.owed.delivered),
            unanswered_envelopes: self.unanswered,
            answered: self.answered,
            receipts_withheld: codec::message_ids_to_wire(&self.owed.delivered_withheld),
            by_name: self.by_name,
            verified_device_ids: self
                .verified_devices
                .iter()
                .map(|device| device.to_wire())
                .collect(),
            read_due: codec::message_ids_to_wire(&self.owed.read),
            read_withheld: codec::message_ids_to_wire(&self.owed.read_withheld),
            receipts_leave_at_ms: self.owed.leave_at_ms,
            sequences: self.sequences.senders_to_wire(),
            gaps: self.sequences.gaps_to_wire(),
            address_due: self.address_due,
            address_leaves_at_ms: self.address_leaves_at_ms,
        })
    }

    /// Reads a stored row.
    pub(crate) fn from_row(row: &Row) -> Result<Self, EngineError> {
        let table = Table::Contacts;
        let stored: v1::ContactRow = codec::decode(row)?;
        let account = AccountKey::try_from(row.key.scope.as_slice())
            .map_err(|_| EngineError::CorruptRow(table))?;
        let route = match &stored.server {
            None => None,
            Some(server) => Some(Route {
                server: ServerAddress::try_from(server)
                    .map_err(|_| EngineError::CorruptRow(table))?,
                delivery_id: codec::fixed(&stored.delivery_id, table)?,
            }),
        };
        let given = codec::optional(&stored.given_delivery_id, table)?.map(|id| GivenId {
            id,
            active: stored.given_active,
            used: stored.given_used,
        });
        let own = codec::head(stored.own_head_told.as_ref());
        let peer = codec::head(stored.peer_head_told.as_ref());
        let heads_told = own.zip(peer).map(|(own, peer)| HeadsTold {
            own,
            peer,
            day: stored.heads_told_day,
        });
        Ok(Self {
            account,
            request_pending: stored.request() == RequestState::Pending,
            label: stored.label,
            address: stored.address,
            route,
            public_delivery_id: codec::optional(&stored.public_delivery_id, table)?,
            given,
            address_due: stored.address_due,
            address_leaves_at_ms: stored.address_leaves_at_ms,
            blocked: stored.blocked,
            verified: stored.verified,
            last_verified_head: codec::head(stored.last_verified_head.as_ref()),
            verified_devices: stored
                .verified_device_ids
                .iter()
                .map(|device| codec::fixed(device, table))
                .collect::<Result<_, _>>()?,
            alarms: Alarms::from_row(stored.alarms, stored.alarm),
            address_claimed: stored.address_claimed,
            request_contents: stored.request_contents,
            changed_at_ms: stored.changed_at_ms,
            sequence: stored.sequence,
            seen: codec::message_ids(&stored.seen, limits::SEEN_REFERENCES_MAX),
            heads_told,
            owed: Owed {
                delivered: receipt_ids(&stored.receipts_due),
                read: receipt_ids(&stored.read_due),
                delivered_withheld: receipt_ids(&stored.receipts_withheld),
                read_withheld: receipt_ids(&stored.read_withheld),
                leave_at_ms: stored.receipts_leave_at_ms,
            },
            sequences: Sequences::from_wire(&stored.sequences, &stored.gaps)?,
            unanswered: stored.unanswered_envelopes,
            answered: stored.answered,
            by_name: stored.by_name,
        })
    }
}

fn receipt_ids(list: &[bytes::Bytes]) -> Vec<MessageId> {
    codec::message_ids(list, limits::RECEIPT_IDS_MAX)
}
