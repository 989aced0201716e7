// SPDX-License-Identifier: Apache-2.0 OR MIT
//! After the demonstration: the conversation goes on live in two panes of tmux.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::story::Cast;
use crate::stage::Person;

/// Asks, and opens the panes; says what is missing where tmux is not there.
pub(crate) fn offer(cast: &Cast) -> Result<()> {
    let has_tmux = Command::new("tmux")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_tmux {
        println!("install tmux to go on with the conversation live in two panes");
        return Ok(());
    }
    print!("go on live in two panes of tmux? [Y/n] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim().to_lowercase().starts_with('n') {
        return Ok(());
    }
    // A server of its own, so that a session of the user's is left alone.
    let socket = format!("waxwing-demo-{}", std::process::id());
    let status = Command::new("tmux")
        .args(["-L", &socket, "new-session"])
        .arg(pane(&cast.alice, &cast.bob))
        .args([";", "split-window", "-h"])
        .arg(pane(&cast.bob, &cast.alice))
        .status()
        .context("cannot start tmux")?;
    println!("tmux ended with {status}");
    Ok(())
}

/// A shell that prints what arrives and sends each line that is typed.
fn pane(who: &Person, whom: &Person) -> String {
    let follow = shell(&who.command(&who.name, &["receive", "--follow"]));
    let send = shell(&who.command(&who.name, &["--quiet", "send", &whom.name, "-"]));
    format!(
        "echo 'You are {}. Type a line and press Enter; Ctrl-D ends.'; \
         {follow} & while IFS= read -r line; do printf '%s' \"$line\" | {send}; done; \
         kill %1; tmux kill-session",
        who.name
    )
}

/// A command as a line for a shell, with its environment.
fn shell(command: &Command) -> String {
    let quote =
        |text: &std::ffi::OsStr| format!("'{}'", text.to_string_lossy().replace('\'', r"'\''"));
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.to_string_lossy(), quote(value)))
    });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quote);
    let line: Vec<String> = std::iter::once("env".to_owned())
        .chain(variables)
        .chain(words)
        .collect();
    line.join(" ")
}
