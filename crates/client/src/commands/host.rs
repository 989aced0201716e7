// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `unlock`, `lock`, and the background process between them that alone holds the key.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::api::Call;
use crate::app::Interrupts;
use crate::cli::{HostArgs, Unlock};
use crate::fault::{Code, Fault, Outcome};
use crate::platform;
use crate::session::{Context, Session, connect};

/// How long the background process may take to open the store.
const START: Duration = Duration::from_secs(30);
/// How long an ending host may take.
const END: Duration = Duration::from_secs(10);

/// What the background process says on its standard output, once.
#[derive(Debug, Serialize, Deserialize)]
struct Started {
    fault: Option<Fault>,
}

/// What `lock` and `unlock` come to.
#[derive(Debug, Serialize)]
struct Changed {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    changed: bool,
}

pub(super) async fn unlock(arguments: Unlock, context: &mut Context) -> Outcome {
    context.profile.must_exist()?;
    if let Some(client) = connect(&context.profile).await?
        && let Some((_, host)) = client.greet().await?
    {
        if host.mode != "background" {
            return Err(Fault::new(Code::HostFailed).because("a running command holds the profile"));
        }
        return say(context, "unlocked", false, "already unlocked");
    }
    let passphrase = if context.profile.needs_passphrase()? {
        Some(context.sources.existing(&context.console).await?)
    } else {
        None
    };
    let failed = |error: std::io::Error| Fault::new(Code::HostFailed).because(error);
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["--no-input", "--profile", &context.profile.name]);
    if passphrase.is_some() {
        command.args(["--passphrase-fd", "0"]);
    }
    command.args(["--transport", context.dialing.transport().as_str()]);
    command.arg("host");
    if let Some(lifetime) = arguments.lifetime {
        command.args(["--for", &format!("{}ms", lifetime.as_millis())]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let (Some(mut pipe), Some(passphrase)) = (child.stdin.take(), passphrase) {
        pipe.write_all(&passphrase).await.map_err(failed)?;
        pipe.write_all(b"\n").await.map_err(failed)?;
    }
    let output = child.stdout.take().ok_or_else(|| Fault::bug("a pipe"))?;
    let mut line = String::new();
    let mut output = BufReader::new(output);
    let read = tokio::time::timeout(START, output.read_line(&mut line)).await;
    if !matches!(read, Ok(Ok(_))) {
        // It is ours and has said nothing: it must not be left behind.
        let _ = child.kill().await;
        return Err(Fault::new(Code::HostFailed).because("no answer in time"));
    }
    match serde_json::from_str::<Started>(&line) {
        Ok(Started { fault: None }) => say(context, "unlocked", true, "unlocked"),
        Ok(Started { fault: Some(fault) }) => Err(fault),
        Err(_) => Err(Fault::new(Code::HostFailed).because("it ended at once")),
    }
}

pub(super) async fn lock(context: &Context) -> Outcome {
    context.profile.must_exist()?;
    let Some(mut client) = connect(&context.profile).await? else {
        return say(context, "locked", false, "already locked");
    };
    client.call::<()>(&Call::Lock {}).await?;
    let until = platform::deadline(END);
    // Only the lock's return says that the process has closed the store and is gone.
    while context.profile.lock()?.is_none() {
        if Instant::now() >= until {
            return Err(Fault::new(Code::ProfileBusy).about(&context.profile.name));
        }
        sleep(Duration::from_millis(20)).await;
    }
    say(context, "locked", true, "locked")
}

fn say(context: &Context, kind: &'static str, changed: bool, text: &str) -> Outcome {
    context.console.show(
        &Changed {
            v: 1,
            kind,
            changed,
        },
        |_| text.to_owned(),
    )
}

/// The background process. What it has to say it says once, to the `unlock` that started it.
pub(super) async fn host(arguments: &HostArgs, context: &mut Context) -> Outcome {
    platform::detach();
    let mut interrupts = Interrupts::new();
    let opened = Session::open_background(context).await.and_then(|session| {
        if session.is_host() {
            Ok(session)
        } else {
            Err(Fault::new(Code::HostFailed).because("another process holds the profile"))
        }
    });
    let (session, fault) = match opened {
        Ok(session) => (Some(session), None),
        Err(fault) => (None, Some(fault)),
    };
    let started = Started {
        fault: fault.clone(),
    };
    if let Ok(line) = serde_json::to_string(&started) {
        let mut output = std::io::stdout();
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }
    let Some(session) = session else {
        return Err(fault.unwrap_or_else(|| Fault::bug("no session")));
    };
    let lifetime = async {
        match arguments.lifetime {
            Some(lifetime) => sleep(lifetime).await,
            None => core::future::pending().await,
        }
    };
    let fault = tokio::select! {
        biased;
        fault = session.ended() => Some(fault),
        () = interrupts.next() => None,
        () = lifetime => None,
    };
    session.close().await;
    match fault {
        Some(fault) if fault.code != Code::Locked => Err(fault),
        _ => Ok(()),
    }
}
