// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is on its way out: shipments, in one lane for each account.
//!
//! The life of a shipment: *queued* (its content is durable) → *sealed* (an envelope for every device
//! of the accepted manifest is durable, each beside the session state that made it) → *sent* (the
//! same envelopes, as often as needed) → *accepted* (durable on the recipient's server): removed. A
//! text is kept beside the lanes until the recipient's devices have sent their receipts.

pub(crate) mod lane;
pub(crate) mod shipment;
pub(crate) mod unreceipted;

use std::collections::BTreeMap;

use waxwing_proto::v1::shipment_row::Kind;
use waxwing_proto::{AccountKey, MessageId};

use self::lane::{Lane, LaneState, Rest};
use self::shipment::Shipment;
use self::unreceipted::UnreceiptedList;

/// All shipments and their lanes.
#[derive(Default)]
pub(crate) struct Outbox {
    shipments: BTreeMap<u64, Shipment>,
    lanes: BTreeMap<AccountKey, Lane>,
    /// What was accepted and lacks receipts.
    pub(crate) unreceipted: UnreceiptedList,
}

impl Outbox {
    /// Adds a shipment at the end of its lane.
    pub(crate) fn add(&mut self, shipment: Shipment) {
        self.lanes
            .entry(shipment.account)
            .or_default()
            .shipments
            .push_back(shipment.number);
        self.shipments.insert(shipment.number, shipment);
    }

    /// Adds a shipment before all others of its lane.
    pub(crate) fn add_in_front(&mut self, shipment: Shipment) {
        self.lanes
            .entry(shipment.account)
            .or_default()
            .shipments
            .push_front(shipment.number);
        self.shipments.insert(shipment.number, shipment);
    }

    /// Whether a content with this message id is on its way to an account.
    pub(crate) fn is_under_way(&self, account: &AccountKey, id: &MessageId) -> bool {
        self.lanes.get(account).is_some_and(|lane| {
            let shipments = lane.shipments.iter();
            let mut ids = shipments.filter_map(|number| self.shipments.get(number));
            ids.any(|shipment| shipment.message_id == *id)
        })
    }

    /// The first shipment of a lane.
    pub(crate) fn first(&self, account: &AccountKey) -> Option<&Shipment> {
        let number = self.lanes.get(account)?.shipments.front()?;
        self.shipments.get(number)
    }

    /// The shipment of this number.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Shipment> {
        self.shipments.get_mut(&number)
    }

    /// Takes a shipment out.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Shipment> {
        let shipment = self.shipments.remove(&number)?;
        if let Some(lane) = self.lanes.get_mut(&shipment.account) {
            lane.shipments.retain(|other| *other != number);
        }
        Some(shipment)
    }

    /// The lane of an account.
    pub(crate) fn lane_mut(&mut self, account: &AccountKey) -> &mut Lane {
        self.lanes.entry(*account).or_default()
    }

    /// What a lane waits for.
    pub(crate) fn state(&self, account: &AccountKey) -> LaneState {
        self.lanes
            .get(account)
            .map_or(LaneState::Idle, |lane| lane.state)
    }

    /// Why a lane rested last, since its last success.
    pub(crate) fn rest(&self, account: &AccountKey) -> Rest {
        self.lanes
            .get(account)
            .map_or(Rest::Other, |lane| lane.rest)
    }

    /// How many shipments are in a lane.
    pub(crate) fn contents_for(&self, account: &AccountKey) -> usize {
        self.lanes
            .get(account)
            .map_or(0, |lane| lane.shipments.len())
    }

    /// The accounts that something is on its way to.
    pub(crate) fn accounts(&self) -> Vec<AccountKey> {
        self.lanes
            .iter()
            .filter(|(_, lane)| !lane.shipments.is_empty())
            .map(|(account, _)| *account)
            .collect()
    }

    /// Whether a receipt for an account is on its way.
    pub(crate) fn holds_receipt(&self, account: &AccountKey) -> bool {
        let numbers = self.lanes.get(account).map(|lane| &lane.shipments);
        numbers.into_iter().flatten().any(|number| {
            self.shipments
                .get(number)
                .is_some_and(|shipment| shipment.kind == Kind::Receipt)
        })
    }

    /// Whether a content for an account waits that is not final yet.
    pub(crate) fn holds_unsealed(&self, account: &AccountKey) -> bool {
        let numbers = self.lanes.get(account).map(|lane| &lane.shipments);
        let mut held = numbers
            .into_iter()
            .flatten()
            .filter_map(|number| self.shipments.get(number));
        held.any(|shipment| !shipment.sealed)
    }

    /// How many shipments there are.
    pub(crate) fn len(&self) -> usize {
        self.shipments.len()
    }
}
