// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Questions. They go to standard error, and an interrupt puts the terminal back as it was.

use std::io::{self, Write};

use zeroize::Zeroizing;

use super::Console;
use crate::fault::{Code, Fault, Outcome};
use crate::platform::TerminalSettings;

impl Console {
    /// Asks for something that the terminal does not show.
    pub(crate) async fn secret(&self, question: &str) -> Outcome<Zeroizing<String>> {
        self.ask_with(Code::PassphraseMissing, question, || {
            rpassword::read_password().map(Zeroizing::new)
        })
        .await
    }

    /// Asks for a line.
    pub(crate) async fn ask(&self, question: &str) -> Outcome<Zeroizing<String>> {
        self.ask_with(Code::InputNeeded, question, || {
            let mut line = Zeroizing::new(String::new());
            match io::stdin().read_line(&mut line)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(Zeroizing::new(line.trim().to_owned())),
            }
        })
        .await
    }

    /// Asks a question whose answer is yes or something else.
    pub(crate) async fn confirm(&self, question: &str) -> Outcome<bool> {
        let answer = self.ask(question).await?.to_lowercase();
        Ok(matches!(answer.as_str(), "y" | "yes"))
    }

    async fn ask_with<T: Send + 'static>(
        &self,
        otherwise: Code,
        question: &str,
        read: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Outcome<T> {
        if !self.asks() {
            return Err(Fault::new(otherwise));
        }
        let mut errors = io::stderr();
        let _ = write!(errors, "{question} ").and_then(|()| errors.flush());
        let _settings = TerminalSettings::keep();
        let answer = tokio::task::spawn_blocking(read);
        tokio::select! {
            biased;
            answer = answer => match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(Fault::new(otherwise))
                }
                // The terminal was reading without its own signals.
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    Err(Code::Interrupted.into())
                }
                Ok(Err(error)) => Err(Fault::new(Code::Input).about("-").because(error)),
                Err(_) => Err(Fault::bug("a prompt")),
            },
            _ = tokio::signal::ctrl_c() => {
                let _ = writeln!(errors);
                // The reading thread still waits for a line: the process ends without it.
                Err(Code::Interrupted.into())
            }
        }
    }
}
