// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two streams that people and scripts read: results on standard output, everything else on
//! standard error.

mod prompt;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::cli::Global;
use crate::fault::{Code, Fault, Outcome};
use crate::text::faults::Explanation;
use crate::{platform, text};

/// How this invocation talks.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    pub(crate) json: bool,
    /// No drawing: codes as text, no table padding.
    pub(crate) plain: bool,
    quiet: bool,
    asks: bool,
    colour_results: bool,
    colour_errors: bool,
    /// What hints begin with: the program and the profile.
    program: Vec<String>,
}

/// How a piece of text is shown where colour is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    Strong,
    Faint,
    Good,
    Bad,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
        }
    }
}

impl Console {
    pub(crate) fn new(global: &Global) -> Self {
        let (input, output, errors) = platform::terminals();
        let colour =
            !(global.no_color || global.plain || global.json || platform::colour_is_unwanted());
        let mut program = vec!["waxwing".to_owned()];
        if global.profile != "default" {
            program.extend(["--profile".to_owned(), global.profile.clone()]);
        }
        Self {
            json: global.json,
            plain: global.plain || !output,
            quiet: global.quiet,
            asks: input && errors && !global.no_input,
            colour_results: colour && output,
            colour_errors: colour && errors,
            program,
        }
    }

    /// Whether somebody is there to be asked.
    pub(crate) const fn asks(&self) -> bool {
        self.asks
    }

    /// A command that can be typed: the program, the profile, the rest.
    pub(crate) fn command(&self, arguments: &[&str]) -> Vec<String> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.program.iter().cloned().chain(arguments).collect()
    }

    /// Text for a result line, coloured where wanted.
    pub(crate) fn tint(&self, tone: Tone, text: &str) -> String {
        paint(self.colour_results, tone, text)
    }

    /// Prints one line of result, and does not return before it is out.
    pub(crate) fn print(&self, line: &str) -> Outcome {
        let mut output = io::stdout().lock();
        out(output
            .write_all(line.as_bytes())
            .and_then(|()| output.write_all(b"\n")))?;
        out(output.flush())
    }

    /// Prints one object as a line of JSON.
    pub(crate) fn object<T: Serialize>(&self, object: &T) -> Outcome {
        let line = serde_json::to_string(object).map_err(|_| Fault::bug("an object"))?;
        self.print(&line)
    }

    /// Prints an object, or what it says to people.
    pub(crate) fn show<T: Serialize>(
        &self,
        object: &T,
        human: impl FnOnce(&Self) -> String,
    ) -> Outcome {
        if self.json {
            self.object(object)
        } else {
            self.print(&human(self))
        }
    }

    /// Says something beside the result. Nobody is served by a failure to say it.
    pub(crate) fn note(&self, line: &str) -> Outcome {
        if !self.quiet {
            self.say(line);
        }
        Ok(())
    }

    /// Says something that must be read, `--quiet` or not.
    pub(crate) fn say(&self, line: &str) {
        let mut errors = io::stderr().lock();
        let _ = errors
            .write_all(line.as_bytes())
            .and_then(|()| errors.write_all(b"\n"));
    }

    /// Says why a command failed.
    pub(crate) fn fail(&self, fault: &Fault) {
        self.explain("error", fault, &text::faults::explain(fault, &self.program));
    }

    /// Says something that the user must look at, while the command goes on.
    pub(crate) fn alarm(&self, fault: &Fault) {
        self.explain("alarm", fault, &text::faults::alarm(fault, &self.program));
    }

    fn explain(&self, kind: &'static str, fault: &Fault, explanation: &Explanation) {
        if self.json {
            let error = text::faults::ErrorLine::new(kind, fault, explanation);
            if let Ok(line) = serde_json::to_string(&error) {
                self.say(&line);
            }
            return;
        }
        let head = paint(
            self.colour_errors,
            Tone::Bad,
            &format!("{kind}[{}]:", fault.code.as_str()),
        );
        self.say(&format!("{head} {}", explanation.what));
        if !explanation.why.is_empty() {
            self.say(&format!("  {}", explanation.why));
        }
        let width = explanation
            .hints
            .iter()
            .map(|hint| hint.label.chars().count())
            .max();
        for hint in &explanation.hints {
            let command = paint(
                self.colour_errors,
                Tone::Strong,
                &text::shell(&hint.command),
            );
            let width = width.unwrap_or_default().saturating_add(1);
            self.say(&format!(
                "  {:width$} {command}",
                format!("{}:", hint.label)
            ));
        }
    }
}

fn paint(colour: bool, tone: Tone, text: &str) -> String {
    if colour {
        let style = tone.style();
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}

/// A reader that has gone away is not an error of this command, but its output is not complete
/// either: the caller stops, and nothing that was not read is marked as shown.
fn out(written: io::Result<()>) -> Outcome {
    written.map_err(|error| {
        let cause = match error.kind() {
            io::ErrorKind::BrokenPipe => BROKEN_PIPE.to_owned(),
            _ => error.to_string(),
        };
        Fault::new(Code::Output).because(cause)
    })
}

/// The cause of a [`Code::Output`] when the reader has gone away.
pub(crate) const BROKEN_PIPE: &str = "broken pipe";
