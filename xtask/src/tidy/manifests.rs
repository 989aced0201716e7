// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every crate takes lints, licence and toolchain from the workspace, so that no crate is laxer.

use toml::{Table, Value};

use super::source::MAY_BE_UNSAFE;
use super::tree::Tree;
use super::{Finding, Report};

/// What a crate's `[package]` takes from the workspace.
const INHERITED: [&str; 4] = ["edition", "rust-version", "license", "publish"];

/// Checks the manifest of every crate.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    let manifests = tree.files.iter().filter(|file| {
        let crates = file.path.starts_with("crates/") || file.path.starts_with("xtask/");
        crates && file.path.ends_with("/Cargo.toml")
    });
    for file in manifests {
        report.errors(
            check_one(&file.text, file.path.starts_with(MAY_BE_UNSAFE))
                .into_iter()
                .map(|message| Finding::new(file.path.as_str(), message)),
        );
    }
}

/// A crate with `own_lints` has a table of its own in place of the workspace's.
fn check_one(text: &str, own_lints: bool) -> Vec<String> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("cannot be read: {}", error.message())],
    };
    let inherits = |value: Option<&Value>| {
        value
            .and_then(|value| value.get("workspace"))
            .and_then(Value::as_bool)
            == Some(true)
    };
    let mut found = Vec::new();
    let has_own = own_lints
        && table
            .get("lints")
            .and_then(|lints| lints.get("clippy"))
            .is_some();
    if !inherits(table.get("lints")) && !has_own {
        found.push("needs `[lints]` with `workspace = true`".to_owned());
    }
    for key in INHERITED {
        if !inherits(table.get("package").and_then(|package| package.get(key))) {
            found.push(format!("needs `{key}.workspace = true`"));
        }
    }
    for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let dependencies = table.get(section).and_then(Value::as_table);
        for (name, value) in dependencies.into_iter().flatten() {
            // A crate that turns its own features on for its tests names itself.
            let itself = value.get("path").and_then(Value::as_str) == Some(".");
            if !itself && !inherits(Some(value)) {
                found.push(format!(
                    "`{name}` needs `workspace = true`: versions are in one place"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
        [package]
        name = \"a\"
        edition.workspace = true
        rust-version.workspace = true
        license.workspace = true
        publish.workspace = true
        [dependencies]
        bytes.workspace = true
        prost = { workspace = true, optional = true }
        [lints]
        workspace = true
    ";

    #[test]
    fn a_crate_that_inherits_is_accepted() {
        assert_eq!(check_one(GOOD, false), Vec::<String>::new());
    }

    #[test]
    fn each_departure_is_found() {
        for (old, new) in [
            (
                "[lints]\n        workspace = true",
                "[lints.clippy]\n        panic = \"allow\"",
            ),
            ("license.workspace = true", "license = \"MIT\""),
            ("bytes.workspace = true", "bytes = \"1\""),
            ("[package]", "[package"),
        ] {
            assert_eq!(check_one(&GOOD.replace(old, new), false).len(), 1, "{new}");
        }
    }

    #[test]
    fn the_one_crate_that_may_be_unsafe_has_lints_of_its_own() {
        let own = "[lints.clippy]\n        panic = \"deny\"";
        let with = |lints: &str| GOOD.replace("[lints]\n        workspace = true", lints);
        assert_eq!(check_one(&with(own), true), Vec::<String>::new());
        assert_eq!(check_one(&with(own), false).len(), 1);
        assert_eq!(check_one(&with(""), true).len(), 1);
    }

    #[test]
    fn every_manifest_of_the_tree_is_looked_at() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", "[package]"),
            ("Cargo.toml", "[workspace]"),
        ]);
        let mut report = Report::default();
        check(&tree, &mut report);
        assert_eq!(report.errors.len(), 5);
        assert!(
            report
                .errors
                .iter()
                .all(|finding| finding.place == "crates/a/Cargo.toml")
        );
    }
}
