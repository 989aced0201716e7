// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the user does with contacts: add, find, accept, block, rename.

use waxwing_identity::ContactLink;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::{AccountKey, AccountName, Address, DeliveryId, ServerAddress, v1};

use crate::command::{Answer, CommandError, CommandId, ContactSummary};
use crate::contacts::{Contact, Route};
use crate::effect::Plane;
use crate::engine::{Engine, Turn};
use crate::event::RequestFailure;
use crate::notice::{AlarmKind, Notice};
use crate::pending::Pending;
use crate::trust::Settlement;

/// What a link, or a server that was asked for a name, says about an account.
struct Introduction {
    account: AccountKey,
    address: Address,
    route: Route,
    by_name: bool,
}

impl Engine {
    pub(crate) fn add_contact(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        link: &ContactLink,
        label: Option<String>,
    ) {
        let route = Route {
            server: link.server().clone(),
            delivery_id: *link.delivery_id(),
        };
        let introduction = Introduction {
            account: *link.account(),
            address: link.address(),
            route,
            by_name: false,
        };
        let result = self.put_contact(turn, introduction, label);
        self.answer(command, result.map(Answer::Contact));
    }

    pub(crate) fn add_by_name(
        &mut self,
        command: CommandId,
        name: AccountName,
        label: Option<String>,
    ) {
        let Some(server) = self.own_server() else {
            return;
        };
        let call = Call::ResolveName(v1::ResolveNameRequest {
            name: name.as_str().to_owned(),
        });
        self.request(
            Plane::Anonymous,
            server,
            call,
            Pending::Resolve {
                command,
                name,
                label,
            },
        );
    }

    pub(crate) fn name_resolved(
        &mut self,
        turn: &mut Turn<'_>,
        name: AccountName,
        label: Option<String>,
        outcome: Result<Reply, RequestFailure>,
    ) -> Result<ContactSummary, CommandError> {
        match outcome {
            Ok(Reply::ResolveName(reply)) => self.put_resolved(turn, name, label, &reply),
            Ok(_) => Err(CommandError::Bug("malformed answer")),
            Err(RequestFailure::Refused {
                code: v1::ErrorCode::NotFound,
                ..
            }) => Err(CommandError::ContactUnknown),
            Err(failure) => Err(Self::failure(failure)),
        }
    }

    fn put_resolved(
        &mut self,
        turn: &mut Turn<'_>,
        name: AccountName,
        label: Option<String>,
        reply: &v1::ResolveNameResponse,
    ) -> Result<ContactSummary, CommandError> {
        let malformed = CommandError::Bug("malformed answer");
        let account =
            AccountKey::try_from(reply.account_key.as_ref()).map_err(|_| malformed.clone())?;
        let delivery_id =
            DeliveryId::try_from(reply.public_delivery_id.as_ref()).map_err(|_| malformed)?;
        let server = self.own_server().ok_or(CommandError::NotRegistered)?;
        let address = Address {
            name,
            host: server.host.clone(),
        };
        let route = Route {
            server,
            delivery_id,
        };
        self.alarm_other_key(&address, &route.server, &account);
        let introduction = Introduction {
            account,
            address,
            route,
            by_name: true,
        };
        self.put_contact(turn, introduction, label)
    }

    /// The server gave another key than a contact of this address has: either the name changed
    /// hands, or somebody is in between.
    fn alarm_other_key(&mut self, address: &Address, server: &ServerAddress, account: &AccountKey) {
        let address = address.to_string();
        // An address names no port: two servers of one host have people of one name.
        let is_there =
            |route: &Route| (&route.server.host, route.server.port) == (&server.host, server.port);
        let others: Vec<AccountKey> = self
            .contacts
            .values()
            .filter(|contact| contact.address == address && contact.account != *account)
            .filter(|contact| !contact.request_pending)
            .filter(|contact| contact.route.as_ref().is_none_or(is_there))
            .map(|contact| contact.account)
            .collect();
        for other in others {
            self.raise(&other, AlarmKind::KeyChanged);
        }
    }

    fn put_contact(
        &mut self,
        turn: &mut Turn<'_>,
        introduction: Introduction,
        label: Option<String>,
    ) -> Result<ContactSummary, CommandError> {
        let Introduction {
            account,
            address,
            route,
            by_name,
        } = introduction;
        if self.own_key() == Some(account) {
            return Err(CommandError::ContactUnknown);
        }
        let wanted = match &label {
            Some(label) => {
                self.check_label(label, &account)?;
                Some(label.clone())
            }
            None => None,
        };
        let known = self.contacts.get(&account);
        let label = wanted
            .or_else(|| {
                known
                    .filter(|known| !known.request_pending)
                    .map(|known| known.label.clone())
            })
            .unwrap_or_else(|| self.introduced_label(address.name.as_str(), &account));
        let mut contact = known
            .cloned()
            .unwrap_or_else(|| Contact::new(account, label.clone()));
        let was_request = contact.request_pending;
        contact.label = label;
        contact.address = address.to_string();
        contact.address_claimed = false;
        contact.public_delivery_id = Some(route.delivery_id);
        // What the contact gave us inside the encryption is kept: it is for us alone. The keys of its server
        // may have changed since.
        match &mut contact.route {
            Some(held) if contact.answered => {
                if held.server.is_at(&route.server) {
                    held.server = self.address_for_devices(&route.server);
                }
            }
            _ => contact.route = Some(route),
        }
        contact.by_name = by_name && (known.is_none() || contact.by_name);
        contact.request_pending = false;
        contact.request_contents = 0;
        self.contacts.insert(account, contact);
        if was_request {
            self.release_receipts(turn, &account);
        }
        self.sync_contact(turn, &account);
        self.make_given_id(turn, &account);
        self.notify(Notice::ContactChanged(account));
        self.summary(&account)
    }

    /// A summary of a contact.
    pub(crate) fn summary(&self, account: &AccountKey) -> Result<ContactSummary, CommandError> {
        let contact = self
            .contacts
            .get(account)
            .ok_or(CommandError::ContactUnknown)?;
        let devices = self
            .manifests
            .get(account)
            .map_or(0, |manifest| manifest.devices().len());
        Ok(contact.summary(devices))
    }

    pub(crate) fn contact_list(&self) -> Vec<ContactSummary> {
        let mut list: Vec<ContactSummary> = self
            .contacts
            .keys()
            .filter_map(|account| self.summary(account).ok())
            .collect();
        list.sort_by(|left, right| (&left.label, left.account).cmp(&(&right.label, right.account)));
        list
    }

    pub(crate) fn accept_contact(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        account: &AccountKey,
    ) {
        let Some(contact) = self.contacts.get_mut(account) else {
            self.answer(command, Err(CommandError::ContactUnknown));
            return;
        };
        let claimed = contact
            .request_pending
            .then(|| contact.address.split_once('@'))
            .flatten()
            .map(|(name, _)| name.to_owned());
        let begins_anew = !contact.request_pending && contact.alarms.settle(Settlement::BegunAnew);
        contact.request_pending = false;
        contact.request_contents = 0;
        contact.blocked = false;
        if begins_anew {
            self.begin_anew(account);
        }
        // The user has seen how it calls itself and takes it as that, where nobody else is called so.
        if let Some(name) = claimed {
            let label = self.free_label(&name, account);
            if let Some(contact) = self.contacts.get_mut(account) {
                contact.label = label;
            }
        }
        self.release_receipts(turn, account);
        self.sync_contact(turn, account);
        self.make_given_id(turn, account);
        self.notify(Notice::ContactChanged(*account));
        self.answer(command, Ok(Answer::Done));
        self.pump(turn, *account);
    }

    /// The user takes a contact's devices as they are now, whatever they were before: the next session
    /// with them continues nothing.
    fn begin_anew(&mut self, account: &AccountKey) {
        // SES-68.
        for peer in self.sessions.devices_of(account) {
            self.sessions.forget_device(&mut self.journal, &peer);
        }
        self.weigh_renewals(account);
    }

    /// Receipts that waited for an acceptance are due now.
    fn release_receipts(&mut self, turn: &mut Turn<'_>, account: &AccountKey) {
        if let Some(contact) = self.contacts.get_mut(account) {
            contact.owed.release();
            self.save_contact(account);
        }
        self.receipts_owed(turn, account);
    }

    pub(crate) fn block_contact(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        account: &AccountKey,
        blocked: bool,
    ) {
        let Some(contact) = self.contacts.get_mut(account) else {
            self.answer(command, Err(CommandError::ContactUnknown));
            return;
        };
        contact.blocked = blocked;
        if blocked {
            self.withdraw_given_id(account);
        }
        self.sync_contact(turn, account);
        self.notify(Notice::ContactChanged(*account));
        self.answer(command, Ok(Answer::Done));
        self.pump(turn, *account);
    }

    pub(crate) fn rename_contact(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        account: &AccountKey,
        label: String,
    ) {
        let result = match self.check_label(&label, account) {
            Ok(()) if !self.contacts.contains_key(account) => Err(CommandError::ContactUnknown),
            other => other,
        };
        if result.is_ok() {
            if let Some(contact) = self.contacts.get_mut(account) {
                contact.label = label;
            }
            self.sync_contact(turn, account);
            self.notify(Notice::ContactChanged(*account));
        }
        self.answer(command, result.map(|()| Answer::Done));
    }
}
