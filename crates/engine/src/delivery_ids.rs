// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A delivery id for each accepted contact: made here, valid on the server before anybody is told,
//! and given inside a content. Until the contact has used it, contents repeat it.

use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::{AccountKey, DeliveryId, limits, v1};

use crate::contacts::GivenId;
use crate::engine::{Engine, Turn};
use crate::event::RequestFailure;
use crate::pending::{OwnCall, Pending};
use crate::timers::{Timer, retry_delay_ms};

impl Engine {
    /// Makes an id for a contact that has none. It is not told before the server holds it.
    pub(crate) fn make_given_id(&mut self, turn: &mut Turn<'_>, account: &AccountKey) {
        let id = DeliveryId::new(turn.id());
        if let Some(contact) = self.contacts.get_mut(account)
            && contact.given.is_none()
        {
            contact.given = Some(GivenId {
                id,
                active: false,
                used: false,
            });
            self.save_contact(account);
        }
        self.create_delivery_ids(turn);
    }

    /// Tells the server about the ids that it does not hold yet.
    pub(crate) fn create_delivery_ids(&mut self, _turn: &mut Turn<'_>) {
        if !self.connection.subscribed || self.connection.creating_ids {
            return;
        }
        let ids: Vec<(AccountKey, DeliveryId)> = self
            .contacts
            .values()
            .filter_map(|contact| {
                let given = contact.given.filter(|given| !given.active)?;
                Some((contact.account, given.id))
            })
            .take(limits::DELIVERY_IDS_PER_CALL_MAX)
            .collect();
        if ids.is_empty() {
            return;
        }
        self.connection.creating_ids = true;
        let call = Call::CreateDeliveryIds(v1::CreateDeliveryIdsRequest {
            delivery_ids: ids.iter().map(|(_, id)| id.to_wire()).collect(),
        });
        self.account_request(call, Pending::Own(OwnCall::CreateDeliveryIds(ids)));
    }

    /// Takes away what a contact was given: it is revoked on the server as soon as that can be reached, and
    /// nothing new is handed out before the user takes the contact back.
    pub(crate) fn withdraw_given_id(&mut self, account: &AccountKey) {
        // BOX-43.
        let Some(given) = self
            .contacts
            .get_mut(account)
            .and_then(|contact| contact.given.take())
        else {
            return;
        };
        self.save_contact(account);
        if let Some(own) = &mut self.account
            && own.public_delivery_id != Some(given.id)
            && own.revoking.len() < limits::DELIVERY_IDS_MAX
        {
            own.revoking.push(given.id);
            self.save_account();
        }
        self.revoke_delivery_ids();
    }

    /// Tells the server which ids are not valid any more. Waits for creations: an id that is revoked
    /// before it is created would stay.
    pub(crate) fn revoke_delivery_ids(&mut self) {
        let connection = &self.connection;
        if !connection.subscribed || connection.creating_ids || connection.revoking_ids {
            return;
        }
        let ids: Vec<DeliveryId> = self
            .account
            .iter()
            .flat_map(|own| own.revoking.iter().copied())
            .take(limits::DELIVERY_IDS_PER_CALL_MAX)
            .collect();
        if ids.is_empty() {
            return;
        }
        self.connection.revoking_ids = true;
        let call = Call::RevokeDeliveryIds(v1::RevokeDeliveryIdsRequest {
            delivery_ids: ids.iter().map(|id| id.to_wire()).collect(),
        });
        self.account_request(call, Pending::Own(OwnCall::RevokeDeliveryIds(ids)));
    }

    pub(crate) fn delivery_ids_revoked(
        &mut self,
        turn: &mut Turn<'_>,
        ids: &[DeliveryId],
        outcome: Result<Reply, RequestFailure>,
    ) {
        self.connection.revoking_ids = false;
        match outcome {
            Ok(Reply::RevokeDeliveryIds(_)) => {
                if let Some(own) = &mut self.account {
                    own.revoking.retain(|id| !ids.contains(id));
                }
                self.save_account();
                self.revoke_delivery_ids();
            }
            // Without a link they are revoked on the next connection.
            Err(RequestFailure::Link(_)) => {}
            _ => self.delivery_ids_later(turn),
        }
    }

    fn delivery_ids_later(&mut self, turn: &mut Turn<'_>) {
        let delay = retry_delay_ms(turn.rng, 4);
        self.timers.set(Timer::DeliveryIds, turn.after_ms(delay));
    }

    pub(crate) fn delivery_ids_responded(
        &mut self,
        turn: &mut Turn<'_>,
        ids: &[(AccountKey, DeliveryId)],
        outcome: Result<Reply, RequestFailure>,
    ) {
        self.connection.creating_ids = false;
        match outcome {
            Ok(Reply::CreateDeliveryIds(_)) => {
                for (account, id) in ids {
                    if let Some(given) = self
                        .contacts
                        .get_mut(account)
                        .and_then(|contact| contact.given.as_mut())
                        && given.id == *id
                    {
                        given.active = true;
                        self.save_contact(account);
                    }
                }
                for (account, _) in ids {
                    self.pump(turn, *account);
                }
                self.create_delivery_ids(turn);
            }
            Err(RequestFailure::Refused {
                code: v1::ErrorCode::LimitReached,
                ..
            }) => self.give_public_id(turn, ids),
            // Without a link the ids are created on the next connection.
            Err(RequestFailure::Link(_)) => {}
            _ => self.delivery_ids_later(turn),
        }
        self.revoke_delivery_ids();
    }

    /// The account holds as many ids as it may: these contacts get the public one.
    fn give_public_id(&mut self, turn: &mut Turn<'_>, ids: &[(AccountKey, DeliveryId)]) {
        let Some(public) = self
            .account
            .as_ref()
            .and_then(|account| account.public_delivery_id)
        else {
            return;
        };
        for (account, _) in ids {
            if let Some(contact) = self.contacts.get_mut(account) {
                contact.given = Some(GivenId {
                    id: public,
                    active: true,
                    used: false,
                });
                self.save_contact(account);
            }
            self.pump(turn, *account);
        }
    }
}
