// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where results and notes go: results to standard output, everything else to standard error.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use crate::failure::Failure;

/// How a command speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON object a line instead of text for people.
    pub(crate) json: bool,
    /// No notes.
    pub(crate) quiet: bool,
}

impl Output {
    /// Whether a person sees standard output as it is written.
    pub(crate) fn is_terminal(self) -> bool {
        !self.json && io::stdout().is_terminal()
    }

    /// A result: `text` for people, or `value` for programs.
    pub(crate) fn result(self, text: &str, value: &Value) -> Result<(), Failure> {
        if self.json {
            self.text(&format!("{value}\n"))
        } else {
            self.text(text)
        }
    }

    /// A result that is text in either mode.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match written {
            // Whoever read the output has seen enough of it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(crate::text::output_failed(&error)),
            Ok(()) => Ok(()),
        }
    }

    /// A remark for people beside the result.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }

    /// A failure, in the form that was asked for.
    pub(crate) fn failure(self, failure: &Failure) {
        let mut err = anstream::stderr().lock();
        let _ = if self.json {
            writeln!(err, "{}", failure.for_programs())
        } else {
            write!(err, "{}", failure.for_people("\u{1b}[1;31m", "\u{1b}[0m"))
        };
    }
}
