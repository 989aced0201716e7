// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The methods about contacts and their messages.

use serde_json::Value;
use waxwing_engine::command::{Evidence, ExpiredMessages};
use waxwing_engine::{Answer, Command};

use super::service::{Service, json, unexpected};
use crate::api::{self, Call, objects};
use crate::fault::{Fault, Outcome};

/// Messages in one answer: their bodies stay far below the length of a line.
const MESSAGES_MAX: usize = 50;

impl Service {
    /// Answers a call.
    pub(super) async fn answer_about_contacts(&self, call: Call) -> Outcome<Value> {
        match call {
            Call::AddContact { who, label } => self.add_contact(who, label).await,
            Call::Contacts {} => {
                let contacts = self.contacts().await?;
                json(
                    &contacts
                        .into_iter()
                        .map(objects::Contact::from)
                        .collect::<Vec<_>>(),
                )
            }
            Call::FindContact { contact } => {
                json(&objects::Contact::from(self.find(&contact).await?))
            }
            Call::AcceptContact { contact } => {
                let contact = self.find(&contact).await?.account;
                self.changed(contact, Command::AcceptContact { contact })
                    .await
            }
            Call::BlockContact { contact, blocked } => {
                let contact = self.find(&contact).await?.account;
                self.changed(contact, Command::BlockContact { contact, blocked })
                    .await
            }
            Call::RenameContact { contact, label } => {
                let contact = self.find(&contact).await?.account;
                self.changed(contact, Command::RenameContact { contact, label })
                    .await
            }
            Call::OwnLink {} => match self.command(Command::OwnContactLink).await? {
                Answer::ContactLink(link) => json(&objects::OwnLink::new(link.to_string())),
                _ => Err(unexpected()),
            },
            Call::Send { contact, body } => {
                let found = self.find(&contact).await?;
                let command = Command::Send {
                    contact: found.account,
                    body,
                };
                match self
                    .command(command)
                    .await
                    .map_err(|fault| fault.about(found.label))?
                {
                    Answer::Queued { message_id, cursor } => json(&objects::Queued::new(
                        message_id.to_hex(),
                        cursor.to_string(),
                        found.account.to_hex(),
                    )),
                    _ => Err(unexpected()),
                }
            }
            Call::History {
                contact,
                before,
                limit,
            } => {
                let contact = self.find(&contact).await?.account;
                let limit = limit.min(MESSAGES_MAX);
                self.messages(Command::History {
                    contact,
                    before,
                    limit,
                })
                .await
            }
            Call::Unread { after, limit } => {
                let limit = limit.min(MESSAGES_MAX);
                self.messages(Command::Unread { after, limit }).await
            }
            Call::Expired {} => match self.command(Command::ListExpired).await? {
                Answer::Expired(expired) => json(
                    &expired
                        .into_iter()
                        .map(objects::Expired::from)
                        .collect::<Vec<_>>(),
                ),
                _ => Err(unexpected()),
            },
            Call::MarkExpiredShown { shown } => {
                let shown = shown
                    .into_iter()
                    .map(|(day, count)| ExpiredMessages { day, count })
                    .collect();
                self.done(Command::MarkExpiredShown { shown }).await
            }
            Call::MarkShown { up_to } => self.done(Command::MarkShown { up_to }).await,
            Call::Verification { contact } => {
                let contact = self.find(&contact).await?;
                let command = Command::Verification {
                    contact: contact.account,
                };
                match self.command(command).await? {
                    Answer::Verification(verification) => {
                        json(&objects::Verification::of(contact.label, verification))
                    }
                    _ => Err(unexpected()),
                }
            }
            Call::Verify { contact, evidence } => {
                let contact = self.find(&contact).await?;
                let evidence = match evidence {
                    api::Evidence::Qr { payload } => Evidence::QrPayload(payload),
                    api::Evidence::Fingerprint { hex } => Evidence::Fingerprint(hex),
                    api::Evidence::Words => Evidence::SafetyNumberCompared,
                };
                let command = Command::Verify {
                    contact: contact.account,
                    evidence,
                };
                self.changed(contact.account, command)
                    .await
                    .map_err(|fault| fault.about(contact.label))
            }
            _ => Err(Fault::bug("a method without an answer")),
        }
    }
}
