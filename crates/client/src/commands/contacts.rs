// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `contacts …`

use serde::de::DeserializeOwned;

use super::shell::qr;
use crate::api::{Call, objects};
use crate::cli::Contacts;
use crate::fault::Outcome;
use crate::session::{Context, Session};
use crate::text::results;

pub(super) async fn contacts(which: Contacts, context: &mut Context) -> Outcome {
    match which {
        Contacts::Add { who, label } => {
            let contact: objects::Contact = once(Call::AddContact { who, label }, context).await?;
            show(&contact, "added", context)
        }
        Contacts::List => {
            let contacts: Vec<objects::Contact> = once(Call::Contacts {}, context).await?;
            if context.console.json {
                contacts
                    .iter()
                    .try_for_each(|contact| context.console.object(contact))
            } else {
                context
                    .console
                    .print(&results::contacts(&contacts, &context.console))
            }
        }
        Contacts::Qr => {
            let link: objects::OwnLink = once(Call::OwnLink {}, context).await?;
            context.console.show(&link, |console| {
                // The code is for eyes; a pipe gets the link alone.
                if console.plain {
                    link.link.clone()
                } else {
                    format!("{}\n{}", qr(&link.link), link.link)
                }
            })
        }
        Contacts::Block { name } => {
            let call = Call::BlockContact {
                contact: name,
                blocked: true,
            };
            changed(call, "blocked", context).await
        }
        Contacts::Unblock { name } => {
            let call = Call::BlockContact {
                contact: name,
                blocked: false,
            };
            changed(call, "unblocked", context).await
        }
        Contacts::Accept { name } => {
            changed(Call::AcceptContact { contact: name }, "accepted", context).await
        }
        Contacts::Rename { name, label } => {
            changed(
                Call::RenameContact {
                    contact: name,
                    label,
                },
                "renamed",
                context,
            )
            .await
        }
    }
}

/// One call in a session of its own.
pub(super) async fn once<T: DeserializeOwned>(call: Call, context: &mut Context) -> Outcome<T> {
    let mut session = Session::open(context).await?;
    let outcome = session.call(&call).await;
    session.close().await;
    outcome
}

async fn changed(call: Call, done: &str, context: &mut Context) -> Outcome {
    let contact: objects::Contact = once(call, context).await?;
    show(&contact, done, context)
}

fn show(contact: &objects::Contact, done: &str, context: &Context) -> Outcome {
    context.console.show(contact, |_| {
        format!("{done}: {}", results::contact(contact))
    })
}
