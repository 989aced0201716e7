// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stage of `demo` and `wiretap`: the real binaries, a temporary folder, servers on free
//! loopback ports, and people with profiles of their own. Everything is gone when it is dropped.

mod person;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use person::{Person, Running};
pub(crate) use server::{Server, ServerOptions, as_user};

use crate::workspace;

/// The built programs and the folder that everything happens in.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    waxwing: PathBuf,
    waxwingd: PathBuf,
}

impl Stage {
    /// Builds the programs and makes the folder.
    pub(crate) fn build() -> Result<Self> {
        let built = workspace::succeeds(workspace::cargo().args([
            "build",
            "--quiet",
            "--package",
            "waxwing-server",
            "--package",
            "waxwing-client",
        ]))?;
        if !built {
            bail!("the programs do not build");
        }
        Self::of(&workspace::target_folder()?.join("debug"))
    }

    /// Takes the programs that were built with the tests, and builds them only where they are missing.
    #[cfg(test)]
    pub(crate) fn built() -> Result<Self> {
        let stage = Self::of(&workspace::target_folder()?.join("debug"))?;
        if stage.waxwing.exists() && stage.waxwingd.exists() {
            Ok(stage)
        } else {
            Self::build()
        }
    }

    fn of(programs: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("waxwing-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        Ok(Self {
            folder,
            waxwing: programs.join(format!("waxwing{}", std::env::consts::EXE_SUFFIX)),
            waxwingd: programs.join(format!("waxwingd{}", std::env::consts::EXE_SUFFIX)),
        })
    }

    /// The folder that everything happens in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's program.
    pub(crate) fn waxwingd(&self) -> &Path {
        &self.waxwingd
    }

    /// The client's program.
    pub(crate) fn waxwing(&self) -> &Path {
        &self.waxwing
    }

    /// Starts a server with its data in a folder of its own.
    pub(crate) fn server(&self, name: &str, options: ServerOptions) -> Result<Server> {
        Server::start(&self.waxwingd, self.folder().join(name), options)
    }

    /// A person with folders of their own; nothing is started.
    pub(crate) fn person(&self, name: &str) -> Result<Person> {
        Person::new(&self.waxwing, &self.folder().join("people"), name)
    }
}

/// The value of a text field of a JSON object that a program printed.
pub(crate) fn text<'a>(object: &'a serde_json::Value, field: &str) -> Result<&'a str> {
    object
        .get(field)
        .and_then(serde_json::Value::as_str)
        .with_context(|| format!("the output has no text field `{field}`: {object}"))
}
