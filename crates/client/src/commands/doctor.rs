// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `doctor`: looks at everything that a command depends on, and says what to do about it.

use std::time::Duration;

use serde::Serialize;

use super::show::settled;
use crate::console::{Console, Tone};
use crate::fault::{Code, Fault, Outcome};
use crate::platform;
use crate::session::{Context, Session};
use crate::text::faults;

/// How long the server may take to answer where no time was given.
const PATIENCE: Duration = Duration::from_secs(8);

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    /// `ok`, `problem` or `skipped`.
    result: &'static str,
    detail: String,
}

pub(super) async fn doctor(context: &mut Context) -> Outcome {
    let mut problems: usize = 0;
    let console = context.console.clone();
    let mut report = |name: &'static str, outcome: Outcome<Option<String>>| {
        let (result, detail) = match outcome {
            Ok(Some(detail)) => ("ok", detail),
            Ok(None) => ("skipped", String::new()),
            Err(fault) => {
                problems = problems.saturating_add(1);
                ("problem", explain(&fault))
            }
        };
        print(
            &Check {
                v: 1,
                kind: "check",
                name,
                result,
                detail,
            },
            &console,
        )
    };
    // A configuration that cannot be read has stopped this command before.
    report(
        "configuration",
        Ok(Some(context.folders.config.display().to_string())),
    )?;
    report("profile folder", profile_folder(context))?;
    report("run-time folder", run_time_folder(context))?;
    if !context.profile.exists() {
        report(
            "profile",
            Err(Fault::new(Code::ProfileMissing).about(&context.profile.name)),
        )?;
        return Err(Code::ProblemsFound.into());
    }
    let protected = context.profile.needs_passphrase();
    report(
        "store key",
        protected.clone().map(|protected| {
            Some(
                if protected {
                    "sealed with a passphrase"
                } else {
                    "NOT PROTECTED"
                }
                .to_owned(),
            )
        }),
    )?;
    let silent = !matches!(protected, Ok(true)) || context.sources.is_silent();
    let is_open = crate::session::attach(&context.profile)
        .await
        .ok()
        .flatten()
        .is_some();
    if !silent && !is_open && !console.asks() {
        report("store", Ok(None))?;
        report("server", Ok(None))?;
    } else {
        match Session::open(context).await {
            Err(fault) => {
                report("store", Err(fault))?;
                report("server", Ok(None))?;
            }
            Ok(mut session) => {
                report("store", Ok(Some("opens".to_owned())))?;
                let until = platform::deadline(context.timeout.unwrap_or(PATIENCE));
                let status = settled(&mut session, until).await;
                session.close().await;
                report(
                    "server",
                    status.and_then(|status| match status.link_error {
                        _ if status.online => Ok(Some(status.server)),
                        _ if status.account.is_none() => Err(Code::NotRegistered.into()),
                        Some(code) => Err(code.into()),
                        None => Err(Code::Unreachable.into()),
                    }),
                )?;
            }
        }
    }
    if problems == 0 {
        Ok(())
    } else {
        Err(Code::ProblemsFound.into())
    }
}

fn print(check: &Check, console: &Console) -> Outcome {
    console.show(check, |console| {
        let tone = match check.result {
            "ok" => Tone::Good,
            "problem" => Tone::Bad,
            _ => Tone::Faint,
        };
        let result = console.tint(tone, &format!("{:8}", check.result));
        format!(
            "{result}{:16} {}",
            check.name,
            crate::display::line(&check.detail)
        )
    })
}

fn explain(fault: &Fault) -> String {
    let explanation = faults::explain(fault, &[]);
    format!("{}. {}", explanation.what, explanation.why)
        .trim_end()
        .to_owned()
}

fn profile_folder(context: &Context) -> Outcome<Option<String>> {
    let folder = &context.profile.folder;
    if !folder.exists() {
        return Ok(None);
    }
    let shown = folder.display().to_string();
    match platform::private_folder(folder) {
        Ok(()) => Ok(Some(shown)),
        Err(error) => Err(Fault::new(Code::FolderUnusable).about(shown).because(error)),
    }
}

fn run_time_folder(context: &Context) -> Outcome<Option<String>> {
    let path = context.profile.socket_path()?;
    Ok(path.parent().map(|folder| folder.display().to_string()))
}
