// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many tests passed, failed and were skipped, read from the summaries of the test runners.

use std::fmt;

/// Counts over any number of summaries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Totals {
    /// Adds another count.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
    }

    /// Adds what the line says, if it is a summary of cargo-nextest or of libtest.
    pub(crate) fn read_line(&mut self, line: &str) {
        let line = without_colours(line);
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("Summary [") {
            // `Summary [   1.2s] 9 tests run: 7 passed (1 slow), 1 failed, 1 timed out, 3 skipped`
            if let Some((_, counts)) = rest.split_once(" run: ") {
                self.read_counts(counts, &[',']);
            }
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            // `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …`
            if let Some((_, counts)) = rest.split_once(". ") {
                self.read_counts(counts, &[';']);
            }
        }
    }

    fn read_counts(&mut self, counts: &str, separators: &[char]) {
        // What stands in brackets, `(1 slow, 1 flaky)`, is counted outside them already.
        let mut depth = 0_u32;
        let outside: String = counts
            .chars()
            .filter(|c| {
                match c {
                    '(' => depth = depth.saturating_add(1),
                    ')' => depth = depth.saturating_sub(1),
                    _ => return depth == 0,
                }
                false
            })
            .collect();
        for part in outside.split(separators) {
            let Some((number, word)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            let counter = match word.trim() {
                "passed" => &mut self.passed,
                "failed" | "exec failed" | "timed out" | "failed due to leaky" => &mut self.failed,
                "skipped" | "ignored" => &mut self.skipped,
                _ => continue,
            };
            *counter = counter.saturating_add(number);
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Removes ANSI colour sequences (`ESC [ … m`).
fn without_colours(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        clean.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Totals {
        let mut totals = Totals::default();
        for line in lines {
            totals.read_line(line);
        }
        totals
    }

    #[test]
    fn summaries_of_both_runners_are_summed() {
        let totals = read(&[
            "    Finished `test` profile [optimized] target(s) in 3.0s",
            "     Summary [   1.234s] 12 tests run: 8 passed (1 slow, 2 flaky), 2 failed, 1 exec failed, 1 timed out, 4 skipped",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.10s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        ]);
        assert_eq!(
            totals,
            Totals {
                passed: 14,
                failed: 6,
                skipped: 5
            }
        );
        assert_eq!(totals.to_string(), "14 passed, 6 failed, 5 skipped");
    }

    #[test]
    fn colours_do_not_hide_a_summary() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped";
        assert_eq!(
            read(&[line]),
            Totals {
                passed: 2,
                failed: 0,
                skipped: 0
            }
        );
    }

    #[test]
    fn a_run_that_was_stopped_counts_what_ran() {
        let line = "Summary [ 0.1s] 3/9 tests run: 2 passed, 1 failed, 0 skipped";
        assert_eq!(
            read(&[line]),
            Totals {
                passed: 2,
                failed: 1,
                skipped: 0
            }
        );
    }

    #[test]
    fn the_output_of_a_test_is_no_summary() {
        assert_eq!(
            read(&["the test result: ok. 5 passed; 0 failed", "5 passed"]),
            Totals::default()
        );
    }
}
