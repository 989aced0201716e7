// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `receive`: prints what has not been shown yet, and marks it as shown after it was printed.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::api::objects::{Expired, Message, Status};
use crate::api::{Call, Notice};
use crate::cli::Receive;
use crate::console::Console;
use crate::fault::{Code, Fault, Outcome};
use crate::platform;
use crate::session::{Context, Session};
use crate::text::{faults, results};

/// Messages that are printed before they are marked as shown.
const PAGE: usize = 50;
/// How long `receive` waits for the mailbox to be empty where no time was given.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn receive(arguments: &Receive, context: &mut Context) -> Outcome {
    let mut session = Session::open(context).await?;
    let mut printed_up_to = 0;
    let patience = context.timeout.unwrap_or(PATIENCE);
    let until = (!arguments.follow).then(|| platform::deadline(patience));
    loop {
        let outcome = rounds(&mut session, &mut printed_up_to, until, &context.console).await;
        match outcome {
            // The process that hosted the engine has ended: this one takes its place.
            Err(fault) if fault.code == Code::HostLost => {
                session = Session::open(context).await?;
            }
            outcome => {
                session.close().await;
                return outcome;
            }
        }
    }
}

/// Prints until there is nothing more to come, or for ever.
async fn rounds(
    session: &mut Session,
    printed_up_to: &mut u64,
    until: Option<Instant>,
    console: &Console,
) -> Outcome {
    session.watch().await?;
    let mut told = None;
    loop {
        tell_expired(session, console).await?;
        print_unread(session, printed_up_to, console).await?;
        let status: Status = session.call(&Call::Status {}).await?;
        if status.own_alarm != told {
            told = status.own_alarm;
            say_own_alarm(told, console);
        }
        match status.link_error {
            _ if status.account.is_none() => return Err(Code::NotRegistered.into()),
            // What waiting does not mend.
            Some(code @ (Code::DeviceRemoved | Code::RestoredStore | Code::AccountClosed)) => {
                return Err(code.into());
            }
            _ => {}
        }
        let Some(until) = until else {
            wait_for_more(session, console).await?;
            continue;
        };
        if status.drained {
            // What came between the last look and the drain.
            return print_unread(session, printed_up_to, console).await;
        }
        match status.link_error {
            Some(code) if code != Code::Unreachable => return Err(code.into()),
            _ => {}
        }
        match timeout_at(until, wait_for_more(session, console)).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                print_unread(session, printed_up_to, console).await?;
                let status: Status = session.call(&Call::Status {}).await?;
                return match (status.drained, status.link_error) {
                    (true, _) => Ok(()),
                    (false, Some(code)) => Err(code.into()),
                    (false, None) => Err(Code::Unreachable.into()),
                };
            }
        }
    }
}

/// Says what stands about the own devices, until the user has confirmed them.
fn say_own_alarm(alarm: Option<Code>, console: &Console) {
    match alarm {
        // A device that is of no more use is said by an error of its own.
        None | Some(Code::DeviceRemoved | Code::RestoredStore) => {}
        Some(code) => console.alarm(&Fault::new(code).own()),
    }
}

/// Says what the server deleted since it had waited too long. It counts as told after it was said.
async fn tell_expired(session: &mut Session, console: &Console) -> Outcome {
    let expired: Vec<Expired> = session.call(&Call::Expired {}).await?;
    if expired.is_empty() {
        return Ok(());
    }
    for messages in &expired {
        console.say(&faults::expired(&messages.day, messages.count));
    }
    let shown = expired
        .iter()
        .map(|messages| (messages.unix_day, messages.count))
        .collect();
    session.call(&Call::MarkExpiredShown { shown }).await
}

/// Prints page by page. A message counts as shown only after it has left this process; one that was
/// printed and could not be marked is not printed again by this process.
async fn print_unread(
    session: &mut Session,
    printed_up_to: &mut u64,
    console: &Console,
) -> Outcome {
    loop {
        let call = Call::Unread {
            after: *printed_up_to,
            limit: PAGE,
        };
        let messages: Vec<Message> = session.call(&call).await?;
        for message in &messages {
            console.show(message, |console| results::message(message, console))?;
            *printed_up_to = (*printed_up_to).max(message.position());
        }
        let requests: BTreeSet<&str> = messages
            .iter()
            .filter(|message| message.chat.request && !message.from.own)
            .map(|message| message.chat.name.as_str())
            .collect();
        if !console.json {
            requests
                .iter()
                .try_for_each(|name| console.note(&results::request(name, console)))?;
        }
        if messages.is_empty() {
            return Ok(());
        }
        session
            .call::<()>(&Call::MarkShown {
                up_to: *printed_up_to,
            })
            .await?;
    }
}

/// Completes when it is worth looking again. Alarms are said at once.
async fn wait_for_more(session: &mut Session, console: &Console) -> Outcome {
    loop {
        match session.notice().await? {
            Notice::Arrived
            | Notice::Missed
            | Notice::Drained
            | Notice::Online { .. }
            | Notice::Expired { .. } => {
                return Ok(());
            }
            // The status tells what stands about the own devices.
            Notice::Alarm { own: true, .. } => return Ok(()),
            Notice::Alarm { code, contact, .. } => console.alarm(&Fault::new(code).about(contact)),
            Notice::ClockSkew { skew_s } => console.say(&faults::clock_skew(skew_s)),
            Notice::ServerKeyAnnounced => console.say(faults::SERVER_KEY_ANNOUNCED),
            Notice::Contacts => {}
            other => tracing::debug!(notice = ?core::mem::discriminant(&other), "not for receive"),
        }
    }
}
