// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server: `waxwingd up` in a folder of its own, which can be killed and started again.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::text;

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerOptions {
    /// Further options of `waxwingd up`.
    pub(crate) arguments: Vec<String>,
    /// Where its log goes; nowhere when absent.
    pub(crate) log: Option<PathBuf>,
    /// Another user, by number, that it runs as; only root can want that.
    pub(crate) user: Option<u32>,
}

/// A running server.
pub(crate) struct Server {
    program: PathBuf,
    data: PathBuf,
    options: ServerOptions,
    address: SocketAddr,
    child: Child,
    /// What others need to reach it, `waxwing:server/…`.
    pub(crate) link: String,
}

impl Server {
    /// Starts a program on a folder.
    pub(crate) fn start(program: &Path, data: PathBuf, options: ServerOptions) -> Result<Self> {
        let (child, ready) = launch(program, &data, "127.0.0.1:0", &options)?;
        Ok(Self {
            program: program.to_owned(),
            data,
            options,
            address: text(&ready, "listen")?
                .parse()
                .context("the server's address")?,
            link: text(&ready, "server")?.to_owned(),
            child,
        })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of its data.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The process.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without a warning, as a power cut of the process would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill the server")?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again, and ends it without a warning after a time that it may need to start.
    pub(crate) fn restart_and_kill(&mut self, after: Duration) -> Result<()> {
        let listen = self.address.to_string();
        self.child = command(&self.program, &self.data, &listen, &self.options)?
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        std::thread::park_timeout(after);
        self.kill()
    }

    /// Starts it again on the same data and the same port.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let listen = self.address.to_string();
        let (child, _) = launch(&self.program, &self.data, &listen, &self.options)?;
        self.child = child;
        Ok(())
    }

    /// A new invite for one registration.
    pub(crate) fn invite(&self) -> Result<String> {
        let output = self.tool(&["--json", "invite", "new"])?;
        let object: Value = serde_json::from_str(output.trim()).context("not JSON")?;
        Ok(text(&object, "invite")?.to_owned())
    }

    /// Runs another `waxwingd` command on the same data and gives what it printed.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .arg("--data")
            .arg(&self.data)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!(
                "`waxwingd {}` ended with {}\n{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        String::from_utf8(output.stdout).context("the output is not UTF-8")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `waxwingd up`, not started.
fn command(program: &Path, data: &Path, listen: &str, options: &ServerOptions) -> Result<Command> {
    let log = match &options.log {
        Some(path) => std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?
            .into(),
        None => Stdio::null(),
    };
    let mut command = Command::new(program);
    if let Some(user) = options.user {
        as_user(&mut command, user);
    }
    command
        .args(["--json", "up", "--listen", listen])
        .arg("--data")
        .arg(data)
        .args(&options.arguments)
        .stdin(Stdio::null())
        .stderr(log);
    Ok(command)
}

/// Starts `waxwingd up` and waits for the line that says that it serves.
fn launch(
    program: &Path,
    data: &Path,
    listen: &str,
    options: &ServerOptions,
) -> Result<(Child, Value)> {
    let mut child = command(program, data, listen, options)?
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let stdout = child.stdout.take().context("no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    let ready = lines
        .by_ref()
        .map_while(std::result::Result::ok)
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .find(|object| object.get("type").and_then(Value::as_str) == Some("ready"));
    let Some(ready) = ready else {
        let status = child.wait()?;
        bail!("the server did not start: {status}");
    };
    // Keep the pipe open, so that later output does not end the server.
    std::thread::spawn(move || lines.for_each(drop));
    Ok((child, ready))
}

/// Lets a command run as another user and group of the same number.
#[cfg(unix)]
pub(crate) fn as_user(command: &mut Command, user: u32) {
    use std::os::unix::process::CommandExt;
    command.uid(user).gid(user);
}

#[cfg(not(unix))]
pub(crate) fn as_user(_command: &mut Command, _user: u32) {}
