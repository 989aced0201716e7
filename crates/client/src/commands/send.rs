// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `send`: into the outbox durably, then as far as the network allows within a little patience.

use std::io::Read;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use waxwing_proto::limits::TEXT_SIZE_MAX;

use crate::api::objects::{Contact, Message, Queued, Sent, State, Status};
use crate::api::{Call, Notice};
use crate::cli::Send;
use crate::fault::{Code, Fault, Outcome};
use crate::session::{Context, Session};
use crate::{platform, text};

/// How long a `send` that does not wait looks whether the message goes out at once.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long `send --wait` waits where no time was given.
const WAIT: Duration = Duration::from_secs(30);
/// Messages of the conversation in which the own one is looked for.
const LOOKED_THROUGH: usize = 50;

pub(super) async fn send(arguments: Send, context: &mut Context) -> Outcome {
    let body = body(arguments.text).await?;
    let mut session = Session::open(context).await?;
    session.watch().await?;
    let call = Call::Send {
        contact: arguments.to.clone(),
        body,
    };
    let queued: Queued = match session.call(&call).await {
        Ok(queued) => queued,
        Err(fault) => {
            session.close().await;
            return Err(fault.about_default(&arguments.to));
        }
    };
    let patience = context
        .timeout
        .unwrap_or(if arguments.wait { WAIT } else { PATIENCE });
    let until = platform::deadline(patience);
    let state = follow(&mut session, &queued, until, context).await;
    let held = match state {
        Ok(State::Queued) => held(&mut session, &queued.contact).await,
        _ => None,
    };
    session.close().await;
    let state = state.map_err(|fault| fault.about_default(&arguments.to))?;
    let sent = Sent::new(queued.id, arguments.to, state, held);
    context
        .console
        .show(&sent, |_| text::results::sent(&sent))?;
    if arguments.wait && state == State::Queued {
        // A server that is away says nothing about the contact.
        let why = held.filter(|code| *code != Code::Unreachable);
        return Err(Fault::new(why.unwrap_or(Code::NotStoredInTime)).about(&sent.to));
    }
    Ok(())
}

/// What keeps the messages to an account in the outbox.
async fn held(session: &mut Session, account: &str) -> Option<Code> {
    let status: Status = session.call(&Call::Status {}).await.ok()?;
    let mut waiting = status.waiting.into_iter();
    waiting.find(|waiting| waiting.account == account)?.held
}

/// Watches one message until it is on the server or the patience is over. When the process that
/// hosts the engine ends meanwhile, this one takes its place.
async fn follow(
    session: &mut Session,
    queued: &Queued,
    until: Instant,
    context: &mut Context,
) -> Outcome<State> {
    loop {
        let Ok(notice) = timeout_at(until, session.notice()).await else {
            return Ok(State::Queued);
        };
        match notice {
            Ok(Notice::State { id, state }) if id == queued.id && state > State::Queued => {
                return Ok(state);
            }
            Ok(Notice::Alarm {
                own: true,
                code,
                contact,
                ..
            }) => {
                return Err(Fault::new(code).about(contact));
            }
            Ok(Notice::Alarm {
                code,
                contact,
                blocks_sending,
                ..
            }) => {
                let call = Call::FindContact {
                    contact: queued.contact.clone(),
                };
                let about: Contact = session.call(&call).await?;
                let fault = Fault::new(code).about(contact.as_str());
                match (about.name == contact, blocks_sending) {
                    (true, true) => return Err(fault),
                    (true, false) => context.console.alarm(&fault),
                    (false, _) => {}
                }
                continue;
            }
            Ok(Notice::Missed) => {}
            Err(fault) if fault.code == Code::HostLost => {
                // It is in the outbox whatever happens here, so a failure to go on is no failure.
                let Ok(next) = Session::open(context).await else {
                    return Ok(State::Queued);
                };
                *session = next;
                session.watch().await?;
            }
            Err(fault) => return Err(fault),
            Ok(_) => continue,
        }
        // Something may have been missed: look at the message itself.
        let state = look_up(session, queued).await?;
        if state > State::Queued {
            return Ok(state);
        }
    }
}

async fn look_up(session: &mut Session, queued: &Queued) -> Outcome<State> {
    let call = Call::History {
        contact: queued.contact.clone(),
        before: None,
        limit: LOOKED_THROUGH,
    };
    let messages: Vec<Message> = session.call(&call).await?;
    let own = messages.into_iter().find(|message| message.id == queued.id);
    Ok(own.map_or(State::Queued, |message| message.state))
}

/// The text: the argument, or all of standard input without its last line feed.
async fn body(argument: Option<String>) -> Outcome<String> {
    let text = match argument {
        Some(text) if text != "-" => text,
        _ => tokio::task::spawn_blocking(read_all)
            .await
            .map_err(|_| Fault::bug("reading the text"))??,
    };
    if text.len() > TEXT_SIZE_MAX {
        return Err(Code::TextTooLong.into());
    }
    if text.trim().is_empty() {
        return Err(Code::TextEmpty.into());
    }
    Ok(text)
}

fn read_all() -> Outcome<String> {
    let limit = u64::try_from(TEXT_SIZE_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(2);
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| Fault::new(Code::Input).about("-").because(error))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > TEXT_SIZE_MAX {
        return Err(Code::TextTooLong.into());
    }
    String::from_utf8(bytes).map_err(|_| Code::TextNotUtf8.into())
}
