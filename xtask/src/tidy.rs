// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask tidy`: the rules of this repository that no compiler checks.
//!
//! Each rule is a file below `tidy/`: a function from text or a resolved graph to findings, with
//! tests that show that a violation is found.

mod attributes;
mod code;
mod edges;
mod features;
mod graph;
mod licences;
mod limits;
mod manifests;
mod pure;
mod source;
mod spdx;
mod specification;
mod tree;

use std::fmt;

use anyhow::{Context as _, Result};

use crate::workspace;
use tree::Tree;

/// The targets that Waxwing supports; the dependency rules hold on the graph of each.
const TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
];

/// Dependency direction, forbidden edges, licences, file sizes, specification references and bounds.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask tidy           every rule
  cargo xtask tidy --strict  a sentence of the specification that nobody cites is an error, too
  cargo xtask tidy --list    also shows the uncited sentences and the long files one by one")]
pub(crate) struct Tidy {
    /// Treat warnings as errors.
    #[arg(long)]
    strict: bool,
    /// Show each warning, not only their number.
    #[arg(long)]
    list: bool,
}

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// A path below the repository's root, with a line where there is one.
    pub(crate) place: String,
    /// What is wrong, and what to do about it.
    pub(crate) message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }

    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// What the rules found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Report {
    fn errors(&mut self, found: impl IntoIterator<Item = Finding>) {
        self.errors.extend(found);
    }

    fn warnings(&mut self, found: impl IntoIterator<Item = Finding>) {
        self.warnings.extend(found);
    }
}

impl Tidy {
    /// Checks every rule, prints what is broken and says whether all hold.
    pub(crate) fn run(self) -> Result<bool> {
        let root = workspace::root();
        let tree = Tree::read(&root)?;
        let mut report = Report::default();
        source::check(&tree, &mut report);
        pure::check(&tree, &mut report);
        specification::check(&tree, &mut report);
        limits::check(&tree, &mut report);
        manifests::check(&tree, &mut report);
        let policy =
            licences::Policy::parse(tree.text("deny.toml").context("deny.toml is missing")?)?;
        for target in TARGETS {
            let graph = graph::Graph::resolve(&root, target)?;
            report.errors(edges::check(&graph));
            report.errors(licences::check(&graph, &policy));
        }
        self.print(report, tree.files.len())
    }

    fn print(&self, mut report: Report, files: usize) -> Result<bool> {
        report.errors.sort();
        report.errors.dedup();
        report.warnings.sort();
        let deny = if workspace::has_subcommand("deny") {
            workspace::succeeds(workspace::cargo().args([
                "deny",
                "--workspace",
                "check",
                "bans",
                "licenses",
                "sources",
            ]))?
        } else {
            true
        };
        for finding in &report.errors {
            println!("error: {finding}");
        }
        for finding in report.warnings.iter().filter(|_| self.list || self.strict) {
            println!("warning: {finding}");
        }
        println!(
            "tidy: {files} files and {} targets checked, {} errors, {} warnings",
            TARGETS.len(),
            report.errors.len(),
            report.warnings.len()
        );
        Ok(deny && report.errors.is_empty() && (!self.strict || report.warnings.is_empty()))
    }
}
