// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The nearest of some names to a mistyped one.

/// The name that needs the fewest edits to become `typed`, when that is few enough to be meant.
pub(crate) fn nearest<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = typed.chars().count().div_ceil(3).clamp(1, 3);
    names
        .into_iter()
        .map(|name| (distance(typed, name), name))
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// The optimal string alignment distance: insertions, deletions, replacements, and swaps of
/// neighbours, over lower-case characters.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.to_lowercase().chars().collect();
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        for (j, b) in other.iter().enumerate() {
            let at =
                |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX);
            let deleted = at(&last, j.saturating_add(1)).saturating_add(1);
            let inserted = at(&row, j).saturating_add(1);
            let replaced = at(&last, j).saturating_add(usize::from(a != b));
            let is_swap = i > 0
                && j > 0
                && other.get(j.saturating_sub(1)) == Some(a)
                && one.get(i.saturating_sub(1)) == Some(b);
            let swapped = if is_swap {
                at(&before, j.saturating_sub(1)).saturating_add(1)
            } else {
                usize::MAX
            };
            row.push(deleted.min(inserted).min(replaced).min(swapped));
        }
        before = core::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_edits() {
        for (one, other, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("bob", "Bob", 0),
            ("ab", "ba", 1),
            ("bbo", "bob", 1),
            ("abcd", "acbd", 1),
            ("abc", "", 3),
        ] {
            assert_eq!(distance(one, other), edits, "{one} {other}");
            assert_eq!(distance(other, one), edits, "{other} {one}");
        }
    }

    #[test]
    fn only_what_may_be_meant_is_suggested() {
        let names = ["alice", "bob", "carol"];
        assert_eq!(nearest("alcie", names), Some("alice"));
        assert_eq!(nearest("bbo", names), Some("bob"));
        assert_eq!(nearest("xyz", names), None);
        assert_eq!(nearest("bob", []), None);
    }
}
