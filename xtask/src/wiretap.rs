// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask wiretap`: records a run, and searches everything that others could get at.

mod canary;
mod dumpable;
mod form;
mod memory;
mod play;
mod record;
mod report;
mod search;
mod secrets;

use anyhow::Result;
use clap::Args;

/// Why there is no wiretap on an operating system; `None` where there is one.
fn refusal(system: &str) -> Option<String> {
    (system != "linux").then(|| {
        format!(
            "there is no wiretap on {system}\n  \
             It reads the memory of the server and of the clients through /proc, which only Linux has; \
             without that it could not tell whether a secret is there.\n  \
             on a Linux machine or in a container:  cargo xtask wiretap\n  \
             here, without the search:              cargo xtask demo --check"
        )
    })
}

/// Record a run, and search traffic, server, logs and sealed profiles for its secrets.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask wiretap                 one line a place: bytes searched, leaks, planted leaks found
  cargo xtask wiretap --json          the same as one JSON object
  cargo xtask wiretap --record relay  record by a UDP relay, as where no raw socket is permitted
  cargo xtask wiretap --keep evidence leave traffic, logs and data in the folder `evidence`

Linux only.

The run is that of `cargo xtask demo`, with texts and labels that occur nowhere else. Every message,
every private label, the recovery words, the passphrase and every secret key that a client stored
is searched for as it is, in base64 (each alignment, both alphabets), in hex (both cases) and, if it
is a text, in UTF-16 (both orders). Names and public keys are known to the server and not searched
for. Some leaks are planted on purpose: one that is not found is a failure, as is any leak found.")]
pub(crate) struct Wiretap {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How to record; a raw socket where it is permitted, if not said
    #[arg(long, value_enum, value_name = "WAY")]
    record: Option<record::Way>,
    /// Leave everything in this folder, which is made; it then holds the secrets of the run
    #[arg(long, value_name = "DIR")]
    keep: Option<std::path::PathBuf>,
}

impl Wiretap {
    /// Plays, searches, reports; whether nothing was found and every planted leak was.
    pub(crate) fn run(&self) -> Result<bool> {
        if let Some(refusal) = refusal(std::env::consts::OS) {
            anyhow::bail!(refusal);
        }
        let stage = crate::stage::Stage::build()?;
        let report = play::play(&stage, self.record, self.json)?;
        if let Some(folder) = &self.keep {
            secrets::copy_folder(stage.folder(), folder)?;
        }
        if self.json {
            println!("{}", report.to_json());
        } else {
            print!("{report}");
        }
        Ok(report.holds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_run_shows_nothing_but_what_was_planted() {
        let stage = crate::stage::Stage::built().unwrap();
        let report = play::play(&stage, None, true).unwrap();
        assert!(report.holds(), "{report}");
    }

    #[test]
    fn other_systems_are_refused_with_something_to_type() {
        assert_eq!(refusal("linux"), None);
        for system in ["macos", "windows", "freebsd"] {
            let text = refusal(system).unwrap();
            assert!(
                text.contains(system) && text.contains("cargo xtask demo --check"),
                "{text}"
            );
        }
        // What is refused here would be refused everywhere else by the same name.
        assert_eq!(
            refusal(std::env::consts::OS).is_none(),
            cfg!(target_os = "linux")
        );
    }
}
