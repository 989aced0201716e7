// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `register`: from an invite to an account on this device.

use waxwing_identity::links::InviteLink;
use waxwing_proto::AccountName;

use super::words;
use crate::api::{Call, objects};
use crate::cli::{Protection, Register};
use crate::console::{Console, Tone};
use crate::fault::{Code, Fault, Outcome};
use crate::session::{Context, Protect, Session};
use crate::text::{prompts, results};

/// Whatever can be wrong is found before anything is made; the words are in the user's hands before
/// the server hears of the account; and an attempt that came to nothing leaves nothing behind.
pub(super) async fn register(arguments: Register, context: &mut Context) -> Outcome {
    let invite: InviteLink = arguments
        .invite
        .trim()
        .parse()
        .map_err(|error| Fault::new(Code::InviteInvalid).because(error))?;
    let _: AccountName = arguments
        .name
        .parse()
        .map_err(|_| Fault::new(Code::NameInvalid).about(&arguments.name))?;
    if let Some(path) = arguments.words_file.as_ref().filter(|path| path.exists()) {
        return Err(Fault::new(Code::WordsFile).about(path.display().to_string()));
    }
    let protect = protection(&arguments.protection, context)?;
    let mut session = Session::open_or_create(context, protect).await?;
    must_be_empty(&mut session).await?;

    let (fresh, text) = words::generate();
    let file = arguments.words_file.as_deref();
    if let Err(fault) = words::hand_over(&fresh, &text, file, &context.console).await {
        return Err(undo(session, context, fault).await);
    }
    drop(fresh);
    let call = Call::Register {
        invite: arguments.invite,
        name: arguments.name.clone(),
        words: words::to_host(&text),
    };
    match session.call::<objects::Registered>(&call).await {
        Ok(registered) => {
            session.close().await;
            let server = invite.server().host.to_string();
            greet(
                &registered,
                &server,
                &arguments.protection,
                &context.console,
            )
        }
        Err(fault) => {
            let status = session.call::<objects::Status>(&Call::Status {}).await;
            // The server may have heard of it: then it goes on by itself with the next command,
            // and the words are those of the account.
            let is_pending = !matches!(status, Ok(ref status) if status.account.is_none());
            let fault = fault.about_default(&arguments.name);
            if is_pending {
                session.close().await;
                return Err(fault);
            }
            if let Some(path) = file {
                // Of an account that never was.
                let _ = std::fs::remove_file(path);
            }
            Err(undo(session, context, fault).await)
        }
    }
}

/// How the user wants a new store to be protected; says loudly what no protection means.
pub(super) fn protection(protection: &Protection, context: &Context) -> Outcome<Protect> {
    if !protection.unprotected {
        return Ok(Protect::Passphrase);
    }
    if context.sources.is_typed() {
        return Err(Fault::new(Code::Usage).because("--unprotected takes no passphrase"));
    }
    context.console.say(prompts::UNPROTECTED);
    Ok(Protect::Nothing)
}

/// Fails where the profile has an account.
pub(super) async fn must_be_empty(session: &mut Session) -> Outcome {
    let status: objects::Status = session.call(&Call::Status {}).await?;
    match status.account {
        None => Ok(()),
        Some(_) => Err(Fault::new(Code::AlreadyRegistered)),
    }
}

/// Removes the profile if this command made it.
pub(super) async fn undo(session: Session, context: &Context, fault: Fault) -> Fault {
    if session.is_new() {
        session.discard(&context.profile).await;
    } else {
        session.close().await;
    }
    fault
}

/// Says that the account is ready and what comes next.
pub(super) fn greet(
    registered: &objects::Registered,
    server: &str,
    protection: &Protection,
    console: &Console,
) -> Outcome {
    console.show(registered, |console| {
        let ready = console.tint(Tone::Good, "ready");
        let address = crate::display::line(&registered.address);
        format!("{ready}: {address} on {}", crate::display::line(server))
    })?;
    if !console.json {
        console.note(&results::next_steps(!protection.unprotected, console))?;
    }
    Ok(())
}
