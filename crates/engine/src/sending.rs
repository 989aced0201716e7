// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The lanes at work: which step the first shipment of an account needs next.
//!
//! Nothing is encrypted unless the own store is the newest of this device, the contact is accepted,
//! and no alarm about the account stands that blocks sending; for the own other devices that is the own
//! account. Ciphertext leaves only after the batch that holds it and
//! the session that made it; a retry sends the same bytes under the same ids.

use waxwing_identity::DeviceManifest;
use waxwing_proto::v1::request::Call;
use waxwing_proto::{AccountKey, DeviceId, EnvelopeId, limits, v1};

use crate::contacts::Route;
use crate::effect::Plane;
use crate::engine::{Engine, Turn};
use crate::keys;
use crate::outbox::lane::{LaneState, Rest};
use crate::outbox::shipment::{SealedEnvelope, Shipment};
use crate::pending::{LaneCall, Pending};
use crate::sessions::clock::Renewal;
use crate::timers::{Timer, jitter, retry_delay_ms};

/// How long prekeys for a new session beside one that goes on are not asked for again, in milliseconds.
const RENEW_AGAIN_MS: u64 = 3_600_000;

impl Engine {
    /// Looks at every lane.
    pub(crate) fn pump_all(&mut self, turn: &mut Turn<'_>) {
        for account in self.outbox.accounts() {
            self.pump(turn, account);
        }
    }

    pub(crate) fn lane_due(&mut self, turn: &mut Turn<'_>, account: AccountKey) {
        let lane = self.outbox.lane_mut(&account);
        if lane.state == LaneState::Waiting {
            lane.state = LaneState::Idle;
            lane.stale_rounds = 0;
        }
        self.pump(turn, account);
    }

    /// Does the next step for the first shipment of an account, where nothing holds it.
    pub(crate) fn pump(&mut self, turn: &mut Turn<'_>, account: AccountKey) {
        // A delivery in hand has been opened but its session is not advanced yet: a sealing now
        // would be made from the same state.
        if self.outbox.state(&account) != LaneState::Idle
            || self.inbox.holds(&account)
            || !self.may_encrypt()
        {
            return;
        }
        while let Some(first) = self.outbox.first(&account) {
            let awaited = first.awaited_device;
            let Some(route) = self.route_for(turn, &account) else {
                return;
            };
            let Some(manifest) = self.accepted_manifest(&account).cloned() else {
                self.take_prekeys(&account, route, &[]);
                return;
            };
            let devices = self.devices_to_reach(&manifest);
            let wanted = self
                .outbox
                .first(&account)
                .is_some_and(|first| self.is_wanted(first, &devices));
            if !wanted || awaited.is_some_and(|device| manifest.device(&device).is_none()) {
                // Nobody is left to be told.
                self.drop_first(&account);
                continue;
            }
            self.reach(turn, &account, route, &manifest, &devices);
            return;
        }
    }

    /// Where the account is written to, or `None` while something holds its lane.
    fn route_for(&mut self, turn: &mut Turn<'_>, account: &AccountKey) -> Option<Route> {
        // SES-23, BOX-5.
        if self.withheld(account).is_some() {
            return None;
        }
        if self.own_key() == Some(*account) {
            let own = self.account.as_ref()?;
            return Some(Route {
                server: own.server.clone(),
                delivery_id: own.own_delivery_id?,
            });
        }
        let contact = self.contacts.get(account)?;
        let route = contact.route.clone()?;
        match contact.given {
            Some(given) if given.active => Some(route),
            // The contact could not answer. Goes on once the server holds the id.
            Some(_) => None,
            None => {
                self.make_given_id(turn, account);
                None
            }
        }
    }

    fn devices_to_reach(&self, manifest: &DeviceManifest) -> Vec<DeviceId> {
        // IDN-30.
        let this_device = self.account.as_ref().map(|account| account.device);
        manifest
            .devices()
            .iter()
            .map(waxwing_identity::DeviceEntry::id)
            .filter(|device| Some(*device) != this_device)
            .collect()
    }

    fn reach(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        route: Route,
        manifest: &DeviceManifest,
        devices: &[DeviceId],
    ) {
        let Some(first) = self.outbox.first(account) else {
            return;
        };
        let (number, awaited) = (first.number, first.awaited_device);
        let sealed_for = first.envelopes.clone();
        let lacking: Vec<DeviceId> = devices
            .iter()
            .filter(|device| !sealed_for.contains_key(device))
            .copied()
            .collect();
        let without_session: Vec<DeviceId> = lacking
            .iter()
            .filter(|device| !self.sessions.can_seal(account, device))
            .copied()
            .collect();
        let renewed: Vec<DeviceId> = lacking
            .iter()
            .filter(|device| self.renewal(turn, account, device) != Renewal::NotDue)
            .copied()
            .collect();
        if !renewed.is_empty() && self.repeat_oldest(turn, account) {
            // What lacks a receipt longest opens the new session.
            self.pump(turn, *account);
            return;
        }
        let lane = self.outbox.lane_mut(account);
        if lane.ask_again_ms <= turn.now.monotonic_ms {
            lane.without_prekeys.clear();
        }
        let unreachable = lane.without_prekeys.clone();
        let may_renew = !renewed.is_empty() && lane.renew_again_ms <= turn.now.monotonic_ms;
        if may_renew
            || without_session
                .iter()
                .any(|device| !unreachable.contains(device))
        {
            let mut asked = without_session;
            if may_renew {
                // Asked for once: without an answer the session goes on, up to its hard end.
                lane.renew_again_ms = turn.after_ms(RENEW_AGAIN_MS);
                asked.extend(renewed);
                asked.sort_unstable();
                asked.dedup();
            }
            self.take_prekeys(account, route, &asked);
            return;
        }
        let awaits = awaited.is_some_and(|device| without_session.contains(&device));
        if awaits || without_session.len() == devices.len() {
            self.outbox.lane_mut(account).without_prekeys.clear();
            self.lane_wait(turn, account, 0);
            return;
        }
        self.leave_out_unlisted(number, manifest);
        // ENV-14: one content for all of them, so what the first of a session needs is in it for each.
        let begins = lacking
            .iter()
            .any(|device| self.sessions.is_unanswered(account, device));
        for device in lacking {
            if without_session.contains(&device) {
                continue;
            }
            if !self.seal_for(turn, account, number, (device, begins)) {
                self.lane_wait(turn, account, 0);
                return;
            }
        }
        self.send(number, route, manifest.version());
        // A copy for the own devices may have been made.
        if let Some(own) = self.own_key().filter(|own| own != account) {
            self.pump(turn, own);
        }
    }

    /// What was sealed for a device that is not listed any more does not leave.
    fn leave_out_unlisted(&mut self, number: u64, manifest: &DeviceManifest) {
        let Some(shipment) = self.outbox.get_mut(number) else {
            return;
        };
        let gone: Vec<DeviceId> = shipment
            .envelopes
            .keys()
            .filter(|device| manifest.device(device).is_none())
            .copied()
            .collect();
        let fits = shipment.manifest_version == manifest.version();
        if gone.is_empty() && fits {
            return;
        }
        for device in gone {
            if let Some(envelope) = shipment.envelopes.remove(&device) {
                for key in Shipment::envelope_keys(number, &envelope) {
                    self.journal.delete(key);
                }
            }
        }
        shipment.manifest_version = manifest.version();
        self.journal.put(keys::shipment(number), shipment.to_row());
    }

    /// Makes the envelope for one device: envelope, shipment and advanced session in one batch.
    fn seal_for(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        number: u64,
        (device, begins): (DeviceId, bool),
    ) -> bool {
        // ENV-9, BOX-7.
        if self.journal.is_large() {
            self.journal.checkpoint();
        }
        let Some((sealed, content)) = self
            .outbox
            .get_mut(number)
            .map(|shipment| (shipment.sealed, shipment.content.clone()))
        else {
            return false;
        };
        let content = if sealed {
            content
        } else {
            let decorated = self.decorate(turn, account, &content, begins);
            // TRN-96. Not where a content is put in the lane again: that one may be dropped unsent.
            if self.return_address(account).is_some() {
                self.address_told(account);
            }
            if let Some(shipment) = self.outbox.get_mut(number) {
                shipment.content = decorated.clone();
                shipment.sealed = true;
            }
            self.ship_copy(turn, number);
            decorated
        };
        let Ok(bytes) = self
            .sessions
            .seal(&mut self.journal, turn, account, &device, &content)
        else {
            return false;
        };
        let id = EnvelopeId::new(turn.id());
        let Some(shipment) = self.outbox.get_mut(number) else {
            return false;
        };
        let envelope = SealedEnvelope {
            id,
            index: shipment.next_index(),
            bytes: bytes.into(),
        };
        for (key, value) in Shipment::envelope_rows(number, &envelope) {
            self.journal.put(key, value);
        }
        shipment.envelopes.insert(device, envelope);
        self.journal.put(keys::shipment(number), shipment.to_row());
        if self.journal.is_large() {
            self.journal.checkpoint();
        }
        true
    }

    fn send(&mut self, number: u64, route: Route, manifest_version: u32) {
        // TRN-20.
        let Some(shipment) = self.outbox.get_mut(number) else {
            return;
        };
        let account = shipment.account;
        let envelopes = shipment
            .envelopes
            .iter()
            .map(|(device, envelope)| v1::AddressedEnvelope {
                device_id: device.to_wire(),
                envelope_id: envelope.id.to_wire(),
                envelope: envelope.bytes.clone(),
            })
            .collect();
        self.outbox.lane_mut(&account).state = LaneState::Sending(number);
        let call = Call::Send(v1::SendRequest {
            delivery_id: route.delivery_id.to_wire(),
            manifest_version,
            envelopes,
            ephemeral: false,
            admission: bytes::Bytes::new(),
        });
        self.lane_request(account, route, call, LaneCall::Send(number));
    }

    /// Asks for prekeys of devices; of all where the list is empty.
    fn take_prekeys(&mut self, account: &AccountKey, route: Route, devices: &[DeviceId]) {
        self.outbox.lane_mut(account).state = LaneState::Asking;
        let call = Call::TakePrekeys(v1::TakePrekeysRequest {
            delivery_id: route.delivery_id.to_wire(),
            device_ids: devices.iter().map(|device| device.to_wire()).collect(),
            admission: bytes::Bytes::new(),
        });
        self.lane_request(*account, route, call, LaneCall::TakePrekeys);
    }

    /// Makes a call for a lane, on the anonymous plane.
    pub(crate) fn lane_request(
        &mut self,
        account: AccountKey,
        route: Route,
        call: Call,
        step: LaneCall,
    ) {
        self.request(
            Plane::Anonymous,
            route.server,
            call,
            Pending::Lane {
                account,
                call: step,
            },
        );
    }

    /// Lets a lane rest: longer after each failure, and as long as the server said.
    pub(crate) fn lane_wait(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        retry_after_ms: u32,
    ) {
        let lane = self.outbox.lane_mut(account);
        lane.state = LaneState::Waiting;
        lane.rest = Rest::Other;
        lane.unreached_since_ms = None;
        lane.attempt = lane.attempt.saturating_add(1);
        let attempt = lane.attempt;
        let delay = retry_delay_ms(turn.rng, attempt).max(u64::from(retry_after_ms));
        self.timers
            .set(Timer::Outbox(*account), turn.after_ms(delay));
    }

    /// A lane rests because its server could not be reached.
    pub(crate) fn lane_unreached(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        passes: bool,
    ) {
        let now_ms = turn.now.monotonic_ms;
        let since_ms = self.outbox.lane_mut(account).unreached_since_ms;
        let since_ms = since_ms.unwrap_or(now_ms);
        let attempt = self.outbox.lane_mut(account).attempt;
        self.lane_wait(turn, account, 0);
        let lane = self.outbox.lane_mut(account);
        lane.rest = Rest::Unreached;
        lane.unreached_since_ms = Some(since_ms);
        // TRN-62: the call itself has tried all the while; between two there is no longer a rest than
        // between two attempts.
        if passes && now_ms.saturating_sub(since_ms) < u64::from(limits::PROBE_EAGER_MS) {
            // What comes after it begins with a short rest.
            lane.attempt = attempt;
            let longest_ms = u64::from(limits::PROBE_INTERVAL_MS);
            let delay_ms = jitter(turn.rng, longest_ms >> 1, longest_ms);
            self.timers
                .set_sooner(Timer::Outbox(*account), turn.after_ms(delay_ms));
        }
    }

    /// The network is back: lanes that rest because of it need not rest longer. Spread over a
    /// moment, so that the servers of many contacts are not called in one instant.
    pub(crate) fn wake_unreached_lanes(&mut self, turn: &mut Turn<'_>) {
        for account in self.outbox.accounts() {
            let lane = self.outbox.lane_mut(&account);
            if lane.rest == Rest::Unreached && lane.state == LaneState::Waiting {
                lane.attempt = 0;
                lane.unreached_since_ms = None;
                let delay = jitter(turn.rng, 0, 250);
                self.timers
                    .set_sooner(Timer::Outbox(account), turn.after_ms(delay));
            }
        }
    }

    fn drop_first(&mut self, account: &AccountKey) {
        if let Some(number) = self.outbox.first(account).map(|first| first.number) {
            self.remove_shipment(number);
        }
    }

    /// Takes a shipment and its envelopes out of the outbox and its rows.
    pub(crate) fn remove_shipment(&mut self, number: u64) -> Option<Shipment> {
        let shipment = self.outbox.remove(number)?;
        for envelope in shipment.envelopes.values() {
            for key in Shipment::envelope_keys(number, envelope) {
                self.journal.delete(key);
            }
        }
        self.journal.delete(keys::shipment(number));
        Some(shipment)
    }

    /// Puts a content in the outbox.
    pub(crate) fn ship(&mut self, turn: &Turn<'_>, account: AccountKey, parcel: &Parcel) {
        use prost::Message as _;
        let content = &parcel.content;
        let Ok(message_id) = waxwing_proto::MessageId::try_from(content.message_id.as_ref()) else {
            return;
        };
        let shipment = Shipment {
            number: self.counters.take_shipment(),
            account,
            kind: parcel.kind,
            message_id,
            cursor: parcel.cursor,
            created_at_ms: turn.now.wall_ms,
            content: content.encode_to_vec().into(),
            sealed: false,
            manifest_version: 0,
            envelopes: std::collections::BTreeMap::new(),
            awaited_device: parcel.awaited_device,
        };
        self.save_counters();
        self.journal
            .put(keys::shipment(shipment.number), shipment.to_row());
        self.outbox.add(shipment);
    }
}

/// A content that is about to be put in the outbox.
pub(crate) struct Parcel {
    pub(crate) kind: v1::shipment_row::Kind,
    pub(crate) content: v1::Content,
    /// The cursor of the message in this profile; 0 for what shows nothing.
    pub(crate) cursor: u64,
    /// It does not leave before this device can be reached.
    pub(crate) awaited_device: Option<DeviceId>,
}

impl Parcel {
    /// A content that shows nothing.
    pub(crate) const fn silent(kind: v1::shipment_row::Kind, content: v1::Content) -> Self {
        Self {
            kind,
            content,
            cursor: 0,
            awaited_device: None,
        }
    }
}
