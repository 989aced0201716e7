// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what people type to what the engine takes: links, names, contacts; and messages back.

use core::str::FromStr;
use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_crypto::RecoveryWords;
use waxwing_engine::command::ContactSummary;
use waxwing_engine::{Answer, Command};
use waxwing_identity::links::{ContactLink, InviteLink, LinkKind, ServerLink};
use waxwing_proto::AccountKey;

use super::service::{Service, json, unexpected};
use crate::api::{Words, objects};
use crate::cli::suggest::nearest;
use crate::fault::{Code, Fault, Outcome};

/// Reads something that has one form.
pub(crate) fn parse<T: FromStr<Err: ToString>>(text: &str, otherwise: Code) -> Outcome<T> {
    text.trim()
        .parse()
        .map_err(|error: T::Err| Fault::new(otherwise).because(error))
}

/// Reads recovery words.
pub(crate) fn words(words: &Words) -> Outcome<RecoveryWords> {
    RecoveryWords::parse(&words.0.0).map_err(|error| Fault::new(Code::WordsInvalid).because(error))
}

/// Reads where a server is from any link that says so.
pub(crate) fn server_link(text: &str) -> Outcome<ServerLink> {
    let server = match LinkKind::of(text) {
        Some(LinkKind::Invite) => parse::<InviteLink>(text, Code::ServerLinkInvalid)?
            .server()
            .clone(),
        Some(LinkKind::Contact) => parse::<ContactLink>(text, Code::ServerLinkInvalid)?
            .server()
            .clone(),
        _ => return parse(text, Code::ServerLinkInvalid),
    };
    ServerLink::new(server).map_err(|error| Fault::new(Code::ServerLinkInvalid).because(error))
}

impl Service {
    pub(super) async fn contacts(&self) -> Outcome<Vec<ContactSummary>> {
        match self.command(Command::ListContacts).await? {
            Answer::Contacts(contacts) => Ok(contacts),
            _ => Err(unexpected()),
        }
    }

    /// The contact that a label, an address, a name or an account key means.
    pub(super) async fn find(&self, query: &str) -> Outcome<ContactSummary> {
        let command = Command::FindContact {
            query: query.to_owned(),
        };
        match self.command(command).await {
            Ok(Answer::Contact(contact)) => Ok(contact),
            Ok(_) => Err(unexpected()),
            Err(fault) if fault.code == Code::ContactUnknown => {
                let contacts = self.contacts().await?;
                if let Some(contact) = contacts.iter().find(|it| it.account.to_hex() == query) {
                    return Ok(contact.clone());
                }
                let labels = contacts.iter().map(|contact| contact.label.as_str());
                Err(fault.about(query).nearest(nearest(query, labels)))
            }
            Err(fault) => Err(fault.about(query)),
        }
    }

    pub(super) async fn add_contact(&self, who: String, label: Option<String>) -> Outcome<Value> {
        let command = if LinkKind::of(&who).is_some() || who.contains(':') {
            Command::AddContact {
                link: parse(&who, Code::ContactLinkInvalid)?,
                label,
            }
        } else {
            // `name@host` without a link is a name on one's own server, or cannot be found.
            let own = self.engine_status().await?.address;
            let own_host = own.split_once('@').map(|(_, host)| host);
            let name = match who.split_once('@') {
                Some((name, host)) if Some(host) == own_host => name,
                Some(_) => return Err(Fault::new(Code::NameUnknown).about(who)),
                None => who.as_str(),
            };
            let name = parse(name, Code::NameInvalid).map_err(|fault| fault.about(who.as_str()))?;
            Command::AddContactByName { name, label }
        };
        let by_name = matches!(command, Command::AddContactByName { .. });
        let answer = self.command(command).await.map_err(|mut fault| {
            if by_name && fault.code == Code::ContactUnknown {
                fault.code = Code::NameUnknown;
            }
            fault.about_default(&who)
        })?;
        match answer {
            Answer::Contact(contact) => json(&objects::Contact::from(contact)),
            _ => Err(unexpected()),
        }
    }

    /// Runs a command that changes a contact, and shows the contact.
    pub(super) async fn changed(&self, account: AccountKey, command: Command) -> Outcome<Value> {
        self.command(command).await?;
        let contacts = self.contacts().await?;
        let contact = contacts
            .into_iter()
            .find(|contact| contact.account == account);
        json(&objects::Contact::from(contact.ok_or_else(unexpected)?))
    }

    /// Runs a command that answers with messages. Oldest first, whatever order it came in.
    pub(super) async fn messages(&self, command: Command) -> Outcome<Value> {
        let Answer::Messages(messages) = self.command(command).await? else {
            return Err(unexpected());
        };
        let own = self.engine_status().await?.address;
        let contacts: BTreeMap<AccountKey, ContactSummary> = self
            .contacts()
            .await?
            .into_iter()
            .map(|contact| (contact.account, contact))
            .collect();
        let objects: Vec<objects::Message> = messages
            .into_iter()
            .map(|message| {
                let key = message.contact.to_hex();
                let contact = contacts.get(&message.contact);
                let label = contact.map_or(key.as_str(), |contact| contact.label.as_str());
                let request = contact.is_some_and(|contact| contact.request);
                objects::Message::of(message, label, request, &own)
            })
            .collect();
        json(&objects)
    }

    /// The label of an account, for notices.
    pub(super) async fn label(&self, account: AccountKey) -> String {
        let contacts = self.contacts().await.unwrap_or_default();
        let contact = contacts
            .into_iter()
            .find(|contact| contact.account == account);
        contact.map_or_else(|| account.to_hex(), |contact| contact.label)
    }
}
