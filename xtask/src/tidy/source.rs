// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules about the text of single files: licence line, size, `unsafe`, silenced lints, words.

use super::tree::{File, Tree};
use super::{Finding, Report, attributes, code};

const LINES_MAX: usize = 500;
const LINES_WANTED: usize = 300;

/// The one crate that may use `unsafe`: it stands in for functions of the C library, for tests.
/// `edges.rs` checks that nothing depends on it.
pub(super) const MAY_BE_UNSAFE: &str = "crates/preload/";

/// The first line of every source file, after the sign that starts a comment.
const LICENCE_LINE: &str = "SPDX-License-Identifier: Apache-2.0 OR MIT";

/// Words that do not belong into the repository, in pieces so that this file does not hold them.
const WORDS: [(&str, &str, &str); 10] = [
    ("TO", "DO", "write the missing part, or open an issue"),
    ("FIX", "ME", "mend it, or open an issue"),
    ("todo", "!(", "write the missing part"),
    (
        "cfg(any",
        "())",
        "code that is switched off: delete it or use it",
    ),
    (
        "#[ign",
        "ore]",
        "a test that does not run, without a reason",
    ),
    ("/wo", "rk/", "a path of one machine"),
    ("/ro", "ot/", "a path of one machine"),
    ("/ho", "me/", "a path of one machine"),
    ("crates", ".io", "a registry's host; say \"the registry\""),
    (
        "docs",
        ".rs/",
        "a registry's host; name the crate and the item",
    ),
];

/// Checks every file of the tree.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    for file in &tree.files {
        let rust = file.has_extension("rs");
        if rust || file.has_extension("proto") || file.has_extension("sh") {
            report.errors(licence_line(file));
            size(file, report);
        }
        if rust {
            if !file.path.starts_with(MAY_BE_UNSAFE) {
                report.errors(without_unsafe(file));
            }
            report.errors(attributes::without_reason(&file.path, &file.text));
        }
        report.errors(words(file));
    }
}

fn licence_line(file: &File) -> Option<Finding> {
    let mut lines = file.text.lines();
    let first = lines.next().unwrap_or_default();
    let first = if first.starts_with("#!/") {
        lines.next().unwrap_or_default()
    } else {
        first
    };
    let text = first.trim_start_matches(['/', '#']).trim();
    (text != LICENCE_LINE).then(|| {
        Finding::at(
            &file.path,
            1,
            format!("the first line must be `{LICENCE_LINE}`"),
        )
    })
}

fn size(file: &File, report: &mut Report) {
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        let message =
            format!("{lines} lines, more than {LINES_MAX}: split where a second concept lives");
        report.errors([Finding::new(file.path.as_str(), message)]);
    } else if lines > LINES_WANTED {
        report.warnings([Finding::new(
            file.path.as_str(),
            format!("{lines} lines, more than {LINES_WANTED}"),
        )]);
    }
}

fn without_unsafe(file: &File) -> Vec<Finding> {
    let code = code::blanked(&file.text);
    code::words(&code, "unsafe")
        .map(|offset| {
            Finding::at(
                &file.path,
                code::line_of(&code, offset),
                "`unsafe` is forbidden",
            )
        })
        .collect()
}

fn words(file: &File) -> Vec<Finding> {
    // Made by cargo, which names its registry there.
    if file.path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for (head, tail, advice) in WORDS {
            let word = format!("{head}{tail}");
            if line.contains(&word) {
                found.push(Finding::at(
                    &file.path,
                    number,
                    format!("`{word}`: {advice}"),
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "// SPDX-License-Identifier: Apache-2.0 OR MIT\n";

    fn report(path: &str, text: &str) -> Report {
        let mut report = Report::default();
        check(&Tree::of(&[(path, text)]), &mut report);
        report
    }

    #[test]
    fn the_licence_line_comes_first() {
        assert_eq!(report("a.rs", HEAD).errors, Vec::new());
        assert_eq!(
            report(
                "a.sh",
                "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0 OR MIT\n"
            )
            .errors,
            Vec::new()
        );
        assert_eq!(report("a.rs", "//! x\n").errors.len(), 1);
        assert_eq!(
            report("a.proto", "// SPDX-License-Identifier: MIT\n")
                .errors
                .len(),
            1
        );
    }

    #[test]
    fn long_files_are_found() {
        let lines = |count| format!("{HEAD}{}", "//\n".repeat(count));
        let long = report("a.rs", &lines(400));
        assert_eq!((long.errors.len(), long.warnings.len()), (0, 1));
        assert_eq!(report("a.rs", &lines(500)).errors.len(), 1);
        assert_eq!(report("a.rs", &lines(499)).errors.len(), 0);
    }

    #[test]
    fn unsafe_code_is_found_and_the_lint_of_that_name_is_not() {
        assert_eq!(
            report("a.rs", &format!("{HEAD}fn a() {{ unsafe {{ b() }} }}"))
                .errors
                .len(),
            1
        );
        assert_eq!(
            report("a.rs", &format!("{HEAD}#[unsafe(no_mangle)] fn a() {{}}"))
                .errors
                .len(),
            1
        );
        assert_eq!(
            report("a.rs", &format!("{HEAD}#![forbid(unsafe_code)] // unsafe"))
                .errors
                .len(),
            0
        );
    }

    #[test]
    fn each_forbidden_word_is_found_in_any_file() {
        for (head, tail, _) in WORDS {
            let text = format!("one\n{head}{tail}\n");
            let found = report("docs/a.md", &text).errors;
            assert_eq!(found.len(), 1, "{head}{tail}");
            assert!(found.iter().all(|finding| finding.place == "docs/a.md:2"));
            assert_eq!(report("Cargo.lock", &text).errors.len(), 0);
        }
    }
}
