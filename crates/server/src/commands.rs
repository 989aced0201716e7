// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands, one file each where they do more than print.

mod backup;
mod disclose;
mod doctor;
mod invite;
mod key;
mod print;
mod serve;
mod verify;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::folder::Folder;
use crate::output::Output;
use crate::{panics, platform, text};

/// What every command gets.
pub(crate) struct Scene {
    pub(crate) folder: Folder,
    pub(crate) output: Output,
    pub(crate) verbose: bool,
    /// What hints carry so that they reach the same folder: ` --data DIR`, or nothing.
    pub(crate) data_option: String,
}

/// Runs the command that was typed.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let data_option = match &cli.global.data {
        Some(data) => format!(" --data {}", text::quoted(data)),
        None => String::new(),
    };
    let path = cli
        .global
        .data
        .unwrap_or_else(platform::default_data_folder);
    let scene = Scene {
        folder: Folder::new(path),
        output: Output {
            json: cli.global.json,
            quiet: cli.global.quiet,
        },
        verbose: cli.global.verbose,
        data_option,
    };
    panics::watch(scene.output, scene.folder.path().to_owned());
    platform::survive_file_size_limit().map_err(|error| text::runtime_failed(&error))?;
    match cli.command {
        Command::Up(args) => serve::up(&scene, args),
        Command::Serve(args) => serve::serve(&scene, &args),
        Command::Init(place) => serve::init(&scene, &place),
        Command::Invite(command) => invite::run(&scene, command),
        Command::Key(command) => key::run(&scene, &command),
        Command::Disclose(args) => disclose::run(&scene, args),
        Command::Doctor => doctor::run(&scene),
        Command::Verify => verify::run(&scene),
        Command::Export { file } => backup::export(&scene, &file),
        Command::Import { file } => backup::import(&scene, &file),
        Command::Rebuild => backup::rebuild(&scene),
        Command::Completions { shell } => print::completions(&scene, shell),
        Command::Man { command } => print::man(&scene, command.as_deref()),
        Command::Version => print::version(&scene),
    }
}
