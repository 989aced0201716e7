// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a command that failed says: what happened, why it matters, what to type next.
//! The texts themselves are in [`crate::text`].

use core::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

/// The exit code of a process, the same numbers in server and client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The caller asked for something that cannot be done as it stands.
    User = 1,
    /// A network address cannot be used, or a server does not answer.
    Network = 3,
    /// The data folder is in use, or cannot be opened.
    Store = 6,
    /// What was named does not exist.
    NotFound = 7,
    /// A fault of the program or of the machine that it runs on.
    Fault = 70,
}

/// One step that gets the caller further.
#[derive(Debug, Clone)]
pub(crate) struct Hint {
    /// What the step is for.
    pub(crate) label: String,
    /// The command to type.
    pub(crate) command: String,
}

/// A command that failed, in words for people and in a code for programs.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Stable, snake_case.
    pub(crate) code: &'static str,
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) what: String,
    /// Why it matters.
    pub(crate) why: String,
    /// What to type next.
    pub(crate) next: Vec<Hint>,
}

impl Failure {
    pub(crate) fn new(code: &'static str, exit: Exit, what: impl Into<String>) -> Self {
        Self {
            code,
            exit,
            what: what.into(),
            why: String::new(),
            next: Vec::new(),
        }
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    pub(crate) fn next(mut self, label: &str, command: impl Into<String>) -> Self {
        self.next.push(Hint {
            label: label.to_owned(),
            command: command.into(),
        });
        self
    }

    /// The same, with the hints for the data folder that the caller named.
    pub(crate) fn at(&self, data: Option<&Path>) -> Self {
        let mut failure = self.clone();
        let Some(data) = data else { return failure };
        for hint in &mut failure.next {
            let command = &mut hint.command;
            if command.starts_with("waxwingd ")
                && !command.contains("--data")
                && !command.contains("--help")
            {
                command.push_str(&format!(" --data {}", crate::text::quoted(data)));
            }
        }
        failure
    }

    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.exit {
            Exit::User => 1,
            Exit::Network => 3,
            Exit::Store => 6,
            Exit::NotFound => 7,
            Exit::Fault => 70,
        }
    }

    /// Several lines for a terminal; `red` and `plain` stand around the code.
    pub(crate) fn for_people(&self, red: &str, plain: &str) -> String {
        let mut text = format!("{red}error[{}]{plain}: {}\n", self.code, self.what);
        for line in self.why.lines() {
            let _ = writeln!(text, "  {line}");
        }
        let longest = self.next.iter().map(|hint| hint.label.len()).max();
        let width = longest.unwrap_or(0).saturating_add(1);
        for hint in &self.next {
            let label = format!("{}:", hint.label);
            let _ = writeln!(text, "  {label:width$}   {}", hint.command);
        }
        text
    }

    /// One line for programs.
    pub(crate) fn for_programs(&self) -> Value {
        let hints: Vec<&str> = self.next.iter().map(|hint| hint.command.as_str()).collect();
        json!({
            "v": 1,
            "type": "error",
            "code": self.code,
            "exit": self.exit_code(),
            "message": self.what,
            "why": self.why,
            "hint": hints,
        })
    }
}
