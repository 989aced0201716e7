// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a server answers to a lane, and what the lane does then.

use waxwing_identity::DeviceManifest;
use waxwing_proto::v1::message_index_row::State;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::v1::send_response::Outcome;
use waxwing_proto::v1::shipment_row::Kind;
use waxwing_proto::{AccountKey, Address, DeliveryId, v1};

use crate::contacts::Route;
use crate::engine::{Engine, Turn};
use crate::event::{LinkFailure, RequestFailure};
use crate::manifests::{decode_all, fetch_call};
use crate::notice::{AlarmKind, MessageState, Notice};
use crate::outbox::lane::{LaneState, Rest};
use crate::pending::LaneCall;
use crate::trust::{Decision, Witness};

/// How long a device without prekeys is left out before it is asked for again, in milliseconds.
const ASK_AGAIN_MS: u64 = 10 * 60 * 1000;
/// Rounds with a list of devices that does not fit before the lane rests.
const STALE_ROUNDS_MAX: u32 = 3;

impl Engine {
    pub(crate) fn lane_responded(
        &mut self,
        turn: &mut Turn<'_>,
        account: AccountKey,
        call: LaneCall,
        outcome: Result<Reply, RequestFailure>,
    ) {
        let lane = self.outbox.lane_mut(&account);
        lane.state = LaneState::Idle;
        if outcome.is_ok() {
            lane.unreached_since_ms = None;
        }
        match (call, outcome) {
            (LaneCall::Send(number), Ok(Reply::Send(reply))) => match reply.outcome {
                Some(Outcome::Accepted(_)) => self.shipment_accepted(turn, &account, number),
                Some(Outcome::StaleDevices(stale)) => {
                    self.devices_are_stale(turn, &account, &stale);
                }
                None => self.lane_wait(turn, &account, 0),
            },
            (LaneCall::TakePrekeys, Ok(Reply::TakePrekeys(reply))) => {
                self.prekeys_taken(turn, &account, &reply);
            }
            (LaneCall::Manifests, Ok(Reply::FetchManifests(reply))) => {
                let shown = decode_all(&reply.manifests);
                match self.consider_chain(turn, &account, shown) {
                    Some(
                        Decision::Accept { .. }
                        | Decision::AcceptAndBlock(_)
                        | Decision::Block(_)
                        | Decision::Keep,
                    ) => self.pump(turn, account),
                    Some(Decision::Fetch { .. } | Decision::Refuse | Decision::Behind) | None => {
                        self.lane_wait(turn, &account, 0);
                    }
                }
            }
            (LaneCall::Resolve, Ok(Reply::ResolveName(reply))) => {
                self.address_resolved(turn, &account, &reply);
            }
            (
                _,
                Err(RequestFailure::Refused {
                    code,
                    retry_after_ms,
                }),
            ) => self.lane_refused(turn, &account, call, code, retry_after_ms),
            (_, Err(failure @ (RequestFailure::Link(_) | RequestFailure::Timeout))) => {
                // Another key does not pass as an outage does, and who answers late has too much to do.
                let passes = failure == RequestFailure::Link(LinkFailure::Unreachable);
                self.lane_unreached(turn, &account, passes);
            }
            (_, Err(_) | Ok(_)) => self.lane_wait(turn, &account, 0),
        }
    }

    fn lane_refused(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        call: LaneCall,
        code: v1::ErrorCode,
        retry_after_ms: u32,
    ) {
        match (code, call) {
            (v1::ErrorCode::DeliveryIdGone | v1::ErrorCode::NotFound, LaneCall::Resolve) => {
                self.lane_wait(turn, account, 300_000);
            }
            (v1::ErrorCode::DeliveryIdGone, _) => self.delivery_id_gone(turn, account),
            // A full mailbox keeps the shipment here; so does everything else that may pass.
            _ => {
                self.lane_wait(turn, account, retry_after_ms);
                self.outbox.lane_mut(account).rest = Rest::Refused(code);
            }
        }
    }

    fn shipment_accepted(&mut self, turn: &mut Turn<'_>, account: &AccountKey, number: u64) {
        let lane = self.outbox.lane_mut(account);
        lane.attempt = 0;
        lane.rest = Rest::Other;
        lane.stale_rounds = 0;
        lane.resolved_again = false;
        lane.older_shown = 0;
        if let Some(shipment) = self.remove_shipment(number) {
            if let Some(contact) = self.contacts.get_mut(account)
                && !contact.answered
            {
                contact.unanswered = contact.unanswered.saturating_add(1);
                self.save_contact(account);
            }
            let repeated = self
                .outbox
                .unreceipted
                .find(account, &shipment.message_id)
                .is_some();
            if shipment.kind == Kind::Text && !repeated {
                self.put_message_state(
                    account,
                    &shipment.message_id,
                    shipment.cursor,
                    State::OnServer,
                );
                self.notify(Notice::MessageState {
                    message_id: shipment.message_id,
                    contact: *account,
                    state: MessageState::OnServer,
                });
            }
            self.await_receipts(turn, number, &shipment);
        }
        self.pump(turn, *account);
    }

    fn devices_are_stale(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        stale: &v1::StaleDevices,
    ) {
        let lane = self.outbox.lane_mut(account);
        lane.stale_rounds = lane.stale_rounds.saturating_add(1);
        let rounds = lane.stale_rounds;
        lane.without_prekeys.clear();
        let Ok(shown) = DeviceManifest::decode(&stale.manifest) else {
            self.lane_wait(turn, account, 0);
            return;
        };
        match self.consider(turn, account, &shown, &[], Witness::Server) {
            Decision::Accept { .. } | Decision::AcceptAndBlock(_) | Decision::Keep
                if rounds <= STALE_ROUNDS_MAX =>
            {
                self.pump(turn, *account);
            }
            Decision::Fetch { after } => self.lane_fetch(turn, account, after),
            Decision::Behind => self.older_shown(turn, account),
            _ => self.lane_wait(turn, account, 0),
        }
    }

    /// The server showed an older manifest than the pinned one: asked once more, then it is a rollback.
    fn older_shown(&mut self, turn: &mut Turn<'_>, account: &AccountKey) {
        let lane = self.outbox.lane_mut(account);
        lane.older_shown = lane.older_shown.saturating_add(1);
        if lane.older_shown > 1 {
            self.raise(account, AlarmKind::Rollback);
        }
        self.lane_wait(turn, account, 0);
    }

    fn lane_fetch(&mut self, turn: &mut Turn<'_>, account: &AccountKey, after: u32) {
        let Some(route) = self.known_route(account) else {
            self.lane_wait(turn, account, 0);
            return;
        };
        // A server that shows what cannot be judged, and then hands out nothing new, is left alone for a
        // while after some rounds.
        let lane = self.outbox.lane_mut(account);
        lane.stale_rounds = lane.stale_rounds.saturating_add(1);
        if lane.stale_rounds > STALE_ROUNDS_MAX {
            self.lane_wait(turn, account, 0);
            return;
        }
        lane.state = LaneState::Asking;
        let call = fetch_call(account, after);
        self.lane_request(*account, route, call, LaneCall::Manifests);
    }

    fn known_route(&self, account: &AccountKey) -> Option<Route> {
        if self.own_key() == Some(*account) {
            let own = self.account.as_ref()?;
            return Some(Route {
                server: own.server.clone(),
                delivery_id: own.own_delivery_id?,
            });
        }
        self.contacts.get(account)?.route.clone()
    }

    fn prekeys_taken(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        reply: &v1::TakePrekeysResponse,
    ) {
        let Ok(shown) = DeviceManifest::decode(&reply.manifest) else {
            self.lane_wait(turn, account, 0);
            return;
        };
        match self.consider(turn, account, &shown, &[], Witness::Server) {
            Decision::Keep | Decision::Accept { .. } => {}
            Decision::Fetch { after } => {
                self.lane_fetch(turn, account, after);
                return;
            }
            Decision::Behind => {
                self.older_shown(turn, account);
                return;
            }
            Decision::AcceptAndBlock(_) | Decision::Block(_) => return,
            Decision::Refuse => {
                self.lane_wait(turn, account, 0);
                return;
            }
        }
        for bundle in &reply.bundles {
            if let Some(alarm) = self.open_session(turn, account, bundle) {
                self.raise(account, alarm);
                self.lane_wait(turn, account, 0);
                return;
            }
        }
        let without: Vec<waxwing_proto::DeviceId> = self
            .accepted_manifest(account)
            .map(|manifest| {
                manifest
                    .devices()
                    .iter()
                    .map(waxwing_identity::DeviceEntry::id)
                    .filter(|device| !self.sessions.can_seal(account, device))
                    .collect()
            })
            .unwrap_or_default();
        let lane = self.outbox.lane_mut(account);
        lane.without_prekeys = without.into_iter().collect();
        lane.ask_again_ms = turn.after_ms(ASK_AGAIN_MS);
        self.pump(turn, *account);
    }

    /// The id was revoked. The contact may still be known under its name: its public id, then, if
    /// the account key is the same.
    fn delivery_id_gone(&mut self, turn: &mut Turn<'_>, account: &AccountKey) {
        let lane = self.outbox.lane_mut(account);
        let again = core::mem::replace(&mut lane.resolved_again, true);
        let Some(contact) = self.contacts.get(account) else {
            self.lane_wait(turn, account, 0);
            return;
        };
        let (Some(route), Ok(address), false) = (
            contact.route.clone(),
            contact.address.parse::<Address>(),
            again,
        ) else {
            self.lane_wait(turn, account, 300_000);
            return;
        };
        self.outbox.lane_mut(account).state = LaneState::Asking;
        let call = Call::ResolveName(v1::ResolveNameRequest {
            name: address.name.as_str().to_owned(),
        });
        self.lane_request(*account, route, call, LaneCall::Resolve);
    }

    fn address_resolved(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        reply: &v1::ResolveNameResponse,
    ) {
        if reply.account_key.as_ref() != account.as_bytes() {
            self.raise(account, AlarmKind::KeyChanged);
            return;
        }
        let public = DeliveryId::try_from(reply.public_delivery_id.as_ref()).ok();
        if let (Some(public), Some(contact)) = (public, self.contacts.get_mut(account)) {
            contact.public_delivery_id = Some(public);
            if let Some(route) = &mut contact.route {
                route.delivery_id = public;
            }
            self.save_contact(account);
        }
        self.pump(turn, *account);
    }
}
