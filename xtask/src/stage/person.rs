// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A person: profiles of `waxwing` under folders that nobody else uses.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Somebody who runs `waxwing`. Each device is a profile.
pub(crate) struct Person {
    program: PathBuf,
    home: PathBuf,
    /// What the person is called on the server, and the name of the first profile.
    pub(crate) name: String,
    /// What others call the person; only they see it.
    pub(crate) label: String,
    passphrase_file: Option<PathBuf>,
    log: Option<PathBuf>,
}

impl Person {
    pub(super) fn new(program: &Path, people: &Path, name: &str) -> Result<Self> {
        let home = people.join(name);
        for folder in ["run", "data", "config", "state", "cache"] {
            std::fs::create_dir_all(home.join(folder))?;
        }
        restrict(&home.join("run"))?;
        Ok(Self {
            program: program.to_owned(),
            home,
            name: name.to_owned(),
            label: name.to_owned(),
            passphrase_file: None,
            log: None,
        })
    }

    /// Seals the profiles with a passphrase, which comes from a file.
    pub(crate) fn protected_by(mut self, passphrase: &str) -> Result<Self> {
        let path = self.home.join("passphrase");
        std::fs::write(&path, passphrase)?;
        self.passphrase_file = Some(path);
        Ok(self)
    }

    /// Has another name on the server and in profiles than its folder has.
    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        name.clone_into(&mut self.label);
        self
    }

    /// Is called something else by others.
    pub(crate) fn called(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// Lets the commands log everything that they can into a file.
    pub(crate) fn logging_to(mut self, path: &Path) -> Self {
        self.log = Some(path.to_owned());
        self
    }

    /// The options of a command that makes a profile.
    pub(crate) const fn protection(&self) -> &'static [&'static str] {
        if self.passphrase_file.is_some() {
            &[]
        } else {
            &["--unprotected"]
        }
    }

    /// The file that the recovery words are written to.
    pub(crate) fn words_file(&self) -> PathBuf {
        self.home.join("words")
    }

    /// The folder of a profile.
    pub(crate) fn profile_folder(&self, profile: &str) -> PathBuf {
        self.home.join("data/waxwing/profiles").join(profile)
    }

    /// The folder that holds everything of this person.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// `waxwing --profile PROFILE …` in this person's folders, not started.
    pub(crate) fn command(&self, profile: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("HOME", &self.home)
            .env("XDG_RUNTIME_DIR", self.home.join("run"))
            .env("XDG_DATA_HOME", self.home.join("data"))
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("XDG_STATE_HOME", self.home.join("state"))
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .args(["--profile", profile]);
        if let Some(path) = &self.passphrase_file {
            command.arg("--passphrase-file").arg(path);
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// A command for a program to read, logging as it was asked for.
    fn silent_command(&self, profile: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(profile, &["--json", "--no-input"]);
        if self.log.is_some() {
            command.arg("-vvv");
        }
        command.args(arguments);
        command
    }

    fn open_log(&self) -> Result<Option<File>> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(self.log.as_ref().map(open).transpose()?)
    }

    /// Runs a command with `--json` to its end and gives the objects that it printed.
    pub(crate) fn run(&self, profile: &str, arguments: &[&str]) -> Result<Vec<Value>> {
        let output = self
            .silent_command(profile, arguments)
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        if let Some(mut log) = self.open_log()? {
            log.write_all(&output.stderr)?;
        }
        if !output.status.success() {
            bail!("{}", failure(&self.name, arguments, &output));
        }
        objects(&output.stdout)
    }

    /// Runs a command that prints one object.
    pub(crate) fn run_for_one(&self, profile: &str, arguments: &[&str]) -> Result<Value> {
        self.run(profile, arguments)?
            .pop()
            .with_context(|| format!("`waxwing {}` printed nothing", arguments.join(" ")))
    }

    /// Starts a command with `--json` whose output goes to the end of a file.
    pub(crate) fn start_into(
        &self,
        profile: &str,
        arguments: &[&str],
        output: &Path,
    ) -> Result<Running> {
        let output = OpenOptions::new().create(true).append(true).open(output)?;
        let child = self
            .silent_command(profile, arguments)
            .stdout(output)
            .stderr(self.open_log()?.map_or_else(Stdio::null, Stdio::from))
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Running(child))
    }

    /// Starts a command with `--json` and waits for its first object only.
    pub(crate) fn start(&self, profile: &str, arguments: &[&str]) -> Result<(Running, Value)> {
        let child = self
            .silent_command(profile, arguments)
            .stdout(Stdio::piped())
            .stderr(self.open_log()?.map_or_else(Stdio::inherit, Stdio::from))
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut running = Running(child);
        let stdout = running.0.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = lines
            .next()
            .with_context(|| format!("`waxwing {}` printed nothing", arguments.join(" ")))??;
        let first = serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
        // Keep the pipe open, so that the program's later output does not end it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok((running, first))
    }
}

/// A program that runs; killed when it is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Ends it without a warning.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.0.kill().context("cannot kill a program")?;
        self.0.wait()?;
        Ok(())
    }

    /// Waits for the end and wants it to be a success.
    pub(crate) fn finish(mut self) -> Result<()> {
        let status = self.0.wait()?;
        if !status.success() {
            bail!("a program ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the program has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn objects(stdout: &[u8]) -> Result<Vec<Value>> {
    let text = std::str::from_utf8(stdout).context("the output is not UTF-8")?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
        .collect()
}

fn failure(name: &str, arguments: &[&str], output: &Output) -> String {
    format!(
        "{name}: `waxwing {}` ended with {}\n{}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    )
}

#[cfg(unix)]
fn restrict(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}

#[cfg(not(unix))]
fn restrict(_folder: &Path) -> Result<()> {
    Ok(())
}
