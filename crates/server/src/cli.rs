// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line: what can be typed. The words of the help are in [`crate::text::help`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::text::help;

#[derive(Debug, Parser)]
#[command(
    name = "waxwingd",
    version,
    about = help::ABOUT,
    before_help = help::EXAMPLES,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    infer_subcommands = false
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    #[arg(long, global = true, value_name = "DIR", help = help::DATA)]
    pub(crate) data: Option<PathBuf>,
    #[arg(long, global = true, help = help::JSON)]
    pub(crate) json: bool,
    #[arg(long, global = true, help = help::NO_COLOR)]
    pub(crate) no_color: bool,
    #[arg(short, long, global = true, conflicts_with = "verbose", help = help::QUIET)]
    pub(crate) quiet: bool,
    #[arg(short, long, global = true, help = help::VERBOSE)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(about = help::UP, after_help = help::UP_EXAMPLES)]
    Up(UpArgs),
    #[command(about = help::SERVE)]
    Serve(ServeArgs),
    #[command(about = help::INIT)]
    Init(PlaceArgs),
    #[command(about = help::INVITE, subcommand, arg_required_else_help = true)]
    Invite(InviteCommand),
    #[command(about = help::KEY, after_help = help::KEY_EXAMPLES, subcommand, arg_required_else_help = true)]
    Key(KeyCommand),
    #[command(about = help::DISCLOSE, after_help = help::DISCLOSE_EXAMPLES)]
    Disclose(DiscloseArgs),
    #[command(about = help::DOCTOR)]
    Doctor,
    #[command(about = help::VERIFY)]
    Verify,
    #[command(about = help::EXPORT, after_help = help::EXPORT_EXAMPLES)]
    Export {
        #[arg(value_name = "FILE", help = help::EXPORT_FILE)]
        file: PathBuf,
    },
    #[command(about = help::IMPORT, after_help = help::IMPORT_EXAMPLES)]
    Import {
        #[arg(value_name = "FILE", help = help::IMPORT_FILE)]
        file: PathBuf,
    },
    #[command(about = help::REBUILD)]
    Rebuild,
    #[command(about = help::COMPLETIONS)]
    Completions {
        #[arg(value_name = "SHELL", help = help::SHELL)]
        shell: clap_complete::Shell,
    },
    #[command(about = help::MAN)]
    Man {
        #[arg(value_name = "COMMAND", help = help::MAN_COMMAND)]
        command: Option<String>,
    },
    #[command(about = help::VERSION)]
    Version,
}

/// Where the server listens and what it is called.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PlaceArgs {
    #[arg(long, value_name = "ADDR:PORT", help = help::LISTEN)]
    pub(crate) listen: Option<String>,
    #[arg(long, value_name = "HOST[:PORT]", help = help::NAME)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[arg(long, help = help::ALLOW_MEMORY_INSPECTION)]
    pub(crate) allow_memory_inspection: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(flatten)]
    pub(crate) invite: InviteArgs,
}

/// How good an invite is.
#[derive(Debug, Clone, Args)]
pub(crate) struct InviteArgs {
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), help = help::USES)]
    pub(crate) uses: Option<u32>,
    #[arg(long, value_name = "TIME", default_value = "7d", help = help::EXPIRES)]
    pub(crate) expires: crate::invite::Lifetime,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InviteCommand {
    #[command(about = help::INVITE_NEW)]
    New(InviteArgs),
    #[command(about = help::INVITE_LIST)]
    List,
    #[command(about = help::INVITE_REVOKE)]
    Revoke {
        #[arg(value_name = "ID", help = help::INVITE_ID)]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    #[command(about = help::KEY_PREPARE)]
    Prepare,
    #[command(about = help::KEY_SWITCH)]
    Switch,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false)]
pub(crate) struct DiscloseArgs {
    #[arg(value_name = "ACCOUNT", help = help::ACCOUNT)]
    pub(crate) account: Option<String>,
    #[arg(long, value_name = "TEXT", help = help::GREP)]
    pub(crate) grep: Option<String>,
    #[arg(long, help = help::FIELDS)]
    pub(crate) fields: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
