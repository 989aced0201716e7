// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Crates that are pure functions of their arguments touch no socket, file, clock or random source.

use super::tree::Tree;
use super::{Finding, Report, code};

/// The crates that take time, randomness and bytes as arguments.
pub(super) const PURE: [&str; 5] = ["proto", "identity", "crypto", "ratchet", "engine"];

/// What their sources must not name, tests excepted.
const FORBIDDEN: [&str; 9] = [
    "std::net",
    "std::fs",
    "std::process",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "getrandom",
    "tokio",
    "thread_rng",
];

/// Checks the sources of every pure crate.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    for name in PURE {
        let folder = format!("crates/{name}/src/");
        for file in tree.below(&folder, "rs") {
            let test_file = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
            if test_file {
                continue;
            }
            let source = code::without_tests(&file.text);
            for word in FORBIDDEN {
                report.errors(code::words(&source, word).map(|offset| {
                    let line = code::line_of(&source, offset);
                    let message =
                        format!("`{word}` in a crate without I/O: pass it in as an argument");
                    Finding::at(&file.path, line, message)
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        let mut report = Report::default();
        check(&Tree::of(&[(path, text)]), &mut report);
        report.errors.len()
    }

    #[test]
    fn each_source_of_impurity_is_found() {
        for word in FORBIDDEN {
            let text = format!("fn a() {{ {word}(); }}");
            assert_eq!(found("crates/ratchet/src/a.rs", &text), 1, "{word}");
        }
    }

    #[test]
    fn tests_comments_and_other_crates_are_free() {
        assert_eq!(
            found("crates/transport/src/a.rs", "use std::net::SocketAddr;"),
            0
        );
        assert_eq!(
            found(
                "crates/engine/src/a.rs",
                "// std::fs\n#[cfg(test)]\nmod tests { use std::fs; }"
            ),
            0
        );
        assert_eq!(found("crates/engine/src/a/tests.rs", "use std::fs;"), 0);
    }
}
