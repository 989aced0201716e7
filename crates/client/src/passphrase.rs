// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the passphrase of a store comes from: a file, a file descriptor, a command or a prompt.
//!
//! Never an argument and never an environment variable: other users of the machine can read those.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use crate::cli::Global;
use crate::console::Console;
use crate::fault::{Code, Fault, Outcome};
use crate::platform;
use crate::text;

/// The longest passphrase, in bytes. A longer first line is a mistaken file.
const LENGTH_MAX: u64 = 4096;

/// A passphrase; wiped on drop.
pub(crate) type Passphrase = Zeroizing<Vec<u8>>;

/// The sources of one invocation, in their order, and what came from them: a file descriptor can be
/// read once only.
#[derive(Debug)]
pub(crate) struct Sources {
    global: Global,
    command: Option<Vec<String>>,
    found: Option<Passphrase>,
}

impl Sources {
    /// The sources that the command line and the configuration name.
    pub(crate) const fn new(global: Global, command: Option<Vec<String>>) -> Self {
        Self {
            global,
            command,
            found: None,
        }
    }

    /// Whether a passphrase comes without asking anybody.
    pub(crate) const fn is_silent(&self) -> bool {
        self.found.is_some() || self.is_typed() || self.command.is_some()
    }

    /// Whether the command line names a source.
    pub(crate) const fn is_typed(&self) -> bool {
        self.global.passphrase_file.is_some() || self.global.passphrase_fd.is_some()
    }

    /// The passphrase of an existing store.
    pub(crate) async fn existing(&mut self, console: &Console) -> Outcome<Passphrase> {
        if let Some(found) = self.silent().await? {
            return Ok(found);
        }
        let typed = console.secret(text::prompts::PASSPHRASE).await?;
        Ok(self
            .found
            .insert(Zeroizing::new(typed.as_bytes().to_vec()))
            .clone())
    }

    /// The passphrase for a new store; a typed one is asked for twice.
    pub(crate) async fn new_store(&mut self, console: &Console) -> Outcome<Passphrase> {
        if let Some(found) = self.silent().await? {
            return Ok(found);
        }
        loop {
            if !console.asks() {
                return Err(Code::PassphraseNeeded.into());
            }
            let typed = console.secret(text::prompts::NEW_PASSPHRASE).await?;
            if typed.is_empty() {
                console.note(text::prompts::EMPTY_PASSPHRASE)?;
                continue;
            }
            let again = console.secret(text::prompts::NEW_PASSPHRASE_AGAIN).await?;
            if *typed == *again {
                return Ok(self
                    .found
                    .insert(Zeroizing::new(typed.as_bytes().to_vec()))
                    .clone());
            }
            console.note(text::prompts::PASSPHRASES_DIFFER)?;
        }
    }

    async fn silent(&mut self) -> Outcome<Option<Passphrase>> {
        if self.found.is_none() {
            let (global, command) = (self.global.clone(), self.command.clone());
            // A file may be a pipe, and a command may ask its own user: both can take long.
            self.found = tokio::task::spawn_blocking(move || read(&global, command.as_deref()))
                .await
                .map_err(|_| Fault::bug("reading the passphrase"))??;
        }
        Ok(self.found.clone())
    }
}

fn read(global: &Global, command: Option<&[String]>) -> Outcome<Option<Passphrase>> {
    if let Some(number) = global.passphrase_fd {
        let subject = format!("--passphrase-fd {number}");
        let file = platform::descriptor(number).map_err(|error| source(&subject, error))?;
        return first_line(file, &subject).map(Some);
    }
    if let Some(path) = &global.passphrase_file {
        return file(path).map(Some);
    }
    match command {
        Some([program, arguments @ ..]) => run(program, arguments).map(Some),
        Some([]) => Err(source("passphrase_command", "it is empty")),
        None => Ok(None),
    }
}

fn file(path: &Path) -> Outcome<Passphrase> {
    let subject = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| source(&subject, error))?;
    first_line(file, &subject)
}

fn run(program: &str, arguments: &[String]) -> Outcome<Passphrase> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| source(program, error))?;
    let output = child.stdout.take().ok_or_else(|| Fault::bug("a pipe"))?;
    let found = first_line(output, program);
    let status = child.wait().map_err(|error| source(program, error))?;
    if status.success() {
        found
    } else {
        Err(source(program, status))
    }
}

/// The first line without its end. An empty one is a mistake: it would protect nothing.
fn first_line(source_of_line: impl Read, subject: &str) -> Outcome<Passphrase> {
    // Room for the longest line at once: growing would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(4100));
    BufReader::new(source_of_line)
        .take(LENGTH_MAX.saturating_add(2))
        .read_until(b'\n', &mut line)
        .map_err(|error| source(subject, error))?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.is_empty() {
        return Err(source(subject, "its first line is empty"));
    }
    if u64::try_from(line.len()).is_ok_and(|length| length > LENGTH_MAX) {
        return Err(source(subject, "its first line is too long"));
    }
    Ok(line)
}

fn source(subject: &str, cause: impl ToString) -> Fault {
    Fault::new(Code::PassphraseSource)
        .about(subject)
        .because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_and_must_not_be_empty() {
        for (text, expected) in [
            ("one\ntwo\n", "one"),
            ("one\r\n", "one"),
            ("one", "one"),
            (" a b ", " a b "),
        ] {
            assert_eq!(
                first_line(text.as_bytes(), "f").unwrap().as_slice(),
                expected.as_bytes()
            );
        }
        assert!(first_line(&b"\n"[..], "f").is_err());
        assert!(first_line(&b""[..], "f").is_err());
        assert!(first_line(&[b'a'; 5000][..], "f").is_err());
    }

    #[test]
    fn a_command_is_run_without_a_shell() {
        let passphrase = run("printf", &["a;b $HOME\\nrest".to_owned()]).unwrap();
        assert_eq!(passphrase.as_slice(), b"a;b $HOME");
        assert!(run("false", &[]).is_err());
        assert!(run("/nonexistent", &[]).is_err());
    }
}
