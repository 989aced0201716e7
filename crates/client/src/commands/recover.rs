// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `recover`: an account from its recovery words, with this device as its only one.

use super::{register, words};
use crate::api::{Call, objects};
use crate::cli::Recover;
use crate::fault::{Code, Outcome};
use crate::session::{Context, Session};
use crate::socket::resolve;
use crate::text::prompts;

pub(super) async fn recover(arguments: Recover, context: &mut Context) -> Outcome {
    let server = resolve::server_link(&arguments.server)?;
    let text = words::take(arguments.words_file.as_deref(), &context.console).await?;
    if !arguments.yes && !context.console.confirm(prompts::RECOVER).await? {
        return Err(Code::NotConfirmed.into());
    }
    let protect = register::protection(&arguments.protection, context)?;
    let mut session = Session::open_or_create(context, protect).await?;
    register::must_be_empty(&mut session).await?;
    let call = Call::Recover {
        server: server.to_string(),
        words: words::to_host(&text),
    };
    match session.call::<objects::Registered>(&call).await {
        Ok(registered) => {
            session.close().await;
            register::greet(
                &registered,
                &server.server().host.to_string(),
                &arguments.protection,
                &context.console,
            )
        }
        Err(fault) => {
            let status = session.call::<objects::Status>(&Call::Status {}).await;
            if matches!(status, Ok(ref status) if status.account.is_none()) {
                return Err(register::undo(session, context, fault).await);
            }
            session.close().await;
            Err(fault)
        }
    }
}
