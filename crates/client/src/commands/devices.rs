// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `devices …`: the devices of the account, and how another one becomes one of them.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::contacts::once;
use super::register;
use super::shell::qr;
use crate::api::objects::{Device, DeviceOffer, LinkCode, Registered, Status};
use crate::api::{Call, LinkingStep, Notice};
use crate::cli::{Devices, Protection};
use crate::console::Console;
use crate::display;
use crate::fault::{Code, Fault, Outcome};
use crate::platform;
use crate::session::{Context, Session};
use crate::socket::resolve;
use crate::text::{prompts, results};

/// How long a link code lives.
const LINKING: Duration = Duration::from_secs(600);

/// How long the approving device waits for the new one to take the account's state.
const HAND_OVER: Duration = Duration::from_secs(20);
const HAND_OVER_PAUSE: Duration = Duration::from_millis(50);

/// What both devices show, as a line of JSON.
#[derive(Debug, Serialize)]
struct Compare<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    address: &'a str,
    safety_words: &'a str,
}

pub(super) async fn devices(which: Devices, context: &mut Context) -> Outcome {
    match which {
        Devices::List => {
            let mut session = Session::open(context).await?;
            let outcome = list(&mut session, &context.console).await;
            session.close().await;
            outcome
        }
        Devices::Confirm { version } => {
            once::<()>(Call::ConfirmDevices { version }, context).await?;
            context.console.note("confirmed: the devices are yours")
        }
        Devices::Link {
            server,
            protection,
            yes,
        } => link(&server, &protection, yes, context).await,
        Devices::Approve { code, yes } => {
            let mut session = Session::open(context).await?;
            let outcome = approve(&mut session, code, yes, context).await;
            session.close().await;
            outcome
        }
        Devices::Remove { device, yes } => {
            let mut session = Session::open(context).await?;
            let outcome = remove(&mut session, &device, yes, context).await;
            session.close().await;
            outcome
        }
    }
}

/// Lists the devices, and says what stands about them with what to type.
async fn list(session: &mut Session, console: &Console) -> Outcome {
    let devices: Vec<Device> = session.call(&Call::Devices {}).await?;
    if console.json {
        devices
            .iter()
            .try_for_each(|device| console.object(device))?;
    } else {
        console.print(&results::devices(&devices, console))?;
    }
    let status: Status = session.call(&Call::Status {}).await?;
    match status.own_alarm {
        Some(Code::DeviceRemoved | Code::RestoredStore) | None => {}
        Some(code) => {
            let version = status.manifest_version.to_string();
            console.alarm(&Fault::new(code).own().about(version));
        }
    }
    Ok(())
}

/// On the new device: shows a code, compares words, and waits until the account's state is here.
async fn link(server: &str, protection: &Protection, yes: bool, context: &mut Context) -> Outcome {
    let server = resolve::server_link(server)?;
    if !yes && !context.console.asks() {
        return Err(Code::InputNeeded.into());
    }
    let protect = register::protection(protection, context)?;
    let mut session = Session::open_or_create(context, protect).await?;
    register::must_be_empty(&mut session).await?;
    let until = platform::deadline(context.timeout.unwrap_or(LINKING));
    let outcome =
        match timeout_at(until, offer(&mut session, server.to_string(), yes, context)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Code::LinkingFailed.into()),
        };
    match outcome {
        Ok(registered) => {
            session.close().await;
            register::greet(
                &registered,
                &server.server().host.to_string(),
                protection,
                &context.console,
            )
        }
        Err(fault) => {
            let status = session.call::<Status>(&Call::Status {}).await;
            if matches!(status, Ok(ref status) if status.address.is_empty()) {
                return Err(register::undo(session, context, fault).await);
            }
            session.close().await;
            Err(fault)
        }
    }
}

async fn offer(
    session: &mut Session,
    server: String,
    yes: bool,
    context: &Context,
) -> Outcome<Registered> {
    let console = &context.console;
    session.watch().await?;
    let code: LinkCode = session.call(&Call::Link { server }).await?;
    console.show(&code, |console| {
        let approve =
            crate::text::shell(&["waxwing", "devices", "approve", &code.code].map(str::to_owned));
        let picture = if console.plain {
            String::new()
        } else {
            format!("{}\n", qr(&code.code))
        };
        format!(
            "{picture}{}\n\ntype on a device of the account:  {approve}",
            code.code
        )
    })?;
    loop {
        match session.notice().await? {
            Notice::LinkingCompare { address, words } => {
                if console.json {
                    let kind = "linking_compare";
                    console.object(&Compare {
                        v: 1,
                        kind,
                        address: &address,
                        safety_words: &words,
                    })?;
                } else {
                    console.print(&compare(&address, &words))?;
                }
                let same = yes || console.confirm(prompts::SAME_WORDS).await?;
                session.call::<()>(&Call::ConfirmLink { same }).await?;
                if !same {
                    return Err(Code::NotConfirmed.into());
                }
            }
            Notice::Linking {
                step: LinkingStep::Complete,
            } => break,
            Notice::Linking {
                step: LinkingStep::Failed,
            } => return Err(Code::LinkingFailed.into()),
            _ => {}
        }
    }
    let status: Status = session.call(&Call::Status {}).await?;
    let (account, device) = status
        .account
        .zip(status.device)
        .ok_or_else(|| Fault::bug("linked to nothing"))?;
    Ok(Registered::new(status.address, account, device))
}

/// On a device of the account.
async fn approve(session: &mut Session, code: String, yes: bool, context: &Context) -> Outcome {
    let console = &context.console;
    let inspected = session.call(&Call::InspectDevice { code }).await;
    // An alarm that refuses this is one about the own devices.
    let offer: DeviceOffer = inspected.map_err(Fault::own)?;
    if !console.json {
        console.print(&compare("", &offer.safety_words))?;
    }
    if !yes && !console.confirm(prompts::SAME_WORDS).await? {
        return Err(Code::NotConfirmed.into());
    }
    let approved = session
        .call::<()>(&Call::ApproveDevice {
            device: offer.device.clone(),
        })
        .await;
    approved.map_err(Fault::own)?;
    hand_over(
        session,
        platform::deadline(context.timeout.unwrap_or(HAND_OVER)),
    )
    .await?;
    console.show(&offer, |_| {
        format!("the device {} belongs to the account now", offer.device)
    })
}

/// Waits until the account's state is on its way to the new device. Otherwise it stays in the
/// outbox, and the new device waits for the next command here.
async fn hand_over(session: &mut Session, until: Instant) -> Outcome {
    while Instant::now() < until {
        let status: Status = session.call(&Call::Status {}).await?;
        if status.outbox == 0 {
            break;
        }
        sleep(HAND_OVER_PAUSE).await;
    }
    Ok(())
}

async fn remove(session: &mut Session, beginning: &str, yes: bool, context: &Context) -> Outcome {
    let devices: Vec<Device> = session.call(&Call::Devices {}).await?;
    let mut found = devices
        .into_iter()
        .filter(|device| !beginning.is_empty() && device.id.starts_with(&beginning.to_lowercase()));
    let device = found
        .next()
        .ok_or_else(|| Fault::new(Code::DeviceUnknown).about(beginning))?;
    if found.next().is_some() {
        return Err(Fault::new(Code::DeviceAmbiguous).about(beginning));
    }
    if !yes && !context.console.confirm(prompts::REMOVE_DEVICE).await? {
        return Err(Code::NotConfirmed.into());
    }
    session
        .call::<()>(&Call::RemoveDevice {
            device: device.id.clone(),
        })
        .await
        .map_err(|fault| fault.about_default(beginning))?;
    context
        .console
        .show(&device, |_| format!("removed: {}", device.id))
}

fn compare(address: &str, words: &str) -> String {
    let account = match address {
        "" => String::new(),
        address => format!("account {}\n", display::line(address)),
    };
    format!(
        "{account}the other device must show the same words:\n  {}",
        display::line(words)
    )
}
