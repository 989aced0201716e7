// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sentences of `docs/spec/` have ids, `[SES-12]`, and code and tests cite them.
//!
//! A citation of a sentence that does not exist is an error. A sentence that no test cites is a
//! warning: nothing shows that it is true of the code.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;
use super::{Finding, Report};

const FOLDER: &str = "docs/spec/";

/// Compares the specification with what cites it.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    let mut defined: BTreeMap<String, String> = BTreeMap::new();
    for file in tree.below(FOLDER, "md") {
        for (number, line) in (1..).zip(file.text.lines()) {
            let Some(id) = defined_in(line) else {
                continue;
            };
            let place = format!("{}:{number}", file.path);
            if let Some(first) = defined.insert(id.to_owned(), place.clone()) {
                report.errors([Finding::new(
                    place,
                    format!("[{id}] is already the sentence of {first}"),
                )]);
            }
        }
    }
    let families: BTreeSet<&str> = defined
        .keys()
        .filter_map(|id| id.split('-').next())
        .collect();
    let mut cited: BTreeSet<&str> = BTreeSet::new();
    let mut tested: BTreeSet<&str> = BTreeSet::new();
    for file in &tree.files {
        let specification = file.path.starts_with(FOLDER);
        let code = file.has_extension("rs") || file.has_extension("proto");
        if !(code || file.has_extension("md")) || file.path.starts_with("xtask/src/tidy") {
            continue;
        }
        let mut is_test = is_of_tests(&file.path);
        for (number, line) in (1..).zip(file.text.lines()) {
            // They stand at the end of a file.
            is_test |= line == "mod tests {";
            for id in
                ids(line).filter(|id| families.contains(id.split('-').next().unwrap_or_default()))
            {
                if !defined.contains_key(id) {
                    report.errors([Finding::at(
                        &file.path,
                        number,
                        format!("[{id}] is no sentence of {FOLDER}"),
                    )]);
                } else if code && !specification {
                    cited.insert(id);
                    if is_test {
                        tested.insert(id);
                    }
                }
            }
        }
    }
    for (id, place) in defined
        .iter()
        .filter(|(id, _)| !tested.contains(id.as_str()))
    {
        let who = if cited.contains(id.as_str()) {
            "no test"
        } else {
            "no code and no test"
        };
        let finding = Finding::new(place.as_str(), format!("{who} cites [{id}]"));
        report.warnings([finding]);
    }
}

/// Whether all of a file is there for tests: the crates that do nothing else, and what several tests share.
fn is_of_tests(path: &str) -> bool {
    const CRATES: [&str; 4] = ["crates/simulator/", "crates/crash/", "fuzz/", "vectors/"];
    const CONFORMANCE: &str = "crates/storage/src/conformance";
    CRATES.iter().any(|folder| path.starts_with(folder))
        || path.starts_with(CONFORMANCE)
        || path.contains("/tests/")
        || path.contains("/examples/")
        || path.ends_with("tests.rs")
}

/// The id that a line defines: `[SES-12] text`, also as the item of a list.
fn defined_in(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("- ");
    let (id, _) = line.strip_prefix('[')?.split_once(']')?;
    (ids(id).next() == Some(id)).then_some(id)
}

/// Every word of the form `ABC-12`.
fn ids(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'))
        .filter(|word| {
            word.split_once('-').is_some_and(|(family, number)| {
                family.len() == 3
                    && family.bytes().all(|byte| byte.is_ascii_uppercase())
                    && !number.is_empty()
                    && !number.starts_with('0')
                    && number.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: (&str, &str) = (
        "docs/spec/03-session.md",
        "# Session\n[SES-1] One.\n- [SES-2] Two, see [SES-1].\n",
    );

    fn report(files: &[(&str, &str)]) -> Report {
        let mut report = Report::default();
        check(&Tree::of(files), &mut report);
        report
    }

    #[test]
    fn cited_sentences_are_accepted() {
        let report = report(&[
            PAGE,
            ("crates/a/tests/a.rs", "// SES-1; AES-256, UTF-16\n"),
            (
                "crates/a/src/a.rs",
                "#[cfg(test)]\nmod tests {\n// SES-2\n}\n",
            ),
        ]);
        assert_eq!((report.errors.len(), report.warnings.len()), (0, 0));
    }

    #[test]
    fn what_code_alone_cites_is_a_warning() {
        let report = report(&[
            PAGE,
            (
                "crates/a/src/a.rs",
                "#[cfg(test)]\nmod tests;\n// SES-1 SES-2\n#[cfg(test)]\nmod tests {\n// SES-1\n",
            ),
        ]);
        let warnings: Vec<&str> = report
            .warnings
            .iter()
            .map(|it| it.message.as_str())
            .collect();
        assert_eq!(warnings, ["no test cites [SES-2]"]);
    }

    #[test]
    fn a_citation_of_nothing_is_found() {
        let report = report(&[
            PAGE,
            ("crates/a/src/a.rs", "// SES-1 SES-2\n\n// see [SES-3]\n"),
        ]);
        assert_eq!(report.errors.len(), 1);
        assert_eq!(
            report.errors.first().map(|finding| finding.place.as_str()),
            Some("crates/a/src/a.rs:3")
        );
    }

    #[test]
    fn an_uncited_sentence_is_a_warning_and_pages_do_not_cite() {
        let report = report(&[
            PAGE,
            ("docs/a.md", "[SES-2]"),
            ("proto/a.proto", "// SES-1"),
        ]);
        assert_eq!(report.errors.len(), 0);
        let warnings: Vec<&str> = report
            .warnings
            .iter()
            .map(|it| it.message.as_str())
            .collect();
        assert_eq!(
            warnings,
            ["no test cites [SES-1]", "no code and no test cites [SES-2]"]
        );
    }

    #[test]
    fn an_id_that_is_given_twice_is_found() {
        let other = ("docs/spec/04-envelope.md", "[SES-1] Again.\n");
        assert_eq!(report(&[PAGE, other]).errors.len(), 1);
    }

    #[test]
    fn only_well_formed_ids_count() {
        let found: Vec<&str> =
            ids("[SES-12] SHA256 RUSTSEC-2025 SES-0 SES-x ses-1 MAX-3").collect();
        assert_eq!(found, ["SES-12", "MAX-3"]);
    }
}
