// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `history`, `status` and `receipts`: how things are.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use waxwing_engine::order::in_display_order;

use crate::api::objects::{Message, Receipts, Status};
use crate::api::{Call, Notice};
use crate::cli::{self, History};
use crate::fault::Outcome;
use crate::platform;
use crate::session::{Context, Session};
use crate::text::results;

/// How long `status` waits for the connection where no time was given.
const PATIENCE: Duration = Duration::from_secs(3);
/// Messages in one answer of the host.
const PAGE: usize = 50;

pub(super) async fn history(arguments: History, context: &mut Context) -> Outcome {
    let mut session = Session::open(context).await?;
    let outcome = pages(&mut session, &arguments).await;
    session.close().await;
    for message in outcome? {
        context
            .console
            .show(&message, |console| results::message(&message, console))?;
    }
    Ok(())
}

/// The newest messages, in the order of the conversation.
async fn pages(session: &mut Session, arguments: &History) -> Outcome<Vec<Message>> {
    let mut wanted = usize::from(arguments.limit);
    let mut before = arguments.before;
    let mut messages: Vec<Message> = Vec::new();
    while wanted > 0 {
        let call = Call::History {
            contact: arguments.name.clone(),
            before,
            limit: wanted.min(PAGE),
        };
        let page: Vec<Message> = session.call(&call).await?;
        wanted = wanted.saturating_sub(page.len());
        before = page.iter().map(Message::position).min();
        if page.len() < PAGE {
            wanted = 0;
        }
        messages.extend(page);
    }
    // The host orders each page by itself: what belongs together may have come on two of them.
    let places = messages
        .into_iter()
        .map(|message| (message.place(), message));
    Ok(in_display_order(places))
}

pub(super) async fn receipts(arguments: &cli::Receipts, context: &mut Context) -> Outcome {
    let call = Call::Receipts {
        delivered: arguments.delivered,
        read: arguments.read,
        on_their_own: arguments.alone,
    };
    let settings: Receipts = super::contacts::once(call, context).await?;
    context
        .console
        .show(&settings, |_| results::receipts(&settings))
}

pub(super) async fn status(context: &mut Context) -> Outcome {
    let mut session = Session::open(context).await?;
    let until = platform::deadline(context.timeout.unwrap_or(PATIENCE));
    let outcome = settled(&mut session, until).await;
    session.close().await;
    let status = outcome?;
    context
        .console
        .show(&status, |console| results::status(&status, console))
}

/// The status once it is known whether the server can be reached, or when the patience is over.
pub(super) async fn settled(session: &mut Session, until: Instant) -> Outcome<Status> {
    session.watch().await?;
    loop {
        let status: Status = session.call(&Call::Status {}).await?;
        if status.online || status.account.is_none() || status.link_error.is_some() {
            return Ok(status);
        }
        let changed = async {
            loop {
                if let Notice::Online { .. } | Notice::Missed = session.notice().await? {
                    return Ok::<(), crate::fault::Fault>(());
                }
            }
        };
        // The link's errors come without a notice: look again from time to time.
        let soon = until.min(platform::deadline(Duration::from_millis(200)));
        match timeout_at(soon, changed).await {
            Ok(outcome) => outcome?,
            Err(_) if Instant::now() >= until => return session.call(&Call::Status {}).await,
            Err(_) => {}
        }
    }
}
