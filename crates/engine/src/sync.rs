// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the devices of one account tell each other: copies of what was sent, and what the user
//! decided about contacts. Sent as any content is, through the account's own delivery id; newer
//! decisions win by their time.

use waxwing_identity::DeviceManifest;
use waxwing_proto::v1::contact_state::Request as RequestState;
use waxwing_proto::v1::content::Kind;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, MessageId, ServerAddress, limits, v1};

use crate::contacts::{Contact, GivenId, Route};
use crate::content::silent;
use crate::engine::{Engine, Turn};
use crate::notice::Notice;
use crate::sending::Parcel;
use crate::server_keys::address_of_device;
use crate::trust::Witness;

/// Contacts in one account state, so that it fits a content with their manifests.
const CONTACTS_PER_STATE: usize = 4;

impl Engine {
    /// Whether the account has a device beside this one.
    fn has_other_devices(&self) -> bool {
        self.own_manifest()
            .is_some_and(|manifest| manifest.devices().len() > 1)
    }

    /// A copy of a text, once its content is final, for the account's other devices.
    pub(crate) fn ship_copy(&mut self, turn: &mut Turn<'_>, number: u64) {
        if !self.has_other_devices() {
            return;
        }
        let Some(own) = self.own_key() else { return };
        let Some(shipment) = self.outbox.get_mut(number) else {
            return;
        };
        if shipment.kind != v1::shipment_row::Kind::Text {
            return;
        }
        // While something holds copies back they have a bound of their own.
        if self.outbox.contents_for(&own) >= limits::OUTBOX_CONTENTS_MAX {
            return;
        }
        let Some(shipment) = self.outbox.get_mut(number) else {
            return;
        };
        let kind = Kind::SentCopy(v1::SentCopy {
            account_key: shipment.account.to_wire(),
            content: shipment.content.clone(),
        });
        let content = silent(MessageId::new(turn.id()), turn.now.wall_ms, kind);
        let parcel = Parcel::silent(v1::shipment_row::Kind::SentCopy, content);
        self.ship(turn, own, &parcel);
    }

    /// Tells the other devices what the user decided about a contact.
    pub(crate) fn sync_contact(&mut self, turn: &mut Turn<'_>, account: &AccountKey) {
        if let Some(contact) = self.contacts.get_mut(account) {
            contact.changed_at_ms = turn
                .now
                .wall_ms
                .max(contact.changed_at_ms.saturating_add(1));
            self.save_contact(account);
        }
        if self.has_other_devices() {
            self.ship_state(turn, &[*account], None);
        }
    }

    /// Everything that a new device has to know, as soon as it can be reached.
    pub(crate) fn ship_whole_state(&mut self, turn: &mut Turn<'_>, device: DeviceId) {
        let accounts: Vec<AccountKey> = self.contacts.keys().copied().collect();
        if accounts.is_empty() {
            self.ship_state(turn, &[], Some(device));
        }
        for part in accounts.chunks(CONTACTS_PER_STATE) {
            self.ship_state(turn, part, Some(device));
        }
    }

    fn ship_state(
        &mut self,
        turn: &mut Turn<'_>,
        accounts: &[AccountKey],
        awaited_device: Option<DeviceId>,
    ) {
        let (Some(own), Some(key)) = (&self.account, self.own_key()) else {
            return;
        };
        let state = v1::AccountState {
            address: own.address(),
            contacts: accounts
                .iter()
                .filter_map(|account| self.contacts.get(account))
                .map(|contact| {
                    let route = contact.route.as_ref();
                    let server = route.map(|route| self.address_for_devices(&route.server));
                    let manifest = self.manifests.get(&contact.account);
                    contact_state(contact, server.as_ref(), manifest)
                })
                .collect(),
            public_delivery_id: own
                .public_delivery_id
                .map(DeliveryId::to_wire)
                .unwrap_or_default(),
            own_delivery_id: own
                .own_delivery_id
                .map(DeliveryId::to_wire)
                .unwrap_or_default(),
        };
        let content = silent(
            MessageId::new(turn.id()),
            turn.now.wall_ms,
            Kind::AccountState(state),
        );
        let parcel = Parcel {
            awaited_device,
            ..Parcel::silent(v1::shipment_row::Kind::AccountState, content)
        };
        self.ship(turn, key, &parcel);
        self.pump(turn, key);
    }

    /// What another device of the account knows about contacts.
    pub(crate) fn receive_account_state(&mut self, turn: &mut Turn<'_>, state: &v1::AccountState) {
        for contact in &state.contacts {
            self.merge_contact(turn, contact);
        }
        self.linking_state_received();
    }

    fn merge_contact(&mut self, turn: &mut Turn<'_>, state: &v1::ContactState) {
        let Ok(account) = AccountKey::try_from(state.account_key.as_ref()) else {
            return;
        };
        if self.own_key() == Some(account) {
            return;
        }
        let known = self.contacts.get(&account);
        if known.is_some_and(|known| known.changed_at_ms >= state.changed_at_ms) {
            return;
        }
        let label = match known {
            Some(known) if known.label == state.label => known.label.clone(),
            // What the user chose on the other device, where it is free here.
            _ if self.check_label(&state.label, &account).is_ok() => state.label.clone(),
            _ => self.free_label(&state.label, &account),
        };
        let mut contact = known
            .cloned()
            .unwrap_or_else(|| Contact::new(account, label.clone()));
        contact.label = label;
        let was_blocked = contact.blocked;
        apply_state(&mut contact, state);
        let manifest = DeviceManifest::decode(&state.manifest)
            .ok()
            .filter(|manifest| manifest.account() == &account);
        if contact.verified
            && let Some(manifest) = &manifest
        {
            contact.last_verified_head = Some(manifest.head());
            contact.verified_devices = manifest
                .devices()
                .iter()
                .map(waxwing_identity::DeviceEntry::id)
                .collect();
        }
        let is_blocked = contact.blocked;
        self.contacts.insert(account, contact);
        self.save_contact(&account);
        if is_blocked && !was_blocked {
            // The device that blocked has told the server; this one hands the id to nobody any more.
            self.withdraw_given_id(&account);
        }
        if let Some(manifest) = manifest {
            self.consider(turn, &account, &manifest, &[], Witness::Peer);
            // The user compared keys on the other device, about the version that is pinned here too.
            let same = self
                .accepted_manifest(&account)
                .is_some_and(|held| held.head() == manifest.head());
            if let (true, Some(contact)) = (same, self.contacts.get_mut(&account)) {
                contact.verified = state.verified && contact.alarms.is_empty();
                self.save_contact(&account);
            }
        }
        self.notify(Notice::ContactChanged(account));
        self.receipts_owed(turn, &account);
        self.pump(turn, account);
    }
}

fn contact_state(
    contact: &Contact,
    server: Option<&ServerAddress>,
    manifest: Option<&DeviceManifest>,
) -> v1::ContactState {
    v1::ContactState {
        account_key: contact.account.to_wire(),
        label: contact.label.clone(),
        address: contact.address.clone(),
        server: server.map(ServerAddress::to_wire),
        delivery_id: contact
            .route
            .as_ref()
            .map(|route| route.delivery_id.to_wire())
            .unwrap_or_default(),
        given_delivery_id: contact
            .given
            .filter(|given| given.active)
            .map(|given| given.id.to_wire())
            .unwrap_or_default(),
        request: if contact.request_pending {
            RequestState::Pending.into()
        } else {
            RequestState::Accepted.into()
        },
        blocked: contact.blocked,
        verified: contact.verified,
        head: manifest.map(|manifest| manifest.head().to_wire()),
        changed_at_ms: contact.changed_at_ms,
        manifest: manifest
            .map(|manifest| manifest.as_bytes().clone())
            .unwrap_or_default(),
        address_claimed: contact.address_claimed,
    }
}

fn apply_state(contact: &mut Contact, state: &v1::ContactState) {
    if contact.address.is_empty() || contact.address_claimed {
        contact.address.clone_from(&state.address);
        contact.address_claimed = state.address_claimed;
    }
    let server = state
        .server
        .as_ref()
        .and_then(|server| ServerAddress::try_from(server).ok());
    let id = DeliveryId::try_from(state.delivery_id.as_ref()).ok();
    if let (Some(server), Some(delivery_id)) = (server, id) {
        let held = contact.route.as_ref().map(|route| &route.server);
        contact.route = Some(Route {
            server: address_of_device(held, server, contact.answered),
            delivery_id,
        });
    }
    if let Ok(id) = DeliveryId::try_from(state.given_delivery_id.as_ref())
        && !state.blocked
        && contact.given.is_none_or(|given| !given.active)
    {
        contact.given = Some(GivenId {
            id,
            active: true,
            used: false,
        });
    }
    contact.request_pending = state.request() == RequestState::Pending;
    contact.blocked = state.blocked;
    // The other device may not have seen what this one was shown: an alarm here stays until the user
    // compares keys here.
    contact.verified = state.verified && contact.alarms.is_empty();
    contact.changed_at_ms = state.changed_at_ms;
    if !contact.request_pending {
        contact.request_contents = 0;
    }
    if contact.is_accepted() {
        contact.owed.release();
    }
}
