// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask vectors`: the known answers of `vectors/v1`, made again by the second
//! implementation in Python and compared with the files, or written.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Makes the known answers again with the second implementation, and compares them.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask vectors          make them again and compare
  cargo xtask vectors --check  the same
  cargo xtask vectors --write  replace the files")]
pub(crate) struct Vectors {
    /// Compare with the files and change nothing; this is the default.
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Write the files.
    #[arg(long)]
    write: bool,
    /// The Python that makes the virtual environment.
    #[arg(long, default_value = "python3")]
    python: String,
}

impl Vectors {
    pub(crate) fn run(&self) -> Result<bool> {
        let folder = workspace::root().join("vectors");
        let environment = workspace::target_folder()?.join("vectors-environment");
        let python = environment.join(if cfg!(windows) {
            "Scripts/python.exe"
        } else {
            "bin/python"
        });
        self.prepare(&folder, &environment, &python)?;
        let mut command = Command::new(&python);
        command.arg("-B").arg(folder.join("generate.py"));
        if self.check || !self.write {
            command.arg("--check");
        }
        let status = command.status().context("run vectors/generate.py")?;
        Ok(status.success())
    }

    /// Makes the environment, and installs what is pinned where the pins have changed.
    fn prepare(&self, folder: &Path, environment: &Path, python: &Path) -> Result<()> {
        let pins = folder.join("requirements.txt");
        let wanted = std::fs::read(&pins).context("read vectors/requirements.txt")?;
        let installed = environment.join("installed.txt");
        if python.exists() && std::fs::read(&installed).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        println!("making {}", environment.display());
        let made = Command::new(&self.python)
            .args(["-m", "venv"])
            .arg(environment)
            .status()
            .with_context(|| format!("run {}", self.python))?;
        ensure!(made.success(), "the virtual environment was not made");
        let filled = Command::new(python)
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(&pins)
            .status()
            .context("run pip")?;
        ensure!(filled.success(), "the pinned packages were not installed");
        std::fs::write(&installed, wanted).context("note what is installed")
    }
}
