// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `verify`: comparing keys with a contact, by number, by code, by fingerprint.

use super::shell::qr;
use crate::api::objects::{Contact, Verification};
use crate::api::{Call, Evidence};
use crate::cli::Verify;
use crate::console::{Console, Tone};
use crate::display;
use crate::fault::{Code, Outcome};
use crate::session::{Context, Session};
use crate::text::{self, prompts, results};

pub(super) async fn verify(arguments: Verify, context: &mut Context) -> Outcome {
    let mut session = Session::open(context).await?;
    let outcome = with(&mut session, arguments, context).await;
    session.close().await;
    outcome
}

async fn with(session: &mut Session, arguments: Verify, context: &Context) -> Outcome {
    let Verify {
        name,
        words,
        qr: payload,
        fingerprint,
    } = arguments;
    let evidence = match (payload, fingerprint) {
        (Some(payload), _) => Evidence::Qr { payload },
        (None, Some(hex)) => Evidence::Fingerprint { hex },
        (None, None) => {
            let call = Call::Verification {
                contact: name.clone(),
            };
            let verification: Verification = session.call(&call).await?;
            let console = &context.console;
            console.show(&verification, |console| explain(&verification, console))?;
            if !words && !console.asks() {
                return Ok(());
            }
            if !console.confirm(prompts::SAME_NUMBER).await? {
                // Whoever only wanted to see the number has seen it.
                return if words {
                    Err(Code::NotConfirmed.into())
                } else {
                    Ok(())
                };
            }
            Evidence::Words
        }
    };
    let call = Call::Verify {
        contact: name.clone(),
        evidence,
    };
    let contact: Contact = session
        .call(&call)
        .await
        .map_err(|fault| fault.about_default(&name))?;
    context
        .console
        .show(&contact, |_| results::contact(&contact))
}

/// Everything that two people may compare, and how to tell this program.
fn explain(verification: &Verification, console: &Console) -> String {
    let name = display::line(&verification.name);
    let state = if verification.verified {
        "verified"
    } else {
        "not verified yet"
    };
    let command =
        |option: &str| text::shell(&console.command(&["verify", &verification.name, option]));
    let code = if console.plain {
        verification.qr_payload.clone()
    } else {
        format!(
            "{}\n{}",
            qr(&verification.qr_payload),
            verification.qr_payload
        )
    };
    format!(
        "{name} is {state}.\n\n\
         Safety number, the same on both sides (read it to each other on a call):\n{number}\n\n\
         Your code (your contact gives it to `verify --qr`):\n{code}\n\n\
         fingerprint of {name}:  {fingerprint}\nyour own fingerprint:  {own}\n\n\
         when the numbers are the same:  {words}\n\
         with your contact's code:       {with_qr} PAYLOAD\n\
         with your contact's key:        {with_hex} HEX",
        number = console.tint(Tone::Strong, &verification.safety_number),
        fingerprint = verification.fingerprint,
        own = verification.own_fingerprint,
        words = command("--words"),
        with_qr = command("--qr"),
        with_hex = command("--fingerprint"),
    )
}
