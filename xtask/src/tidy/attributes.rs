// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Silenced lints: each `allow` and `expect` says why.

use super::{Finding, code};

/// Finds `#[allow(…)]` and `#[expect(…)]`, also inside `cfg_attr`, that give no reason.
pub(super) fn without_reason(path: &str, source: &str) -> Vec<Finding> {
    let blanked = code::blanked(source);
    let mut found = Vec::new();
    for (start, _) in blanked.match_indices('#') {
        let tail = blanked.get(start..).unwrap_or_default();
        let Some(opening) = ["#[", "#!["]
            .into_iter()
            .find(|opening| tail.starts_with(opening))
        else {
            continue;
        };
        let inside = bracketed(tail.get(opening.len()..).unwrap_or_default());
        let silences = ["allow", "expect"]
            .into_iter()
            .any(|word| code::words(inside, word).any(|at| calls(inside, at, word.len())));
        let begin = start.saturating_add(opening.len());
        let raw = source
            .get(begin..begin.saturating_add(inside.len()))
            .unwrap_or_default();
        if silences && !gives_reason(raw) {
            let line = code::line_of(&blanked, start);
            found.push(Finding::at(
                path,
                line,
                "a lint is silenced without `reason = \"…\"`",
            ));
        }
    }
    found
}

/// Whether the word at the offset is followed by an opening bracket.
fn calls(text: &str, at: usize, length: usize) -> bool {
    text.get(at.saturating_add(length)..)
        .is_some_and(|rest| rest.trim_start().starts_with('('))
}

/// Whether the attribute has a reason of at least two words.
fn gives_reason(attribute: &str) -> bool {
    attribute
        .split_once("reason")
        .and_then(|(_, rest)| rest.trim_start().strip_prefix('='))
        .and_then(|rest| rest.trim_start().strip_prefix('"'))
        .and_then(|rest| rest.split_once('"'))
        .is_some_and(|(reason, _)| reason.split_whitespace().count() >= 2)
}

/// Up to the `]` that closes the attribute.
fn bracketed(text: &str) -> &str {
    let mut depth = 1_u32;
    for (offset, character) in text.char_indices() {
        match character {
            '[' => depth = depth.saturating_add(1),
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return text.get(..offset).unwrap_or(text);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silenced_lint_needs_a_reason() {
        let bad = [
            "#[allow(dead_code)]\nfn a() {}",
            "#![expect(clippy::all)]",
            "#[cfg_attr(test, allow(clippy::panic))]",
            "#[allow(dead_code, reason = \"\")]",
        ];
        for source in bad {
            assert_eq!(without_reason("a.rs", source).len(), 1, "{source}");
        }
    }

    #[test]
    fn a_reason_is_accepted_and_other_text_is_not_looked_at() {
        let good = [
            "#[allow(\n    dead_code,\n    reason = \"the field keeps the folder alive\"\n)]",
            "// #[allow(dead_code)]\nlet a = \"#[allow(x)]\";",
            "value.expect(\"x\"); #[test] fn allow(a: u8) {}",
        ];
        for source in good {
            assert_eq!(without_reason("a.rs", source), Vec::new(), "{source}");
        }
    }

    #[test]
    fn the_line_is_named() {
        let found = without_reason("a.rs", "fn a() {}\n\n#[allow(dead_code)]\nfn b() {}");
        assert_eq!(
            found.first().map(|finding| finding.place.as_str()),
            Some("a.rs:3")
        );
    }
}
