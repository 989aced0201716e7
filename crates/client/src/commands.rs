// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the commands do. Each opens a session, makes its calls, says what came of them, and closes.

mod close;
mod contacts;
mod devices;
mod doctor;
mod host;
mod receive;
mod recover;
mod register;
mod send;
mod shell;
mod show;
mod verify;
mod words;

use crate::cli::Command;
use crate::fault::Outcome;
use crate::session::Context;

/// Runs a command that needs no profile; gives back those that do.
pub(crate) fn without_profile(
    command: Command,
    console: &crate::console::Console,
) -> Result<Outcome, Command> {
    match command {
        Command::Completions { shell } => Ok(shell::completions(shell, console)),
        Command::Man => Ok(shell::man(console)),
        Command::Version => Ok(shell::version(console)),
        command => Err(command),
    }
}

/// Runs a command.
pub(crate) async fn run(command: Command, context: &mut Context) -> Outcome {
    match command {
        Command::Register(arguments) => register::register(arguments, context).await,
        Command::Recover(arguments) => recover::recover(arguments, context).await,
        Command::CloseAccount(arguments) => close::close(arguments, context).await,
        Command::Receipts(arguments) => show::receipts(&arguments, context).await,
        Command::Contacts(which) => contacts::contacts(which, context).await,
        Command::Send(arguments) => send::send(arguments, context).await,
        Command::Receive(arguments) => receive::receive(&arguments, context).await,
        Command::History(arguments) => show::history(arguments, context).await,
        Command::Verify(arguments) => verify::verify(arguments, context).await,
        Command::Devices(which) => devices::devices(which, context).await,
        Command::Status => show::status(context).await,
        Command::Doctor => doctor::doctor(context).await,
        Command::Lock => host::lock(context).await,
        Command::Unlock(arguments) => host::unlock(arguments, context).await,
        Command::Host(arguments) => host::host(&arguments, context).await,
        Command::Completions { .. } | Command::Man | Command::Version => {
            Err(crate::fault::Fault::bug("a command that needs no profile"))
        }
    }
}
