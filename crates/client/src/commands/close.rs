// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `close-account`: the end of an account on its server. What is on this machine stays.

use super::show::settled;
use super::words;
use crate::api::objects::{Closed, Status};
use crate::api::{Call, Words};
use crate::cli::CloseAccount;
use crate::fault::{Code, Outcome};
use crate::platform;
use crate::session::{Context, Session};
use crate::text::{prompts, results};

/// How long the command waits for the connection where no time was given.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(10);

pub(super) async fn close(arguments: CloseAccount, context: &mut Context) -> Outcome {
    // Whoever cannot be asked has to say both things beforehand.
    let can_ask = context.console.asks();
    if !can_ask && (!arguments.yes || arguments.words_file.is_none()) {
        return Err(Code::InputNeeded.into());
    }
    let mut session = Session::open(context).await?;
    let outcome = with(&mut session, &arguments, context).await;
    session.close().await;
    let address = outcome?;
    let folder = context.profile.folder.display().to_string();
    let closed = Closed::new(address);
    context
        .console
        .show(&closed, |_| results::closed(&closed.address, &folder))
}

/// The address of the account that was closed.
async fn with(
    session: &mut Session,
    arguments: &CloseAccount,
    context: &Context,
) -> Outcome<String> {
    let until = platform::deadline(context.timeout.unwrap_or(PATIENCE));
    let status: Status = session.call(&Call::Status {}).await?;
    if status.account.is_none() {
        return Err(Code::NotRegistered.into());
    }
    if !arguments.yes {
        let question = prompts::close_account(&status.address);
        if *context.console.ask(&question).await? != status.address {
            return Err(Code::NotConfirmed.into());
        }
    }
    let text = words::take(arguments.words_file.as_deref(), &context.console).await?;
    let status = settled(session, until).await?;
    if !status.online {
        return Err(status.link_error.unwrap_or(Code::Unreachable).into());
    }
    let words: Words = words::to_host(&text);
    match session.call::<()>(&Call::CloseAccount { words }).await {
        Err(fault) if fault.code == Code::EvidenceMismatch => {
            Err(crate::fault::Fault::new(Code::WordsOfAnother).about(status.address))
        }
        outcome => outcome.map(|()| status.address),
    }
}
