// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `docs/limits.md` names every constant of the limits file, with the same value.

use std::collections::BTreeMap;

use super::tree::Tree;
use super::{Finding, Report};

const CODE: &str = "crates/proto/src/limits.rs";
const PAGE: &str = "docs/limits.md";

/// Compares the page with the code.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    let (Some(code), Some(page)) = (tree.text(CODE), tree.text(PAGE)) else {
        report.errors([Finding::new(PAGE, format!("{CODE} or {PAGE} is missing"))]);
        return;
    };
    let (constants, broken) = constants(code);
    report.errors(broken);
    report.errors(compare(&constants, page));
}

/// The constants by name, and the lines that could not be read.
fn constants(code: &str) -> (BTreeMap<String, u64>, Vec<Finding>) {
    let mut found = BTreeMap::new();
    let mut broken = Vec::new();
    // rustfmt may break a long definition, so statements are read and not lines.
    for (statement, number) in statements(code) {
        let Some(definition) = statement.strip_prefix("pub const ") else {
            continue;
        };
        let parsed = definition
            .split_once(':')
            .and_then(|(name, rest)| Some((name, rest.split_once('=')?.1)))
            .and_then(|(name, value)| Some((name.trim().to_owned(), product(value, &found)?)));
        match parsed {
            Some((name, value)) => {
                found.insert(name, value);
            }
            None => broken.push(Finding::at(
                CODE,
                number,
                "a bound must be a whole number or a product of bounds",
            )),
        }
    }
    (found, broken)
}

/// Each statement on one line, without comments, and the line on which it ends.
fn statements(code: &str) -> Vec<(String, usize)> {
    let mut statements = Vec::new();
    let mut statement = String::new();
    for (number, line) in (1..).zip(code.lines()) {
        let line = line.trim();
        if line.starts_with("//") || line.starts_with("#!") {
            continue;
        }
        statement.push_str(line);
        statement.push(' ');
        while let Some((before, after)) = statement.split_once(';') {
            statements.push((before.trim().to_owned(), number));
            statement = after.to_owned();
        }
    }
    statements
}

/// `64 * 1024`, `10_000`, `OTHER * 2`: a product of numbers and of constants before it.
fn product(text: &str, known: &BTreeMap<String, u64>) -> Option<u64> {
    text.split('*').try_fold(1_u64, |value, factor| {
        let factor = factor.trim();
        let number = factor
            .replace(['_', ','], "")
            .parse()
            .ok()
            .or_else(|| known.get(factor).copied())?;
        value.checked_mul(number)
    })
}

/// The rows of the page's tables: `` | `NAME` | value | … | ``.
fn compare(constants: &BTreeMap<String, u64>, page: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, line) in (1..).zip(page.lines()) {
        let mut cells = line.split('|').skip(1).map(str::trim);
        let Some(name) = cells
            .next()
            .and_then(|cell| cell.strip_prefix('`')?.strip_suffix('`'))
        else {
            continue;
        };
        let value = cells.next().and_then(|cell| product(cell, constants));
        if named.insert(name, number).is_some() {
            found.push(Finding::at(
                PAGE,
                number,
                format!("`{name}` is named twice"),
            ));
        }
        match constants.get(name) {
            None => found.push(Finding::at(
                PAGE,
                number,
                format!("`{name}` is not in {CODE}"),
            )),
            Some(true_value) if value != Some(*true_value) => {
                found.push(Finding::at(
                    PAGE,
                    number,
                    format!("`{name}` is {true_value} in {CODE}"),
                ));
            }
            Some(_) => {}
        }
    }
    let missing = constants
        .iter()
        .filter(|(name, _)| !named.contains_key(name.as_str()));
    found.extend(
        missing.map(|(name, value)| Finding::new(PAGE, format!("`{name}` ({value}) is missing"))),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &str = "//! x\n/// A.\npub const A: usize = 8 * 1024;\n/// B.\npub const B_LONG: u32 =\n    10_000;\npub const C: u64 = A * 2;\n";

    fn found(page: &str) -> Vec<String> {
        let tree = Tree::of(&[(CODE, BOUNDS), (PAGE, page)]);
        let mut report = Report::default();
        check(&tree, &mut report);
        report.errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_true_page_is_accepted() {
        let page = "| bound | value |\n|---|---|\n| `A` | 8 * 1024 | why |\n| `B_LONG` | 10,000 | |\n| `C` | 16384 | |\n";
        assert_eq!(found(page), Vec::<String>::new());
    }

    #[test]
    fn a_missing_wrong_unknown_or_doubled_bound_is_found() {
        let page = "| `A` | 8191 |\n| `B_LONG` | 10_000 |\n| `B_LONG` | 10_000 |\n| `D` | 1 |\n";
        let messages = found(page);
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert!(messages.iter().any(
            |message| message == "docs/limits.md:1: `A` is 8192 in crates/proto/src/limits.rs"
        ));
        assert!(
            messages
                .iter()
                .any(|message| message.contains("`C` (16384) is missing"))
        );
    }

    #[test]
    fn a_bound_that_is_no_product_is_found() {
        let tree = Tree::of(&[(CODE, "pub const A: usize = f(1);\n"), (PAGE, "")]);
        let mut report = Report::default();
        check(&tree, &mut report);
        assert_eq!(report.errors.len(), 1);
    }
}
